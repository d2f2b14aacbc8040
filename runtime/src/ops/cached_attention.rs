//! Causal attention of new tokens over kept keys and values, forward only, on host cores.
//!
//! A cache holds `slots` sequences of at most `capacity` positions. Values are
//! `[slots][kv_heads][capacity][head_dim]`; keys lie in panels of [`PANEL`] positions,
//! `[slots][kv_heads][capacity / PANEL][head_dim][PANEL]`, which is how scores read them. Every sum
//! has the order of [`super::attention::forward`], so the results have its bits, whatever was kept.

use super::assert_len;
use crate::cpu::cached_attention as cpu;
use crate::{Device, View, ViewMut};

/// Positions of a panel of keys; a cache's capacity is a multiple of it.
pub const PANEL: usize = 32;

/// Sizes of a cache, and of the rows that attend to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub slots: usize,
    /// Most positions of a sequence; a multiple of [`PANEL`].
    pub capacity: usize,
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
}

impl Shape {
    /// Values of a packed row `[q heads | k heads | v heads]`.
    pub fn qkv_row(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Values of an output row.
    pub fn out_row(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Values of the keys, and of the values, of one key-value head of one sequence.
    pub fn head_len(&self) -> usize {
        self.capacity * self.head_dim
    }

    /// Values of the keys of all sequences, and as many of the values.
    pub fn cache_len(&self) -> usize {
        self.slots * self.kv_heads * self.head_len()
    }

    /// Where the value `dim` of the key at `position` lies within its head.
    pub fn key_at(&self, position: usize, dim: usize) -> usize {
        (position / PANEL * self.head_dim + dim) * PANEL + position % PANEL
    }

    /// Rows of `qkv`, of which the segments are some, beside a cache of this shape.
    fn rows_of(&self, segments: &[Segment], qkv: usize, keys: usize, values: usize) -> usize {
        let rows = super::row_len("qkv", qkv, self.qkv_row());
        assert_len("keys", keys, self.cache_len());
        assert_len("values", values, self.cache_len());
        let sound = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads);
        assert!(sound && self.heads > 0, "attention: heads are no multiple of kv_heads: {self:?}");
        assert!(self.capacity.is_multiple_of(PANEL), "a cache holds whole panels: {self:?}");
        for segment in segments {
            let Segment { slot, row, tokens, first } = *segment;
            let inside = slot < self.slots && first + tokens <= self.capacity;
            assert!(inside && row + tokens <= rows, "{segment:?} is outside of {self:?}");
        }
        rows
    }
}

/// Rows that are new tokens of one sequence, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The sequence.
    pub slot: usize,
    /// The first of its rows.
    pub row: usize,
    /// How many rows.
    pub tokens: usize,
    /// The position of the first of them.
    pub first: usize,
}

/// Keeps the keys and values of `qkv[rows, qkv_row]`, turned by RoPE, at their positions.
///
/// # Panics
/// A segment or a length is outside of `shape`, or memory is that of a GPU.
pub fn keep(
    dev: &Device,
    shape: Shape,
    segments: &[Segment],
    qkv: View<'_, f32>,
    keys: ViewMut<'_, f32>,
    values: ViewMut<'_, f32>,
) {
    shape.rows_of(segments, qkv.len(), keys.len(), values.len());
    let (qkv, keys, values) = (qkv.on_host(), keys.on_host(), values.on_host());
    dev.install(|| cpu::keep(shape, segments, qkv, keys, values));
}

/// `out[rows, out_row]` of the queries in `qkv[rows, qkv_row]`, each over the kept positions of its
/// sequence up to its own, scale 1/sqrt(head_dim). [`keep`] comes first.
///
/// # Panics
/// As for [`keep`].
pub fn forward(
    dev: &Device,
    shape: Shape,
    segments: &[Segment],
    qkv: View<'_, f32>,
    keys: View<'_, f32>,
    values: View<'_, f32>,
    out: ViewMut<'_, f32>,
) {
    let rows = shape.rows_of(segments, qkv.len(), keys.len(), values.len());
    assert_len("out", out.len(), rows * shape.out_row());
    let (qkv, keys, values) = (qkv.on_host(), keys.on_host(), values.on_host());
    let out = out.on_host();
    dev.install(|| cpu::forward(shape, segments, qkv, keys, values, out));
}

/// Copies the first `len` positions of one sequence of a cache, of keys or of values, to another.
///
/// # Panics
/// As for [`keep`].
pub fn copy(
    dev: &Device,
    shape: Shape,
    (from, to): (usize, usize),
    len: usize,
    cache: ViewMut<'_, f32>,
) {
    assert!(
        from < shape.slots && to < shape.slots && len <= shape.capacity,
        "outside of {shape:?}"
    );
    assert_len("cache", cache.len(), shape.cache_len());
    let cache = cache.on_host();
    // Whole panels: the rest of the last one is written before it is read.
    let len = len.next_multiple_of(PANEL) * shape.head_dim;
    dev.install(|| cpu::copy(shape, (from, to), len, cache));
}
