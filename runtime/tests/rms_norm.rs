//! RMS normalisation against f64, and its gradient against central differences.
//! Tolerance 1e-6 of the largest value; 3e-6 for gains, summed over up to 100 tokens.

mod oracle;

use oracle::{assert_close, bits, central_differences, device, devices, dot, random, wide};
use runtime::Device;
use runtime::ops::rms_norm;

const EPS: f32 = 1e-5;
/// (t, d): fewer and more tokens than partial sums, widths that are no multiple of the lanes.
const SIZES: [(usize, usize); 5] = [(1, 1), (3, 7), (33, 48), (100, 21), (64, 130)];

fn forward_f64(x: &[f64], w: &[f64]) -> Vec<f64> {
    let rows = x.chunks_exact(w.len()).flat_map(|row| {
        let rstd = 1.0 / (dot(row, row) / w.len() as f64 + f64::from(EPS)).sqrt();
        row.iter().zip(w).map(move |(x, w)| x * rstd * w)
    });
    rows.collect()
}

struct Run {
    y: Vec<f32>,
    rstd: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
}

/// Forward, then backward into gradients that start at one.
fn run(dev: &Device, x: &[f32], w: &[f32], dy: &[f32]) -> Run {
    let t = x.len() / w.len();
    let mut run =
        Run { y: vec![f32::NAN; x.len()], rstd: vec![0.0; t], dx: vec![1.0; x.len()], dw: vec![] };
    run.dw = vec![1.0; w.len()];
    let (y, rstd) = ((&mut run.y[..]).into(), (&mut run.rstd[..]).into());
    rms_norm::forward(dev, x.into(), w.into(), EPS, y, rstd);
    let mut scratch = vec![f32::NAN; rms_norm::scratch_len(w.len())];
    let (dx, dw) = ((&mut run.dx[..]).into(), (&mut run.dw[..]).into());
    let rstd = run.rstd[..].into();
    let scratch = (&mut scratch[..]).into();
    rms_norm::backward(dev, dy.into(), x.into(), w.into(), rstd, dx, dw, scratch);
    run
}

#[test]
fn rows_are_scaled_to_unit_mean_square_times_the_gains() {
    for (t, d) in SIZES {
        let (x, w, dy) = (random(t * d, 1), random(d, 2), random(t * d, 3));
        let got = run(&device(), &x, &w, &dy);
        assert_close("y", &got.y, &forward_f64(&wide(&x), &wide(&w)), 1e-6);
    }
}

#[test]
fn gradients_are_added_and_agree_with_central_differences() {
    for (t, d) in SIZES {
        let (x, w, dy) = (random(t * d, 4), random(d, 5), random(t * d, 6));
        let got = run(&device(), &x, &w, &dy);
        let (x, w, dy) = (wide(&x), wide(&w), wide(&dy));
        let one = |gradient: Vec<f64>| gradient.into_iter().map(|g| g + 1.0).collect::<Vec<_>>();
        let dx = one(central_differences(&x, |x| dot(&forward_f64(x, &w), &dy)));
        let dw = one(central_differences(&w, |w| dot(&forward_f64(&x, w), &dy)));
        assert_close("dx", &got.dx, &dx, 1e-6);
        assert_close("dw", &got.dw, &dw, 3e-6);
    }
}

#[test]
fn with_a_residual_it_is_the_sum_and_its_norm() {
    let (t, d) = (37, 50);
    let (x, delta, w) = (random(t * d, 7), random(t * d, 8), random(d, 9));
    let sum: Vec<f32> = x.iter().zip(&delta).map(|(a, b)| a + b).collect();
    let want = run(&device(), &sum, &w, &x);
    let (mut got, mut y, mut rstd) = (vec![0.0; t * d], vec![0.0; t * d], vec![0.0; t]);
    rms_norm::forward_residual(
        &device(),
        x[..].into(),
        delta[..].into(),
        w[..].into(),
        EPS,
        (&mut got[..]).into(),
        (&mut y[..]).into(),
        (&mut rstd[..]).into(),
    );
    assert_eq!((bits(&got), bits(&y)), (bits(&sum), bits(&want.y)));
    assert_eq!(bits(&rstd), bits(&want.rstd));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (t, d) = (211, 40);
    let (x, w, dy) = (random(t * d, 10), random(d, 11), random(t * d, 12));
    let mut runs = devices().into_iter().map(|dev| {
        let run = run(&dev, &x, &w, &dy);
        (bits(&run.y), bits(&run.dx), bits(&run.dw))
    });
    let first = runs.next().expect("one thread");
    assert!(runs.all(|run| run == first));
}
