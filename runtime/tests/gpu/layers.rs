//! Streams, norms, positions, feed-forward and embedding.

use runtime::Device;
use runtime::ops::{elementwise, embedding, reduce, rms_norm, rope, swiglu};

use crate::both::{BF16, activations, compare, gpus, params, plain, random_bf16, read};
use crate::oracle::random;

#[test]
fn streams_of_f32_are_those_of_the_cpu_to_the_bit() {
    for len in [1, 1003, 4096] {
        compare(|dev| {
            let (x, mut y) = (plain(dev, &random(len, 1)), plain(dev, &random(len, 2)));
            elementwise::add(dev, x.view(), y.view_mut());
            elementwise::scale(dev, y.view_mut(), 0.3);
            let mut copied = dev.alloc(len);
            elementwise::copy(dev, y.view(), copied.view_mut());
            let mut filled = dev.alloc(len);
            elementwise::fill(dev, filled.view_mut(), 7.0);
            elementwise::fill(dev, y.view_mut(), 0.0);
            vec![
                ("copied", read(&copied), 0.0),
                ("filled", read(&filled), 0.0),
                ("cleared", read(&y), 0.0),
            ]
        });
    }
}

#[test]
fn streams_of_activations_are_rounded_once_each() {
    compare(|dev| {
        let x = activations(dev, &random_bf16(1003, 3));
        let mut y = activations(dev, &random_bf16(1003, 4));
        elementwise::add(dev, x.view(), y.view_mut());
        elementwise::scale(dev, y.view_mut(), 0.3);
        let mut filled = dev.alloc_activations(9);
        elementwise::fill(dev, filled.view_mut(), 1.5);
        vec![("y", read(&y), 2.0 * BF16), ("filled", read(&filled), 0.0)]
    });
}

#[test]
fn the_sum_of_squares_is_that_of_the_cpu_but_for_the_order() {
    for len in [1, 70_001] {
        let sum = |dev: &Device| reduce::sum_squares(dev, plain(dev, &random(len, 5)).view());
        let want = sum(&crate::oracle::device());
        for gpu in gpus() {
            let got = sum(&gpu);
            // The CPU adds a thousand values in a row, which is off by so much.
            assert!((got / want - 1.0).abs() < 1e-13, "{got} for {want}");
            assert_eq!(got.to_bits(), sum(&gpu).to_bits());
        }
    }
}

#[test]
fn norms_and_their_gradients_are_those_of_the_cpu() {
    for (t, d) in [(1, 8), (37, 136), (300, 64)] {
        compare(|dev| {
            let act = |seed| activations(dev, &random_bf16(t * d, seed));
            let (x, delta, dy, mut dx) = (act(1), act(2), act(3), act(4));
            let (w, mut dw) = (params(dev, &random_bf16(d, 5)), plain(dev, &random(d, 6)));
            let [mut y, mut sum] = [(); 2].map(|()| dev.alloc_activations(t * d));
            let (mut rstd, mut rstd_of_sum) = (dev.alloc(t), dev.alloc(t));
            let (eps, mut scratch) = (1e-5, dev.alloc(rms_norm::scratch_len(d)));
            rms_norm::forward(dev, x.view(), w.view(), eps, y.view_mut(), rstd.view_mut());
            let first = read(&y);
            rms_norm::forward_residual(
                dev,
                x.view(),
                delta.view(),
                w.view(),
                eps,
                sum.view_mut(),
                y.view_mut(),
                rstd_of_sum.view_mut(),
            );
            rms_norm::backward(
                dev,
                dy.view(),
                x.view(),
                w.view(),
                rstd.view(),
                dx.view_mut(),
                dw.view_mut(),
                scratch.view_mut(),
            );
            vec![
                ("y", first, BF16),
                ("rstd", read(&rstd), 1e-6),
                ("sum", read(&sum), BF16),
                ("y of the sum", read(&y), BF16),
                ("dx", read(&dx), BF16),
                ("dw", read(&dw), 1e-5),
            ]
        });
    }
}

#[test]
fn positions_turn_and_turn_back() {
    for (batch, seq, heads, row_heads, head_dim) in [(1, 1, 1, 1, 8), (2, 5, 6, 8, 4)] {
        let (t, row) = (batch * seq, row_heads * head_dim);
        compare(|dev| {
            let table = rope::Table::new(dev, 8, head_dim, 10_000.0);
            let mut qkv = activations(dev, &random_bf16(t * row, 1));
            rope::forward(dev, &table, qkv.view_mut(), t, seq, heads);
            let turned = read(&qkv);
            rope::backward(dev, &table, qkv.view_mut(), t, seq, heads);
            vec![("turned", turned, BF16), ("and back", read(&qkv), 2.0 * BF16)]
        });
    }
}

#[test]
fn gates_and_their_gradients_are_those_of_the_cpu() {
    for (t, f) in [(1, 8), (9, 352)] {
        compare(|dev| {
            let mut gate_up = activations(dev, &random_bf16(t * 2 * f, 1));
            let dy = activations(dev, &random_bf16(t * f, 2));
            let mut y = dev.alloc_activations(t * f);
            swiglu::forward(dev, gate_up.view(), y.view_mut(), t);
            swiglu::backward(dev, gate_up.view_mut(), dy.view(), t);
            vec![("y", read(&y), BF16), ("gradient", read(&gate_up), BF16)]
        });
    }
}

#[test]
fn embedding_rows_and_their_gradients_are_those_of_the_cpu_to_the_bit() {
    let (t, d, vocab, start) = (300, 24, 40, 5);
    let tokens: Vec<u32> = random(t, 1).iter().map(|x| ((x + 1.0) * 24.0) as u32).collect();
    compare(|dev| {
        let (tokens, table) = (plain(dev, &tokens), params(dev, &random_bf16(vocab * d, 2)));
        let dout = activations(dev, &random_bf16(t * d, 3));
        let (mut out, mut dtable) = (dev.alloc_activations(t * d), dev.alloc(vocab * d));
        embedding::forward(dev, tokens.view(), table.view(), start, out.view_mut());
        embedding::backward(dev, tokens.view(), dout.view(), start, dtable.view_mut());
        vec![("out", read(&out), 0.0), ("dtable", read(&dtable), 0.0)]
    });
}
