//! Sums over whole buffers: f64 partial sums per tile, tiles combined in a fixed tree.

use super::simd::{LANES, run};

/// Values per leaf of the tree.
const TILE: usize = 1 << 14;

/// `sum x^2`, halving the tiles so that the tree depends on the length only.
pub(crate) fn sum_squares(x: &[f32]) -> f64 {
    let tiles = x.len().div_ceil(TILE);
    if tiles <= 1 {
        return run(
            #[inline(always)]
            || leaf(x),
        );
    }
    let (left, right) = x.split_at(tiles / 2 * TILE);
    let (left, right) = rayon::join(|| sum_squares(left), || sum_squares(right));
    left + right
}

#[inline(always)]
fn leaf(x: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            let value = f64::from(chunk[i]);
            lanes[i] = value.mul_add(value, lanes[i]);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*x) * f64::from(*x);
    }
    lanes.iter().sum()
}
