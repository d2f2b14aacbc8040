//! One rank: its part of the parameters, gradients and moments, and the inner step on them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use runtime::collective::{Collective, Solo};
use runtime::ops::cross_entropy::LossSum;
use runtime::ops::{adamw, elementwise, reduce};
use runtime::{Buffer, Device};
use wire::{Inner, ModelSpec, Optimizer};

use crate::ModelError;
use crate::llama::{Activations, Extents, Pass};
use crate::params::{ParamTable, Partition};
use crate::schedule::rate_factor;
use crate::trainer::{BatchSource, StepReport};

/// AdamW's running means of the gradient and of its square, in the order of the parameters.
#[derive(Debug)]
pub struct Moments {
    /// Mean of the gradient.
    pub first: Buffer<f32>,
    /// Mean of the gradient's square.
    pub second: Buffer<f32>,
}

pub(crate) struct Rank {
    pub(crate) device: Device,
    pub(crate) partition: Partition,
    pub(crate) params: Buffer<f32>,
    pub(crate) grads: Buffer<f32>,
    /// Behind a lock, because a checkpoint may still be reading them when the next window starts.
    pub(crate) moments: Arc<RwLock<Moments>>,
    comm: Box<dyn Collective>,
    table: ParamTable,
    extents: Extents,
    acts: Activations,
    /// Host copy of one micro-batch's tokens and targets.
    staging: [Vec<u32>; 2],
    /// Sum of squares of the gradient, and whether to stop: what several ranks agree on in each
    /// step.
    agreed: Buffer<f32>,
}

impl Rank {
    pub(crate) fn new(
        spec: &ModelSpec,
        device: Device,
        comm: Box<dyn Collective>,
        sequences: usize,
    ) -> Result<Self, ModelError> {
        let partition = Partition::new(spec, comm.rank(), comm.world())?;
        let table = ParamTable::new(spec, partition.local_layout());
        let extents = Extents::new(spec, sequences, comm.rank(), comm.world());
        let (tokens, params) = (extents.tokens, table.params());
        if matches!(device, Device::Gpu(_)) {
            extents.assert_aligned()?;
        }
        let moments = Moments { first: device.alloc(params), second: device.alloc(params) };
        let rank = Self {
            acts: Activations::plan(&device, spec, &extents),
            params: device.alloc_params(params),
            grads: device.alloc(params),
            moments: Arc::new(RwLock::new(moments)),
            staging: [vec![0; tokens], vec![0; tokens]],
            agreed: device.alloc(if comm.world() > 1 { 2 } else { 0 }),
            device,
            partition,
            comm,
            table,
            extents,
        };
        // Memory that a GPU does not have shows here, before the first step.
        rank.device.synchronise()?;
        Ok(rank)
    }

    /// One inner step: gradients over all micro-batches, clip, AdamW. `None` when asked to stop, in
    /// which case nothing was updated.
    pub(crate) fn inner_step(
        &mut self,
        source: &dyn BatchSource,
        inner: &Inner,
        (step, step_number): (u32, u64),
        stop: &AtomicBool,
    ) -> Result<Option<StepReport>, ModelError> {
        elementwise::fill(&self.device, self.grads.view_mut(), 0.0);
        let mut loss = LossSum::default();
        for micro in 0..source.micro_batches() {
            self.read(source, step, micro)?;
            let (pass, acts, grads) = self.pass();
            pass.forward(acts);
            let part = pass.loss_and_backward(acts, grads, 1.0);
            loss.sum += part.sum;
            loss.count += part.count;
        }
        let mean = loss.sum / loss.count.max(1) as f64;
        let square = self.agree(stop.load(Ordering::Relaxed));
        // What comes from a device that has failed means nothing.
        self.device.synchronise()?;
        let Some(square) = square else { return Ok(None) };
        // Gradients are of the sum over targets; everything below is about their mean.
        let grad_norm = square.sqrt() / loss.count.max(1) as f64;
        for (what, value) in [("loss", mean), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(ModelError::NotFinite { what, value, step });
            }
        }
        let Optimizer::AdamW { learning_rate, .. } = inner.optimizer;
        let rate = learning_rate * rate_factor(&inner.schedule, step_number);
        if loss.count > 0 {
            let clip = (inner.clip_norm / (grad_norm + 1e-6)).min(1.0);
            self.update(inner, rate, step_number + 1, clip / loss.count as f64);
        }
        Ok(Some(StepReport { step, loss: mean, targets: loss.count, grad_norm, rate }))
    }

    /// Loss of the current parameters over all micro-batches of `step`.
    pub(crate) fn evaluate(
        &mut self,
        source: &dyn BatchSource,
        step: u32,
    ) -> Result<LossSum, ModelError> {
        let mut loss = LossSum::default();
        for micro in 0..source.micro_batches() {
            self.read(source, step, micro)?;
            let (pass, acts, _) = self.pass();
            pass.forward(acts);
            let part = pass.loss(acts);
            loss.sum += part.sum;
            loss.count += part.count;
        }
        self.device.synchronise()?;
        Ok(loss)
    }

    /// Sets this rank's parameters from the whole model's.
    pub(crate) fn take_params(&mut self, whole: &[f32]) {
        take(&self.partition, whole, &mut self.params);
    }

    /// Copies this rank's parameters into the whole model's.
    pub(crate) fn put_params(&self, whole: &mut [f32]) {
        put(&self.partition, &self.params, whole);
    }

    /// Copies this rank's gradients of the last step into the whole model's.
    pub(crate) fn put_gradients(&self, whole: &mut [f32]) {
        put(&self.partition, &self.grads, whole);
    }

    /// Sets this rank's moments from the whole model's.
    pub(crate) fn take_moments(&mut self, whole: [&[f32]; 2]) {
        let mut moments = self.moments.write().unwrap_or_else(PoisonError::into_inner);
        take(&self.partition, whole[0], &mut moments.first);
        take(&self.partition, whole[1], &mut moments.second);
    }

    /// Copies this rank's moments into the whole model's.
    pub(crate) fn put_moments(&self, whole: [&mut [f32]; 2]) {
        let moments = self.moments.read().unwrap_or_else(PoisonError::into_inner);
        let [first, second] = whole;
        put(&self.partition, &moments.first, first);
        put(&self.partition, &moments.second, second);
    }

    /// Whether whole vectors of this rank are the host's own memory.
    pub(crate) fn is_on_host(&self) -> bool {
        self.params.as_host().is_some()
    }

    /// Leaves the group for good: the other ranks fail at their next exchange.
    pub(crate) fn leave(&mut self) {
        self.comm = Box::new(Solo);
    }

    fn read(
        &mut self,
        source: &dyn BatchSource,
        step: u32,
        micro: usize,
    ) -> Result<(), ModelError> {
        let [tokens, targets] = &mut self.staging;
        source
            .fill(step, micro, tokens, targets)
            .map_err(|reason| ModelError::Samples { step, reason })?;
        self.acts.tokens.write(tokens);
        self.acts.targets.write(targets);
        Ok(())
    }

    fn pass(&mut self) -> (Pass<'_>, &mut Activations, &mut Buffer<f32>) {
        let pass = Pass {
            device: &self.device,
            comm: self.comm.as_ref(),
            table: &self.table,
            params: self.params.view(),
            extents: self.extents,
        };
        (pass, &mut self.acts, &mut self.grads)
    }

    /// The sum of squares of the whole model's gradient, or `None` when any rank wants to stop.
    fn agree(&mut self, stop: bool) -> Option<f64> {
        let mut square = reduce::sum_squares(&self.device, self.grads.view());
        if self.comm.world() == 1 {
            return (!stop).then_some(square);
        }
        if self.comm.rank() > 0 {
            // Every rank holds these whole; they count once.
            for range in &self.table.whole {
                square -= reduce::sum_squares(&self.device, self.grads.slice(range.clone()));
            }
        }
        self.agreed.write(&[square as f32, f32::from(u8::from(stop))]);
        self.comm.all_reduce_sum(self.agreed.view_mut());
        let mut agreed = [0.0; 2];
        self.agreed.read(&mut agreed);
        (agreed[1] == 0.0).then_some(f64::from(agreed[0]))
    }

    fn update(&mut self, inner: &Inner, rate: f64, step_number: u64, grad_scale: f64) {
        let mut moments = self.moments.write().unwrap_or_else(PoisonError::into_inner);
        let Moments { first, second } = &mut *moments;
        let Optimizer::AdamW { beta1, beta2, eps, weight_decay, .. } = inner.optimizer;
        let hyper = adamw::Hyper {
            lr: rate as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            eps: eps as f32,
            weight_decay: weight_decay as f32,
        };
        adamw::step(
            &self.device,
            self.params.view_mut(),
            self.grads.view(),
            first.view_mut(),
            second.view_mut(),
            &hyper,
            step_number,
            grad_scale as f32,
        );
    }
}

/// This rank's part of `whole`; a rank on a GPU holds all of the model.
fn take(partition: &Partition, whole: &[f32], part: &mut Buffer<f32>) {
    match part.as_host_mut() {
        Some(values) => partition.take(whole, values),
        None => part.write(whole),
    }
}

/// This rank's part into `whole`.
fn put(partition: &Partition, part: &Buffer<f32>, whole: &mut [f32]) {
    match part.as_host() {
        Some(values) => partition.put(values, whole),
        None => part.read(whole),
    }
}
