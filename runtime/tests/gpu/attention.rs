//! Attention.

use runtime::ops::attention::{self, Shape};

use crate::both::{BF16, activations, compare, random_bf16, read, rounded};

#[test]
fn outputs_and_gradients_are_those_of_the_cpu() {
    let shape =
        |batch, seq, heads, kv_heads, head_dim| Shape { batch, seq, heads, kv_heads, head_dim };
    let plain = [shape(1, 1, 1, 1, 8), shape(2, 9, 4, 2, 4), shape(1, 40, 2, 1, 96)];
    let fast = [shape(2, 70, 2, 1, 64), shape(1, 130, 1, 1, 128), shape(1, 33, 2, 2, 256)];
    for shape in plain.into_iter().chain(fast) {
        let out_len = shape.tokens() * shape.out_row();
        compare(|dev| {
            let qkv = activations(dev, &random_bf16(shape.tokens() * shape.qkv_row(), 1));
            let dout = activations(dev, &random_bf16(out_len, 2));
            let mut out = dev.alloc_activations(out_len);
            let mut lse = dev.alloc(shape.lse_len());
            attention::forward(dev, shape, None, qkv.view(), out.view_mut(), lse.view_mut());
            let attended = read(&out);
            // The backward pass reads what the forward pass kept, on either device rounded alike.
            out.write(&rounded(&attended));
            let mut dqkv = dev.alloc_activations(qkv.len());
            let (o, d, l) = (out.view(), dout.view(), lse.view());
            attention::backward(dev, shape, None, qkv.view(), o, d, l, dqkv.view_mut());
            vec![
                ("out", attended, BF16),
                ("lse", read(&lse), 1e-5),
                ("dqkv", read(&dqkv), 3.0 * BF16),
            ]
        });
    }
}
