//! Wall-clock samples of repeated work: their median and their minimum.

use std::time::Instant;

/// Seconds of each sample, ascending; there is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Sorts what was measured.
    ///
    /// # Panics
    /// Nothing was measured.
    pub(crate) fn new(mut seconds: Vec<f64>) -> Self {
        assert!(!seconds.is_empty(), "a median needs a sample");
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }

    /// Times `samples` calls after one that warms up. `work` is told the number of the call, so
    /// that it can turn to other memory each time.
    pub(crate) fn of(samples: usize, mut work: impl FnMut(usize)) -> Self {
        work(0);
        let sample = |call| {
            let started = Instant::now();
            work(call);
            started.elapsed().as_secs_f64()
        };
        Self::new((1..=samples.max(1)).map(sample).collect())
    }

    /// Median in milliseconds; of an even number the upper one.
    pub(crate) fn median_ms(&self) -> f64 {
        self.0[self.0.len() / 2] * 1e3
    }

    /// The fastest, in milliseconds.
    pub(crate) fn min_ms(&self) -> f64 {
        self.0[0] * 1e3
    }

    /// How many.
    pub(crate) fn samples(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_minimum_do_not_depend_on_the_order() {
        let times = Times::new(vec![0.003, 0.001, 0.009]);
        assert_eq!((times.median_ms(), times.min_ms(), times.samples()), (3.0, 1.0, 3));
    }
}
