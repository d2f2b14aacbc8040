//! The head: logits are rounded to bf16 on a GPU, which moves a loss by up to 2^-9 of the largest
//! logit; gradients are made of them and are rounded twice more.

use runtime::collective::Solo;
use runtime::ops::cross_entropy::{self, IGNORE, Scratch};

use crate::both::{BF16, activations, compare, params, plain, random_bf16, read};
use crate::oracle::random;

#[test]
fn loss_and_gradients_are_those_of_the_cpu() {
    for (t, d, v) in [(1, 8, 8), (70, 32, 136)] {
        let draw = |x: &f32| if *x > 0.8 { IGNORE } else { ((x + 1.0) / 2.0 * v as f32) as u32 };
        let targets: Vec<u32> = random(t, 1).iter().map(draw).collect();
        compare(|dev| {
            let x = activations(dev, &random_bf16(t * d, 2));
            let w = params(dev, &random_bf16(v * d, 3));
            let targets = plain(dev, &targets);
            let (mut dx, mut dw) = (dev.alloc_activations(t * d), dev.alloc(v * d));
            let mut scratch = Scratch::new(dev, t, v);
            let loss = cross_entropy::forward_backward(
                dev,
                &Solo,
                x.view(),
                w.view(),
                0,
                targets.view(),
                0.5,
                dx.view_mut(),
                dw.view_mut(),
                &mut scratch,
            );
            let only = cross_entropy::forward(
                dev,
                &Solo,
                x.view(),
                w.view(),
                0,
                targets.view(),
                &mut scratch,
            );
            assert_eq!(only, loss, "evaluation and training see the same loss");
            vec![
                ("loss", vec![loss.sum as f32], BF16),
                ("count", vec![loss.count as f32], 0.0),
                ("dx", read(&dx), 4.0 * BF16),
                ("dw", read(&dw), 4.0 * BF16),
            ]
        });
    }
}
