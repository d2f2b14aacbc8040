//! From the loss back to the gradient of every parameter. Parameter gradients are added to `grads`.

use runtime::ops::cross_entropy::{self, LossSum};
use runtime::ops::{attention, elementwise, embedding, linear, rms_norm, rope, swiglu};
use runtime::{Buffer, ViewMut};

use super::{Activations, Pass};

impl Pass<'_> {
    /// Gradient of `grad_scale` times the summed loss of what [`Pass::forward`] left; the losses
    /// stay in `acts.head`.
    pub(crate) fn backward(
        &self,
        acts: &mut Activations,
        grads: &mut Buffer<f32>,
        grad_scale: f32,
    ) {
        let Pass { device, table, extents, .. } = self;
        cross_entropy::backward(
            device,
            self.comm,
            acts.head_in.view(),
            self.weight(&table.output),
            extents.vocab_start,
            acts.targets.view(),
            grad_scale,
            acts.gradients.normed.view_mut(),
            grads.slice_mut(table.output.clone()),
            &mut acts.head,
        );
        elementwise::fill(device, acts.gradients.stream.view_mut(), 0.0);
        rms_norm::backward(
            device,
            acts.gradients.normed.view(),
            acts.leaving.view(),
            self.weight(&table.norm),
            acts.head_rstd.view(),
            acts.gradients.stream.view_mut(),
            grads.slice_mut(table.norm.clone()),
            acts.gradients.norm_scratch.view_mut(),
        );
        for index in (0..acts.entries.len()).rev() {
            if acts.is_overwritten(index) {
                self.recompute(acts, index);
            }
            self.feed_forward_backward(acts, index, grads.view_mut());
            self.attend_backward(acts, index, grads.view_mut());
        }
        embedding::backward(
            device,
            acts.tokens.view(),
            acts.gradients.stream.view(),
            extents.vocab_start,
            grads.slice_mut(table.embedding.clone()),
        );
    }

    /// Loss of what [`Pass::forward`] left, without gradients.
    pub(crate) fn loss(&self, acts: &mut Activations) -> LossSum {
        cross_entropy::forward(
            self.device,
            self.comm,
            acts.head_in.view(),
            self.weight(&self.table.output),
            self.extents.vocab_start,
            acts.targets.view(),
            &mut acts.head,
        )
    }

    fn feed_forward_backward(
        &self,
        acts: &mut Activations,
        index: usize,
        mut grads: ViewMut<'_, f32>,
    ) {
        let Pass { device, extents, .. } = self;
        let slot = acts.slot(index);
        let (weights, layer) = (&self.table.layers[index], &mut acts.layers[slot]);
        let (g, t) = (&mut acts.gradients, extents.tokens);
        let w2 = grads.reborrow().slice(weights.w2.clone());
        linear::backward_weight(device, g.stream.view(), layer.gated.view(), w2, t);
        let w2 = self.weight(&weights.w2);
        linear::backward_input(device, g.stream.view(), w2, g.gated.view_mut(), t, false);
        swiglu::backward(device, layer.gate_up.view_mut(), g.gated.view(), t);
        let gate_up = grads.reborrow().slice(weights.gate_up.clone());
        linear::backward_weight(device, layer.gate_up.view(), layer.ffn_in.view(), gate_up, t);
        let gate_up = self.weight(&weights.gate_up);
        let d_gate_up = layer.gate_up.view();
        linear::backward_input(device, d_gate_up, gate_up, g.normed.view_mut(), t, false);
        self.comm.all_reduce_sum(g.normed.view_mut());
        rms_norm::backward(
            device,
            g.normed.view(),
            layer.middle.view(),
            self.weight(&weights.ffn_norm),
            layer.ffn_rstd.view(),
            g.stream.view_mut(),
            grads.slice(weights.ffn_norm.clone()),
            g.norm_scratch.view_mut(),
        );
    }

    fn attend_backward(&self, acts: &mut Activations, index: usize, mut grads: ViewMut<'_, f32>) {
        let Pass { device, extents, .. } = self;
        let slot = acts.slot(index);
        let (weights, layer) = (&self.table.layers[index], &mut acts.layers[slot]);
        let (g, t) = (&mut acts.gradients, extents.tokens);
        let entry = &acts.entries[index];
        let wo = grads.reborrow().slice(weights.wo.clone());
        linear::backward_weight(device, g.stream.view(), layer.attended.view(), wo, t);
        let wo = self.weight(&weights.wo);
        linear::backward_input(device, g.stream.view(), wo, g.attended.view_mut(), t, false);
        attention::backward(
            device,
            extents.attention,
            acts.first_keys.as_ref().map(Buffer::view),
            layer.qkv.view(),
            layer.attended.view(),
            g.attended.view(),
            layer.log_sum_exp.view(),
            g.qkv.view_mut(),
        );
        let (seq, heads) = (extents.attention.seq, extents.turned_heads());
        rope::backward(device, &acts.rope, g.qkv.view_mut(), t, seq, heads);
        let qkv = grads.reborrow().slice(weights.qkv.clone());
        linear::backward_weight(device, g.qkv.view(), entry.attention_in.view(), qkv, t);
        let qkv = self.weight(&weights.qkv);
        linear::backward_input(device, g.qkv.view(), qkv, g.normed.view_mut(), t, false);
        self.comm.all_reduce_sum(g.normed.view_mut());
        rms_norm::backward(
            device,
            g.normed.view(),
            entry.entering.view(),
            self.weight(&weights.attention_norm),
            entry.attention_rstd.view(),
            g.stream.view_mut(),
            grads.slice(weights.attention_norm.clone()),
            g.norm_scratch.view_mut(),
        );
    }
}
