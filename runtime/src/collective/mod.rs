//! Collectives: what the ranks of one model, each holding a partition, exchange.
//!
//! Every rank calls the same operations in the same order with the same lengths. Sums run in rank
//! order, so every rank ends with the same bits. `threads` runs ranks in one process on the CPU,
//! `one_gpu` on one GPU.

mod gate;
pub mod one_gpu;
pub mod threads;

use crate::{View, ViewMut};

/// A member of a group of ranks.
///
/// # Panics
/// Every operation panics when another rank of the group is gone: waiting would never end.
pub trait Collective: Send + Sync {
    /// This member's number, `0..world`.
    fn rank(&self) -> usize;

    /// Members of the group.
    fn world(&self) -> usize;

    /// `x` becomes the sum of all ranks' `x`.
    fn all_reduce_sum(&self, x: ViewMut<'_, f32>);

    /// `x` becomes the largest of all ranks' `x`, value by value.
    fn all_reduce_max(&self, x: ViewMut<'_, f32>);

    /// `all[world, n]` becomes every rank's `mine[n]`, in rank order.
    fn all_gather(&self, mine: View<'_, f32>, all: ViewMut<'_, f32>);

    /// `mine[n]` becomes this rank's row of the sum of all ranks' `all[world, n]`.
    fn reduce_scatter_sum(&self, all: View<'_, f32>, mine: ViewMut<'_, f32>);

    /// `x` becomes rank `root`'s `x`.
    fn broadcast(&self, x: ViewMut<'_, f32>, root: usize);

    /// Returns when every rank has called it.
    fn barrier(&self);
}

/// A group of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

impl Collective for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn all_reduce_sum(&self, _: ViewMut<'_, f32>) {}

    fn all_reduce_max(&self, _: ViewMut<'_, f32>) {}

    fn all_gather(&self, mine: View<'_, f32>, all: ViewMut<'_, f32>) {
        all.on_host().copy_from_slice(mine.on_host());
    }

    fn reduce_scatter_sum(&self, all: View<'_, f32>, mine: ViewMut<'_, f32>) {
        mine.on_host().copy_from_slice(all.on_host());
    }

    fn broadcast(&self, _: ViewMut<'_, f32>, root: usize) {
        assert!(root == 0, "broadcast from rank {root} of a group of one");
    }

    fn barrier(&self) {}
}
