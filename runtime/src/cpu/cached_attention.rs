//! Attention over a cache on host cores, by tiles of at most `ROWS_MAX` queries that share a
//! key-value head: those of all its query heads at as many new tokens, so that one pass over keys
//! and values serves them all.
//!
//! Scores are `[row][key]`. Products run through the micro-kernel of matrix products; sums over
//! keys go in the order of positions, those of several rows at once to hide the latency of a sum.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matmul::direct;
use super::matmul::kernel::{COLS_MAX, ROWS, Strided, cols, tile};
use super::scratch::{Area, with_scratch};
use super::shared::SharedMut;
use super::simd::{LANES, exp, max_lanes};
use crate::ops::cached_attention::{PANEL, Segment, Shape};

/// Query rows of a tile, as far as whole tokens allow.
const ROWS_MAX: usize = 32;
/// Rows whose sums run side by side.
const SUMS: usize = 8;
const _: () = assert!(PANEL.is_multiple_of(COLS_MAX));

pub(crate) fn keep(
    shape: Shape,
    segments: &[Segment],
    qkv: &[f32],
    keys: &mut [f32],
    values: &mut [f32],
) {
    let Shape { heads, kv_heads, head_dim, .. } = shape;
    let heads_of_cache = keys
        .par_chunks_exact_mut(shape.head_len())
        .zip(values.par_chunks_exact_mut(shape.head_len()))
        .enumerate();
    heads_of_cache.for_each(|(index, (keys, values))| {
        let (slot, kv_head) = (index / kv_heads, index % kv_heads);
        for segment in segments.iter().filter(|segment| segment.slot == slot) {
            for token in 0..segment.tokens {
                let position = segment.first + token;
                let row = &qkv[(segment.row + token) * shape.qkv_row()..][..shape.qkv_row()];
                let key = &row[(heads + kv_head) * head_dim..][..head_dim];
                let value = &row[(heads + kv_heads + kv_head) * head_dim..][..head_dim];
                for (dim, value) in key.iter().enumerate() {
                    keys[shape.key_at(position, dim)] = *value;
                }
                values[position * head_dim..][..head_dim].copy_from_slice(value);
            }
        }
    });
}

/// Copies the first `len` values of each head of sequence `from` to those of another, `to`.
pub(crate) fn copy(shape: Shape, (from, to): (usize, usize), len: usize, cache: &mut [f32]) {
    let slot = shape.kv_heads * shape.head_len();
    let (low, high) = cache.split_at_mut(from.max(to) * slot);
    let (low, high) = (&mut low[from.min(to) * slot..][..slot], &mut high[..slot]);
    let (source, target) = if from < to { (low, high) } else { (high, low) };
    let heads = target.par_chunks_exact_mut(shape.head_len());
    heads.zip(source.par_chunks_exact(shape.head_len())).for_each(|(target, source)| {
        target[..len].copy_from_slice(&source[..len]);
    });
}

/// Queries of one tile: `tokens` new ones of a segment from `token` on, of all the query heads that
/// share `kv_head`. Row `r` is query head `r / tokens` of the group at token `r % tokens`.
#[derive(Clone, Copy)]
struct Job {
    segment: Segment,
    kv_head: usize,
    token: usize,
    tokens: usize,
}

pub(crate) fn forward(
    shape: Shape,
    segments: &[Segment],
    qkv: &[f32],
    keys: &[f32],
    values: &[f32],
    out: &mut [f32],
) {
    let group = shape.heads / shape.kv_heads;
    let step = (ROWS_MAX / group).max(1);
    let mut jobs = Vec::new();
    for &segment in segments {
        // The last tokens see the most: they come first, so that the end is even.
        for token in (0..segment.tokens).step_by(step).rev() {
            let tokens = step.min(segment.tokens - token);
            jobs.extend((0..shape.kv_heads).map(|kv_head| Job { segment, kv_head, token, tokens }));
        }
    }
    let out = SharedMut::new(out);
    jobs.par_iter().with_max_len(1).for_each(|&job| {
        let head = (job.segment.slot * shape.kv_heads + job.kv_head) * shape.head_len();
        let (keys, values) = (&keys[head..], &values[head..]);
        let seen = job.segment.first + job.token + job.tokens;
        let rows = group * job.tokens;
        let len = scratch_len(shape.head_dim, seen, rows);
        with_scratch(Area::Scores, len, |scratch| {
            let tile = Tile { shape, job, rows, seen, qkv, keys, values, out, scratch };
            pulp::Arch::new().dispatch(tile);
        });
    });
}

/// Scratch of a tile: the tail panel, queries and results `[rows][head_dim]`, scores.
fn scratch_len(head_dim: usize, seen: usize, rows: usize) -> usize {
    head_dim.max(seen) * COLS_MAX + rows * (2 * head_dim + seen.next_multiple_of(PANEL))
}

struct Tile<'a> {
    shape: Shape,
    job: Job,
    rows: usize,
    /// Keys that the last token sees.
    seen: usize,
    qkv: &'a [f32],
    /// Of the key-value head.
    keys: &'a [f32],
    values: &'a [f32],
    out: SharedMut<'a>,
    scratch: &'a mut [f32],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Tile { shape, job, rows, seen, qkv, keys, values, out, scratch } = self;
        let hd = shape.head_dim;
        let stride = seen.next_multiple_of(PANEL);
        let (tail, scratch) = scratch.split_at_mut(hd.max(seen) * COLS_MAX);
        let (queries, scratch) = scratch.split_at_mut(rows * hd);
        let (results, scores) = scratch.split_at_mut(rows * hd);
        let scale = (1.0 / (hd as f64).sqrt()) as f32;
        let first_head = job.kv_head * (shape.heads / shape.kv_heads);
        let place = |row: usize| {
            let token = job.segment.row + job.token + row % job.tokens;
            (token, first_head + row / job.tokens)
        };
        for (row, query) in queries.chunks_exact_mut(hd).enumerate() {
            let (token, head) = place(row);
            let from = &qkv[token * shape.qkv_row() + head * hd..][..hd];
            for (to, value) in query.iter_mut().zip(from) {
                *to = value * scale;
            }
        }
        scores_of(simd, queries, keys, scores, hd, seen);
        for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
            // Tokens after this one are not seen.
            let sees = seen - job.tokens + row % job.tokens + 1;
            scores[sees..].fill(0.0);
            exponentials(&mut scores[..sees]);
        }
        assert!(values.len() >= seen * hd);
        let p = Strided { start: scores.as_ptr(), outer: stride, depth: 1 };
        // SAFETY: scores hold [rows][stride], stride >= seen; the values were just checked; the
        // results are this tile's alone, and the tail holds seen panels.
        unsafe {
            let v = (values.as_ptr(), hd);
            direct(simd, (rows, hd, seen), results.as_mut_ptr(), hd, p, v, false, tail);
        }
        for first in (0..rows).step_by(SUMS) {
            let sums = sums(&scores[first * stride..], stride, seen);
            for row in first..rows.min(first + SUMS) {
                let inverse = 1.0 / sums[row - first];
                let (token, head) = place(row);
                // SAFETY: these heads at these tokens are this tile's alone.
                let out = unsafe { out.slice_mut(token * shape.out_row() + head * hd, hd) };
                for (to, value) in out.iter_mut().zip(&results[row * hd..][..hd]) {
                    *to = value * inverse;
                }
            }
        }
    }
}

/// `scores[r][k] = sum_i keys[k][i] * queries[r][i]` for whole panels of keys: those past `seen`
/// are of no use.
#[inline(always)]
fn scores_of<S: Simd>(
    simd: S,
    queries: &[f32],
    keys: &[f32],
    scores: &mut [f32],
    hd: usize,
    seen: usize,
) {
    let (rows, stride) = (queries.len() / hd, seen.next_multiple_of(PANEL));
    assert!(keys.len() >= stride * hd && scores.len() == rows * stride);
    let width = cols::<S>();
    for (panel, keys) in keys[..stride * hd].chunks_exact(PANEL * hd).enumerate() {
        for col in (0..PANEL).step_by(width) {
            for row in (0..rows).step_by(ROWS) {
                let a = Strided { start: queries[row * hd..].as_ptr(), outer: hd, depth: 1 };
                let rows = ROWS.min(rows - row);
                let to = row * stride + panel * PANEL + col;
                // SAFETY: queries hold [rows][hd], the panel [hd][PANEL], of which `width` columns
                // from `col` on are read; scores were just checked.
                unsafe {
                    let (b, c) = (keys.as_ptr().add(col), scores.as_mut_ptr().add(to));
                    tile(simd, rows, width, hd, a, b, PANEL, c, stride, false);
                }
            }
        }
    }
}

/// In place `exp(score - peak)`.
#[inline(always)]
fn exponentials(scores: &mut [f32]) {
    let mut peaks = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            peaks[i] = if chunk[i] > peaks[i] { chunk[i] } else { peaks[i] };
        }
    }
    let peak = rest.iter().fold(max_lanes(peaks), |peak, score| peak.max(*score));
    for score in scores {
        *score = exp(*score - peak);
    }
}

/// Sums of the first [`SUMS`] rows, or of those that there are, each in the order of keys.
#[inline(always)]
fn sums(rows: &[f32], stride: usize, seen: usize) -> [f32; SUMS] {
    let mut sums = [0.0; SUMS];
    if rows.len() >= SUMS * stride {
        for k in 0..seen {
            for row in 0..SUMS {
                sums[row] += rows[row * stride + k];
            }
        }
    } else {
        for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(stride)) {
            for score in &row[..seen] {
                *sum += score;
            }
        }
    }
    sums
}
