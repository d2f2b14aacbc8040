//! Linear layers against a triple loop in f64, at sizes that straddle every tile.
//! Tolerance 2e-6 of the largest value: at most 600 roundings of 6e-8 that partly cancel. It is
//! the same in bf16, where the oracle has rounded factors, whose products are exact.

mod oracle;

use oracle::{COMPUTES, assert_close, bits, devices, random, read_as};
use runtime::Compute;
use runtime::ops::linear;

const TOLERANCE: f64 = 2e-6;
/// (t, n_out, n_in): single values, below and above the tiles of 6, 16, 32, 192, 256 and depth 256.
const SIZES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (1, 7, 3),
    (5, 16, 33),
    (7, 33, 16),
    (49, 97, 130),
    (200, 257, 37),
    (193, 31, 513),
    (600, 50, 65),
    (385, 300, 260),
];

fn cases() -> impl Iterator<Item = ((usize, usize, usize), Compute)> {
    SIZES.into_iter().flat_map(|size| COMPUTES.map(|compute| (size, compute)))
}

/// `c[m, n] = sum_k a(i, k) * b(k, j)`.
fn product(
    (m, n, k): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).map(|k| a(i, k) * b(k, j)).sum();
        }
    }
    c
}

#[test]
fn forward_is_the_product_with_the_transposed_weight() {
    for ((t, n_out, n_in), compute) in cases() {
        let (x, w) = (random(t * n_in, 1), random(n_out * n_in, 2));
        let runs = devices().map(|dev| {
            let dev = dev.with_compute(compute);
            let mut y = vec![f32::NAN; t * n_out];
            linear::forward(&dev, (&x[..]).into(), (&w[..]).into(), (&mut y[..]).into(), t);
            y
        });
        let (x, w) = (read_as(compute, &x), read_as(compute, &w));
        let want = product((t, n_out, n_in), |i, k| x[i * n_in + k], |k, j| w[j * n_in + k]);
        assert_close(&format!("y {t}x{n_out}x{n_in} {compute:?}"), &runs[0], &want, TOLERANCE);
        assert!(runs.iter().all(|y| bits(y) == bits(&runs[0])), "threads show in {compute:?}");
    }
}

#[test]
fn input_gradient_is_written_or_added() {
    for ((t, n_out, n_in), compute) in cases() {
        let dev = oracle::device().with_compute(compute);
        let (dy, w) = (random(t * n_out, 3), random(n_out * n_in, 4));
        let before = random(t * n_in, 5);
        let (dy64, w64) = (read_as(compute, &dy), read_as(compute, &w));
        let mut want =
            product((t, n_in, n_out), |i, k| dy64[i * n_out + k], |k, j| w64[k * n_in + j]);
        let mut dx = before.clone();
        let run = |dx: &mut [f32], accumulate| {
            linear::backward_input(
                &dev,
                (&dy[..]).into(),
                (&w[..]).into(),
                dx.into(),
                t,
                accumulate,
            );
        };
        run(&mut dx, false);
        assert_close("dx", &dx, &want, TOLERANCE);
        dx.copy_from_slice(&before);
        run(&mut dx, true);
        want.iter_mut().zip(&before).for_each(|(want, before)| *want += f64::from(*before));
        assert_close("dx added", &dx, &want, TOLERANCE);
    }
}

#[test]
fn weight_gradient_is_added() {
    for ((t, n_out, n_in), compute) in cases() {
        let dev = oracle::device().with_compute(compute);
        let (dy, x) = (random(t * n_out, 6), random(t * n_in, 7));
        let mut dw = random(n_out * n_in, 8);
        let (dy64, x64) = (read_as(compute, &dy), read_as(compute, &x));
        let mut want =
            product((n_out, n_in, t), |i, k| dy64[k * n_out + i], |k, j| x64[k * n_in + j]);
        want.iter_mut().zip(&dw).for_each(|(want, before)| *want += f64::from(*before));
        linear::backward_weight(&dev, (&dy[..]).into(), (&x[..]).into(), (&mut dw[..]).into(), t);
        assert_close("dw", &dw, &want, TOLERANCE);
    }
}

#[test]
fn each_value_is_one_chain_of_fused_sums_in_pieces_of_256() {
    let (t, n_out, n_in) = (100, 70, 700);
    let (x, w) = (random(t * n_in, 9), random(n_out * n_in, 10));
    let mut want = vec![0.0_f32; t * n_out];
    for i in 0..t {
        for j in 0..n_out {
            let (x, w) = (&x[i * n_in..][..n_in], &w[j * n_in..][..n_in]);
            let piece = |(x, w): (&[f32], &[f32])| {
                x.iter().zip(w).fold(0.0_f32, |sum, (x, w)| x.mul_add(*w, sum))
            };
            let pieces = x.chunks(256).zip(w.chunks(256)).map(piece);
            want[i * n_out + j] = pieces.reduce(|a, b| a + b).expect("three pieces");
        }
    }
    for dev in devices() {
        let mut y = vec![0.0; t * n_out];
        linear::forward(&dev, (&x[..]).into(), (&w[..]).into(), (&mut y[..]).into(), t);
        assert_eq!(bits(&y), bits(&want), "on {} threads", dev.threads());
    }
}
