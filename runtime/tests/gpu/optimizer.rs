//! AdamW: the same operations in the same order, hence the same bits; and products read the new
//! parameters.

use runtime::ops::adamw::{self, Hyper};
use runtime::ops::linear;

use crate::both::{BF16, activations, compare, params, plain, random_bf16, read};
use crate::oracle::random;

const HYPER: Hyper = Hyper { lr: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

#[test]
fn steps_of_adamw_are_those_of_the_cpu_to_the_bit() {
    compare(|dev| {
        let len = 64 * 17;
        let mut p = params(dev, &random(len, 1));
        let (mut m, mut v) = (dev.alloc(len), dev.alloc(len));
        for number in 1..4 {
            let g = plain(dev, &random(len, number + 1));
            let (first, second) = (m.view_mut(), v.view_mut());
            adamw::step(dev, p.view_mut(), g.view(), first, second, &HYPER, number, 0.7);
        }
        let x = activations(dev, &random_bf16(64, 9));
        let mut y = dev.alloc_activations(17);
        linear::forward(dev, x.view(), p.view(), y.view_mut(), 1);
        vec![
            ("params", read(&p), 0.0),
            ("m", read(&m), 0.0),
            ("v", read(&v), 0.0),
            ("a product", read(&y), 3.0 * BF16),
        ]
    });
}
