//! Tokens to the normed output of the last layer.

use runtime::Buffer;
use runtime::ops::{attention, embedding, linear, rms_norm, rope, swiglu};

use super::{Activations, Pass};

impl Pass<'_> {
    /// Runs the layers on `acts.tokens`; afterwards `acts.head_in` is what the head reads.
    pub(crate) fn forward(&self, acts: &mut Activations) {
        let Pass { device, table, extents, .. } = self;
        let first = acts.entries.first_mut().map_or(&mut acts.leaving, |entry| &mut entry.entering);
        let table_rows = self.weight(&table.embedding);
        let start = extents.vocab_start;
        embedding::forward(device, acts.tokens.view(), table_rows, start, first.view_mut());
        self.comm.all_reduce_sum(first.view_mut());
        let Some(entry) = acts.entries.first_mut() else { return };
        rms_norm::forward(
            device,
            entry.entering.view(),
            self.weight(&table.layers[0].attention_norm),
            extents.norm_eps,
            entry.attention_in.view_mut(),
            entry.attention_rstd.view_mut(),
        );
        for index in 0..acts.entries.len() {
            self.attend(acts, index);
            self.feed_forward(acts, index);
        }
    }

    /// Attention of layer `index`: from `attention_in` to `ffn_in`, adding to the residual stream.
    fn attend(&self, acts: &mut Activations, index: usize) {
        let Pass { device, extents, .. } = self;
        let slot = acts.slot(index);
        let (weights, layer) = (&self.table.layers[index], &mut acts.layers[slot]);
        let (entry, t) = (&acts.entries[index], extents.tokens);
        let qkv = self.weight(&weights.qkv);
        linear::forward(device, entry.attention_in.view(), qkv, layer.qkv.view_mut(), t);
        let (seq, heads) = (extents.attention.seq, extents.turned_heads());
        rope::forward(device, &acts.rope, layer.qkv.view_mut(), t, seq, heads);
        attention::forward(
            device,
            extents.attention,
            acts.first_keys.as_ref().map(Buffer::view),
            layer.qkv.view(),
            layer.attended.view_mut(),
            layer.log_sum_exp.view_mut(),
        );
        let wo = self.weight(&weights.wo);
        linear::forward(device, layer.attended.view(), wo, acts.projected.view_mut(), t);
        self.comm.all_reduce_sum(acts.projected.view_mut());
        rms_norm::forward_residual(
            device,
            entry.entering.view(),
            acts.projected.view(),
            self.weight(&weights.ffn_norm),
            extents.norm_eps,
            layer.middle.view_mut(),
            layer.ffn_in.view_mut(),
            layer.ffn_rstd.view_mut(),
        );
    }

    /// The wide part of the feed-forward of layer `index`: from `ffn_in` to `gated`.
    fn gate(&self, acts: &mut Activations, index: usize) {
        let Pass { device, extents, .. } = self;
        let slot = acts.slot(index);
        let (weights, layer) = (&self.table.layers[index], &mut acts.layers[slot]);
        let t = extents.tokens;
        let gate_up = self.weight(&weights.gate_up);
        linear::forward(device, layer.ffn_in.view(), gate_up, layer.gate_up.view_mut(), t);
        swiglu::forward(device, layer.gate_up.view(), layer.gated.view_mut(), t);
    }

    /// Computes the activations of layer `index` again from its entry.
    pub(super) fn recompute(&self, acts: &mut Activations, index: usize) {
        self.attend(acts, index);
        self.gate(acts, index);
    }

    /// Feed-forward of layer `index`: from `ffn_in` to the next layer's `attention_in`, or to the
    /// head.
    fn feed_forward(&self, acts: &mut Activations, index: usize) {
        self.gate(acts, index);
        let Pass { device, extents, table, .. } = self;
        let (weights, slot) = (&table.layers[index], acts.slot(index));
        let (layer, t) = (&acts.layers[slot], extents.tokens);
        let w2 = self.weight(&weights.w2);
        linear::forward(device, layer.gated.view(), w2, acts.projected.view_mut(), t);
        self.comm.all_reduce_sum(acts.projected.view_mut());
        let (norm, sum, out, rstd) = match acts.entries.get_mut(index + 1) {
            Some(next) => (
                &table.layers[index + 1].attention_norm,
                &mut next.entering,
                &mut next.attention_in,
                &mut next.attention_rstd,
            ),
            None => (&table.norm, &mut acts.leaving, &mut acts.head_in, &mut acts.head_rstd),
        };
        rms_norm::forward_residual(
            device,
            layer.middle.view(),
            acts.projected.view(),
            self.weight(norm),
            extents.norm_eps,
            sum.view_mut(),
            out.view_mut(),
            rstd.view_mut(),
        );
    }
}
