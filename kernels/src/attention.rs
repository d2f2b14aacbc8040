//! Causal attention with grouped queries, in bf16 with f32 sums, on packed rows
//! `[q heads | k heads | v heads]` of `head_dim` values (64, 128 or 256), one row per token,
//! sequences of equal length one after another. The op, its layouts and its scale
//! 1/sqrt(head_dim) are those of `runtime/src/ops/attention.rs`.
//!
//! Scores live in registers, a tile at a time. The backward pass makes them again from the
//! log-sum-exp of each query, in two kernels, one per gradient that must be summed, so that every
//! sum has one order and two runs are bit-equal.

use crate::simt::*;

pub mod delta;
pub mod forward;
pub mod gradient_kv;
pub mod gradient_q;
#[cfg(any(not(target_arch = "nvptx64"), target_feature = "sm_90a"))]
pub mod hopper;
mod softmax;
mod tile;
#[cfg(any(not(target_arch = "nvptx64"), target_feature = "sm_90a"))]
mod warpgroup;

use tile::Rows;

/// Sizes of one call.
#[cfg(not(target_arch = "nvptx64"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub batch: u32,
    /// Tokens of a sequence.
    pub seq: u32,
    /// Query heads, a multiple of `kv_heads`: head h attends with key-value head
    /// `h / (heads / kv_heads)`.
    pub heads: u32,
    /// Key heads, and as many value heads.
    pub kv_heads: u32,
    /// Values of a head: 64, 128 or 256.
    pub head_dim: u32,
}

/// Where things lie, with `D16` = head_dim / 16.
#[derive(Clone, Copy)]
struct Packed<const D16: usize> {
    seq: u32,
    heads: u32,
    kv_heads: u32,
}

impl<const D16: usize> Packed<D16> {
    const HEAD_DIM: u32 = 16 * D16 as u32;

    /// Rows of one sequence in head `column` of a matrix that is `across` heads wide.
    #[inline(always)]
    fn rows(self, values: Global<Bf16>, batch: u32, across: u32, column: u32) -> Rows {
        let stride = across * Self::HEAD_DIM;
        let first = (batch * self.seq) as u64 * stride as u64 + (column * Self::HEAD_DIM) as u64;
        Rows { values, first: first as usize, stride, count: self.seq }
    }

    /// Rows of a query head in packed rows.
    #[inline(always)]
    fn q_rows(self, qkv: Global<Bf16>, batch: u32, head: u32) -> Rows {
        self.rows(qkv, batch, self.heads + 2 * self.kv_heads, head)
    }

    /// Rows of a key head and of its value head in packed rows.
    #[inline(always)]
    fn kv_rows(self, qkv: Global<Bf16>, batch: u32, kv_head: u32) -> [Rows; 2] {
        let key = self.heads + kv_head;
        [self.q_rows(qkv, batch, key), self.q_rows(qkv, batch, key + self.kv_heads)]
    }

    /// Rows of a head in a matrix like the output.
    #[inline(always)]
    fn out_rows(self, out: Global<Bf16>, batch: u32, head: u32) -> Rows {
        self.rows(out, batch, self.heads, head)
    }

    /// Query heads of a key-value head.
    #[inline(always)]
    fn group(self) -> u32 {
        divide(self.heads, self.kv_heads)
    }

    /// Key-value head of a query head.
    #[inline(always)]
    fn kv_head(self, head: u32) -> u32 {
        divide(head, self.group())
    }

    /// Where the values of a head start that there is one of per query: `[batch, heads, seq]`.
    #[inline(always)]
    fn per_query(self, batch: u32, head: u32) -> usize {
        ((batch * self.heads + head) as u64 * self.seq as u64) as usize
    }
}

/// 1 / sqrt(head_dim).
#[inline(always)]
const fn score_scale<const D16: usize>() -> f32 {
    match D16 {
        4 => 0.125,
        8 => core::f32::consts::FRAC_1_SQRT_2 / 8.0,
        _ => 0.0625,
    }
}

/// The same for powers of two: log2(e) / sqrt(head_dim).
#[inline(always)]
const fn score_scale2<const D16: usize>() -> f32 {
    score_scale::<D16>() * core::f32::consts::LOG2_E
}

/// `a / b` without the panic for `b` = 0, which no shape has and the device cannot take.
#[inline(always)]
fn divide(a: u32, b: u32) -> u32 {
    a.checked_div(b).unwrap_or(0)
}
