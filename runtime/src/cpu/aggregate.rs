//! Sums of sparse updates, chunk by chunk in L1, applied to the parameters they belong to.
//!
//! Each band of chunks belongs to one thread, which adds the peers in the order given; so the order
//! of every sum is fixed. The parameters are read and written once.

use rayon::prelude::*;

use super::prefetch::prefetch;
use crate::ViewMut;
use crate::ops::aggregate::{Aggregation, SparseView};
use crate::ops::{CHUNK_LEN_MAX, NonFinite, TileGrid};

/// See [`crate::ops::aggregate::clip_scales`].
pub(crate) fn clip_scales(peers: &[SparseView<'_>], scales: &mut [f32]) {
    peers.par_iter().zip(&mut *scales).for_each(|(peer, norm)| *norm = norm_of(peer));
    let mut sorted = scales.to_vec();
    sorted.sort_by(f32::total_cmp);
    let Some(&median) = sorted.get(scales.len().saturating_sub(1) / 2) else { return };
    for scale in scales {
        let ratio = median / (*scale + 1e-8);
        // Not `min`: that would turn a ratio that is not a number into 1.
        *scale = if ratio > 1.0 { 1.0 } else { ratio };
    }
}

/// L2 norm of a peer's values.
fn norm_of(peer: &SparseView<'_>) -> f32 {
    let codes = peer.codes.on_host();
    let counts = pulp::Arch::new().dispatch(CodeCounts { codes });
    // Unused bits are zero and count as code 0.
    let unused = codes.len() as u64 * 4 - peer.indices.len() as u64;
    let counts = [counts[0] - unused, counts[1], counts[2], counts[3]];
    let squares = counts.iter().zip(peer.codebook).map(|(&count, entry)| {
        let entry = f64::from(entry);
        count as f64 * (entry * entry)
    });
    squares.fold(0.0, |sum, square| sum + square).sqrt() as f32
}

/// How often each code occurs.
struct CodeCounts<'a> {
    codes: &'a [u8],
}

impl pulp::NullaryFnOnce for CodeCounts<'_> {
    type Output = [u64; 4];

    #[inline(always)]
    fn call(self) -> [u64; 4] {
        const LOW: u64 = 0x5555_5555_5555_5555;
        let (words, rest) = self.codes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let mut counts = [0; 4];
        for word in words.iter().chain([&last]) {
            let word = u64::from_le_bytes(*word);
            let (low, high) = (word & LOW, word >> 1 & LOW);
            counts[1] += u64::from((low & !high).count_ones());
            counts[2] += u64::from((high & !low).count_ones());
            counts[3] += u64::from((high & low).count_ones());
        }
        counts[0] = self.codes.len() as u64 * 4 - counts[1] - counts[2] - counts[3];
        counts
    }
}

/// See [`crate::ops::aggregate::apply`].
pub(crate) fn apply(
    grid: TileGrid,
    k: usize,
    peers: &[SparseView<'_>],
    scales: &[f32],
    rule: Aggregation,
    alpha: f32,
    shared: ViewMut<'_, f32>,
) -> Result<(), NonFinite> {
    let peers: Vec<Peer<'_>> = peers.iter().zip(scales).map(Peer::new).collect();
    let shared = shared.on_host();
    let job = Job { grid, k, peers: &peers, rule, alpha };
    // No sum of rounded values exceeds the sum of their bounds by much: far below the largest f32,
    // every mean is finite and one pass is enough.
    let bound: f64 = peers.iter().map(Peer::largest).sum();
    if bound.max(bound * f64::from(alpha.abs())) >= f64::from(f32::MAX) / 2.0 || bound.is_nan() {
        let bands = shared.par_chunks(grid.band_len()).enumerate();
        let first = bands.filter_map(|(band, _)| {
            let offset = pulp::Arch::new().dispatch(FirstNonFinite { job: &job, band })?;
            Some(band * grid.band_len() + offset)
        });
        if let Some(offset) = first.min() {
            return Err(NonFinite { offset });
        }
    }
    shared.par_chunks_mut(grid.band_len()).enumerate().for_each(|(band, shared)| {
        pulp::Arch::new().dispatch(ApplyBand { job: &job, band, shared });
    });
    Ok(())
}

const CODES_PER_BYTE: usize = 4;

/// A peer's update with its scale multiplied in.
struct Peer<'a> {
    values: [f32; 4],
    indices: &'a [u16],
    codes: &'a [u8],
}

impl<'a> Peer<'a> {
    fn new((sparse, scale): (&SparseView<'a>, &f32)) -> Self {
        let values = sparse.codebook.map(|entry| entry * scale);
        Self { values, indices: sparse.indices.on_host(), codes: sparse.codes.on_host() }
    }

    fn largest(&self) -> f64 {
        // `f64::max` would forget a value that is not a number.
        let worse = |worst: f64, v: f64| if worst > v { worst } else { v };
        self.values.iter().map(|value| f64::from(value.abs())).fold(0.0, worse)
    }
}

/// What all bands share.
struct Job<'a> {
    grid: TileGrid,
    k: usize,
    peers: &'a [Peer<'a>],
    rule: Aggregation,
    alpha: f32,
}

/// Sums over one chunk, and how many peers each is of.
struct Sums {
    sum: [f32; CHUNK_LEN_MAX],
    count: [u16; CHUNK_LEN_MAX],
}

impl Sums {
    /// Adds the values of one byte of codes.
    #[inline(always)]
    fn add(&mut self, peer: &Peer<'_>, indices: &[u16], byte: u8) {
        for (i, &index) in indices.iter().enumerate() {
            let index = usize::from(index) % CHUNK_LEN_MAX;
            self.sum[index] += peer.values[usize::from(byte >> (2 * i) & 3)];
            self.count[index] += 1;
        }
    }
}

impl Job<'_> {
    /// Adds all peers' values of a chunk to `sums`, which are zero. `between` runs before each
    /// peer's turn.
    #[inline(always)]
    fn add_chunk(&self, chunk: usize, sums: &mut Sums, mut between: impl FnMut()) {
        let (k, chunk_bytes) = (self.k, self.k.div_ceil(CODES_PER_BYTE));
        for peer in self.peers {
            between();
            let (indices, ahead) = peer.indices[chunk * k..].split_at(k);
            let (codes, codes_ahead) = peer.codes[chunk * chunk_bytes..].split_at(chunk_bytes);
            prefetch(&ahead[..k.min(ahead.len())]);
            prefetch(&codes_ahead[..chunk_bytes.min(codes_ahead.len())]);
            let (fours, rest) = indices.as_chunks::<CODES_PER_BYTE>();
            for (four, &byte) in fours.iter().zip(codes) {
                sums.add(peer, four, byte);
            }
            if let (false, Some(&byte)) = (rest.is_empty(), codes.last()) {
                sums.add(peer, rest, byte);
            }
        }
    }

    /// What the sum of `count` values is divided by.
    #[inline(always)]
    fn divisor(&self, count: u16) -> f32 {
        match self.rule {
            Aggregation::Contributors => f32::from(count.max(1)),
            Aggregation::All => self.peers.len() as f32,
        }
    }
}

/// Takes one row's steps and leaves zeros in its sums.
#[inline(always)]
fn step_row(
    shared: &mut [f32],
    sum: &mut [f32],
    count: &mut [u16],
    alpha: f32,
    divisor: impl Fn(u16) -> f32,
) {
    for ((value, sum), count) in shared.iter_mut().zip(sum).zip(count) {
        *value -= alpha * (*sum / divisor(*count));
        *sum = 0.0;
        *count = 0;
    }
}

/// Applies one row of tiles.
struct ApplyBand<'a> {
    job: &'a Job<'a>,
    band: usize,
    shared: &'a mut [f32],
}

impl pulp::NullaryFnOnce for ApplyBand<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let grid = self.job.grid;
        let (cols, tile_cols) = (grid.cols(), grid.tile_cols());
        let (rule, alpha, all) = (self.job.rule, self.job.alpha, self.job.peers.len() as f32);
        let mut sums = Sums { sum: [0.0; CHUNK_LEN_MAX], count: [0; CHUNK_LEN_MAX] };
        // All rows at once would wait for memory; some of the next tile's before each peer's turn
        // do not.
        let share = (grid.chunk_len() / tile_cols).div_ceil(self.job.peers.len().max(1));
        for tile in 0..grid.band_chunks() {
            let tile_range = tile * tile_cols..(tile + 1) * tile_cols;
            let next_range = tile_range.end..(tile_range.end + tile_cols).min(cols);
            let mut rows = self.shared.chunks_exact(cols);
            let prefetch_share = || {
                rows.by_ref().take(share).for_each(|row| prefetch(&row[next_range.clone()]));
            };
            self.job.add_chunk(self.band * grid.band_chunks() + tile, &mut sums, prefetch_share);
            let rows = self.shared.chunks_exact_mut(cols);
            let sum_rows = sums.sum[..grid.chunk_len()].chunks_exact_mut(tile_cols);
            let count_rows = sums.count[..grid.chunk_len()].chunks_exact_mut(tile_cols);
            for (row, (sum, count)) in rows.zip(sum_rows.zip(count_rows)) {
                let shared = &mut row[tile_range.clone()];
                match rule {
                    Aggregation::Contributors => {
                        step_row(shared, sum, count, alpha, |count| f32::from(count.max(1)));
                    }
                    Aggregation::All => step_row(shared, sum, count, alpha, |_| all),
                }
            }
        }
    }
}

/// Offset within a row of tiles of the first step that is not finite.
struct FirstNonFinite<'a> {
    job: &'a Job<'a>,
    band: usize,
}

impl pulp::NullaryFnOnce for FirstNonFinite<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn call(self) -> Option<usize> {
        let grid = self.job.grid;
        let (cols, tile_cols) = (grid.cols(), grid.tile_cols());
        let mut first: Option<usize> = None;
        for tile in 0..grid.band_chunks() {
            let mut sums = Sums { sum: [0.0; CHUNK_LEN_MAX], count: [0; CHUNK_LEN_MAX] };
            self.job.add_chunk(self.band * grid.band_chunks() + tile, &mut sums, || ());
            let job = self.job;
            let sums = sums.sum.iter().zip(&sums.count);
            let steps = sums.map(|(&sum, &count)| job.alpha * (sum / job.divisor(count)));
            let found = steps.take(grid.chunk_len()).position(|step| !step.is_finite());
            let offset = found.map(|i| i / tile_cols * cols + tile * tile_cols + i % tile_cols);
            first = first.into_iter().chain(offset).min();
        }
        first
    }
}

#[cfg(test)]
mod tests;
