//! Sums of squares against whole numbers: 1e-14 of the sum. Lengths below and above one run, odd
//! ones, and more runs than a block has threads.

mod oracle;

use kernels::simt::{Buffer, Emulation, Launch};
use kernels::sum_squares::*;
use oracle::{emulations, random, run};

fn sum_squares(x: &[f32], emulation: &Emulation) -> f64 {
    let runs = x.len().div_ceil(RUN) as u32;
    let (x, partials, sum) = (Buffer::from(x), Buffer::unset(runs as usize), Buffer::unset(1));
    let len = x.len() as u64;
    let of_runs = sum_squares_of_runs { x: x.arg(), partials: partials.arg(), len };
    run(Launch::new(runs, THREADS, SHARED_BYTES), &of_runs, emulation);
    let of_partials = sum_of_partials { partials: partials.arg(), sum: sum.arg(), len: runs };
    run(Launch::new(1, THREADS, SHARED_BYTES), &of_partials, emulation);
    sum.to_vec()[0]
}

#[test]
fn the_sum_is_that_of_f64_whatever_the_length() {
    for len in [1, 3, 1000, RUN, RUN + 1, 3 * RUN - 5] {
        let x = random(len, len as u64);
        // The values are multiples of 2^-23.
        let whole = |x: &f32| (f64::from(*x) * f64::from(1 << 23)) as i128;
        let want: i128 = x.iter().map(|x| whole(x) * whole(x)).sum();
        let want = want as f64 / (1_u64 << 46) as f64;
        let sums = emulations().map(|emulation| sum_squares(&x, &emulation));
        assert!((sums[0] / want - 1.0).abs() < 1e-14, "{len} values: {} for {want}", sums[0]);
        assert!(sums.iter().all(|sum| sum.to_bits() == sums[0].to_bits()), "in any order of lanes");
    }
}

#[test]
fn partial_sums_of_a_large_vector_are_all_added() {
    let partials: Vec<f64> = (0..1000).map(f64::from).collect();
    let (from, sum) = (Buffer::from(&partials), Buffer::unset(1));
    let kernel = sum_of_partials { partials: from.arg(), sum: sum.arg(), len: 1000 };
    run(Launch::new(1, THREADS, SHARED_BYTES), &kernel, &Emulation::default());
    assert_eq!(sum.to_vec(), [499_500.0]);
}

#[test]
fn it_is_finite_exactly_when_every_value_is() {
    let mut x = random(5000, 6);
    x[17] = f32::MAX;
    assert!(sum_squares(&x, &Emulation::default()).is_finite());
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        x[4999] = value;
        assert!(!sum_squares(&x, &Emulation::default()).is_finite());
    }
}
