//! Sparse updates of many peers made into one, and one outer step with it (spec 3.5).
//!
//! Per tensor, each peer's values are scaled by `min(1, median / (norm + 1e-8))`; the mean over
//! peers is taken in the order given, in f32, nothing fused; then `shared -= alpha * mean`, both
//! operations rounded. The same peers in the same order give the same bits on every node.

use crate::{Device, View, ViewMut, cpu, cuda};

use super::{NonFinite, TileGrid};

/// One peer's update of one tensor: `k` values per chunk, in the host's memory, where it was
/// decoded.
#[derive(Clone, Copy, Debug)]
pub struct SparseView<'a> {
    /// What each code stands for; finite.
    pub codebook: [f32; 4],
    /// Indices within their chunk, `[chunks, k]`, each at most once per chunk.
    pub indices: View<'a, u16>,
    /// Codes, four to a byte, each chunk from a new byte, unused bits zero.
    pub codes: View<'a, u8>,
}

/// What the sum over peers is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// The peers that sent the coordinate, as the published run did.
    #[default]
    Contributors,
    /// All peers of the window, as the papers say.
    All,
}

/// L2 norm of one peer's values of one tensor, which lie in the host's memory:
/// `sqrt(sum over codes of count * codebook^2)`, summed in f64 in code order, then rounded.
/// `values` of the codes are used; the rest are zero.
pub fn norm(codebook: [f32; 4], codes: &[u8], values: usize) -> f32 {
    cpu::aggregate::norm(codebook, codes, values)
}

/// Turns the norms of all peers into the scales of their values: `min(1, median / (norm + 1e-8))`
/// in f32, the median being the lower one of all norms.
///
/// Not a number where norms and median overflow together; [`apply`] then refuses the tensor.
pub fn clip(norms: &mut [f32]) {
    cpu::aggregate::clip(norms);
}

/// Scale of each peer's values: [`norm`] of each, then [`clip`].
///
/// # Panics
/// `scales` is not as long as `peers`, or an update has another length than `grid` and `k` say.
pub fn clip_scales(
    device: &Device,
    grid: TileGrid,
    k: usize,
    peers: &[SparseView<'_>],
    scales: &mut [f32],
) {
    assert_eq!(scales.len(), peers.len(), "one scale per peer");
    check_lengths(grid, k, peers);
    match device {
        Device::Cpu(_) => device.install(|| cpu::aggregate::clip_scales(peers, scales)),
        // What codes count is known where they were decoded.
        Device::Gpu(_) => cpu::aggregate::clip_scales(peers, scales),
    }
}

/// `shared -= alpha * mean over peers of scale * codebook[code]`, `shared` being `[grid.len()]`.
/// No peers leave it as it is.
///
/// # Errors
/// `alpha * mean` is not finite somewhere: the tensor is left as it was.
///
/// # Panics
/// A length differs from what `grid` and `k` say, or there is not one scale per peer.
pub fn apply(
    device: &Device,
    grid: TileGrid,
    k: usize,
    peers: &[SparseView<'_>],
    scales: &[f32],
    rule: Aggregation,
    alpha: f32,
    shared: ViewMut<'_, f32>,
) -> Result<(), NonFinite> {
    assert_eq!(scales.len(), peers.len(), "one scale per peer");
    assert_eq!(shared.len(), grid.len(), "the tensor is as long as the grid");
    check_lengths(grid, k, peers);
    if peers.is_empty() {
        return Ok(());
    }
    match device {
        Device::Cpu(_) => {
            device.install(|| cpu::aggregate::apply(grid, k, peers, scales, rule, alpha, shared))
        }
        Device::Gpu(gpu) => {
            let shared = shared.on_gpu();
            cuda::aggregate::apply(gpu, grid, k, peers, scales, rule, alpha, shared)
        }
    }
}

fn check_lengths(grid: TileGrid, k: usize, peers: &[SparseView<'_>]) {
    for peer in peers {
        assert_eq!(peer.indices.len(), grid.chunks() * k, "k indices per chunk");
        assert_eq!(peer.codes.len(), grid.chunks() * k.div_ceil(4), "whole code bytes per chunk");
    }
}
