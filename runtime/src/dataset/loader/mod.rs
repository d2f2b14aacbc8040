//! Samples that are in memory before they are asked for.
//!
//! One thread reads the samples of a window in their order, a few ahead of whoever asks: as many as
//! hide the time of a read, and never more than a bound, so that a slow consumer holds the reader
//! back. It reads through `io_uring` with registered buffers, through `pread` where the kernel
//! forbids that, or from the mapping where a shard is hot. Whatever the way, the samples are those
//! of the mapping: each is checked against its id, and a shard that changed, was cut off or is gone
//! since it was opened is an error that names it.

mod ahead;
mod fetch;
mod pace;
#[cfg(target_os = "linux")]
mod ring;
mod sealed;

use std::sync::Arc;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::{Dataset, DatasetError, SAMPLE_TOKENS};
use ahead::Ahead;
use fetch::Fetcher;

/// How shards are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// `io_uring`, or `pread` where it is forbidden.
    #[default]
    Ring,
    /// `pread`.
    Pread,
    /// Copies from a mapping, for local shards that nobody may write to, or `pread` where somebody
    /// may: a file that is cut off while it is read there ends the process.
    Mapped,
}

/// How a loader works.
#[derive(Clone, Copy, Debug)]
pub struct LoaderOptions {
    /// The way to read.
    pub reading: Reading,
    /// Fewest samples to be ahead: more than takers are apart, or they wait for each other.
    pub ahead_min: usize,
    /// Most samples held ahead, 8 KiB each; never fewer than `ahead_min`, and at least one.
    pub ahead_max: usize,
    /// How often each sample is taken, by as many threads, before it is let go; at least once.
    pub takers: usize,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self { reading: Reading::Ring, ahead_min: 2, ahead_max: 512, takers: 1 }
    }
}

/// What a loader did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoaderReport {
    /// Samples that were taken, by all takers.
    pub taken: u64,
    /// Of those, samples that were not there yet when asked for.
    pub waited: u64,
    /// Samples the loader now tries to be ahead.
    pub ahead: usize,
}

/// A reader running ahead of training.
#[derive(Debug)]
pub struct Loader {
    ahead: Arc<Ahead>,
    thread: Option<JoinHandle<()>>,
    reading: Reading,
    fallback: Option<String>,
}

impl Loader {
    /// Starts reading `samples`, counted over all shards of `dataset`, in their order.
    ///
    /// # Errors
    /// There is no such sample, or a shard's file is not the one that is mapped.
    pub fn start(
        dataset: &Dataset,
        samples: &[u64],
        options: LoaderOptions,
    ) -> Result<Self, DatasetError> {
        let (fetcher, fallback) = Fetcher::open(dataset, samples, options.reading)?;
        let reading = fetcher.reading();
        let ahead = Arc::new(Ahead::new(samples.len(), options));
        let shared = ahead.clone();
        let thread = std::thread::Builder::new()
            .name("loader".to_string())
            .spawn(move || run(fetcher, &shared))
            .map_err(|e| DatasetError::io("start a thread to read", dataset.dir(), e))?;
        Ok(Self { ahead, thread: Some(thread), reading, fallback })
    }

    /// Copies the sample at `position` of the order into `into`, `[2048]`, waiting for it if need
    /// be. False where it was taken by all takers before: it is not kept.
    ///
    /// # Errors
    /// A shard changed, was cut off or is gone. The same error comes to every taker.
    ///
    /// # Panics
    /// There is no such position, or `into` is not one sample long.
    pub fn take(&self, position: usize, into: &mut [u32]) -> Result<bool, Arc<DatasetError>> {
        assert_eq!(into.len(), SAMPLE_TOKENS, "a buffer holds one sample");
        self.ahead.take(position, into)
    }

    /// How it reads.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Why it does not read as it was told to, where it does not.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// What it did so far.
    pub fn report(&self) -> LoaderReport {
        self.ahead.report()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.ahead.stop();
        if let Some(thread) = self.thread.take() {
            // A reader that panicked has said so itself, and its takers got an error.
            let _ = thread.join();
        }
    }
}

fn run(mut fetcher: Fetcher, ahead: &Ahead) {
    let end = ahead::Ending(ahead);
    while let Some(positions) = ahead.wanted(fetch::ROUND_SAMPLES) {
        let start = std::time::Instant::now();
        let fetched = fetcher.fetch(positions, |position, tokens| ahead.put(position, tokens));
        ahead.fetched(start.elapsed());
        if let Err(error) = fetched {
            ahead.fail(error);
            break;
        }
    }
    drop(end);
}

#[cfg(test)]
mod tests;
