//! Causal attention with grouped queries for every head dim up to 256, without tensor cores: what
//! runs where the fast kernels have no variant. Rows are packed `[q heads | k heads | v heads]`,
//! bf16; scores and sums are f32.
//!
//! A warp has one row: a query forward and for dq, a key for dk and dv. It takes 32 partners at a
//! time, a lane computing the score of one; then the lanes share out the columns of the head.

use crate::simt::*;

/// Threads of a block: four rows.
pub const THREADS: u32 = 128;

/// Rows of a block.
pub const ROWS: u32 = THREADS / WARP;

/// Most values of a head.
pub const HEAD_DIM_MAX: u32 = 256;

/// Columns of a lane.
const COLUMNS: usize = 8;

const LOG2_E: f32 = core::f32::consts::LOG2_E;

/// Where things lie in the packed rows of one sequence.
#[derive(Clone, Copy)]
struct Rows {
    /// First value of the sequence in `qkv`, and in `out`.
    qkv: usize,
    out: usize,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
}

impl Rows {
    #[inline(always)]
    fn new(batch: u32, seq: u32, heads: u32, kv_heads: u32, head_dim: u32) -> Self {
        let tokens = batch as usize * seq as usize;
        let out = tokens * (heads * head_dim) as usize;
        let qkv = tokens * ((heads + 2 * kv_heads) * head_dim) as usize;
        Self { qkv, out, heads, kv_heads, head_dim }
    }

    /// Head `head` of the packed row of `token`: queries, then keys, then values.
    #[inline(always)]
    fn packed(self, token: u32, head: u32) -> usize {
        let row = ((self.heads + 2 * self.kv_heads) * self.head_dim) as usize;
        self.qkv + token as usize * row + (head * self.head_dim) as usize
    }

    /// Query heads per key head. Neither of the divisors is zero, but a division that might fail is
    /// none that a kernel may have.
    #[inline(always)]
    fn group(self) -> u32 {
        self.heads.checked_div(self.kv_heads).unwrap_or(1)
    }

    /// Head of the packed row that has the keys of query head `head`.
    #[inline(always)]
    fn key_head(self, head: u32) -> u32 {
        self.heads + head.checked_div(self.group()).unwrap_or(0)
    }

    /// Head `head` of the output row of `token`.
    #[inline(always)]
    fn output(self, token: u32, head: u32) -> usize {
        let row = (self.heads * self.head_dim) as usize;
        self.out + token as usize * row + (head * self.head_dim) as usize
    }
}

/// `sum a[i] b[i]` over a head.
#[inline(always)]
fn dot(a: Global<Bf16>, a_at: usize, b: Global<Bf16>, b_at: usize, head_dim: u32) -> f32 {
    let mut sum = 0.0;
    let mut i = 0;
    while i < head_dim as usize {
        sum = fma(a.ld(a_at + i).to_f32(), b.ld(b_at + i).to_f32(), sum);
        i += 1;
    }
    sum
}

/// `sums[c] += factor * from[at + column]` for this lane's columns.
#[inline(always)]
fn add_columns(
    sums: &mut [f32; COLUMNS],
    factor: f32,
    from: Global<Bf16>,
    at: usize,
    head_dim: u32,
) {
    unroll!(c in 8 {
        let column = lane() + c as u32 * WARP;
        if column < head_dim {
            sums[c] = fma(factor, from.ld(at + column as usize).to_f32(), sums[c]);
        }
    });
}

/// `to[at + column] = factor * sums[c]` for this lane's columns.
#[inline(always)]
fn store_columns(sums: &[f32; COLUMNS], factor: f32, to: Global<Bf16>, at: usize, head_dim: u32) {
    unroll!(c in 8 {
        let column = lane() + c as u32 * WARP;
        if column < head_dim {
            to.st(at + column as usize, Bf16::from_f32(sums[c] * factor));
        }
    });
}

kernel! {
    /// `out[t, heads * head_dim]` and `lse[batch, heads, seq]`, the natural log of the sum of
    /// exponentials of the scaled scores. Grid: rows of queries by [`ROWS`], heads, sequences.
    pub fn plain_attention_forward(
        qkv: Global<Bf16>, out: Global<Bf16>, lse: Global<f32>, seq: u32, heads: u32,
        kv_heads: u32, head_dim: u32, scale: f32,
    ) bounds(128, 1) {
        let rows = Rows::new(block_idx_z(), seq, heads, kv_heads, head_dim);
        let (query, head) = (block_idx() * ROWS + warp(), block_idx_y());
        if query < seq {
            let q = rows.packed(query, head);
            let key_head = rows.key_head(head);
            let mut sums = [0.0_f32; COLUMNS];
            let (mut max, mut total) = (f32::NEG_INFINITY, 0.0_f32);
            let mut from = 0;
            while from <= query {
                let key = from + lane();
                let mut score = f32::NEG_INFINITY;
                if key <= query {
                    score = dot(qkv, q, qkv, rows.packed(key, key_head), head_dim) * scale;
                }
                // Finite: the first lane always has a key.
                let above = max.max(warp_max(score));
                let weight = exp2((score - above) * LOG2_E);
                let factor = exp2((max - above) * LOG2_E);
                max = above;
                total = total * factor + weight;
                unroll!(c in 8 { sums[c] *= factor; });
                let mut j = 0;
                while j < WARP && from + j <= query {
                    let value = rows.packed(from + j, key_head + kv_heads);
                    add_columns(&mut sums, shfl_idx_f32(weight, j), qkv, value, head_dim);
                    j += 1;
                }
                from += WARP;
            }
            let total = warp_sum(total);
            store_columns(&sums, 1.0 / total, out, rows.output(query, head), head_dim);
            if lane() == 0 {
                let row = (block_idx_z() * heads + head) as usize * seq as usize;
                lse.st(row + query as usize, max + log2(total) / LOG2_E);
            }
        }
    }

    /// The query heads of `dqkv`. Grid as forward.
    pub fn plain_attention_backward_queries(
        qkv: Global<Bf16>, out: Global<Bf16>, dout: Global<Bf16>, lse: Global<f32>,
        dqkv: Global<Bf16>, seq: u32, heads: u32, kv_heads: u32, head_dim: u32, scale: f32,
    ) bounds(128, 1) {
        let rows = Rows::new(block_idx_z(), seq, heads, kv_heads, head_dim);
        let (query, head) = (block_idx() * ROWS + warp(), block_idx_y());
        if query < seq {
            let (q, o) = (rows.packed(query, head), rows.output(query, head));
            let key_head = rows.key_head(head);
            let row = (block_idx_z() * heads + head) as usize * seq as usize;
            let normaliser = lse.ld(row + query as usize);
            let mean = dot(dout, o, out, o, head_dim);
            let mut sums = [0.0_f32; COLUMNS];
            let mut from = 0;
            while from <= query {
                let key = from + lane();
                let mut slope = 0.0;
                if key <= query {
                    let k = rows.packed(key, key_head);
                    let score = dot(qkv, q, qkv, k, head_dim) * scale;
                    let weight = exp2((score - normaliser) * LOG2_E);
                    let v = rows.packed(key, key_head + kv_heads);
                    slope = weight * (dot(dout, o, qkv, v, head_dim) - mean);
                }
                let mut j = 0;
                while j < WARP && from + j <= query {
                    let k = rows.packed(from + j, key_head);
                    add_columns(&mut sums, shfl_idx_f32(slope, j), qkv, k, head_dim);
                    j += 1;
                }
                from += WARP;
            }
            store_columns(&sums, scale, dqkv, q, head_dim);
        }
    }

    /// The key and value heads of `dqkv`: sums over the queries of each head of the group, head by
    /// head, in order. Grid: rows of keys by [`ROWS`], kv_heads, sequences.
    pub fn plain_attention_backward_keys(
        qkv: Global<Bf16>, out: Global<Bf16>, dout: Global<Bf16>, lse: Global<f32>,
        dqkv: Global<Bf16>, seq: u32, heads: u32, kv_heads: u32, head_dim: u32, scale: f32,
    ) bounds(128, 1) {
        let rows = Rows::new(block_idx_z(), seq, heads, kv_heads, head_dim);
        let (key, kv_head) = (block_idx() * ROWS + warp(), block_idx_y());
        if key < seq {
            let k = rows.packed(key, heads + kv_head);
            let v = rows.packed(key, heads + kv_heads + kv_head);
            let (mut dk, mut dv) = ([0.0_f32; COLUMNS], [0.0_f32; COLUMNS]);
            let group = rows.group();
            let mut head = kv_head * group;
            while head < (kv_head + 1) * group {
                let row = (block_idx_z() * heads + head) as usize * seq as usize;
                let mut from = key;
                while from < seq {
                    let query = from + lane();
                    let (mut weight, mut slope) = (0.0, 0.0);
                    if query < seq {
                        let (q, o) = (rows.packed(query, head), rows.output(query, head));
                        let score = dot(qkv, q, qkv, k, head_dim) * scale;
                        weight = exp2((score - lse.ld(row + query as usize)) * LOG2_E);
                        let mean = dot(dout, o, out, o, head_dim);
                        slope = weight * (dot(dout, o, qkv, v, head_dim) - mean);
                    }
                    let mut j = 0;
                    while j < WARP && from + j < seq {
                        let (q, o) = (rows.packed(from + j, head), rows.output(from + j, head));
                        add_columns(&mut dv, shfl_idx_f32(weight, j), dout, o, head_dim);
                        add_columns(&mut dk, shfl_idx_f32(slope, j), qkv, q, head_dim);
                        j += 1;
                    }
                    from += WARP;
                }
                head += 1;
            }
            store_columns(&dk, scale, dqkv, k, head_dim);
            store_columns(&dv, 1.0, dqkv, v, head_dim);
        }
    }
}
