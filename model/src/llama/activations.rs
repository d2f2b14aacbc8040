//! Every tensor that a pass needs besides the parameters, planned once and reused by every step.

use runtime::ops::{cross_entropy, rms_norm, rope};
use runtime::{Buffer, Device, Storage};
use wire::ModelSpec;

use super::Extents;

/// Where a layer starts.
pub(crate) struct LayerEntry {
    /// Residual stream that enters the layer, `[t, d]`.
    pub(crate) entering: Buffer<f32>,
    /// Normed input of the attention, `[t, d]`, and one over its root mean square, `[t]`.
    pub(crate) attention_in: Buffer<f32>,
    pub(crate) attention_rstd: Buffer<f32>,
}

/// What else the backward pass needs of one layer: it follows from where the layer starts.
pub(crate) struct LayerActivations {
    /// Queries and keys after RoPE, and values, `[t, (heads + 2 kv_heads) * head_dim]`.
    pub(crate) qkv: Buffer<f32>,
    /// Output of the attention, `[t, heads * head_dim]`, and its log-sum-exp per row.
    pub(crate) attended: Buffer<f32>,
    pub(crate) log_sum_exp: Buffer<f32>,
    /// Residual stream between attention and feed-forward, `[t, d]`.
    pub(crate) middle: Buffer<f32>,
    /// Normed input of the feed-forward, `[t, d]`, and one over its root mean square, `[t]`.
    pub(crate) ffn_in: Buffer<f32>,
    pub(crate) ffn_rstd: Buffer<f32>,
    /// Gate and up projections side by side, `[t, 2 f]`; backward, their gradients.
    pub(crate) gate_up: Buffer<f32>,
    /// silu(gate) * up, `[t, f]`.
    pub(crate) gated: Buffer<f32>,
}

/// All activations of one rank, and the scratch of its operations.
pub(crate) struct Activations {
    pub(crate) tokens: Buffer<u32>,
    pub(crate) targets: Buffer<u32>,
    /// First place of its sequence that each token attends to, where documents are kept apart.
    pub(crate) first_keys: Option<Buffer<u32>>,
    pub(crate) rope: rope::Table,
    pub(crate) entries: Vec<LayerEntry>,
    /// Those of each layer; the first [`Extents::recomputed`] layers share one, and all but the
    /// last of them are computed again on the way back.
    pub(crate) layers: Vec<LayerActivations>,
    recomputed: usize,
    /// Residual stream after the last layer, its norm and one over its root mean square.
    pub(crate) leaving: Buffer<f32>,
    pub(crate) head_in: Buffer<f32>,
    pub(crate) head_rstd: Buffer<f32>,
    /// Output of a row-parallel linear, `[t, d]`.
    pub(crate) projected: Buffer<f32>,
    pub(crate) head: cross_entropy::Scratch,
    pub(crate) gradients: Gradients,
}

/// Gradients of activations, shared by all layers.
pub(crate) struct Gradients {
    /// Of the residual stream, `[t, d]`.
    pub(crate) stream: Buffer<f32>,
    /// Of a norm's output, `[t, d]`.
    pub(crate) normed: Buffer<f32>,
    /// Of the attention's output, `[t, heads * head_dim]`.
    pub(crate) attended: Buffer<f32>,
    /// Of the packed queries, keys and values.
    pub(crate) qkv: Buffer<f32>,
    /// Of silu(gate) * up, `[t, f]`.
    pub(crate) gated: Buffer<f32>,
    pub(crate) norm_scratch: Buffer<f32>,
}

impl Activations {
    pub(crate) fn plan(device: &Device, spec: &ModelSpec, extents: &Extents) -> Self {
        let t = extents.tokens;
        let stream = t * extents.d_model;
        let alloc = |len| device.alloc_activations(len);
        let exact = |len| device.alloc::<f32>(len);
        let entry = |_| LayerEntry {
            entering: alloc(stream),
            attention_in: alloc(stream),
            attention_rstd: exact(t),
        };
        let layer = |_| LayerActivations {
            qkv: alloc(t * extents.attention.qkv_row()),
            attended: alloc(t * extents.attention.out_row()),
            log_sum_exp: exact(t * extents.attention.heads),
            middle: alloc(stream),
            ffn_in: alloc(stream),
            ffn_rstd: exact(t),
            gate_up: alloc(t * 2 * extents.ffn),
            gated: alloc(t * extents.ffn),
        };
        Self {
            tokens: device.alloc(t),
            targets: device.alloc(t),
            first_keys: extents.document_masks.then(|| device.alloc(t)),
            rope: rope::Table::new(
                device,
                spec.seq_len,
                extents.attention.head_dim,
                spec.rope_theta,
            ),
            entries: (0..spec.layers).map(entry).collect(),
            layers: (0..extents.held_layers(spec.layers)).map(layer).collect(),
            recomputed: extents.recomputed,
            leaving: alloc(stream),
            head_in: alloc(stream),
            head_rstd: exact(t),
            projected: alloc(stream),
            head: cross_entropy::Scratch::new(device, t, extents.vocab),
            gradients: Gradients {
                stream: alloc(stream),
                normed: alloc(stream),
                attended: alloc(t * extents.attention.out_row()),
                qkv: alloc(t * extents.attention.qkv_row()),
                gated: alloc(t * extents.ffn),
                norm_scratch: exact(rms_norm::scratch_len(extents.d_model)),
            },
        }
    }
}

impl Activations {
    /// Where in [`Activations::layers`] those of a layer are.
    pub(crate) fn slot(&self, layer: usize) -> usize {
        (layer + 1).saturating_sub(self.recomputed.max(1))
    }

    /// Whether a layer's were overwritten by those of the next one.
    pub(crate) fn is_overwritten(&self, layer: usize) -> bool {
        layer + 1 < self.recomputed
    }
}

/// Bytes that [`Activations::plan`] will ask for, without asking.
pub(crate) fn planned_bytes(spec: &ModelSpec, extents: &Extents, storage: Storage) -> usize {
    let t = extents.tokens;
    let rows = extents.attention.qkv_row() + extents.attention.out_row();
    // Per token, those that a GPU rounds and those that it does not.
    let held = extents.held_layers(spec.layers);
    let layers =
        spec.layers * 2 * extents.d_model + held * (2 * extents.d_model + rows + 3 * extents.ffn);
    let shared = 5 * extents.d_model + rows + extents.ffn;
    let exact = spec.layers + held * (1 + extents.attention.heads) + 3;
    let scratch = cross_entropy::Scratch::planned_bytes(storage, t, extents.vocab)
        + size_of::<f32>() * rms_norm::scratch_len(extents.d_model)
        + size_of::<f32>() * spec.seq_len * extents.attention.head_dim
        + size_of::<u32>() * t * usize::from(extents.document_masks);
    t * (storage.activation_bytes() * (layers + shared) + size_of::<f32>() * exact) + scratch
}
