//! From what a peer learned in a window to what it sends of it, tensor by tensor.
//!
//! The residual is not touched: what would remain of it goes to a second buffer as long as all
//! parameters, and the caller swaps the two once the upload is known to have succeeded.

use runtime::ops::NonFinite;
use runtime::ops::compress::{Feedback, clear, select_top_k, subtract_sent};
use runtime::{Device, View, ViewMut};
use wire::{Layout, Quantiser, SparseShape, SparseTensor};

use super::SparseLocoError;
use super::grid_of;
use super::quantise::fit;

/// Compresses a model's pseudo-gradients, window after window, in the same memory.
#[derive(Debug)]
pub struct Compressor {
    device: Device,
    layout: Layout,
    k: usize,
    beta: f32,
    quantiser: Quantiser,
    /// Kept values of the tensor at hand, `[chunks, k]`.
    values: Vec<f32>,
    /// What the last window sent.
    sent: Vec<SparseTensor>,
}

impl Compressor {
    /// For a model of this layout: `k` values per chunk, `beta` of the residual kept.
    pub fn new(
        device: &Device,
        layout: &Layout,
        k: usize,
        beta: f32,
        quantiser: Quantiser,
    ) -> Self {
        let values = shapes(layout, k).map(SparseShape::values).max().unwrap_or(0);
        Self {
            device: device.clone(),
            layout: layout.clone(),
            k,
            beta,
            quantiser,
            values: vec![0.0; values],
            sent: Vec::new(),
        }
    }

    /// What to send, one update per tensor, and in `m_out` the residual to go on with once it is
    /// sent: `m = beta * residual + (shared - local)`, less what the receivers will decode.
    ///
    /// All four are `[layout.params()]`.
    ///
    /// # Errors
    /// `m` is not finite somewhere, or so large that its codebook is not. The residual is as it
    /// was; `m_out` is of no use.
    ///
    /// # Panics
    /// A length differs from the layout's.
    pub fn compress(
        &mut self,
        shared: View<'_, f32>,
        local: View<'_, f32>,
        residual: View<'_, f32>,
        mut m_out: ViewMut<'_, f32>,
    ) -> Result<&[SparseTensor], SparseLocoError> {
        for len in [shared.len(), local.len(), residual.len(), m_out.len()] {
            assert_eq!(len, self.layout.params(), "as long as the layout");
        }
        let mut spare = std::mem::take(&mut self.sent).into_iter();
        for tensor in self.layout.tensors() {
            let shape = SparseShape::new(tensor.shape.tiling(), self.k);
            let spare = spare.next().map(SparseTensor::into_parts);
            let parts =
                spare.unwrap_or_else(|| (vec![0; shape.values()], vec![0; shape.code_bytes()]));
            let range = tensor.range();
            let feedback = Feedback {
                shared: shared.slice(range.clone()),
                local: local.slice(range.clone()),
                residual: residual.slice(range.clone()),
                beta: self.beta,
            };
            let m_out = m_out.reborrow().slice(range);
            let values = &mut self.values[..shape.values()];
            let work =
                TensorWork { device: &self.device, quantiser: self.quantiser, shape, values };
            let sent = self
                .device
                .install(|| work.compress(feedback, m_out, parts))
                .map_err(|at| SparseLocoError::non_finite(&tensor.name, at))?;
            self.sent.push(sent);
        }
        Ok(&self.sent)
    }

    /// Adds what the last [`Compressor::compress`] sent to `m_out` again: for a contribution that
    /// did not arrive, or did not count.
    ///
    /// # Panics
    /// `m_out` is not as long as the layout.
    pub fn take_back(&self, mut m_out: ViewMut<'_, f32>) {
        assert_eq!(m_out.len(), self.layout.params(), "as long as the layout");
        for (tensor, sent) in self.layout.tensors().iter().zip(&self.sent) {
            let (grid, k) = (grid_of(sent.shape()), sent.shape().k());
            let negated = sent.codebook().map(|entry| -entry);
            let (indices, codes) = (sent.indices().into(), sent.codes().into());
            let m = m_out.reborrow().slice(tensor.range());
            self.device
                .install(|| subtract_sent(&self.device, grid, k, negated, indices, codes, m));
        }
    }

    /// A null round's contribution, which changes nothing, and a residual of zero: for windows in
    /// which a peer listens only.
    ///
    /// # Panics
    /// `m_out` is not as long as the layout.
    pub fn null_round(&mut self, m_out: ViewMut<'_, f32>) -> &[SparseTensor] {
        assert_eq!(m_out.len(), self.layout.params(), "as long as the layout");
        clear(&self.device, m_out);
        self.sent.clear();
        self.sent.extend(shapes(&self.layout, self.k).map(SparseTensor::zero));
        &self.sent
    }
}

fn shapes(layout: &Layout, k: usize) -> impl Iterator<Item = SparseShape> {
    layout.tensors().iter().map(move |tensor| SparseShape::new(tensor.shape.tiling(), k))
}

/// One tensor's turn.
struct TensorWork<'a> {
    device: &'a Device,
    quantiser: Quantiser,
    shape: SparseShape,
    values: &'a mut [f32],
}

impl TensorWork<'_> {
    /// The update, in the memory of `parts` (indices and codes).
    fn compress(
        self,
        feedback: Feedback<'_>,
        mut m_out: ViewMut<'_, f32>,
        (mut indices, mut codes): (Vec<u16>, Vec<u8>),
    ) -> Result<SparseTensor, NonFinite> {
        let Self { device, quantiser, shape, values } = self;
        let (grid, k) = (grid_of(shape), shape.k());
        let (kept, kept_values) = ((&mut indices[..]).into(), (&mut *values).into());
        select_top_k(device, grid, k, feedback, m_out.reborrow(), kept, kept_values)?;
        let fit = fit(quantiser, values);
        let codebook = fit.codebook();
        if codebook.iter().any(|entry| !entry.is_finite()) {
            return Err(NonFinite { offset: 0 });
        }
        fit.encode(k, values, &mut codes);
        subtract_sent(device, grid, k, codebook, (&indices[..]).into(), (&codes[..]).into(), m_out);
        let sent = SparseTensor::new(shape, codebook, indices, codes);
        Ok(sent.expect("what is selected ascends within its chunk"))
    }
}

#[cfg(test)]
mod tests;
