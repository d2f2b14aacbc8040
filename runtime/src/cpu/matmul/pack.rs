//! Packing: copies a piece of a factor into panels that the micro-kernel reads front to back.
//!
//! A panel holds `width` rows of the factor's outer dimension, k-major: `[depth][width]`. Places
//! past the factor's last row hold zeros or repeat a row; nothing that is kept depends on them.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;

use pulp::Simd;

use super::kernel::Strided;
#[cfg(target_arch = "x86_64")]
use super::kernel::{COLS_MAX, ROWS};

/// Rows and steps of k that are transposed in registers.
const SQUARE: usize = 8;

/// Packs `outer` x `depth` values of `from` into panels of `width`, a constant at each call.
///
/// # Safety
/// `from` is readable for all (i, k) with `i < outer`, `k < depth`.
#[inline(always)]
pub(crate) unsafe fn pack<S: Simd>(
    _: S,
    from: Strided,
    outer: usize,
    depth: usize,
    width: usize,
    panels: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if S::F32_LANES == 16 && (from.outer == 1 || from.depth == 1) {
        // SAFETY: the caller's promise; on this architecture vectors of 16 are those of AVX-512.
        unsafe {
            match width {
                ROWS => return avx512::pack::<avx512::Single, ROWS>(from, outer, depth, panels),
                COLS_MAX => {
                    return avx512::pack::<avx512::Single, COLS_MAX>(from, outer, depth, panels);
                }
                _ => (),
            }
        }
    }
    if from.outer == 1 {
        // SAFETY: the caller's promise.
        unsafe { copy_rows(from, outer, depth, width, panels) };
        return;
    }
    let panels = panels.chunks_exact_mut(width * depth).take(outer.div_ceil(width));
    for (p, panel) in panels.enumerate() {
        let rows = width.min(outer - p * width);
        if rows < width {
            panel.fill(0.0);
        }
        // SAFETY: rows p * width .. p * width + rows lie inside the factor.
        unsafe {
            let from = Strided { start: from.start.add(p * width * from.outer), ..from };
            if from.depth == 1 && cfg!(target_arch = "x86_64") && S::F32_LANES >= SQUARE {
                transpose_squares(from, rows, depth, width, panel);
            } else {
                gather(from, 0..rows, 0..depth, width, panel);
            }
        }
    }
}

/// Rows that lie together at each step of k, a few steps at a time for all panels: panel after
/// panel would come back to every page of the factor once per panel.
///
/// # Safety
/// As for [`pack`], with `from.outer` 1.
#[inline(always)]
unsafe fn copy_rows(from: Strided, outer: usize, depth: usize, width: usize, panels: &mut [f32]) {
    assert!(panels.len() >= outer.div_ceil(width) * width * depth);
    let panels = panels.as_mut_ptr();
    for first in (0..depth).step_by(SQUARE) {
        let last = depth.min(first + SQUARE);
        for row in (0..outer).step_by(width) {
            let rows = width.min(outer - row);
            for k in first..last {
                // SAFETY: row `row` starts panel `row / width`, which holds `width * depth` values;
                // the factor is readable at step k for `rows` rows.
                unsafe {
                    let to = panels.add(row * depth + k * width);
                    let source = from.start.add(k * from.depth + row);
                    if rows == width {
                        for i in 0..width {
                            *to.add(i) = *source.add(i);
                        }
                    } else {
                        for i in 0..width {
                            *to.add(i) = if i < rows { *source.add(i) } else { 0.0 };
                        }
                    }
                }
            }
        }
    }
}

/// Rows contiguous along k, eight by eight. A panel narrower than a square takes squares that spill
/// into its next steps of k, which are written later.
///
/// # Safety
/// As for [`pack`] with `rows` in place of `outer`; `from.depth` is 1 and AVX is present.
#[inline(always)]
unsafe fn transpose_squares(
    from: Strided,
    rows: usize,
    depth: usize,
    width: usize,
    panel: &mut [f32],
) {
    assert!(panel.len() >= depth * width);
    for first in (0..rows).step_by(SQUARE) {
        let valid = SQUARE.min(rows - first);
        // The last square of a narrow panel would spill past its end.
        let spills = first + SQUARE > width;
        let steps = if !spills {
            depth / SQUARE * SQUARE
        } else if width <= SQUARE {
            depth.saturating_sub(1) / SQUARE * SQUARE
        } else {
            0
        };
        for k in (0..steps).step_by(SQUARE) {
            // SAFETY: `valid` rows are readable for eight steps from k; eight values at each of
            // eight steps lie inside the panel by the choice of `steps`.
            unsafe {
                let source = from.start.add(first * from.outer + k);
                let to = panel.as_mut_ptr().add(k * width + first);
                transpose_square(source, from.outer, valid, to, width);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { gather(from, first..first + valid, steps..depth, width, panel) };
    }
}

/// One value at a time, for what fits no square.
///
/// # Safety
/// `from` is readable at (i, k) for all of `rows` and `steps`.
#[inline(always)]
unsafe fn gather(
    from: Strided,
    rows: std::ops::Range<usize>,
    steps: std::ops::Range<usize>,
    width: usize,
    panel: &mut [f32],
) {
    for k in steps {
        for i in rows.clone() {
            // SAFETY: the caller's promise.
            panel[k * width + i] = unsafe { *from.start.add(i * from.outer + k * from.depth) };
        }
    }
}

/// `to[k][i] = from[i][k]` for eight steps of k and `valid` rows, the last of which is repeated up
/// to eight.
///
/// # Safety
/// Eight values are readable from each of the `valid` rows, `row` apart, and eight writable from
/// each of eight steps, `step` apart. AVX is present. Not marked with that feature, because only
/// then it may always inline into its caller, which is compiled with it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_square(from: *const f32, row: usize, valid: usize, to: *mut f32, step: usize) {
    use std::arch::x86_64::*;
    // SAFETY: AVX is present; the caller's promise, with row indices capped to valid ones. Steps
    // are stored in order, so that what spills from one is overwritten by the next.
    unsafe {
        let mut r = [_mm256_setzero_ps(); SQUARE];
        for i in 0..SQUARE {
            r[i] = _mm256_loadu_ps(from.add(i.min(valid - 1) * row));
        }
        let mut pairs = r;
        for i in 0..SQUARE / 2 {
            pairs[i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            pairs[i + 4] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        let mut halves = [[_mm256_setzero_ps(); 2]; 4];
        for i in 0..2 {
            let [a, b, c, d] = [pairs[2 * i], pairs[2 * i + 1], pairs[2 * i + 4], pairs[2 * i + 5]];
            halves[0][i] = _mm256_shuffle_ps::<0x44>(a, b);
            halves[1][i] = _mm256_shuffle_ps::<0xee>(a, b);
            halves[2][i] = _mm256_shuffle_ps::<0x44>(c, d);
            halves[3][i] = _mm256_shuffle_ps::<0xee>(c, d);
        }
        for k in 0..4 {
            let [a, b] = halves[k];
            _mm256_storeu_ps(to.add(k * step), _mm256_permute2f128_ps::<0x20>(a, b));
        }
        for k in 0..4 {
            let [a, b] = halves[k];
            _mm256_storeu_ps(to.add((k + 4) * step), _mm256_permute2f128_ps::<0x31>(a, b));
        }
    }
}

/// Elsewhere no instruction set takes this path.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn transpose_square(_: *const f32, _: usize, _: usize, _: *mut f32, _: usize) {
    unreachable!("squares are transposed with AVX only");
}
