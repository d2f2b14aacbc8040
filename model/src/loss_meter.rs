//! What one contribution does to the loss: losses of single samples, with the shared parameters and
//! after a part of the contribution.
//!
//! The contribution is applied as the outer step applies it, to a copy of the shared parameters
//! that is copied anew for each, so nothing that a stranger sent outlives its measurement. One
//! sample, all its rows at once, is one forward pass. Nothing is trained here: no gradients, no
//! moments.

use runtime::collective::Solo;
use runtime::{Buffer, Device};
use wire::protocol::SAMPLE_TOKENS;
use wire::{BodyShape, Layout, ModelSpec, Outer, ReadAt, Uid};

use crate::llama::{Activations, Extents, MicroBatch, Pass};
use crate::params::ParamTable;
use crate::sparseloco::{CheckedBody, OuterStep, SparseLocoError};
use crate::trainer::NO_DOCUMENTS;
use crate::{ModelError, layout_of};

/// Where samples come from.
pub trait SampleSource: Sync {
    /// Writes the tokens and targets `[2048]` of one sample; a target of `u32::MAX` does not count.
    ///
    /// # Errors
    /// What is wrong with the data set, in one sentence.
    fn fill_sample(
        &self,
        sample: u64,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String>;

    /// Writes the first place of its sequence that each token of a sample attends to, `[2048]`.
    /// Asked for where documents are kept apart.
    ///
    /// # Errors
    /// What is wrong with the data set, in one sentence; here that it knows no documents.
    fn fill_first_keys(&self, _sample: u64, _first_keys: &mut [u32]) -> Result<(), String> {
        Err(NO_DOCUMENTS.to_string())
    }
}

/// Loss of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleLoss {
    /// Targets that count.
    pub tokens: u32,
    /// Their mean loss, in nats; no number if the parameters make none.
    pub nats: f64,
}

/// Measures losses on one device.
pub struct LossMeter {
    device: Device,
    layout: Layout,
    shape: BodyShape,
    step: OuterStep,
    table: ParamTable,
    extents: Extents,
    acts: Activations,
    shared: Buffer<f32>,
    /// What is measured: the shared parameters, or they with a part of a contribution.
    params: Buffer<f32>,
    tokens: Vec<u32>,
    targets: Vec<u32>,
    first_keys: Vec<u32>,
}

impl LossMeter {
    /// A meter for `spec` on the host's `device`, which applies the share `part` of the outer step.
    ///
    /// # Errors
    /// The model has no layout.
    pub fn new(
        device: &Device,
        spec: &ModelSpec,
        outer: &Outer,
        part: f64,
    ) -> Result<Self, ModelError> {
        let layout = layout_of(spec)?;
        let sequences = SAMPLE_TOKENS / spec.seq_len;
        let micro = MicroBatch::from(sequences);
        let extents = Extents::new(spec, micro, 0, 1);
        let whole = OuterStep::from(outer);
        Ok(Self {
            shape: BodyShape::new(&layout, outer.k, outer.index_codec),
            step: OuterStep { alpha: (f64::from(whole.alpha) * part) as f32, ..whole },
            table: ParamTable::new(spec, &layout),
            acts: Activations::plan(device, spec, &extents),
            shared: device.alloc(layout.params()),
            params: device.alloc_params(layout.params()),
            tokens: vec![0; extents.tokens],
            targets: vec![0; extents.tokens],
            first_keys: Vec::new(),
            device: device.clone(),
            layout,
            extents,
        })
    }

    /// The same meter, in which tokens attend to those of their own document only if `masks`.
    #[must_use]
    pub fn with_document_masks(mut self, masks: bool) -> Self {
        let tokens = self.extents.tokens * usize::from(masks);
        self.first_keys = vec![0; tokens];
        self.acts.first_keys = masks.then(|| self.device.alloc(tokens));
        self
    }

    /// Takes the shared parameters.
    ///
    /// # Panics
    /// They are not as many as the model has.
    pub fn take(&mut self, shared: &[f32]) {
        assert_eq!(shared.len(), self.layout.params(), "as many as the model has");
        self.shared.write(shared);
        self.params.write(shared);
    }

    /// Goes back to the shared parameters and applies the meter's part of an outer step with `body`
    /// alone. False if that step is not finite somewhere, and was not taken there.
    ///
    /// # Errors
    /// The body cannot be read any more.
    pub fn apply<S: ReadAt>(&mut self, body: &CheckedBody<S>) -> Result<bool, SparseLocoError> {
        self.restore();
        let Self { device, layout, shape, step, params, .. } = self;
        let round = [(Uid(0), body.by_ref())];
        let report = step.apply_bodies(device, layout, shape, params.view_mut(), &round)?;
        Ok(report.skipped.is_empty())
    }

    /// Goes back to the shared parameters, bit for bit.
    pub fn restore(&mut self) {
        self.params.write(self.shared.as_host().expect("shared parameters are on the host"));
    }

    /// Loss of each of `samples`, in their order.
    ///
    /// # Errors
    /// A sample cannot be had.
    pub fn losses(
        &mut self,
        source: &dyn SampleSource,
        samples: impl IntoIterator<Item = u64>,
    ) -> Result<Vec<SampleLoss>, ModelError> {
        samples.into_iter().map(|sample| self.loss(source, sample)).collect()
    }

    fn loss(&mut self, source: &dyn SampleSource, sample: u64) -> Result<SampleLoss, ModelError> {
        let filled = source.fill_sample(sample, &mut self.tokens, &mut self.targets);
        let unread = |reason| ModelError::Probe { sample, reason };
        filled.map_err(unread)?;
        if let Some(on_device) = &mut self.acts.first_keys {
            source.fill_first_keys(sample, &mut self.first_keys).map_err(unread)?;
            on_device.write(&self.first_keys);
        }
        self.acts.tokens.write(&self.tokens);
        self.acts.targets.write(&self.targets);
        let Self { device, table, params, extents, acts, .. } = self;
        let loss = device.install(|| {
            let (comm, params, extents) = (&Solo, params.view(), *extents);
            let pass = Pass { device, comm, table, params, extents };
            pass.forward(acts);
            pass.loss(acts)
        });
        Ok(SampleLoss { tokens: loss.count as u32, nats: loss.mean() })
    }
}
