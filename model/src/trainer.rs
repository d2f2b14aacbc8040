//! The ranks of one node together: inner steps of a window, with whole flat vectors going in and
//! out.
//!
//! Everything outside sees the whole model in layout order, in the host's memory. With one rank on
//! the host that is the rank's own; with more, parts are put together here, and from a GPU vectors
//! are brought here, so that nothing else knows about ranks or GPUs.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use runtime::collective::{self, Collective};
use runtime::ops::cross_entropy::LossSum;
use runtime::{Buffer, Compute, Device};
use wire::{Inner, ModelSpec};

use crate::ModelError;
use crate::llama::MicroBatch;
use crate::rank::{Moments, Rank};

mod window;
use window::OnGpu;

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

    /// Writes the first place of its sequence that each token of a micro-batch attends to,
    /// `[sequences * seq_len]`. Asked for where documents are kept apart.
    ///
    /// # Errors
    /// What is wrong with the data set, in one sentence; here that it knows no documents.
    fn fill_first_keys(
        &self,
        _step: u32,
        _micro: usize,
        _first_keys: &mut [u32],
    ) -> Result<(), String> {
        Err(NO_DOCUMENTS.to_string())
    }
}

/// Why tokens cannot attend to their own document only.
pub(crate) const NO_DOCUMENTS: &str = "nothing says where documents begin";

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
    /// Where whole vectors are.
    host: Device,
    /// Whole parameters on the host, put together from several ranks or brought from a GPU, and a
    /// second vector of that size. None where a single rank on the host has both itself, and until
    /// somebody asks for what a GPU has.
    whole: Option<[Buffer<f32>; 2]>,
    /// What a GPU that trains alone keeps between windows.
    on_gpu: Option<OnGpu>,
}

impl Trainer {
    /// `tp` ranks that share `threads` host threads.
    ///
    /// # Errors
    /// The model does not divide by `tp`, or the operating system refuses threads.
    pub fn new(
        spec: &ModelSpec,
        tp: usize,
        threads: usize,
        micro: impl Into<MicroBatch>,
    ) -> Result<Self, ModelError> {
        let (tp, micro) = (tp.max(1), micro.into());
        let params = crate::layout_of(spec)?.params();
        let comms: Vec<Box<dyn Collective>> = if tp == 1 {
            vec![Box::new(collective::Solo)]
        } else {
            collective::threads::group(tp).into_iter().map(|rank| Box::new(rank) as _).collect()
        };
        let ranks = comms
            .into_iter()
            .map(|comm| Rank::new(spec, Device::cpu(threads / tp)?, comm, micro))
            .collect::<Result<Vec<_>, _>>()?;
        let host = ranks[0].device.clone();
        let whole = (tp > 1).then(|| [(); 2].map(|()| host.alloc(params)));
        Ok(Self { ranks, params, host, whole, on_gpu: None })
    }

    /// `tp` ranks on one GPU, with `threads` host threads for what is done with whole vectors. Of
    /// several, each waits for the others: that is for tests.
    ///
    /// # Errors
    /// The model does not suit a GPU or its memory or does not divide by `tp`, or the operating
    /// system refuses threads.
    pub fn on_gpu(
        spec: &ModelSpec,
        gpu: Device,
        tp: usize,
        threads: usize,
        micro: impl Into<MicroBatch>,
    ) -> Result<Self, ModelError> {
        let params = crate::layout_of(spec)?.params();
        let (host, micro) = (Device::cpu(threads)?, micro.into());
        let on_gpu = (tp <= 1).then(|| OnGpu::new(&gpu, params));
        let comms: Vec<Box<dyn Collective>> = match tp {
            0 | 1 => vec![Box::new(collective::Solo)],
            tp => collective::one_gpu::group(&gpu, tp)
                .into_iter()
                .map(|rank| Box::new(rank) as _)
                .collect(),
        };
        let ranks = comms
            .into_iter()
            .map(|comm| Rank::new(spec, gpu.clone(), comm, micro))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { ranks, params, host, whole: None, on_gpu })
    }

    /// The same ranks; a GPU that trains alone records a micro-batch once in a window and plays it
    /// for the others, which spares the host the launches.
    #[must_use]
    pub fn with_recording(mut self) -> Self {
        for rank in &mut self.ranks {
            rank.records = true;
        }
        self
    }

    /// The same ranks, reading the factors of their matrix products as `compute` says.
    /// Parameters, gradients and moments stay f32; so do activations, but on a GPU.
    #[must_use]
    pub fn with_compute(mut self, compute: Compute) -> Self {
        for rank in &mut self.ranks {
            rank.device = rank.device.clone().with_compute(compute);
        }
        self
    }

    /// The device that whole vectors live on: the host.
    pub fn device(&self) -> &Device {
        &self.host
    }

    /// Values in the whole model.
    pub fn params(&self) -> usize {
        self.params
    }

    /// Sets every rank's parameters from the whole model's. A GPU that fails says so in the next
    /// inner step.
    pub fn load_params(&mut self, whole: &Buffer<f32>) {
        for rank in &mut self.ranks {
            rank.take_params(host(whole));
        }
    }

    /// The whole model's parameters as trained, and a vector of the same length that is free until
    /// the next inner step.
    ///
    /// # Errors
    /// A GPU has failed.
    pub fn params_and_scratch(&mut self) -> Result<(&Buffer<f32>, &mut Buffer<f32>), ModelError> {
        let Self { ranks, whole, host, params, .. } = self;
        if ranks.len() == 1 && ranks[0].is_on_host() {
            let rank = &mut ranks[0];
            return Ok((&rank.params, &mut rank.grads));
        }
        let [whole, scratch] = whole.get_or_insert_with(|| [(); 2].map(|()| host.alloc(*params)));
        for rank in ranks {
            rank.put_params(host_mut(whole));
            rank.device.synchronise()?;
        }
        Ok((whole, scratch))
    }

    /// The gradient of the last inner step, of the sum of losses over targets, whole; anything once
    /// the scratch of [`Trainer::params_and_scratch`] has been used, or [`Trainer::compress`].
    ///
    /// # Errors
    /// A GPU has failed.
    pub fn gradients(&self) -> Result<Vec<f32>, ModelError> {
        let mut whole = vec![0.0; self.params];
        for rank in &self.ranks {
            rank.put_gradients(&mut whole);
            rank.device.synchronise()?;
        }
        Ok(whole)
    }

    /// The moments of the whole model. Those of a single rank on the host are its own: whoever
    /// reads them holds the lock, and the next update waits for it.
    ///
    /// # Errors
    /// A GPU has failed.
    pub fn moments(&self) -> Result<Arc<RwLock<Moments>>, ModelError> {
        if let [rank] = self.ranks.as_slice()
            && rank.is_on_host()
        {
            return Ok(Arc::clone(&rank.moments));
        }
        let [mut first, mut second] = [(); 2].map(|()| self.host.alloc(self.params));
        for rank in &self.ranks {
            rank.put_moments([host_mut(&mut first), host_mut(&mut second)]);
            rank.device.synchronise()?;
        }
        Ok(Arc::new(RwLock::new(Moments { first, second })))
    }

    /// Sets every rank's moments from the whole model's, which may be a single rank's own. A GPU
    /// that fails says so in the next inner step.
    pub fn load_moments(&mut self, whole: &Arc<RwLock<Moments>>) {
        for rank in self.ranks.iter_mut().filter(|rank| !Arc::ptr_eq(&rank.moments, whole)) {
            let whole = whole.read().unwrap_or_else(PoisonError::into_inner);
            rank.take_moments([&whole.first, &whole.second].map(host));
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
            rank.begin();
            for step in 0..steps {
                let number = first_step + u64::from(step);
                let stopped = rank.inner_step(source, inner, (step, number), stop, on_step)?;
                if stopped == Stop::Asked {
                    return Ok(Stop::Asked);
                }
            }
            rank.finish(on_step)?;
            rank.device.synchronise()?;
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
    buffer.as_host().expect("whole vectors are on the host")
}

fn host_mut(buffer: &mut Buffer<f32>) -> &mut [f32] {
    buffer.as_host_mut().expect("whole vectors are on the host")
}
