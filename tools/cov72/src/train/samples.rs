//! The samples of one window, as micro-batches: what is trained on in each inner step, in order.
//!
//! A loader reads them ahead. It hands each out once per rank; whoever asks for one again gets it
//! from the mapping, which holds the same.

use model::BatchSource;
use runtime::dataset::loader::Loader;
use runtime::dataset::{Assignment, BatchRules, Dataset, IGNORE, SAMPLE_TOKENS};

/// What one inner step trains on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lesson {
    /// Samples of the step's batch.
    pub(crate) samples: Vec<u64>,
    /// Whether the targets are wrong on purpose.
    pub(crate) is_spoiled: bool,
}

impl Lesson {
    /// The steps of an assignment, of `batch` samples each.
    pub(crate) fn all_of(assignment: &Assignment, batch: usize) -> Vec<Self> {
        let batches = assignment.samples().chunks_exact(batch);
        batches.map(|samples| Self { samples: samples.to_vec(), is_spoiled: false }).collect()
    }
}

/// All samples that are trained on, in order. A step's batch is whole micro-batches.
pub(super) fn order(lessons: &[Lesson], batch: usize, micro_batch: usize) -> Vec<u64> {
    let used = batch / micro_batch * micro_batch;
    lessons.iter().flat_map(|lesson| &lesson.samples[..used]).copied().collect()
}

/// The samples that one peer trains on in one window.
pub(super) struct WindowSamples<'a> {
    pub(super) dataset: &'a Dataset,
    /// Reads the samples of [`order`].
    pub(super) loader: &'a Loader,
    pub(super) lessons: &'a [Lesson],
    pub(super) rules: BatchRules,
    pub(super) batch_samples: usize,
    pub(super) micro_batch_samples: usize,
}

impl WindowSamples<'_> {
    fn samples(&self, step: u32, micro: usize) -> &[u64] {
        let first = micro * self.micro_batch_samples;
        &self.lessons[step as usize].samples[first..first + self.micro_batch_samples]
    }
}

impl BatchSource for WindowSamples<'_> {
    fn micro_batches(&self) -> usize {
        self.batch_samples / self.micro_batch_samples
    }

    fn fill(
        &self,
        step: u32,
        micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        let lesson = &self.lessons[step as usize];
        let samples = self.samples(step, micro);
        let position = (step as usize * self.micro_batches() + micro) * self.micro_batch_samples;
        let read = tokens.chunks_exact_mut(SAMPLE_TOKENS).zip(position..);
        let mut is_read = true;
        for (tokens, position) in read {
            is_read &= self.loader.take(position, tokens).map_err(|error| error.to_string())?;
        }
        let filled = if is_read {
            self.dataset.fill_targets(samples, self.rules, tokens, targets)
        } else {
            self.dataset.fill_batch(samples, self.rules, tokens, targets)
        };
        filled.map_err(|error| error.to_string())?;
        if lesson.is_spoiled {
            targets.iter_mut().filter(|target| **target != IGNORE).for_each(|target| {
                *target = (*target + self.rules.vocab / 2) % self.rules.vocab;
            });
        }
        Ok(())
    }

    fn fill_first_keys(
        &self,
        step: u32,
        micro: usize,
        first_keys: &mut [u32],
    ) -> Result<(), String> {
        let samples = self.samples(step, micro);
        let filled = self.dataset.fill_first_keys(samples, self.rules.seq_len, first_keys);
        filled.map_err(|error| error.to_string())
    }
}
