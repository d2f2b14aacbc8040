//! The outer step: the contributions of one window applied to the shared parameters, in uid order.
//!
//! Plain descent, `shared -= alpha * aggregate`, tensor by tensor. Every node that applies the same
//! contributions holds the same bits afterwards, so the order given does not matter and nothing
//! else may.

use runtime::ops::aggregate::{Aggregation, SparseView, apply, clip_scales};
use runtime::{Device, ViewMut};
use wire::{Layout, Outer, SparseShape, SparseTensor, Uid};

use super::{SparseLocoError, grid_of};

mod partwise;

/// What all nodes of a run agree on about the outer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OuterStep {
    /// Outer learning rate.
    pub alpha: f32,
    /// What sums are divided by.
    pub rule: Aggregation,
}

/// What an outer step did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OuterReport {
    /// Whose contributions, ascending.
    pub uids: Vec<Uid>,
    /// What the median clip scaled each contribution by, `[tensors, uids]`.
    pub clip_scales: Vec<f32>,
    /// Tensors left as they were.
    pub skipped: Vec<SkippedTensor>,
}

/// A tensor that no step was taken on because the step was not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedTensor {
    /// Its place in the layout.
    pub tensor: usize,
    /// First value of the step that is not finite, counted from the start of the tensor.
    pub offset: usize,
}

impl From<&Outer> for OuterStep {
    fn from(outer: &Outer) -> Self {
        let rule = match outer.aggregation {
            wire::Aggregation::Contributors => Aggregation::Contributors,
            wire::Aggregation::All => Aggregation::All,
        };
        Self { alpha: outer.alpha as f32, rule }
    }
}

impl OuterStep {
    /// Applies the contributions, each one update per tensor of `layout`, to `shared`
    /// (`[layout.params()]`). None at all leave it as it is.
    ///
    /// # Errors
    /// A uid is there twice, or a contribution was decoded for another layout or another k than the
    /// first one; `shared` is untouched.
    ///
    /// # Panics
    /// `shared` is not as long as the layout.
    pub fn apply(
        &self,
        device: &Device,
        layout: &Layout,
        mut shared: ViewMut<'_, f32>,
        contributions: &[(Uid, &[SparseTensor])],
    ) -> Result<OuterReport, SparseLocoError> {
        assert_eq!(shared.len(), layout.params(), "as long as the layout");
        let ordered = in_uid_order(layout, contributions)?;
        let uids = ordered.iter().map(|(uid, _)| *uid).collect();
        let mut report = OuterReport { uids, ..OuterReport::default() };
        let mut scales = vec![0.0; ordered.len()];
        let mut peers = Vec::with_capacity(ordered.len());
        for (at, tensor) in layout.tensors().iter().enumerate() {
            let Some((_, first)) = ordered.first() else { break };
            let shape = first[at].shape();
            let (grid, k) = (grid_of(shape), shape.k());
            peers.clear();
            peers.extend(ordered.iter().map(|(_, tensors)| sparse_view(&tensors[at])));
            let values = shared.reborrow().slice(tensor.range());
            let stepped = device.install(|| {
                clip_scales(device, grid, k, &peers, &mut scales);
                apply(device, grid, k, &peers, &scales, self.rule, self.alpha, values)
            });
            report.clip_scales.extend(&scales);
            if let Err(found) = stepped {
                report.skipped.push(SkippedTensor { tensor: at, offset: found.offset });
            }
        }
        Ok(report)
    }
}

fn sparse_view(tensor: &SparseTensor) -> SparseView<'_> {
    SparseView {
        codebook: tensor.codebook(),
        indices: tensor.indices().into(),
        codes: tensor.codes().into(),
    }
}

/// The contributions by ascending uid.
fn ascending<T>(
    contributions: impl Iterator<Item = (Uid, T)>,
) -> Result<Vec<(Uid, T)>, SparseLocoError> {
    let mut ordered: Vec<_> = contributions.collect();
    ordered.sort_by_key(|(uid, _)| *uid);
    match ordered.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(SparseLocoError::Twice { uid: pair[0].0 }),
        None => Ok(ordered),
    }
}

/// The contributions by ascending uid, all of one shape.
fn in_uid_order<'a>(
    layout: &Layout,
    contributions: &[(Uid, &'a [SparseTensor])],
) -> Result<Vec<(Uid, &'a [SparseTensor])>, SparseLocoError> {
    let ordered = ascending(contributions.iter().copied())?;
    for (uid, tensors) in &ordered {
        let first: &[SparseTensor] = ordered[0].1;
        let alike = tensors.len() == layout.tensors().len()
            && tensors.iter().zip(first).all(|(tensor, first)| tensor.shape() == first.shape())
            && tensors.iter().zip(layout.tensors()).all(|(sparse, tensor)| {
                let shape: SparseShape = sparse.shape();
                shape.tiling() == tensor.shape.tiling()
            });
        if !alike {
            return Err(SparseLocoError::OtherLayout { uid: *uid });
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests;
