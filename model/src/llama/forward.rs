//! Tokens to the normed output of the last layer.

use runtime::ops::{attention, embedding, linear, rms_norm, rope, swiglu};

use super::{Activations, Pass};

impl Pass<'_> {
    /// Runs the layers on `acts.tokens`; afterwards `acts.head_in` is what the head reads.
    pub(crate) fn forward(&self, acts: &mut Activations) {
        let Pass { device, table, extents, .. } = self;
        let first = acts.layers.first_mut().map_or(&mut acts.leaving, |layer| &mut layer.entering);
        let table_rows = self.weight(&table.embedding);
        let start = extents.vocab_start;
        embedding::forward(device, acts.tokens.view(), table_rows, start, first.view_mut());
        self.comm.all_reduce_sum(first.view_mut());
        let Some(layer) = acts.layers.first_mut() else { return };
        rms_norm::forward(
            device,
            layer.entering.view(),
            self.weight(&table.layers[0].attention_norm),
            extents.norm_eps,
            layer.attention_in.view_mut(),
            layer.attention_rstd.view_mut(),
        );
        for index in 0..acts.layers.len() {
            self.attend(acts, index);
            self.feed_forward(acts, index);
        }
    }

    /// Attention of layer `index`: from `attention_in` to `ffn_in`, adding to the residual stream.
    fn attend(&self, acts: &mut Activations, index: usize) {
        let Pass { device, extents, .. } = self;
        let (weights, layer) = (&self.table.layers[index], &mut acts.layers[index]);
        let t = extents.tokens;
        let qkv = self.weight(&weights.qkv);
        linear::forward(device, layer.attention_in.view(), qkv, layer.qkv.view_mut(), t);
        let (seq, heads) = (extents.attention.seq, extents.turned_heads());
        rope::forward(device, &acts.rope, layer.qkv.view_mut(), t, seq, heads);
        attention::forward(
            device,
            extents.attention,
            layer.qkv.view(),
            layer.attended.view_mut(),
            layer.log_sum_exp.view_mut(),
        );
        let wo = self.weight(&weights.wo);
        linear::forward(device, layer.attended.view(), wo, acts.projected.view_mut(), t);
        self.comm.all_reduce_sum(acts.projected.view_mut());
        rms_norm::forward_residual(
            device,
            layer.entering.view(),
            acts.projected.view(),
            self.weight(&weights.ffn_norm),
            extents.norm_eps,
            layer.middle.view_mut(),
            layer.ffn_in.view_mut(),
            layer.ffn_rstd.view_mut(),
        );
    }

    /// Feed-forward of layer `index`: from `ffn_in` to the next layer's `attention_in`, or to the
    /// head.
    fn feed_forward(&self, acts: &mut Activations, index: usize) {
        let Pass { device, extents, table, .. } = self;
        let weights = &table.layers[index];
        let (done, rest) = acts.layers.split_at_mut(index + 1);
        let layer = &mut done[index];
        let t = extents.tokens;
        let gate_up = self.weight(&weights.gate_up);
        linear::forward(device, layer.ffn_in.view(), gate_up, layer.gate_up.view_mut(), t);
        swiglu::forward(device, layer.gate_up.view(), layer.gated.view_mut(), t);
        let w2 = self.weight(&weights.w2);
        linear::forward(device, layer.gated.view(), w2, acts.projected.view_mut(), t);
        self.comm.all_reduce_sum(acts.projected.view_mut());
        let (norm, sum, out, rstd) = match rest.first_mut() {
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
