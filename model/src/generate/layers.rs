//! The layers for new tokens of any sequences at once, a row per token: the straight line of
//! `llama/forward.rs`, with keys and values kept and nothing kept for a way back.

use std::sync::Arc;

use runtime::ops::cached_attention::{self, Segment, Shape};
use runtime::ops::{embedding, linear, rms_norm, rope, swiglu};
use runtime::{Buffer, Device, View};
use wire::ModelSpec;

use super::decoder::{Kept, Place};
use crate::params::ParamTable;
use crate::{ModelError, layout_of};

/// Most logits that exist at once, 32 MiB.
const LOGITS_MAX: usize = 8 << 20;

/// A model's parameters and where they lie.
pub(super) struct Layers {
    pub(super) device: Device,
    pub(super) vocab: usize,
    params: Arc<Vec<f32>>,
    table: ParamTable,
    rope: rope::Table,
    norm_eps: f32,
    /// Query and key heads: those that RoPE turns.
    turned_heads: usize,
}

/// Keys and values of all layers.
pub(super) struct Cache {
    shape: Shape,
    layers: Vec<Kept>,
}

impl Cache {
    pub(super) fn plan(device: &Device, layers: usize, shape: Shape) -> Self {
        let alloc = |_| Kept {
            keys: device.alloc(shape.cache_len()),
            values: device.alloc(shape.cache_len()),
        };
        Self { shape, layers: (0..layers).map(alloc).collect() }
    }

    /// Copies the first `len` positions of sequence `from` to sequence `to`.
    pub(super) fn copy(&mut self, device: &Device, from: usize, to: usize, len: usize) {
        if from == to {
            return;
        }
        let Self { shape, layers } = self;
        for Kept { keys, values } in layers {
            cached_attention::copy(device, *shape, (from, to), len, keys.view_mut());
            cached_attention::copy(device, *shape, (from, to), len, values.view_mut());
        }
    }
}

/// Activations of one pass, `[rows, width]` each.
pub(super) struct Rows {
    tokens: Buffer<u32>,
    /// Residual stream that enters a layer, and between its halves, `[t, d]`.
    stream: Buffer<f32>,
    middle: Buffer<f32>,
    /// Normed input of either half, `[t, d]`, and one over its root mean square, `[t]`.
    normed: Buffer<f32>,
    rstd: Buffer<f32>,
    qkv: Buffer<f32>,
    attended: Buffer<f32>,
    gate_up: Buffer<f32>,
    gated: Buffer<f32>,
    projected: Buffer<f32>,
    /// Rows that the head reads, `[head rows, d]`, and what it makes of them.
    head_in: Buffer<f32>,
    logits: Buffer<f32>,
}

impl Rows {
    pub(super) fn plan(device: &Device, spec: &ModelSpec, rows: usize) -> Self {
        let [d, qkv, ffn] = widths(spec);
        let alloc = |width: usize| device.alloc(rows * width);
        let head_rows = head_rows(rows, spec.vocab);
        Self {
            tokens: device.alloc(rows),
            stream: alloc(d),
            middle: alloc(d),
            normed: alloc(d),
            rstd: alloc(1),
            qkv: alloc(qkv),
            attended: alloc(d),
            gate_up: alloc(2 * ffn),
            gated: alloc(ffn),
            projected: alloc(d),
            head_in: device.alloc(head_rows * d),
            logits: device.alloc(head_rows * spec.vocab),
        }
    }

    /// Values, of 4 bytes each, that [`Rows::plan`] asks for.
    pub(super) fn planned_values(spec: &ModelSpec, rows: usize) -> usize {
        let [d, qkv, ffn] = widths(spec);
        rows * (2 + 5 * d + qkv + 3 * ffn) + head_rows(rows, spec.vocab) * (d + spec.vocab)
    }

    pub(super) fn rows_max(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn tokens_mut(&mut self) -> &mut [u32] {
        self.tokens.as_host_mut().expect("a decoder's memory is the host's")
    }
}

/// Of the residual stream, a packed row of queries, keys and values, and the feed-forward.
fn widths(spec: &ModelSpec) -> [usize; 3] {
    let qkv = spec.d_model + 2 * spec.kv_heads * (spec.d_model / spec.heads);
    [spec.d_model, qkv, spec.ffn]
}

fn head_rows(rows: usize, vocab: usize) -> usize {
    rows.min((LOGITS_MAX / vocab).max(1))
}

impl Layers {
    pub(super) fn new(
        device: &Device,
        spec: &ModelSpec,
        params: Arc<Vec<f32>>,
        positions: usize,
    ) -> Result<Self, ModelError> {
        let layout = layout_of(spec)?;
        assert_eq!(params.len(), layout.params(), "as many parameters as the model has");
        Ok(Self {
            device: device.clone(),
            vocab: spec.vocab,
            table: ParamTable::new(spec, &layout),
            rope: rope::Table::new(device, positions, spec.d_model / spec.heads, spec.rope_theta),
            norm_eps: spec.norm_eps as f32,
            turned_heads: spec.heads + spec.kv_heads,
            params,
        })
    }

    fn weight(&self, range: &std::ops::Range<usize>) -> View<'_, f32> {
        self.params[range.clone()].into()
    }

    /// Runs the layers on the tokens of `segments`, which fill the first rows; afterwards
    /// `rows.normed` is what the head reads.
    pub(super) fn forward(&self, cache: &mut Cache, rows: &mut Rows, segments: &[Segment]) {
        let Self { device, table, norm_eps, .. } = self;
        let t: usize = segments.iter().map(|segment| segment.tokens).sum();
        let d = rows.stream.len() / rows.rows_max();
        let Rows { tokens, stream, normed, rstd, .. } = rows;
        let embedding = self.weight(&table.embedding);
        embedding::forward(device, tokens.slice(0..t), embedding, 0, stream.slice_mut(0..t * d));
        let norm = table.layers.first().map_or(&table.norm, |layer| &layer.attention_norm);
        let (x, y) = (stream.slice(0..t * d), normed.slice_mut(0..t * d));
        rms_norm::forward(device, x, self.weight(norm), *norm_eps, y, rstd.slice_mut(0..t));
        for index in 0..table.layers.len() {
            self.attend(&mut cache.layers[index], cache.shape, rows, segments, index, t);
            self.feed_forward(rows, index, t);
        }
    }

    /// Attention of layer `index`: from `normed` to `normed`, and from `stream` to `middle`.
    fn attend(
        &self,
        kept: &mut Kept,
        shape: Shape,
        rows: &mut Rows,
        segments: &[Segment],
        index: usize,
        t: usize,
    ) {
        let (dev, weights) = (&self.device, &self.table.layers[index]);
        let (d, width) = (shape.out_row(), shape.qkv_row());
        let Rows { stream, middle, normed, rstd, qkv, attended, projected, .. } = rows;
        let all = 0..t * d;
        let qkv_all = 0..t * width;
        let w = self.weight(&weights.qkv);
        linear::forward(dev, normed.slice(all.clone()), w, qkv.slice_mut(qkv_all.clone()), t);
        for segment in segments {
            let rows = segment.row * width..(segment.row + segment.tokens) * width;
            let (count, first) = (segment.tokens, segment.first);
            let rows = qkv.slice_mut(rows);
            rope::forward_from(dev, &self.rope, rows, count, first, self.turned_heads);
        }
        let Kept { keys, values } = kept;
        let x = qkv.slice(qkv_all);
        cached_attention::keep(dev, shape, segments, x, keys.view_mut(), values.view_mut());
        let (k, v, out) = (keys.view(), values.view(), attended.slice_mut(all.clone()));
        cached_attention::forward(dev, shape, segments, x, k, v, out);
        let (x, wo) = (attended.slice(all.clone()), self.weight(&weights.wo));
        linear::forward(dev, x, wo, projected.slice_mut(all.clone()), t);
        rms_norm::forward_residual(
            dev,
            stream.slice(all.clone()),
            projected.slice(all.clone()),
            self.weight(&weights.ffn_norm),
            self.norm_eps,
            middle.slice_mut(all.clone()),
            normed.slice_mut(all),
            rstd.slice_mut(0..t),
        );
    }

    /// Feed-forward of layer `index`: from `normed` to what the next layer or the head reads, and
    /// from `middle` to `stream`.
    fn feed_forward(&self, rows: &mut Rows, index: usize, t: usize) {
        let (dev, weights) = (&self.device, &self.table.layers[index]);
        let rows_max = rows.rows_max();
        let Rows { stream, middle, normed, rstd, gate_up, gated, projected, .. } = rows;
        let (d, ffn) = (stream.len() / rows_max, gated.len() / rows_max);
        let (all, wide) = (0..t * d, 0..t * ffn);
        let (x, w) = (normed.slice(all.clone()), self.weight(&weights.gate_up));
        linear::forward(dev, x, w, gate_up.slice_mut(0..2 * t * ffn), t);
        swiglu::forward(dev, gate_up.slice(0..2 * t * ffn), gated.slice_mut(wide.clone()), t);
        let w2 = self.weight(&weights.w2);
        linear::forward(dev, gated.slice(wide), w2, projected.slice_mut(all.clone()), t);
        let next = self.table.layers.get(index + 1);
        let norm = next.map_or(&self.table.norm, |layer| &layer.attention_norm);
        rms_norm::forward_residual(
            dev,
            middle.slice(all.clone()),
            projected.slice(all.clone()),
            self.weight(norm),
            self.norm_eps,
            stream.slice_mut(all.clone()),
            normed.slice_mut(all),
            rstd.slice_mut(0..t),
        );
    }

    /// Logits of some rows, as many at once as their memory holds.
    pub(super) fn head(
        &self,
        rows: &mut Rows,
        wanted: &[(usize, Place)],
        each: &mut (dyn FnMut(Place, &[f32]) + Send),
    ) {
        let d = rows.stream.len() / rows.rows_max();
        let Rows { normed, head_in, logits, .. } = rows;
        let host = "a decoder's memory is the host's";
        for wanted in wanted.chunks(head_in.len() / d) {
            let from = normed.as_host().expect(host);
            let to = head_in.as_host_mut().expect(host);
            for ((row, _), to) in wanted.iter().zip(to.chunks_exact_mut(d)) {
                to.copy_from_slice(&from[row * d..][..d]);
            }
            let (t, w) = (wanted.len(), self.weight(&self.table.output));
            let (x, y) = (head_in.slice(0..t * d), logits.slice_mut(0..t * self.vocab));
            linear::forward(&self.device, x, w, y, t);
            let logits = logits.as_host().expect(host).chunks_exact(self.vocab);
            for ((_, place), logits) in wanted.iter().zip(logits) {
                each(*place, logits);
            }
        }
    }
}
