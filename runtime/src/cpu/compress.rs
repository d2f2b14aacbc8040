//! Exact top-k by a guessed threshold: mark what reaches it, then rank only the marked.
//!
//! `|m|` orders like the bits of `m` without its sign (the key). A chunk's guess comes from the
//! chunk before it and only decides how much work there is, never what is kept. Each input is read
//! from memory once, in runs long enough to be foreseen.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::ViewMut;
use crate::ops::compress::Feedback;
use crate::ops::{CHUNK_LEN_MAX, NonFinite, TileGrid};

use super::prefetch::prefetch;
use super::stream;
use super::top_k::{Marker, TopK};

/// See [`crate::ops::compress::select_top_k`].
pub(crate) fn select(
    grid: TileGrid,
    k: usize,
    feedback: Feedback<'_>,
    m_out: ViewMut<'_, f32>,
    indices: ViewMut<'_, u16>,
    values: ViewMut<'_, f32>,
) -> Result<(), NonFinite> {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = pulp::x86::V4::try_new() {
        return select_with(avx512, grid, k, feedback, m_out, indices, values);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        return select_with(avx2, grid, k, feedback, m_out, indices, values);
    }
    select_with(super::top_k::Portable, grid, k, feedback, m_out, indices, values)
}

fn select_with<M: Marker>(
    marker: M,
    grid: TileGrid,
    k: usize,
    feedback: Feedback<'_>,
    m_out: ViewMut<'_, f32>,
    indices: ViewMut<'_, u16>,
    values: ViewMut<'_, f32>,
) -> Result<(), NonFinite> {
    let (band_len, band_values) = (grid.band_len(), grid.band_chunks() * k);
    let shared = feedback.shared.on_host().par_chunks(band_len);
    let local = feedback.local.on_host().par_chunks(band_len);
    let residual = feedback.residual.on_host().par_chunks(band_len);
    let m_out = m_out.on_host();
    let streamed = m_out.len() >= stream::STREAMED_MIN;
    let finite = m_out
        .par_chunks_mut(band_len)
        .zip(indices.on_host().par_chunks_mut(band_values))
        .zip(values.on_host().par_chunks_mut(band_values))
        .zip(shared.zip(local).zip(residual))
        .map(|(((m_out, indices), values), ((shared, local), residual))| {
            let beta = feedback.beta;
            let band =
                Band { grid, k, beta, streamed, shared, local, residual, m_out, indices, values };
            SCRATCH.with_borrow_mut(|scratch| marker.run(|| band.select(marker, scratch)))
        })
        .reduce(|| true, |left, right| left && right);
    match finite {
        true => Ok(()),
        false => {
            let offset = m_out.iter().position(|m| !m.is_finite());
            Err(NonFinite { offset: offset.expect("a band met a value that is not finite") })
        }
    }
}

/// One row of tiles.
struct Band<'a> {
    grid: TileGrid,
    k: usize,
    beta: f32,
    /// Whether `m_out` is written around the caches.
    streamed: bool,
    shared: &'a [f32],
    local: &'a [f32],
    residual: &'a [f32],
    m_out: &'a mut [f32],
    indices: &'a mut [u16],
    values: &'a mut [f32],
}

/// Tiles computed together: enough that each row of them is a run of memory that the hardware sees
/// coming, few enough that their values stay in the second-level cache.
const GROUP: usize = 8;

/// Working memory of one thread, kept between bands.
#[derive(Clone, Copy, bytemuck::Zeroable)]
struct Scratch {
    m: [[f32; CHUNK_LEN_MAX]; GROUP],
    top_k: TopK,
}

thread_local! {
    static SCRATCH: RefCell<Box<Scratch>> = RefCell::new(bytemuck::zeroed_box());
}

impl Band<'_> {
    /// Whether all `m` are finite.
    #[inline(always)]
    fn select<M: Marker>(mut self, marker: M, scratch: &mut Scratch) -> bool {
        let chunk_len = self.grid.chunk_len();
        scratch.top_k.start(chunk_len, self.k);
        let mut finite = true;
        let chunks = self.grid.band_chunks();
        for first in (0..chunks).step_by(GROUP) {
            let group = &mut scratch.m[..GROUP.min(chunks - first)];
            self.update(first, group);
            for (chunk, m) in (first..).zip(group) {
                // What a longer chunk left behind must not count.
                m[chunk_len..chunk_len.next_multiple_of(64)].fill(0.0);
                let kept = chunk * self.k..(chunk + 1) * self.k;
                let (indices, values) = (&mut self.indices[kept.clone()], &mut self.values[kept]);
                finite &= scratch.top_k.select(marker, m, indices, values);
            }
        }
        stream::finish();
        finite
    }

    /// Writes the `m` of some neighbouring chunks to `m_out` and, each row after row, to `group`.
    #[inline(always)]
    fn update(&mut self, first: usize, group: &mut [[f32; CHUNK_LEN_MAX]]) {
        let (cols, tile_cols) = (self.grid.cols(), self.grid.tile_cols());
        let last_row = self.grid.chunk_len() / tile_cols - 1;
        for row in 0..=last_row {
            for (chunk, m) in (first..).zip(&mut *group) {
                let m = &mut m[row * tile_cols..(row + 1) * tile_cols];
                let start = row * cols + chunk * tile_cols;
                let shared = &self.shared[start..start + tile_cols];
                let local = &self.local[start..start + tile_cols];
                let residual = &self.residual[start..start + tile_cols];
                let out = &mut self.m_out[start..start + tile_cols];
                if row < last_row {
                    let below = start + cols..start + cols + tile_cols;
                    prefetch(&self.shared[below.clone()]);
                    prefetch(&self.local[below.clone()]);
                    prefetch(&self.residual[below]);
                }
                feed_back(self.beta, shared, local, residual, m);
                match self.streamed {
                    true => stream::store(m, out),
                    false => out.copy_from_slice(m),
                }
            }
        }
    }
}

/// `beta * residual + (shared - local)`. Apart, so that the compiler knows that the lists do not
/// overlap.
#[inline(always)]
fn feed_back(beta: f32, shared: &[f32], local: &[f32], residual: &[f32], m: &mut [f32]) {
    let inputs = shared.iter().zip(local).zip(residual);
    for (m, ((shared, local), residual)) in m.iter_mut().zip(inputs) {
        *m = beta * residual + (shared - local);
    }
}

/// See [`crate::ops::compress::subtract_sent`].
pub(crate) fn subtract(
    grid: TileGrid,
    k: usize,
    codebook: [f32; 4],
    indices: &[u16],
    codes: &[u8],
    m: ViewMut<'_, f32>,
) {
    let chunk_bytes = k.div_ceil(4);
    let (chunks, tile_cols) = (grid.band_chunks(), grid.tile_cols());
    m.on_host()
        .par_chunks_mut(grid.band_len())
        .zip(indices.par_chunks(chunks * k))
        .zip(codes.par_chunks(chunks * chunk_bytes))
        .for_each(|((m, indices), codes)| {
            let chunks = indices.chunks_exact(k).zip(codes.chunks_exact(chunk_bytes));
            let mut places = [0; CHUNK_LEN_MAX];
            for (chunk, (indices, codes)) in chunks.enumerate() {
                // Indices ascend, so the tile's rows are walked once and nothing is divided.
                let (mut row_end, mut start) = (tile_cols, chunk * tile_cols);
                for (place, &index) in places.iter_mut().zip(indices) {
                    while usize::from(index) >= row_end {
                        row_end += tile_cols;
                        start += grid.cols();
                    }
                    *place = start + usize::from(index) + tile_cols - row_end;
                    prefetch(&m[*place..*place + 1]);
                }
                for (i, &place) in places[..k].iter().enumerate() {
                    let code = codes[i / 4] >> (i % 4 * 2) & 3;
                    m[place] -= codebook[usize::from(code)];
                }
            }
        });
}

/// See [`crate::ops::compress::clear`].
pub(crate) fn clear(residual: ViewMut<'_, f32>) {
    residual.on_host().par_chunks_mut(1 << 16).for_each(|part| part.fill(0.0));
}

#[cfg(test)]
mod tests;
