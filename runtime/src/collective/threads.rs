//! Ranks as threads of one process, for tensor parallelism on the CPU and for tests.
//!
//! A rank puts its values in its own staging buffer, waits for all, reads the others' and waits
//! again. Buffers only grow. A rank that is dropped, by a panic or an early return, breaks the
//! group: the others panic at their next exchange instead of waiting for ever.

use std::sync::{Arc, PoisonError, RwLock};

use super::Collective;
use super::gate::Gate;
use crate::{View, ViewMut};

/// `n` ranks, one to move into each thread. A rank waits inside its calls, so ranks must not share
/// the worker threads of one device.
///
/// # Panics
/// `n` is zero.
pub fn group(n: usize) -> Vec<ThreadRank> {
    assert!(n > 0, "a group needs a rank");
    let shared = Arc::new(Shared {
        staging: (0..n).map(|_| RwLock::default()).collect(),
        gate: Gate::new(n),
    });
    (0..n).map(|rank| ThreadRank { rank, shared: Arc::clone(&shared) }).collect()
}

/// One rank of a group in this process.
#[derive(Debug)]
pub struct ThreadRank {
    rank: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    staging: Vec<RwLock<Vec<f32>>>,
    gate: Gate,
}

impl ThreadRank {
    /// Stages `values` and returns every rank's staged values once all are there. The caller reads
    /// them and then calls `barrier`, after which they may change.
    fn stage(&self, values: &[f32]) -> &[RwLock<Vec<f32>>] {
        {
            let mine = &self.shared.staging[self.rank];
            let mut mine = mine.write().unwrap_or_else(PoisonError::into_inner);
            mine.clear();
            mine.extend_from_slice(values);
        }
        self.barrier();
        &self.shared.staging
    }
}

/// Folds every rank's values `first..first + out.len()` into `out`, in rank order.
fn fold(
    staging: &[RwLock<Vec<f32>>],
    first: usize,
    out: &mut [f32],
    combine: impl Fn(f32, f32) -> f32,
) {
    for (rank, values) in staging.iter().enumerate() {
        let values = values.read().unwrap_or_else(PoisonError::into_inner);
        let values = values.get(first..first + out.len());
        let values = values.expect("all ranks of a collective bring equally many values");
        for (out, value) in out.iter_mut().zip(values) {
            *out = if rank == 0 { *value } else { combine(*out, *value) };
        }
    }
}

impl Collective for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.shared.staging.len()
    }

    fn all_reduce_sum(&self, x: ViewMut<'_, f32>) {
        let x = x.on_host();
        fold(self.stage(x), 0, x, |a, b| a + b);
        self.barrier();
    }

    fn all_reduce_max(&self, x: ViewMut<'_, f32>) {
        let x = x.on_host();
        fold(self.stage(x), 0, x, f32::max);
        self.barrier();
    }

    fn all_gather(&self, mine: View<'_, f32>, all: ViewMut<'_, f32>) {
        let (mine, all) = (mine.on_host(), all.on_host());
        assert!(all.len() == self.world() * mine.len(), "all_gather: {} values", all.len());
        let staging = self.stage(mine);
        for (staged, to) in staging.iter().zip(all.chunks_exact_mut(mine.len().max(1))) {
            fold(std::slice::from_ref(staged), 0, to, |a, _| a);
        }
        self.barrier();
    }

    fn reduce_scatter_sum(&self, all: View<'_, f32>, mine: ViewMut<'_, f32>) {
        let (all, mine) = (all.on_host(), mine.on_host());
        assert!(all.len() == self.world() * mine.len(), "reduce_scatter: {} values", all.len());
        fold(self.stage(all), self.rank * mine.len(), mine, |a, b| a + b);
        self.barrier();
    }

    fn broadcast(&self, x: ViewMut<'_, f32>, root: usize) {
        let x = x.on_host();
        let staging = self.stage(if root == self.rank { x } else { &[] });
        fold(std::slice::from_ref(&staging[root]), 0, x, |a, _| a);
        self.barrier();
    }

    fn barrier(&self) {
        self.shared.gate.pass();
    }
}

impl Drop for ThreadRank {
    fn drop(&mut self) {
        self.shared.gate.close();
    }
}
