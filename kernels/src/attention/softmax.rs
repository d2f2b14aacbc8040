//! Softmax over keys that arrive tile by tile (Milakov and Gimelshein 2018), in powers of two: a
//! score s counts as `2^((s - peak) * scale2)`, `scale2 = log2(e) / sqrt(head_dim)`. A thread has
//! two rows, which it shares with the other three lanes of its quad.

use crate::simt::*;

/// Scores of 16 queries (or keys) in the registers of a warp, in squares of 16 by 16. Value
/// `i = 2h + e` of half `half` of square `n` is row `g + 8h`, column `16n + 8 * half + 2t + e`,
/// with g = lane / 4 and t = lane % 4.
pub(super) trait Scores {
    /// Squares side by side.
    const SQUARES: usize;

    /// Value `i` of a half.
    fn get(&self, n: usize, half: usize, i: usize) -> f32;

    /// Sets value `i` of a half.
    fn set(&mut self, n: usize, half: usize, i: usize, value: f32);

    /// Replaces every value by a function of it and of `n`, `half` and `i`.
    #[inline(always)]
    fn each(&mut self, value: impl Fn(f32, usize, usize, usize) -> f32) {
        let mut n = 0;
        while n < Self::SQUARES {
            let mut half = 0;
            while half < 2 {
                let mut i = 0;
                while i < 4 {
                    self.set(n, half, i, value(self.get(n, half, i), n, half, i));
                    i += 1;
                }
                half += 1;
            }
            n += 1;
        }
    }

    /// Multiplies each row.
    #[inline(always)]
    fn scale(&mut self, factors: [f32; 2]) {
        self.each(|value, _, _, i| value * factors[i / 2]);
    }

    /// Square `n` in bf16, as a left factor.
    #[inline(always)]
    fn as_left(&self, n: usize) -> [u32; 4] {
        let pair = |half, i| bf16x2(self.get(n, half, i), self.get(n, half, i + 1));
        [pair(0, 0), pair(0, 2), pair(1, 0), pair(1, 2)]
    }
}

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
    pub(super) fn weigh<S: Scores>(&mut self, scores: &mut S) -> [f32; 2] {
        let mut factors = [0.0; 2];
        let mut h = 0;
        while h < 2 {
            let mut peak = self.peak[h];
            let mut n = 0;
            while n < 2 * S::SQUARES {
                let [a, b] = [2 * h, 2 * h + 1].map(|i| scores.get(n / 2, n % 2, i));
                peak = peak.max(a.max(b));
                n += 1;
            }
            peak = quad(peak, f32::max);
            factors[h] = exp2((self.peak[h] - peak) * self.scale2);
            self.peak[h] = peak;
            let (offset, mut sum) = (-peak * self.scale2, self.sum[h] * factors[h]);
            n = 0;
            while n < 2 * S::SQUARES {
                let [a, b] = [2 * h, 2 * h + 1].map(|i| {
                    let weight = exp2(fma(scores.get(n / 2, n % 2, i), self.scale2, offset));
                    scores.set(n / 2, n % 2, i, weight);
                    weight
                });
                sum += a + b;
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
        let log = |h: usize| self.peak[h] * self.scale2 + log2(sum[h]);
        (sum.map(|sum| 1.0 / sum), [0, 1].map(|h| log(h) * core::f32::consts::LN_2))
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
pub(super) fn hide<S: Scores>(scores: &mut S, ahead: i32) {
    let ahead = ahead + (lane() / 4) as i32 - (lane() % 4 * 2) as i32;
    scores.each(|score, n, half, i| {
        let (row, column) = (8 * (i / 2) as i32, (16 * n + 8 * half + i % 2) as i32);
        if column > ahead + row { f32::NEG_INFINITY } else { score }
    });
}

/// [`hide`] of transposed scores, whose rows are keys and whose columns are queries.
#[inline(always)]
pub(super) fn hide_transposed<S: Scores>(scores: &mut S, ahead: i32) {
    let ahead = ahead + (lane() % 4 * 2) as i32 - (lane() / 4) as i32;
    scores.each(|score, n, half, i| {
        let (row, column) = (8 * (i / 2) as i32, (16 * n + 8 * half + i % 2) as i32);
        if column + ahead < row { f32::NEG_INFINITY } else { score }
    });
}
