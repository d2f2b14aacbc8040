//! Vector code without intrinsics: plain loops compiled per instruction set, chosen at run time.
//!
//! Sums run in sixteen partial sums whatever the vector width, and `mul_add` is one rounding
//! everywhere, so AVX2, AVX-512 and NEON give the same bits.

/// Partial sums of a reduction; a multiple of every vector width in use.
pub(crate) const LANES: usize = 16;

/// Runs `kernel` compiled for the widest vectors of this machine. The closure and all it calls must
/// be `#[inline(always)]`: what stays a call of its own is compiled for the plainest machine.
#[inline(always)]
pub fn run<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
}

/// The partial sums added in a fixed tree.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

/// The largest of the partial maxima.
#[inline(always)]
pub(crate) fn max_lanes(lanes: [f32; LANES]) -> f32 {
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Sum of `a[i] * b[i]`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] = a[i].mul_add(b[i], lanes[i]);
        }
    }
    for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[i] = a.mul_add(*b, lanes[i]);
    }
    sum_lanes(lanes)
}

/// `e^x` to about 1e-7 relative: `2^n * p(r)` with `x = n ln 2 + r`, `|r| <= ln 2 / 2`, and the
/// degree-6 minimax polynomial of Cephes' `expf`. Below -87.3 it is 0; infinities and NaN are
/// outside its domain except `-inf`, which gives 0.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.3);
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, clamped));
    let mut p = 1.987_569_1e-4_f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    p = (p * r).mul_add(r, r) + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.3 { 0.0 } else { p * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_to_one_and_a_half_ulp_over_its_domain() {
        let mut worst = 0.0_f64;
        for step in 0..2_000_000 {
            let x = -87.2 + 175.4 * (step as f32 / 2_000_000.0);
            let exact = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - exact) / exact).abs());
        }
        assert!(worst < 1.5e-7, "worst relative error {worst:e}");
    }

    #[test]
    fn exp_of_minus_infinity_is_zero_and_of_zero_is_one() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn dot_handles_lengths_that_are_no_multiple_of_the_lanes() {
        let a: Vec<f32> = (0..37).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), (0..37).map(|i| (i * i) as f32).sum::<f32>());
        assert_eq!(
            run(
                #[inline(always)]
                || dot(&a, &a)
            )
            .to_bits(),
            dot(&a, &a).to_bits()
        );
    }
}
