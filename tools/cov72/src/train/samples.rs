//! The samples of one window, as micro-batches: which ones (uid, window) assigns, in order.

use model::BatchSource;
use runtime::dataset::{Assignment, BatchRules, Dataset};

/// The samples that one peer trains on in one window.
pub(super) struct WindowSamples<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) assignment: &'a Assignment,
    pub(super) rules: BatchRules,
    pub(super) batch_samples: usize,
    pub(super) micro_batch_samples: usize,
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
        let samples = self.assignment.step(step as usize, self.batch_samples).unwrap_or_default();
        let first = micro * self.micro_batch_samples;
        let samples = &samples[first..first + self.micro_batch_samples];
        self.dataset
            .fill_batch(samples, self.rules, tokens, targets)
            .map_err(|error| error.to_string())
    }
}
