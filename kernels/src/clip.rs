//! What an inner step does with its loss and its gradient's norm, so that neither has to reach the
//! host before the update: the loss is summed, the clip made, and a step that is not finite stops
//! all that follow.
//!
//! f64 throughout, in operations that round alike everywhere: the same bits on every device.

use crate::cross_entropy::IGNORE;
use crate::simt::*;
use crate::sum_squares::block_sum_f64;

/// Threads of the one block of [`tally_loss`].
pub const THREADS: u32 = 1024;

/// Bytes of shared memory of [`tally_loss`].
pub const SHARED_BYTES: u32 = 32 * 8;

/// Values of `control`: the factor of the gradient; whether no update is to be made, 0 for no; and
/// whether a step was not finite, after which none is made any more.
pub const CONTROL_LEN: usize = 3;

/// Values of `tally`: the sum of losses, and the targets that counted.
pub const TALLY_LEN: usize = 2;

/// Values of `report`: the tally, and the sum of squares of the gradient.
pub const REPORT_LEN: usize = 3;

/// Natural logarithm to 4e-16 of a positive number, no number of anything else: with
/// `x = 2^e m` and `s = (m - 1) / (m + 1)`, `e ln 2 + 2 (s + s^3 / 3 + s^5 / 5 + ..)`.
#[inline(always)]
fn ln(x: f64) -> f64 {
    if !(x > 0.0 && x < f64::INFINITY) {
        return f64::NAN;
    }
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 1023 << 52);
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    // |s| < 0.172: the first term left out is below 2^-57 of the sum.
    let mut series = 1.0 / 23.0;
    unroll!(i in 11 { series = series * square + 1.0 / (21 - 2 * i) as f64; });
    exponent as f64 * core::f64::consts::LN_2 + 2.0 * s * series
}

kernel! {
    /// `tally[0] += sum of ln(sum) - target_logit` over the targets other than `IGNORE`,
    /// `tally[1] += how many`. `sums` holds of each chunk of `chunk_tokens` tokens first the sums
    /// of exponentials, then the targets' logits. One block.
    pub fn tally_loss(
        sums: Global<f32>, targets: Global<u32>, tally: Global<f64>, tokens: u32, chunk_tokens: u32,
    ) {
        let (mut loss, mut count) = (0.0_f64, 0.0_f64);
        let mut token = thread_idx();
        while token < tokens {
            if targets.ld(token as usize) != IGNORE {
                let chunk = chunk_tokens.max(1);
                let first = token / chunk * chunk;
                let of_chunk = (tokens - first).min(chunk);
                let at = first as usize + token as usize;
                let sum = sums.ld(at) as f64;
                loss += ln(sum) - sums.ld(at + of_chunk as usize) as f64;
                count += 1.0;
            }
            token += THREADS;
        }
        let loss = block_sum_f64(loss, Shared::at(0, 32));
        sync_threads();
        let count = block_sum_f64(count, Shared::at(0, 32));
        if thread_idx() == 0 {
            tally.st(0, tally.ld(0) + loss);
            tally.st(1, tally.ld(1) + count);
        }
    }

    /// From the tally of a step and `square[0]`, the sum of squares of the gradient of the summed
    /// loss: the factor that makes it the gradient of the mean loss, no longer than `clip_norm`, in
    /// `control`, what the host is told in `report`, and a tally of zero. One warp.
    ///
    /// `norm = sqrt(square) / count; factor = min(1, clip_norm / (norm + 1e-6)) / count`.
    pub fn clip_gradient(
        tally: Global<f64>, square: Global<f64>, control: Global<f32>, report: Global<f64>,
        clip_norm: f64,
    ) {
        if thread_idx() == 0 {
            let (loss, count, square) = (tally.ld(0), tally.ld(1), square.ld(0));
            let counted = if count > 1.0 { count } else { 1.0 };
            let norm = sqrt_f64(square) / counted;
            let clip = clip_norm / (norm + 1e-6);
            let factor = if clip < 1.0 { clip / counted } else { 1.0 / counted };
            let is_finite = loss.is_finite() && norm.is_finite();
            let stopped = control.ld(2) != 0.0 || !is_finite;
            control.st(0, factor as f32);
            control.st(1, if stopped || count == 0.0 { 1.0 } else { 0.0 });
            control.st(2, if stopped { 1.0 } else { 0.0 });
            report.st(0, loss);
            report.st(1, count);
            report.st(2, square);
            tally.st(0, 0.0);
            tally.st(1, 0.0);
        }
    }
}
