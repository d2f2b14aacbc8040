//! Linear layers: factors of bf16 and sums of f32 on either side, so results differ by the order of
//! a sum, and by one rounding where they are activations.

use runtime::ops::linear;

use crate::both::{BF16, activations, compare, params, plain, random_bf16, read};
use crate::oracle::random;

#[test]
fn products_and_their_gradients_are_those_of_the_cpu() {
    for (t, n_in, n_out) in [(1, 8, 8), (70, 40, 24), (33, 128, 136)] {
        compare(|dev| {
            let x = activations(dev, &random_bf16(t * n_in, 1));
            let w = params(dev, &random_bf16(n_out * n_in, 2));
            let dy = activations(dev, &random_bf16(t * n_out, 3));
            let mut y = dev.alloc_activations(t * n_out);
            linear::forward(dev, x.view(), w.view(), y.view_mut(), t);
            let mut dx = dev.alloc_activations(t * n_in);
            linear::backward_input(dev, dy.view(), w.view(), dx.view_mut(), t, false);
            let once = read(&dx);
            linear::backward_input(dev, dy.view(), w.view(), dx.view_mut(), t, true);
            let mut dw = plain(dev, &random(n_out * n_in, 4));
            linear::backward_weight(dev, dy.view(), x.view(), dw.view_mut(), t);
            vec![
                ("y", read(&y), BF16),
                ("dx", once, BF16),
                ("twice dx", read(&dx), 2.0 * BF16),
                ("dw", read(&dw), 1e-5),
            ]
        });
    }
}

#[test]
fn a_matrix_may_begin_anywhere_in_the_parameters() {
    let (t, n_in, n_out) = (5, 16, 8);
    compare(|dev| {
        let (x, w) = (activations(dev, &random_bf16(t * n_in, 5)), random_bf16(1000, 6));
        let (w, mut y) = (params(dev, &w), dev.alloc_activations(t * n_out));
        let range = 24..24 + n_out * n_in;
        linear::forward(dev, x.view(), w.slice(range.clone()), y.view_mut(), t);
        let mut dw = dev.alloc(1000);
        linear::backward_weight(dev, y.view(), x.view(), dw.slice_mut(range), t);
        vec![("y", read(&y), BF16), ("dw", read(&dw), 2.0 * BF16)]
    });
}
