//! SparseLoCo's aggregation and outer step on a GPU: the bits of the CPU. Updates come from the
//! host, where they were decoded and their codes counted for the clip.

use kernels::aggregate::{SHARED_BYTES, aggregate, aggregate_check, aggregate_tiles};
use kernels::simt::Launch;
use kernels::tile::THREADS;

use super::chunks::{FirstBad, Sides, is_wide};
use super::{Gpu, Span, extent};
use crate::cpu::aggregate::is_surely_finite;
use crate::ops::aggregate::{Aggregation, SparseView};
use crate::ops::{NonFinite, TileGrid};

/// See [`crate::ops::aggregate::apply`]. Waits for the step only where it may not be finite.
pub(crate) fn apply(
    gpu: &Gpu,
    grid: TileGrid,
    k: usize,
    peers: &[SparseView<'_>],
    scales: &[f32],
    rule: Aggregation,
    alpha: f32,
    shared: Span<'_>,
) -> Result<(), NonFinite> {
    assert!(peers.len() <= usize::from(u16::MAX), "{} peers of one window", peers.len());
    let indices: Vec<&[u16]> = peers.iter().map(|peer| peer.indices.on_host()).collect();
    let codes: Vec<&[u8]> = peers.iter().map(|peer| peer.codes.on_host()).collect();
    let scaled = |(peer, scale): (&SparseView<'_>, &f32)| peer.codebook.map(|entry| entry * scale);
    let entries: Vec<[f32; 4]> = peers.iter().zip(scales).map(scaled).collect();
    let (indices, codes) = (gpu.hold(&indices.concat()), gpu.hold(&codes.concat()));
    let held_entries = gpu.hold(entries.as_flattened());
    let first_bad = FirstBad::new(gpu);
    let peers = extent(peers.len());
    let Sides { cols, tile_rows, tile_cols } = Sides::of(grid);
    let kernel = aggregate {
        shared: shared.plain(gpu),
        indices: indices.global(),
        codes: codes.global(),
        entries: held_entries.global(),
        first_bad: first_bad.global(),
        cols,
        tile_rows,
        tile_cols,
        k: extent(k),
        peers,
        divisor: if rule == Aggregation::All { peers } else { 0 },
        alpha,
    };
    let launch = Launch::new(extent(grid.chunks()), THREADS, SHARED_BYTES);
    let is_finite = is_surely_finite(entries.iter().copied(), alpha);
    if !is_finite {
        gpu.launch(launch, &check(kernel));
    }
    if is_wide(gpu, grid, &[shared]) {
        gpu.launch(launch, &whole_tiles(kernel));
    } else {
        gpu.launch(launch, &kernel);
    }
    if is_finite { Ok(()) } else { first_bad.outcome() }
}

fn check(kernel: aggregate) -> aggregate_check {
    let aggregate { indices, codes, entries, first_bad, .. } = kernel;
    let aggregate { cols, tile_rows, tile_cols, k, peers, divisor, alpha, .. } = kernel;
    aggregate_check {
        indices,
        codes,
        entries,
        first_bad,
        cols,
        tile_rows,
        tile_cols,
        k,
        peers,
        divisor,
        alpha,
    }
}

fn whole_tiles(kernel: aggregate) -> aggregate_tiles {
    let aggregate { shared, indices, codes, entries, first_bad, .. } = kernel;
    let aggregate { cols, k, peers, divisor, alpha, .. } = kernel;
    aggregate_tiles { shared, indices, codes, entries, first_bad, cols, k, peers, divisor, alpha }
}
