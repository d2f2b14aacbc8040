//! Softmax over keys that arrive tile by tile (Milakov and Gimelshein 2018), in powers of two: a
//! score s counts as `2^((s - peak) * scale2)`, `scale2 = log2(e) / sqrt(head_dim)`. A thread has
//! two rows, which it shares with the other three lanes of its quad.

use super::tile::Square;
use crate::simt::*;

/// What is known of two rows so far.
#[derive(Clone, Copy)]
pub(super) struct Softmax {
    /// log2(e) / sqrt(head_dim).
    scale2: f32,
    /// Largest score, unscaled.
    peak: [f32; 2],
    /// Sum over this lane's keys.
    sum: [f32; 2],
}

impl Softmax {
    #[inline(always)]
    pub(super) fn new(scale2: f32) -> Self {
        Self { scale2, peak: [f32::NEG_INFINITY; 2], sum: [0.0; 2] }
    }

    /// Turns scores into weights, by the peak with them included; returns the factors that bring
    /// older weights there. The first scores of a row hold one that is finite, or the row is NaN.
    #[inline(always)]
    pub(super) fn weigh<const N: usize>(&mut self, scores: &mut [Square; N]) -> [f32; 2] {
        let mut factors = [0.0; 2];
        let mut h = 0;
        while h < 2 {
            let mut peak = self.peak[h];
            let mut n = 0;
            while n < N {
                peak = peak.max(scores[n][0][2 * h].max(scores[n][0][2 * h + 1]));
                peak = peak.max(scores[n][1][2 * h].max(scores[n][1][2 * h + 1]));
                n += 1;
            }
            peak = quad(peak, f32::max);
            factors[h] = exp2((self.peak[h] - peak) * self.scale2);
            self.peak[h] = peak;
            let (offset, mut sum) = (-peak * self.scale2, self.sum[h] * factors[h]);
            n = 0;
            while n < N {
                let mut half = 0;
                while half < 2 {
                    let [a, b] =
                        [0, 1].map(|e| exp2(fma(scores[n][half][2 * h + e], self.scale2, offset)));
                    scores[n][half][2 * h] = a;
                    scores[n][half][2 * h + 1] = b;
                    sum += a + b;
                    half += 1;
                }
                n += 1;
            }
            self.sum[h] = sum;
            h += 1;
        }
        factors
    }

    /// The factors that make weights sum to one, and the natural logarithms of the sums of
    /// `exp(score / sqrt(head_dim))`.
    #[inline(always)]
    pub(super) fn finish(&self) -> ([f32; 2], [f32; 2]) {
        let sum = self.sum.map(|sum| quad(sum, |a, b| a + b));
        let lse =
            [0, 1].map(|h| (self.peak[h] * self.scale2 + log2(sum[h])) * core::f32::consts::LN_2);
        (sum.map(|sum| 1.0 / sum), lse)
    }
}

/// Over the four lanes that share a row; all end with the same bits, for `join` commutes.
#[inline(always)]
fn quad(value: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let value = join(value, shfl_xor_f32(value, 1));
    join(value, shfl_xor_f32(value, 2))
}

/// Hides from queries the keys that come after them. `ahead` is by how many tokens the first query
/// of the squares is ahead of the first key.
#[inline(always)]
pub(super) fn hide<const N: usize>(scores: &mut [Square; N], ahead: i32) {
    let ahead = ahead + (lane() / 4) as i32 - (lane() % 4 * 2) as i32;
    let mut n = 0;
    while n < N {
        let mut half = 0;
        while half < 2 {
            let mut i = 0;
            while i < 4 {
                let key = (16 * n + 8 * half + i % 2) as i32;
                if key > ahead + 8 * (i / 2) as i32 {
                    scores[n][half][i] = f32::NEG_INFINITY;
                }
                i += 1;
            }
            half += 1;
        }
        n += 1;
    }
}

/// [`hide`] of transposed scores, whose rows are keys and whose columns are queries.
#[inline(always)]
pub(super) fn hide_transposed<const N: usize>(scores: &mut [Square; N], ahead: i32) {
    let ahead = ahead + (lane() % 4 * 2) as i32 - (lane() / 4) as i32;
    let mut n = 0;
    while n < N {
        let mut half = 0;
        while half < 2 {
            let mut i = 0;
            while i < 4 {
                let query = (16 * n + 8 * half + i % 2) as i32;
                if query + ahead < 8 * (i / 2) as i32 {
                    scores[n][half][i] = f32::NEG_INFINITY;
                }
                i += 1;
            }
            half += 1;
        }
        n += 1;
    }
}
