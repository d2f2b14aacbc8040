//! Ranks that share one GPU: for tests of tensor parallelism where there is one GPU or none. Values
//! meet in its memory, folded in rank order by one kernel.
//!
//! A rank says where its values are and waits for all; the first rank starts the kernel, or each
//! copies what it needs, and all wait again. Work on a GPU is done in the order in which it is
//! asked for, so nobody waits for the device.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::Collective;
use super::gate::Gate;
use crate::cuda::ranks::{self, Fold, Place};
use crate::{Device, Gpu, View, ViewMut};

/// `n` ranks on `gpu`, one to move into each thread.
///
/// # Panics
/// `n` is zero or more than a kernel folds, or the device is the CPU.
pub fn group(gpu: &Device, n: usize) -> Vec<GpuRank> {
    let Device::Gpu(gpu) = gpu else { panic!("ranks of a GPU on the CPU") };
    assert!((1..=ranks::MAX).contains(&n), "{n} ranks on one GPU: 1 to {} fit", ranks::MAX);
    let shared =
        Arc::new(Shared { places: (0..n).map(|_| Mutex::default()).collect(), gate: Gate::new(n) });
    (0..n).map(|rank| GpuRank { rank, gpu: gpu.clone(), shared: Arc::clone(&shared) }).collect()
}

/// One rank of a group on one GPU.
#[derive(Debug)]
pub struct GpuRank {
    rank: usize,
    gpu: Gpu,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Where each rank's values are; they stay there until the gate opens again.
    places: Vec<Mutex<Option<Place>>>,
    gate: Gate,
}

impl GpuRank {
    /// Shows all ranks' places to each other, runs `work` on them, and waits until all have.
    fn meet(&self, mine: Place, work: impl FnOnce(&[Place])) {
        let place = |rank: usize| self.shared.places[rank].lock();
        *place(self.rank).unwrap_or_else(PoisonError::into_inner) = Some(mine);
        self.barrier();
        let all: Vec<Place> = (0..self.world())
            .map(|rank| place(rank).unwrap_or_else(PoisonError::into_inner).expect("all are here"))
            .collect();
        work(&all);
        self.barrier();
    }

    fn fold(&self, x: ViewMut<'_, f32>, fold: Fold) {
        self.meet(Place::of(&self.gpu, x.on_gpu()), |all| {
            if self.rank == 0 {
                ranks::fold(&self.gpu, all, fold);
            }
        });
    }
}

/// Row `rank` of rows of `len` values.
fn row(rank: usize, len: usize) -> Range<usize> {
    rank * len..(rank + 1) * len
}

impl Collective for GpuRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.shared.places.len()
    }

    fn all_reduce_sum(&self, x: ViewMut<'_, f32>) {
        self.fold(x, Fold::Sum);
    }

    fn all_reduce_max(&self, x: ViewMut<'_, f32>) {
        self.fold(x, Fold::Max);
    }

    fn all_gather(&self, mine: View<'_, f32>, all: ViewMut<'_, f32>) {
        assert!(all.len() == self.world() * mine.len(), "all_gather: {} values", all.len());
        let (mine, all) = (mine.on_gpu(), all.on_gpu());
        self.meet(Place::of(&self.gpu, mine), |places| {
            for (rank, from) in places.iter().enumerate() {
                ranks::copy(&self.gpu, *from, all.slice(row(rank, mine.len())));
            }
        });
    }

    fn reduce_scatter_sum(&self, all: View<'_, f32>, mine: ViewMut<'_, f32>) {
        assert!(all.len() == self.world() * mine.len(), "reduce_scatter: {} values", all.len());
        let (all, mine) = (all.on_gpu(), mine.on_gpu());
        self.meet(Place::of(&self.gpu, all), |places| {
            ranks::sum_of_rows(&self.gpu, places, row(self.rank, mine.len()), mine);
        });
    }

    fn broadcast(&self, x: ViewMut<'_, f32>, root: usize) {
        let x = x.on_gpu();
        self.meet(Place::of(&self.gpu, x), |places| {
            if root != self.rank {
                ranks::copy(&self.gpu, places[root], x);
            }
        });
    }

    fn barrier(&self) {
        self.shared.gate.pass();
    }
}

impl Drop for GpuRank {
    fn drop(&mut self) {
        self.shared.gate.close();
    }
}
