//! The samples of one window, as micro-batches: which ones (uid, window) assigns, in order.

use model::BatchSource;
use runtime::dataset::{Assignment, BatchRules, Dataset, DatasetError, fill_batch};
use wire::protocol::SAMPLE_TOKENS;

/// The samples that one peer trains on in one window.
pub(super) struct WindowSamples<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) assignment: &'a Assignment,
    pub(super) rules: BatchRules,
    pub(super) batch_samples: usize,
    pub(super) micro_batch_samples: usize,
}

/// Ids of all assigned samples.
pub(super) fn ids(dataset: &Dataset, assignment: &Assignment) -> Result<Vec<u64>, DatasetError> {
    let id = |&sample: &u64| {
        let (shard, within) = dataset.locate(sample)?;
        shard.id(within)
    };
    assignment.samples().iter().map(id).collect()
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
        let rows = std::iter::zip(
            tokens.chunks_exact_mut(SAMPLE_TOKENS),
            targets.chunks_exact_mut(SAMPLE_TOKENS),
        );
        for (&sample, (tokens, targets)) in samples[first..].iter().zip(rows) {
            let (shard, within) = self.dataset.locate(sample).map_err(|error| error.to_string())?;
            fill_batch(shard, &[within], self.rules, tokens, targets)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
