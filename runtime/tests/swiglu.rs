//! SwiGLU against f64 and central differences, 5e-7 of the largest value.

mod oracle;

use oracle::{assert_close, bits, central_differences, device, devices, dot, random, wide};
use runtime::Device;
use runtime::ops::swiglu;

fn forward_f64(gate_up: &[f64], f: usize) -> Vec<f64> {
    let rows = gate_up.chunks_exact(2 * f).flat_map(|row| {
        (0..f).map(|i| row[i] / (1.0 + (-row[i]).exp()) * row[f + i]).collect::<Vec<_>>()
    });
    rows.collect()
}

/// Gates and ups in (-6, 6).
fn gate_up(t: usize, f: usize) -> Vec<f32> {
    random(t * 2 * f, 1).iter().map(|x| 6.0 * x).collect()
}

fn forward(dev: &Device, gate_up: &[f32], t: usize) -> Vec<f32> {
    let mut y = vec![f32::NAN; gate_up.len() / 2];
    swiglu::forward(dev, gate_up.into(), (&mut y[..]).into(), t);
    y
}

fn backward(dev: &Device, gate_up: &[f32], dy: &[f32], t: usize) -> Vec<f32> {
    let mut in_place = gate_up.to_vec();
    swiglu::backward(dev, (&mut in_place[..]).into(), dy.into(), t);
    in_place
}

#[test]
fn forward_and_gradient_agree_with_the_formula() {
    for (t, f) in [(1, 1), (3, 7), (17, 33), (9, 96)] {
        let (x, dy) = (gate_up(t, f), random(t * f, 2));
        assert_close("y", &forward(&device(), &x, t), &forward_f64(&wide(&x), f), 5e-7);
        let want = central_differences(&wide(&x), |x| dot(&forward_f64(x, f), &wide(&dy)));
        assert_close("d_gate_up", &backward(&device(), &x, &dy, t), &want, 5e-7);
    }
}

#[test]
fn far_gates_saturate_without_nan() {
    let x = [200.0, -200.0, 1.0, 1.0];
    assert_close("saturated", &forward(&device(), &x, 1), &[200.0, 0.0], 1e-6);
    let gradient = backward(&device(), &x, &[1.0, 1.0], 1);
    assert_close("saturated", &gradient, &[1.0, 0.0, 200.0, 0.0], 1e-6);
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (x, dy) = (gate_up(50, 31), random(50 * 31, 3));
    let mut runs = devices()
        .into_iter()
        .map(|dev| (bits(&forward(&dev, &x, 50)), bits(&backward(&dev, &x, &dy, 50))));
    let first = runs.next().expect("one thread");
    assert!(runs.all(|run| run == first));
}
