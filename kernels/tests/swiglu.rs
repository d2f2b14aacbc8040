//! SwiGLU against f64 of the rounded values: 2^-8, half a unit in the last place of bf16 for the
//! largest value.

mod oracle;

use kernels::rows;
use kernels::simt::{Bf16, Buffer, Emulation, Launch};
use kernels::swiglu::*;
use oracle::{assert_close, emulations, from_bf16, random, run, to_bf16, wide};

const BF16: f64 = 1.0 / 256.0;

fn launch(len: usize, f: usize) -> Launch {
    rows::launch((len / f) as u32, f as u32)
}

fn forward(gate_up: &[Bf16], f: usize, emulation: &Emulation) -> Vec<f32> {
    let len = gate_up.len() / 2;
    let (gate_up, y) = (Buffer::from(gate_up), Buffer::unset(len));
    let kernel = swiglu_forward_bf16 { gate_up: gate_up.arg(), y: y.arg(), f: f as u32 };
    run(launch(len, f), &kernel, emulation);
    from_bf16(&y.to_vec())
}

fn backward(gate_up: &[Bf16], dy: &[Bf16], f: usize, emulation: &Emulation) -> Vec<f32> {
    let (gate_up, from) = (Buffer::from(gate_up), Buffer::from(dy));
    let kernel = swiglu_backward_bf16 { gate_up: gate_up.arg(), dy: from.arg(), f: f as u32 };
    run(launch(dy.len(), f), &kernel, emulation);
    from_bf16(&gate_up.to_vec())
}

/// y and the gradient of `dot(y, dy)` in f64.
fn oracle(gate_up: &[f64], dy: &[f64], f: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut y, mut gradient) = (Vec::new(), Vec::new());
    for (row, dy) in gate_up.chunks_exact(2 * f).zip(dy.chunks_exact(f)) {
        let (gate, up) = row.split_at(f);
        let s: Vec<f64> = gate.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        y.extend((0..f).map(|i| gate[i] * s[i] * up[i]));
        gradient.extend((0..f).map(|i| dy[i] * up[i] * s[i] * (1.0 + gate[i] * (1.0 - s[i]))));
        gradient.extend((0..f).map(|i| dy[i] * gate[i] * s[i]));
    }
    (y, gradient)
}

#[test]
fn values_and_gradients_agree_with_f64() {
    for (t, f) in [(1, 8), (5, 24), (33, 352), (2, 2048)] {
        let wider: Vec<f32> = random(t * 2 * f, 1).iter().map(|x| 6.0 * x).collect();
        let (gate_up, dy) = (to_bf16(&wider), to_bf16(&random(t * f, 2)));
        let (y, gradient) = oracle(&wide(&from_bf16(&gate_up)), &wide(&from_bf16(&dy)), f);
        for emulation in emulations() {
            assert_close("y", &forward(&gate_up, f, &emulation), &y, BF16);
            let got = backward(&gate_up, &dy, f, &emulation);
            assert_close("gradient", &got, &gradient, BF16);
        }
    }
}

#[test]
fn gates_far_from_zero_are_shut_or_open() {
    let mut gate_up = vec![-1e30; 8];
    gate_up.extend([2.0; 8]);
    gate_up.extend([1e30; 8]);
    gate_up.extend([2.0; 8]);
    let gate_up = to_bf16(&gate_up);
    let open = Bf16::from_f32(1e30).to_f32() * 2.0;
    let y = forward(&gate_up, 8, &Emulation::default());
    assert_eq!(y[..8], [0.0; 8]);
    assert_eq!(y[8..], [open; 8]);
    let gradient = backward(&gate_up, &to_bf16(&[1.0; 16]), 8, &Emulation::default());
    assert!(gradient.iter().all(|value| value.is_finite()), "{gradient:?}");
    assert_eq!(gradient[16..24], [2.0; 8]);
}
