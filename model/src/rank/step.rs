//! Inner steps of one rank: gradients over all micro-batches, clip, AdamW.
//!
//! On the host, and wherever several ranks have to agree, a step is over when its report is there.
//! A GPU that trains alone is one step ahead of its reports: the clip is made on the device, so
//! that it never waits for the host.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use runtime::Device;
use runtime::ops::cross_entropy::{LossSum, loss_sum};
use runtime::ops::ledger::{Closed, Report};
use runtime::ops::{adamw, elementwise, reduce};
use runtime::span::span;
use wire::{Inner, Optimizer};

use super::{Moments, Rank};
use crate::ModelError;
use crate::llama::Pass;
use crate::schedule::rate_factor;
use crate::trainer::{BatchSource, OnStep, StepReport, Stop};

/// What a pass of this rank works with, leaving its activations and gradients free.
macro_rules! pass {
    ($rank:expr) => {
        Pass {
            device: &$rank.device,
            comm: $rank.comm.as_ref(),
            table: &$rank.table,
            params: $rank.params.view(),
            extents: $rank.extents,
        }
    };
}

/// A step that the device may still be taking.
pub(super) struct Unreported {
    step: u32,
    rate: f64,
    report: Report,
}

impl Rank {
    /// Before the first step of a run.
    pub(crate) fn begin(&mut self) {
        self.unreported = None;
        if let Some(ledger) = &mut self.ledger {
            ledger.restart();
        }
    }

    /// One inner step. When asked to stop, it has updated nothing. Steps are reported in order,
    /// this one now or by a later call.
    pub(crate) fn inner_step(
        &mut self,
        source: &dyn BatchSource,
        inner: &Inner,
        (step, step_number): (u32, u64),
        stop: &AtomicBool,
        on_step: OnStep<'_>,
    ) -> Result<Stop, ModelError> {
        let Optimizer::AdamW { learning_rate, .. } = inner.optimizer;
        let rate = learning_rate * rate_factor(&inner.schedule, step_number);
        elementwise::fill(&self.device, self.grads.view_mut(), 0.0);
        let mut loss = LossSum::default();
        for micro in 0..source.micro_batches() {
            self.read(source, step, micro)?;
            let part = self.micro_batch()?;
            loss.sum += part.sum;
            loss.count += part.count;
        }
        let asked = stop.load(Ordering::Relaxed);
        if let Some(ledger) = self.ledger.as_mut().filter(|_| !asked) {
            let report = ledger.close(self.grads.view(), inner.clip_norm);
            self.update(inner, rate, step_number + 1, None);
            let last = self.unreported.replace(Unreported { step, rate, report });
            last.map_or(Ok(()), |last| self.report(last, on_step))?;
            return Ok(Stop::Done);
        }
        self.finish(on_step)?;
        let square = self.agree(asked);
        // What comes from a device that has failed means nothing.
        self.device.synchronise()?;
        let Some(square) = square else { return Ok(Stop::Asked) };
        let report = report(step, rate, Closed { loss, square })?;
        if loss.count > 0 {
            // Gradients are of the sum over targets, the clip is of their mean.
            let clip = (inner.clip_norm / (report.grad_norm + 1e-6)).min(1.0);
            self.update(inner, rate, step_number + 1, Some((clip / loss.count as f64) as f32));
        }
        on_step(report);
        Ok(Stop::Done)
    }

    /// Reports the last step, once it is done.
    pub(crate) fn finish(&mut self, on_step: OnStep<'_>) -> Result<(), ModelError> {
        self.unreported.take().map_or(Ok(()), |last| self.report(last, on_step))
    }

    fn report(&self, last: Unreported, on_step: OnStep<'_>) -> Result<(), ModelError> {
        let Unreported { step, rate, report: coming } = last;
        on_step(report(step, rate, coming.wait()?)?);
        Ok(())
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
            let pass = pass!(self);
            pass.forward(&mut self.acts);
            let part = pass.loss(&mut self.acts);
            loss.sum += part.sum;
            loss.count += part.count;
        }
        self.device.synchronise()?;
        Ok(loss)
    }

    fn read(
        &mut self,
        source: &dyn BatchSource,
        step: u32,
        micro: usize,
    ) -> Result<(), ModelError> {
        let [tokens, targets, first_keys] = &mut self.staging;
        let unread = |reason| ModelError::Samples { step, reason };
        source.fill(step, micro, tokens, targets).map_err(unread)?;
        self.acts.tokens.write(tokens);
        self.acts.targets.write(targets);
        if let Some(on_device) = &mut self.acts.first_keys {
            source.fill_first_keys(step, micro, first_keys).map_err(unread)?;
            on_device.write(first_keys);
        }
        Ok(())
    }

    /// Adds the gradients of one micro-batch; its loss, or nothing where the ledger keeps it.
    fn micro_batch(&mut self) -> Result<LossSum, ModelError> {
        self.micro_batches += 1;
        if let Some(recording) = &self.recording {
            recording.play();
            return Ok(LossSum::default());
        }
        // The first time, plans are made and kernels loaded, which no recording holds.
        if let Device::Gpu(gpu) = self.device.clone()
            && self.records
            && self.ledger.is_some()
            && self.micro_batches > 1
        {
            let recording = gpu.record(|| self.pass_and_back());
            let recording = recording.map_err(runtime::RuntimeError::from)?;
            recording.play();
            self.recording = Some(recording);
            return Ok(LossSum::default());
        }
        self.pass_and_back();
        match self.ledger {
            Some(_) => Ok(LossSum::default()),
            None => Ok(loss_sum(&self.device, self.acts.targets.view(), &self.acts.head)),
        }
    }

    fn pass_and_back(&mut self) {
        let pass = pass!(self);
        {
            let _span = span(c"forward");
            pass.forward(&mut self.acts);
        }
        let _span = span(c"backward");
        pass.backward(&mut self.acts, &mut self.grads, 1.0);
        if let Some(ledger) = &mut self.ledger {
            ledger.add(self.acts.targets.view(), &self.acts.head);
        }
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

    /// Updates parameters and moments with the gradient times `scale`, or as the ledger says.
    fn update(&mut self, inner: &Inner, rate: f64, step_number: u64, scale: Option<f32>) {
        let _span = span(c"optimizer");
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
        let (params, grads) = (self.params.view_mut(), self.grads.view());
        let (m, v) = (first.view_mut(), second.view_mut());
        match (&mut self.ledger, scale) {
            (Some(ledger), None) => ledger.update(params, grads, m, v, &hyper, step_number),
            (_, scale) => {
                let scale = scale.expect("a step without a ledger has a scale");
                adamw::step(&self.device, params, grads, m, v, &hyper, step_number, scale);
            }
        }
    }
}

/// What is told of a step: means over its targets.
fn report(step: u32, rate: f64, closed: Closed) -> Result<StepReport, ModelError> {
    let targets = closed.loss.count;
    let loss = closed.loss.sum / targets.max(1) as f64;
    let grad_norm = closed.square.sqrt() / targets.max(1) as f64;
    for (what, value) in [("loss", loss), ("gradient norm", grad_norm)] {
        if !value.is_finite() {
            return Err(ModelError::NotFinite { what, value, step });
        }
    }
    Ok(StepReport { step, loss, targets, grad_norm, rate })
}
