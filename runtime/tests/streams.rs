//! Whole-buffer streams and reductions: exact values, and the same bits on any number of threads.

mod oracle;

use oracle::{bits, device, devices, random};
use runtime::ops::{elementwise, reduce};

#[test]
fn fill_copy_add_and_scale_reach_every_value() {
    for len in [1, 17, 8192, 20_003] {
        let x = random(len, 1);
        let mut y = vec![f32::NAN; len];
        elementwise::fill(&device(), (&mut y[..]).into(), 2.0);
        assert_eq!(y, vec![2.0; len]);
        elementwise::add(&device(), x[..].into(), (&mut y[..]).into());
        let want: Vec<f32> = x.iter().map(|x| 2.0 + x).collect();
        assert_eq!(y, want);
        elementwise::scale(&device(), (&mut y[..]).into(), 0.5);
        let want: Vec<f32> = want.iter().map(|x| 0.5 * x).collect();
        assert_eq!(y, want);
        elementwise::copy(&device(), x[..].into(), (&mut y[..]).into());
        assert_eq!(bits(&y), bits(&x));
    }
}

#[test]
fn sum_of_squares_is_exact_to_f64_and_independent_of_threads() {
    for len in [0, 1, 31, 16_384, 100_003] {
        let x = random(len, 2);
        let want: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let sums: Vec<f64> =
            devices().iter().map(|dev| reduce::sum_squares(dev, x[..].into())).collect();
        assert!((sums[0] - want).abs() <= 1e-11 * want, "{} {want}", sums[0]);
        assert!(sums.iter().all(|sum| sum.to_bits() == sums[0].to_bits()));
    }
}

#[test]
fn a_value_that_is_not_finite_shows_in_the_sum_of_squares() {
    let mut x = random(40_000, 3);
    x[39_999] = f32::NAN;
    assert!(reduce::sum_squares(&device(), x[..].into()).is_nan());
    x[39_999] = f32::INFINITY;
    assert_eq!(reduce::sum_squares(&device(), x[..].into()), f64::INFINITY);
}
