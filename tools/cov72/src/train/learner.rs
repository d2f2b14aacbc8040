//! What a miner computes in a window: H inner steps from the shared parameters, and what of their
//! effect is worth sending.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once, RwLock};

use model::sparseloco::Compressor;
use model::{MicroBatch, Mirror, Moments, OnStep, Stop, Trainer};
use runtime::dataset::loader::{Loader, LoaderOptions, Reading};
use runtime::dataset::{Assignment, BatchRules, Dataset};
use runtime::{Buffer, Compute, Device};
use wire::{Layout, RunDescription, SampleDigest, SparseTensor, Uid, Window};

use super::objective;
use super::samples::{Lesson, WindowSamples, order};
use crate::failure::Failure;
use crate::node::{read, write};

/// Samples that every peer trains on in one window.
pub(crate) fn assignment(
    run: &RunDescription,
    dataset: &Dataset,
    uid: Uid,
    window: Window,
) -> Result<Assignment, Failure> {
    let pool = run.inner.steps * run.inner.batch_samples;
    Ok(Assignment::new(u64::from(uid.0), window.0, dataset.samples(), pool)?)
}

/// A trainer, a compressor, and the data they work on.
pub(crate) struct Learner {
    run: RunDescription,
    dataset: Dataset,
    rules: BatchRules,
    micro_batch_samples: usize,
    tp: usize,
    reading: Reading,
    trainer: Trainer,
    compressor: Compressor,
}

/// How this node shares the work out.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    /// The GPU that trains, if one does.
    pub(crate) gpu: Option<Device>,
    pub(crate) tp: usize,
    pub(crate) threads: usize,
    pub(crate) compute: Compute,
    pub(crate) micro_batch_samples: usize,
    pub(crate) recompute_layers: usize,
    /// Whether a GPU records micro-batches.
    pub(crate) record: bool,
    /// How shards are read.
    pub(crate) reading: Reading,
}

impl Learner {
    /// A learner of `run` on `dataset`.
    pub(crate) fn new(
        run: &RunDescription,
        layout: &Layout,
        dataset: Dataset,
        hands: Hands,
    ) -> Result<Self, Failure> {
        let seq_len = run.model.seq_len;
        let sequences = hands.micro_batch_samples * wire::protocol::SAMPLE_TOKENS / seq_len;
        let micro = MicroBatch {
            sequences,
            recomputed_layers: hands.recompute_layers,
            document_masks: run.documents.masks,
        };
        let (tp, threads) = (hands.tp, hands.threads);
        let trainer = match hands.gpu {
            None => Trainer::new(&run.model, tp, threads, micro)?.with_compute(hands.compute),
            Some(gpu) => Trainer::on_gpu(&run.model, gpu, tp, threads, micro)?,
        };
        let trainer = if hands.record { trainer.with_recording() } else { trainer };
        let outer = &run.outer;
        let (k, beta, quantiser) = (outer.k, outer.beta as f32, outer.quantiser);
        let device = trainer.compressing_device();
        Ok(Self {
            rules: objective::rules(run, &dataset),
            micro_batch_samples: hands.micro_batch_samples,
            tp,
            reading: hands.reading,
            compressor: Compressor::new(device, layout, k, beta, quantiser),
            run: run.clone(),
            dataset,
            trainer,
        })
    }

    /// Where whole vectors are: the host.
    pub(crate) fn device(&self) -> &Device {
        self.trainer.device()
    }

    /// The copy of the shared parameters on the GPU that trains, if one does.
    pub(crate) fn mirror(&self) -> Option<Arc<Mirror>> {
        self.trainer.mirror()
    }

    /// What it trains on.
    pub(crate) fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Samples that `uid` trains on in `window`.
    pub(crate) fn assignment(&self, uid: Uid, window: Window) -> Result<Assignment, Failure> {
        assignment(&self.run, &self.dataset, uid, window)
    }

    /// The digest that a contribution trained on these samples carries.
    pub(crate) fn digest(&self, samples: &[u64]) -> Result<SampleDigest, Failure> {
        Ok(SampleDigest(self.dataset.digest(samples)?))
    }

    /// The inner steps of an honest peer with this assignment.
    pub(crate) fn lessons(&self, assignment: &Assignment) -> Vec<Lesson> {
        Lesson::all_of(assignment, self.run.inner.batch_samples as usize)
    }

    /// An inner step from `shared` for each lesson, the first of which is number `first_step` of
    /// the run.
    pub(crate) fn train(
        &mut self,
        shared: &RwLock<Buffer<f32>>,
        lessons: &[Lesson],
        first_step: u64,
        stop: &AtomicBool,
        on_step: OnStep<'_>,
    ) -> Result<Stop, Failure> {
        let (batch, micro_batch) =
            (self.run.inner.batch_samples as usize, self.micro_batch_samples);
        let source = WindowSamples {
            dataset: &self.dataset,
            loader: &self.loader(&order(lessons, batch, micro_batch))?,
            lessons,
            rules: self.rules,
            batch_samples: batch,
            micro_batch_samples: micro_batch,
        };
        self.trainer.start_from(&read(shared));
        let (inner, steps) = (&self.run.inner, lessons.len() as u32);
        Ok(self.trainer.run(&source, inner, first_step, steps, stop, on_step)?)
    }

    /// A loader of samples in the order they are trained on.
    fn loader(&self, order: &[u64]) -> Result<Loader, Failure> {
        static SAID: Once = Once::new();
        let loader = Loader::start(
            &self.dataset,
            order,
            LoaderOptions {
                // Ranks are up to a micro-batch apart.
                ahead_min: 2 * self.micro_batch_samples,
                takers: self.tp,
                reading: self.reading,
                ..LoaderOptions::default()
            },
        )?;
        if let Some(why) = loader.fallback() {
            SAID.call_once(|| eprintln!("reading shards with pread: {why}"));
        }
        Ok(loader)
    }

    /// What to send of the window's training. The residual stays as it is until
    /// [`Learner::settle`].
    pub(crate) fn compress(
        &mut self,
        shared: &RwLock<Buffer<f32>>,
        residual: &RwLock<Buffer<f32>>,
    ) -> Result<&[SparseTensor], Failure> {
        Ok(self.trainer.compress(&mut self.compressor, &read(shared), &read(residual))?)
    }

    /// Commits the residual of the last [`Learner::compress`]. What was sent and did not count
    /// stays in it.
    pub(crate) fn settle(
        &mut self,
        residual: &RwLock<Buffer<f32>>,
        counted: bool,
    ) -> Result<(), Failure> {
        Ok(self.trainer.settle(&self.compressor, &mut write(residual), counted)?)
    }

    /// AdamW's moments.
    pub(crate) fn moments(&self) -> Result<Arc<RwLock<Moments>>, Failure> {
        Ok(self.trainer.moments()?)
    }

    /// Sets AdamW's moments.
    pub(crate) fn load_moments(&mut self, moments: &Arc<RwLock<Moments>>) {
        self.trainer.load_moments(moments);
    }
}
