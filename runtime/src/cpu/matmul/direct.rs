//! A product inside a larger task, which reads its factors in f32 where they lie: it is too small
//! for packing to pay.

use pulp::Simd;

use super::kernel::{ROWS, Strided, cols, tile};
use super::pack::pack;

/// `c[m, n] (+)= a[m, k] * b[k, n]` on this thread.
///
/// # Safety
/// For `i < m`, `k < depth`, `j < n`: `a` is readable at (i, k), `b` at `k * b_depth + j`, and `c`
/// is writable at `i * c_stride + j` and touched by nobody else. `tail` holds `depth * COLS_MAX`.
#[inline(always)]
pub(crate) unsafe fn direct<S: Simd>(
    simd: S,
    (m, n, depth): (usize, usize, usize),
    c: *mut f32,
    c_stride: usize,
    a: Strided,
    (b, b_depth): (*const f32, usize),
    accumulate: bool,
    tail: &mut [f32],
) {
    let width = cols::<S>();
    for j in (0..n).step_by(width) {
        let cols = width.min(n - j);
        // SAFETY: column j exists; a partial panel is copied so that full vectors can be read.
        let (b, b_depth) = unsafe {
            if cols == width {
                (b.add(j), b_depth)
            } else {
                let from = Strided { start: b.add(j), outer: 1, depth: b_depth };
                pack(simd, from, cols, depth, width, tail);
                (tail.as_ptr(), width)
            }
        };
        for i in (0..m).step_by(ROWS) {
            // SAFETY: the caller's promise for rows i.. of A and C.
            unsafe {
                let a = Strided { start: a.start.add(i * a.outer), ..a };
                let c = c.add(i * c_stride + j);
                let rows = ROWS.min(m - i);
                tile(simd, rows, cols, depth, a, b, b_depth, c, c_stride, accumulate);
            }
        }
    }
}
