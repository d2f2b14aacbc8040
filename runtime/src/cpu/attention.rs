//! Causal attention on host cores, by tiles of `QUERIES` queries of one head.
//!
//! Scores are kept transposed, `[key][query]`: a softmax over keys then runs down columns, all
//! queries of the tile side by side in vectors, and both products that follow read them as stored.
//! A tile sees only the keys it may attend to, so its scores are `[at most seq, QUERIES]`.
//! Where rows hold documents that are kept apart, a tile begins with the first key that its queries
//! may see. Queries are scaled by 1/sqrt(head_dim) when they are packed.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matmul::direct;
use super::matmul::kernel::{COLS_MAX, Strided};
use super::matmul::pack::pack;
use super::scratch::{Area, with_scratch};
use super::shared::SharedMut;
use super::simd::{dot, exp};
use crate::ops::attention::Shape;

/// Queries of one tile: one or two panels of the micro-kernel, whatever the instruction set.
const QUERIES: usize = 32;
type PerQuery = [f32; QUERIES];

/// Where things lie in packed rows `[q heads | k heads | v heads]`.
#[derive(Clone, Copy)]
struct Rows {
    shape: Shape,
    stride: usize,
    out_stride: usize,
    scale: f32,
}

impl Rows {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            stride: (shape.heads + 2 * shape.kv_heads) * shape.head_dim,
            out_stride: shape.heads * shape.head_dim,
            scale: (1.0 / (shape.head_dim as f64).sqrt()) as f32,
        }
    }

    /// First value of query, key or value head `column` (counted across the packed row) at a token.
    fn packed(&self, batch: usize, position: usize, column: usize) -> usize {
        (batch * self.shape.seq + position) * self.stride + column * self.shape.head_dim
    }

    fn out(&self, batch: usize, position: usize, head: usize) -> usize {
        (batch * self.shape.seq + position) * self.out_stride + head * self.shape.head_dim
    }

    /// Packed columns of the key and the value head that serve query head `head`.
    fn key_value_columns(&self, kv_head: usize) -> (usize, usize) {
        let key = self.shape.heads + kv_head;
        (key, key + self.shape.kv_heads)
    }

    /// Packed rows of one head that reach from its first value to its last.
    fn extent(&self, rows: usize, stride: usize) -> usize {
        (rows - 1) * stride + self.shape.head_dim
    }

    fn query_tiles(&self) -> usize {
        self.shape.seq.div_ceil(QUERIES)
    }
}

/// Which keys the queries of one tile may see.
struct Sight {
    /// First query of the tile.
    first: usize,
    /// First key that one of them sees: scores are kept from this one on.
    from: usize,
    /// First key of each.
    own: [usize; QUERIES],
    /// From this key on, no query's own first key comes later.
    all_from: usize,
}

impl Sight {
    /// `first_keys` is `[batch * seq]`, or empty where rows are not divided.
    fn new(rows: Rows, first_keys: &[u32], batch: usize, first: usize, queries: usize) -> Self {
        let mut own = [0; QUERIES];
        if !first_keys.is_empty() {
            let start = batch * rows.shape.seq + first;
            for (q, &key) in first_keys[start..start + queries].iter().enumerate() {
                assert!(key as usize <= first + q, "attention: a token sees itself");
                own[q] = key as usize;
            }
        }
        let seen = || own[..queries].iter().copied();
        let (from, all_from) = (seen().min().unwrap_or(0), seen().max().unwrap_or(0));
        Self { first, from, own, all_from }
    }

    /// Puts minus infinity where row `at` of the scores is of a key that a query may not see.
    #[inline(always)]
    fn hide(&self, at: usize, row: &mut PerQuery) {
        let key = self.from + at;
        if key > self.first {
            row[..key - self.first].fill(f32::NEG_INFINITY);
        }
        if key < self.all_from {
            for (score, &own) in row.iter_mut().zip(&self.own) {
                *score = if key < own { f32::NEG_INFINITY } else { *score };
            }
        }
    }
}

pub(crate) fn forward(
    shape: Shape,
    first_keys: &[u32],
    qkv: &[f32],
    out: &mut [f32],
    lse: &mut [f32],
) {
    let rows = Rows::new(shape);
    let (out, lse) = (SharedMut::new(out), SharedMut::new(lse));
    let tiles = shape.batch * shape.heads * rows.query_tiles();
    (0..tiles).into_par_iter().for_each(|t| {
        let (head_of_batch, tile) = (t / rows.query_tiles(), t % rows.query_tiles());
        let (batch, head) = (head_of_batch / shape.heads, head_of_batch % shape.heads);
        let keys = shape.seq.min((tile + 1) * QUERIES);
        with_scratch(Area::Scores, scratch_len(shape.head_dim, keys, 1), |scratch| {
            let job = Forward { rows, first_keys, qkv, out, lse, batch, head, tile, scratch };
            pulp::Arch::new().dispatch(job);
        });
    });
}

/// One tile of queries of one head.
struct Forward<'a> {
    rows: Rows,
    first_keys: &'a [u32],
    qkv: &'a [f32],
    out: SharedMut<'a>,
    lse: SharedMut<'a>,
    batch: usize,
    head: usize,
    tile: usize,
    scratch: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (rows, shape) = (self.rows, self.rows.shape);
        let first = self.tile * QUERIES;
        let queries = QUERIES.min(shape.seq - first);
        let sight = Sight::new(rows, self.first_keys, self.batch, first, queries);
        let keys = first + queries - sight.from;
        let hd = shape.head_dim;
        let (key, value) = rows.key_value_columns(self.head / (shape.heads / shape.kv_heads));
        let (tail, scratch) = self.scratch.split_at_mut(hd.max(keys) * COLS_MAX);
        let (packed, scores) = scratch.split_at_mut(hd * QUERIES);
        let q = &self.qkv[rows.packed(self.batch, first, self.head)..];
        pack_transposed(simd, q, rows.stride, queries, hd, rows.scale, packed);
        let k = &self.qkv[rows.packed(self.batch, sight.from, key)..];
        scores_of(simd, rows, k, keys, packed, scores, tail);
        let (peak, sum) = softmax(scores, keys, &sight);
        let v = &self.qkv[rows.packed(self.batch, sight.from, value)..];
        let extent = rows.extent(queries, rows.out_stride);
        assert!(v.len() >= rows.extent(keys, rows.stride));
        let out = self.out.at(rows.out(self.batch, first, self.head), extent);
        let p = Strided { start: scores.as_ptr(), outer: 1, depth: QUERIES };
        // SAFETY: scores hold [keys][QUERIES], v was checked, and these rows and columns of out
        // belong to this tile alone.
        let lse = unsafe {
            let dims = (queries, hd, keys);
            let v = (v.as_ptr(), rows.stride);
            direct(simd, dims, out, rows.out_stride, p, v, false, tail);
            let lse_first = (self.batch * shape.heads + self.head) * shape.seq + first;
            self.lse.slice_mut(lse_first, queries)
        };
        for q in 0..queries {
            lse[q] = peak[q] + sum[q].ln();
            // SAFETY: as above; row q of the tile, `hd` values.
            let row = unsafe { std::slice::from_raw_parts_mut(out.add(q * rows.out_stride), hd) };
            let inverse = 1.0 / sum[q];
            for value in row {
                *value *= inverse;
            }
        }
    }
}

/// Scratch of a tile: the tail panel, `squares` packed head tiles, as many score tiles.
fn scratch_len(head_dim: usize, keys: usize, squares: usize) -> usize {
    head_dim.max(keys).max(QUERIES) * COLS_MAX + squares * (head_dim + keys) * QUERIES
}

/// `packed[i][q] = scale * rows[q][i]`; queries missing from the last tile hold zeros or repeats.
#[inline(always)]
fn pack_transposed<S: Simd>(
    simd: S,
    rows: &[f32],
    stride: usize,
    queries: usize,
    hd: usize,
    scale: f32,
    packed: &mut [f32],
) {
    assert!(rows.len() >= (queries - 1) * stride + hd && packed.len() == hd * QUERIES);
    let from = Strided { start: rows.as_ptr(), outer: stride, depth: 1 };
    // SAFETY: the rows hold `queries` heads, as just checked.
    unsafe { pack(simd, from, queries, hd, QUERIES, packed) };
    for value in packed {
        *value *= scale;
    }
}

/// `scores[k][q] = sum_i k[k][i] * packed[i][q]`.
#[inline(always)]
fn scores_of<S: Simd>(
    simd: S,
    rows: Rows,
    k: &[f32],
    keys: usize,
    packed: &[f32],
    scores: &mut [f32],
    tail: &mut [f32],
) {
    let hd = rows.shape.head_dim;
    assert!(k.len() >= rows.extent(keys, rows.stride) && scores.len() >= keys * QUERIES);
    assert!(packed.len() >= hd * QUERIES);
    let k = Strided { start: k.as_ptr(), outer: rows.stride, depth: 1 };
    // SAFETY: lengths were just checked and the scores are borrowed exclusively.
    unsafe {
        let b = (packed.as_ptr(), QUERIES);
        direct(simd, (keys, QUERIES, hd), scores.as_mut_ptr(), QUERIES, k, b, false, tail);
    }
}

/// In place `exp(score - peak)` per column, 0 where the query does not see the key; returns the
/// peaks and the sums.
#[inline(always)]
fn softmax(scores: &mut [f32], keys: usize, sight: &Sight) -> (PerQuery, PerQuery) {
    let (scores, _) = scores.as_chunks_mut::<QUERIES>();
    let scores = &mut scores[..keys];
    let mut peak = [f32::NEG_INFINITY; QUERIES];
    for (k, row) in scores.iter_mut().enumerate() {
        sight.hide(k, row);
        for q in 0..QUERIES {
            peak[q] = if row[q] > peak[q] { row[q] } else { peak[q] };
        }
    }
    let mut sum = [0.0; QUERIES];
    for row in scores {
        for q in 0..QUERIES {
            row[q] = exp(row[q] - peak[q]);
            sum[q] += row[q];
        }
    }
    (peak, sum)
}

pub(crate) fn backward(
    shape: Shape,
    first_keys: &[u32],
    qkv: &[f32],
    out: &[f32],
    dout: &[f32],
    lse: &[f32],
    dqkv: &mut [f32],
) {
    let rows = Rows::new(shape);
    let dqkv = SharedMut::new(dqkv);
    (0..shape.batch * shape.kv_heads).into_par_iter().with_max_len(1).for_each(|t| {
        let (batch, kv_head) = (t / shape.kv_heads, t % shape.kv_heads);
        let len = scratch_len(shape.head_dim, shape.seq, 2) + shape.head_dim * QUERIES;
        with_scratch(Area::Scores, len, |scratch| {
            let job = Backward { rows, first_keys, qkv, out, dout, lse, dqkv, batch, kv_head };
            pulp::Arch::new().dispatch(BackwardIn { job, scratch });
        });
    });
}

/// One key-value head with all the query heads it serves: it alone writes their gradients, so the
/// sums over queries have one order.
struct Backward<'a> {
    rows: Rows,
    first_keys: &'a [u32],
    qkv: &'a [f32],
    out: &'a [f32],
    dout: &'a [f32],
    lse: &'a [f32],
    dqkv: SharedMut<'a>,
    batch: usize,
    kv_head: usize,
}

/// A task and its working memory.
struct BackwardIn<'a> {
    job: Backward<'a>,
    scratch: &'a mut [f32],
}

impl WithSimd for BackwardIn<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (job, rows, shape) = (&self.job, self.job.rows, self.job.rows.shape);
        let (key, value) = rows.key_value_columns(job.kv_head);
        for column in [key, value] {
            for position in 0..shape.seq {
                let first = rows.packed(job.batch, position, column);
                // SAFETY: the columns of this key-value head belong to this task alone.
                unsafe { job.dqkv.slice_mut(first, shape.head_dim) }.fill(0.0);
            }
        }
        let group = shape.heads / shape.kv_heads;
        for head in job.kv_head * group..(job.kv_head + 1) * group {
            for tile in 0..rows.query_tiles() {
                job.query_tile(simd, head, tile, self.scratch);
            }
        }
    }
}

impl Backward<'_> {
    /// With P = exp(S - lse), D = rowsum(dO * O): dV += P' dO, dS = P * (dO V' - D), dQ = dS K,
    /// dK += dS' Q (Dao et al., FlashAttention, algorithm 4).
    #[inline(always)]
    fn query_tile<S: Simd>(&self, simd: S, head: usize, tile: usize, scratch: &mut [f32]) {
        let (rows, shape) = (self.rows, self.rows.shape);
        let (hd, first) = (shape.head_dim, tile * QUERIES);
        let queries = QUERIES.min(shape.seq - first);
        let sight = Sight::new(rows, self.first_keys, self.batch, first, queries);
        let keys = first + queries - sight.from;
        let (key, value) = rows.key_value_columns(self.kv_head);
        let (tail, scratch) = scratch.split_at_mut(hd.max(shape.seq).max(QUERIES) * COLS_MAX);
        let (packed, scratch) = scratch.split_at_mut(hd * QUERIES);
        let (scaled_q, scratch) = scratch.split_at_mut(hd * QUERIES);
        let (p, ds) = scratch.split_at_mut(shape.seq * QUERIES);
        let q_rows = &self.qkv[rows.packed(self.batch, first, head)..];
        let dout = &self.dout[rows.out(self.batch, first, head)..];
        let out = &self.out[rows.out(self.batch, first, head)..];
        let k = &self.qkv[rows.packed(self.batch, sight.from, key)..];
        let v = &self.qkv[rows.packed(self.batch, sight.from, value)..];

        pack_transposed(simd, q_rows, rows.stride, queries, hd, rows.scale, packed);
        scores_of(simd, rows, k, keys, packed, p, tail);
        pack_transposed(simd, dout, rows.out_stride, queries, hd, 1.0, packed);
        scores_of(simd, rows, v, keys, packed, ds, tail);
        let lse_first = (self.batch * shape.heads + head) * shape.seq + first;
        let (mut lse, mut d) = ([0.0; QUERIES], [0.0; QUERIES]);
        lse[..queries].copy_from_slice(&self.lse[lse_first..lse_first + queries]);
        for q in 0..queries {
            let at = q * rows.out_stride;
            d[q] = dot(&dout[at..at + hd], &out[at..at + hd]);
            let query = &q_rows[q * rows.stride..q * rows.stride + hd];
            for (to, value) in scaled_q[q * hd..(q + 1) * hd].iter_mut().zip(query) {
                *to = value * rows.scale;
            }
        }
        score_gradients(p, ds, keys, &sight, &lse, &d);
        self.products(simd, (queries, keys), head, &sight, p, ds, scaled_q, tail);
    }

    /// The three products, straight into dqkv.
    #[inline(always)]
    fn products<S: Simd>(
        &self,
        simd: S,
        (queries, keys): (usize, usize),
        head: usize,
        sight: &Sight,
        p: &[f32],
        ds: &mut [f32],
        scaled_q: &[f32],
        tail: &mut [f32],
    ) {
        let (rows, hd) = (self.rows, self.rows.shape.head_dim);
        let (key, value) = rows.key_value_columns(self.kv_head);
        let extent = rows.extent(keys, rows.stride);
        let stride = rows.stride;
        let dk = self.dqkv.at(rows.packed(self.batch, sight.from, key), extent);
        let dv = self.dqkv.at(rows.packed(self.batch, sight.from, value), extent);
        let dq_extent = rows.extent(queries, stride);
        let dq = self.dqkv.at(rows.packed(self.batch, sight.first, head), dq_extent);
        let dout = &self.dout[rows.out(self.batch, sight.first, head)..];
        assert!(dout.len() >= rows.extent(queries, rows.out_stride));
        let k = &self.qkv[rows.packed(self.batch, sight.from, key)..];
        assert!(k.len() >= extent);
        let by_key = |m: &[f32]| Strided { start: m.as_ptr(), outer: QUERIES, depth: 1 };
        // SAFETY: p and ds hold [keys][QUERIES], scaled_q [QUERIES][hd], the rest was checked; the
        // gradients of this query head and key-value head belong to this task alone.
        unsafe {
            let b = (dout.as_ptr(), rows.out_stride);
            direct(simd, (keys, hd, queries), dv, stride, by_key(p), b, true, tail);
            let b = (scaled_q.as_ptr(), hd);
            direct(simd, (keys, hd, queries), dk, stride, by_key(ds), b, true, tail);
            for value in &mut ds[..keys * QUERIES] {
                *value *= rows.scale;
            }
            let by_query = Strided { start: ds.as_ptr(), outer: 1, depth: QUERIES };
            let b = (k.as_ptr(), stride);
            direct(simd, (queries, hd, keys), dq, stride, by_query, b, false, tail);
        }
    }
}

/// In place: `p = exp(p - lse)`, 0 where the query does not see the key, and `ds = p * (ds - d)`.
#[inline(always)]
fn score_gradients(
    p: &mut [f32],
    ds: &mut [f32],
    keys: usize,
    sight: &Sight,
    lse: &PerQuery,
    d: &PerQuery,
) {
    let (p, _) = p.as_chunks_mut::<QUERIES>();
    let (ds, _) = ds.as_chunks_mut::<QUERIES>();
    for (k, (p, ds)) in p[..keys].iter_mut().zip(&mut ds[..keys]).enumerate() {
        sight.hide(k, p);
        for q in 0..QUERIES {
            p[q] = exp(p[q] - lse[q]);
            ds[q] = p[q] * (ds[q] - d[q]);
        }
    }
}
