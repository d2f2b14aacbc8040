//! AdamW against the published recurrence in f64, over several steps: 1e-6 of the largest value.

mod oracle;

use oracle::{assert_close, bits, device, devices, random, wide};
use runtime::Device;
use runtime::ops::adamw::{self, Hyper};

const HYPER: Hyper = Hyper { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
const GRAD_SCALE: f32 = 0.5;
const STEPS: u64 = 7;

fn steps(dev: &Device, len: usize) -> [Vec<f32>; 3] {
    let (mut p, mut m, mut v) = (random(len, 1), vec![0.0; len], vec![0.0; len]);
    for n in 1..=STEPS {
        let grads = random(len, 100 + n);
        let (p, m, v) = ((&mut p[..]).into(), (&mut m[..]).into(), (&mut v[..]).into());
        adamw::step(dev, p, grads[..].into(), m, v, &HYPER, n, GRAD_SCALE);
    }
    [p, m, v]
}

fn steps_f64(len: usize) -> [Vec<f64>; 3] {
    let [lr, b1, b2, eps, wd] =
        [HYPER.lr, HYPER.beta1, HYPER.beta2, HYPER.eps, HYPER.weight_decay].map(f64::from);
    let (mut p, mut m, mut v) = (wide(&random(len, 1)), vec![0.0; len], vec![0.0; len]);
    for n in 1..=STEPS {
        for (i, g) in wide(&random(len, 100 + n)).iter().enumerate() {
            let g = g * f64::from(GRAD_SCALE);
            p[i] *= 1.0 - lr * wd;
            m[i] = b1 * m[i] + (1.0 - b1) * g;
            v[i] = b2 * v[i] + (1.0 - b2) * g * g;
            let denominator = v[i].sqrt() / (1.0 - b2.powf(n as f64)).sqrt() + eps;
            p[i] -= lr / (1.0 - b1.powf(n as f64)) * m[i] / denominator;
        }
    }
    [p, m, v]
}

#[test]
fn steps_follow_the_recurrence() {
    for len in [1, 5, 8192, 20_001] {
        for (got, want) in steps(&device(), len).iter().zip(steps_f64(len)) {
            assert_close("state", got, &want, 1e-6);
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let mut runs = devices().into_iter().map(|dev| steps(&dev, 30_001).map(|x| bits(&x)));
    let first = runs.next().expect("one thread");
    assert!(runs.all(|run| run == first));
}

#[test]
fn a_zero_gradient_only_decays() {
    let (mut p, mut m, mut v) = ([2.0_f32; 3], [0.0; 3], [0.0; 3]);
    let (to, m, v) = ((&mut p[..]).into(), (&mut m[..]).into(), (&mut v[..]).into());
    adamw::step(&device(), to, [0.0; 3][..].into(), m, v, &HYPER, 1, 1.0);
    assert_eq!(p, [2.0 * 0.999; 3]);
}
