//! The ranks of one node together: inner steps of a window, with whole flat vectors going in and
//! out.
//!
//! Everything outside sees the whole model in layout order. With one rank that is the rank's own
//! memory; with more, parts are put together here, so that nothing else knows about ranks.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use runtime::collective::{self, Collective};
use runtime::ops::cross_entropy::LossSum;
use runtime::{Buffer, Compute, Device};
use wire::{Inner, ModelSpec};

use crate::ModelError;
use crate::rank::{Moments, Rank};

/// Where micro-batches come from. Called from several ranks at once, each of which reads them all.
pub trait BatchSource: Sync {
    /// Micro-batches of one inner step.
    fn micro_batches(&self) -> usize;

    /// Writes the tokens and targets `[sequences * seq_len]` of one micro-batch of inner step
    /// `step` of the window; a target of `u32::MAX` does not count.
    ///
    /// # Errors
    /// What is wrong with the data set, in one sentence.
    fn fill(
        &self,
        step: u32,
        micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String>;
}

/// What one inner step did.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Inner step within the window, from 0.
    pub step: u32,
    /// Mean loss in nats per target, before the update.
    pub loss: f64,
    /// Targets that counted.
    pub targets: usize,
    /// Global L2 norm of the gradient before the clip.
    pub grad_norm: f64,
    /// Learning rate used.
    pub rate: f64,
}

/// Who hears of each inner step.
pub type OnStep<'a> = &'a mut (dyn FnMut(StepReport) + Send);

/// How the inner steps of a window ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All steps were taken.
    Done,
    /// The stop flag was seen; the window is not finished.
    Asked,
}

/// One node's ranks.
pub struct Trainer {
    ranks: Vec<Rank>,
    params: usize,
    /// Whole parameters put together from several ranks, and a second vector of that size.
    whole: Option<[Buffer<f32>; 2]>,
}

impl Trainer {
    /// `tp` ranks that share `threads` host threads and train on micro-batches of `sequences`.
    ///
    /// # Errors
    /// The model does not divide by `tp`, or the operating system refuses threads.
    pub fn new(
        spec: &ModelSpec,
        tp: usize,
        threads: usize,
        sequences: usize,
    ) -> Result<Self, ModelError> {
        let tp = tp.max(1);
        let params = crate::layout_of(spec)?.params();
        let comms: Vec<Box<dyn Collective>> = if tp == 1 {
            vec![Box::new(collective::Solo)]
        } else {
            collective::threads::group(tp).into_iter().map(|rank| Box::new(rank) as _).collect()
        };
        let ranks = comms
            .into_iter()
            .map(|comm| Rank::new(spec, Device::cpu(threads / tp)?, comm, sequences))
            .collect::<Result<Vec<_>, _>>()?;
        let whole = (tp > 1).then(|| [(); 2].map(|()| ranks[0].device.alloc(params)));
        Ok(Self { ranks, params, whole })
    }

    /// The same ranks, reading the factors of their matrix products as `compute` says.
    /// Parameters, gradients, moments and activations stay f32.
    #[must_use]
    pub fn with_compute(mut self, compute: Compute) -> Self {
        for rank in &mut self.ranks {
            rank.device = rank.device.clone().with_compute(compute);
        }
        self
    }

    /// The device that whole vectors live on.
    pub fn device(&self) -> &Device {
        &self.ranks[0].device
    }

    /// Values in the whole model.
    pub fn params(&self) -> usize {
        self.params
    }

    /// Sets every rank's parameters from the whole model's.
    pub fn load_params(&mut self, whole: &Buffer<f32>) {
        let whole = host(whole);
        for rank in &mut self.ranks {
            rank.partition.take(whole, host_mut(&mut rank.params));
        }
    }

    /// The whole model's parameters as trained, and a vector of the same length that is free until
    /// the next inner step (with one rank: its gradients).
    pub fn params_and_scratch(&mut self) -> (&Buffer<f32>, &mut Buffer<f32>) {
        match &mut self.whole {
            None => {
                let rank = &mut self.ranks[0];
                (&rank.params, &mut rank.grads)
            }
            Some([whole, scratch]) => {
                for rank in &self.ranks {
                    rank.partition.put(host(&rank.params), host_mut(whole));
                }
                (whole, scratch)
            }
        }
    }

    /// The moments of the whole model. With one rank they are its own: whoever reads them holds the
    /// lock, and the next update waits for it.
    pub fn moments(&self) -> Arc<RwLock<Moments>> {
        if let [rank] = self.ranks.as_slice() {
            return Arc::clone(&rank.moments);
        }
        let [mut first, mut second] = [(); 2].map(|()| self.device().alloc(self.params));
        for rank in &self.ranks {
            let moments = rank.moments.read().unwrap_or_else(PoisonError::into_inner);
            rank.partition.put(host(&moments.first), host_mut(&mut first));
            rank.partition.put(host(&moments.second), host_mut(&mut second));
        }
        Arc::new(RwLock::new(Moments { first, second }))
    }

    /// Sets every rank's moments from the whole model's, which may be a single rank's own.
    pub fn load_moments(&mut self, whole: &Arc<RwLock<Moments>>) {
        for rank in self.ranks.iter().filter(|rank| !Arc::ptr_eq(&rank.moments, whole)) {
            let whole = whole.read().unwrap_or_else(PoisonError::into_inner);
            let mut moments = rank.moments.write().unwrap_or_else(PoisonError::into_inner);
            let Moments { first, second } = &mut *moments;
            rank.partition.take(host(&whole.first), host_mut(first));
            rank.partition.take(host(&whole.second), host_mut(second));
        }
    }

    /// Takes `steps` inner steps, the first of which is number `first_step` of the run, and calls
    /// `on_step` after each.
    ///
    /// # Errors
    /// A loss or gradient that is no number, or samples that cannot be had; the failing step has
    /// updated nothing.
    pub fn run(
        &mut self,
        source: &dyn BatchSource,
        inner: &Inner,
        first_step: u64,
        steps: u32,
        stop: &AtomicBool,
        on_step: OnStep<'_>,
    ) -> Result<Stop, ModelError> {
        self.on_ranks(on_step, |rank, on_step| {
            for step in 0..steps {
                let number = first_step + u64::from(step);
                match rank.inner_step(source, inner, (step, number), stop)? {
                    Some(report) => on_step(report),
                    None => return Ok(Stop::Asked),
                }
            }
            Ok(Stop::Done)
        })
    }

    /// Mean loss of the current parameters over the micro-batches of steps `0..steps`.
    ///
    /// # Errors
    /// Samples cannot be had.
    pub fn evaluate(
        &mut self,
        source: &dyn BatchSource,
        steps: u32,
    ) -> Result<LossSum, ModelError> {
        self.on_ranks(&mut |_| (), |rank, _| {
            let mut loss = LossSum::default();
            for step in 0..steps {
                let part = rank.evaluate(source, step)?;
                loss.sum += part.sum;
                loss.count += part.count;
            }
            Ok(loss)
        })
    }

    /// Runs `work` on every rank at once and returns what rank 0 found; only rank 0 reports steps.
    fn on_ranks<R: Send>(
        &mut self,
        on_step: OnStep<'_>,
        work: impl Fn(&mut Rank, OnStep<'_>) -> Result<R, ModelError> + Sync,
    ) -> Result<R, ModelError> {
        let (first, others) = self.ranks.split_first_mut().expect("a trainer has a rank");
        let install = |rank: &mut Rank, on_step: OnStep<'_>| {
            let device = rank.device.clone();
            let rank = LeaveOnPanic(rank);
            device.install(|| work(&mut *rank.0, on_step))
        };
        if others.is_empty() {
            return install(first, on_step);
        }
        std::thread::scope(|scope| {
            for rank in others {
                scope.spawn(|| install(rank, &mut |_| ()).map(drop));
            }
            install(first, on_step)
        })
    }
}

/// Takes a rank that panics out of its group, so that the others do not wait for it for ever.
struct LeaveOnPanic<'a>(&'a mut Rank);

impl Drop for LeaveOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.leave();
        }
    }
}

fn host(buffer: &Buffer<f32>) -> &[f32] {
    buffer.as_host().expect("ranks on the CPU")
}

fn host_mut(buffer: &mut Buffer<f32>) -> &mut [f32] {
    buffer.as_host_mut().expect("ranks on the CPU")
}
