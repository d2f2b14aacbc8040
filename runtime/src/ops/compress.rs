//! Error feedback, exact top-k of each chunk, and what is left once the kept values are sent.
//!
//! `m = beta * residual + (shared - local)` in f32, each operation rounded (spec 3.1); of each
//! chunk the `k` largest `|m|`, equals going to the lower index. The caller quantises the kept
//! values and then takes from `m` what it sent. The result is the same on every device and with any
//! number of threads.

use crate::{Device, View, ViewMut, cpu, cuda};

use super::{NonFinite, TileGrid};

/// The three tensors, `grid.len()` values each, that a pseudo-gradient with its feedback is made
/// of.
#[derive(Clone, Copy, Debug)]
pub struct Feedback<'a> {
    /// What all nodes hold.
    pub shared: View<'a, f32>,
    /// What the inner steps made of it.
    pub local: View<'a, f32>,
    /// What earlier windows left unsent.
    pub residual: View<'a, f32>,
    /// How much of the residual counts.
    pub beta: f32,
}

/// Writes `m` and the `k` values kept of each chunk.
///
/// `m_out` is `[grid.len()]`; `indices` (ascending, within the chunk) and `values` are `[chunks,
/// k]` in the host's memory, on a GPU too: what is kept is fitted and sent there.
///
/// # Errors
/// `m` is infinite or not a number somewhere; the indices and values are then of no use.
///
/// # Panics
/// A length differs from these, or `k` is 0 or more than a chunk holds.
pub fn select_top_k(
    device: &Device,
    grid: TileGrid,
    k: usize,
    feedback: Feedback<'_>,
    m_out: ViewMut<'_, f32>,
    indices: ViewMut<'_, u16>,
    values: ViewMut<'_, f32>,
) -> Result<(), NonFinite> {
    let Feedback { shared, local, residual, beta } = feedback;
    assert!((1..=grid.chunk_len()).contains(&k), "k is between 1 and the chunk's length");
    for len in [shared.len(), local.len(), residual.len(), m_out.len()] {
        assert_eq!(len, grid.len(), "every tensor is as long as the grid");
    }
    for len in [indices.len(), values.len()] {
        assert_eq!(len, grid.chunks() * k, "k indices and values per chunk");
    }
    match device {
        Device::Cpu(_) => {
            device.install(|| cpu::compress::select(grid, k, feedback, m_out, indices, values))
        }
        Device::Gpu(gpu) => {
            let [shared, local, residual] = [shared, local, residual].map(View::on_gpu);
            let inputs = cuda::compress::Inputs { shared, local, residual };
            let (indices, values) = (indices.on_host(), values.on_host());
            cuda::compress::select(gpu, grid, k, &inputs, beta, m_out.on_gpu(), indices, values)
        }
    }
}

/// Takes what was sent from `m`: `m[index] -= codebook[code]` for each kept value.
///
/// `m` is `[grid.len()]`, `indices` `[chunks, k]`, `codes` four to a byte, each chunk from a new
/// byte; both in the host's memory.
///
/// # Panics
/// A length differs from these, or an index is beyond its chunk.
pub fn subtract_sent(
    device: &Device,
    grid: TileGrid,
    k: usize,
    codebook: [f32; 4],
    indices: View<'_, u16>,
    codes: View<'_, u8>,
    m: ViewMut<'_, f32>,
) {
    assert_eq!(m.len(), grid.len(), "m is as long as the grid");
    assert_eq!(indices.len(), grid.chunks() * k, "k indices per chunk");
    assert_eq!(codes.len(), grid.chunks() * k.div_ceil(4), "whole bytes of codes per chunk");
    let (indices, codes) = (indices.on_host(), codes.on_host());
    match device {
        Device::Cpu(_) => {
            device.install(|| cpu::compress::subtract(grid, k, codebook, indices, codes, m))
        }
        Device::Gpu(gpu) => {
            cuda::compress::subtract_sent(gpu, grid, k, codebook, indices, codes, m.on_gpu());
        }
    }
}

/// Sets all of a residual to zero.
pub fn clear(device: &Device, residual: ViewMut<'_, f32>) {
    match device {
        Device::Cpu(_) => device.install(|| cpu::compress::clear(residual)),
        Device::Gpu(gpu) => cuda::elementwise::fill(gpu, residual.on_gpu(), 0.0),
    }
}
