//! Streams over whole buffers, in tiles that fit a first-level cache.

use rayon::prelude::*;

use super::simd::run;

/// Values per tile.
const TILE: usize = 8192;

pub(crate) fn fill(y: &mut [f32], value: f32) {
    y.par_chunks_mut(TILE).for_each(|y| y.fill(value));
}

pub(crate) fn copy(x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(TILE).zip(x.par_chunks(TILE)).for_each(|(y, x)| y.copy_from_slice(x));
}

pub(crate) fn add(x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(TILE).zip(x.par_chunks(TILE)).for_each(|(y, x)| {
        run(
            #[inline(always)]
            || {
                for (y, x) in y.iter_mut().zip(x) {
                    *y += x;
                }
            },
        );
    });
}

pub(crate) fn scale(y: &mut [f32], factor: f32) {
    y.par_chunks_mut(TILE).for_each(|y| {
        run(
            #[inline(always)]
            || {
                for y in y {
                    *y *= factor;
                }
            },
        );
    });
}
