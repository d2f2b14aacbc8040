//! Packing: copies a piece of a factor into panels that the micro-kernel reads front to back.
//!
//! A panel holds `width` rows of the factor's outer dimension, k-major: `[depth][width]`. Rows past
//! the end of the factor are zero.

use super::kernel::Strided;

/// Packs `outer` x `depth` values of `from` into panels of `width`.
///
/// # Safety
/// `from` is readable for all (i, k) with `i < outer`, `k < depth`.
#[inline(always)]
pub(crate) unsafe fn pack(
    from: Strided,
    outer: usize,
    depth: usize,
    width: usize,
    panels: &mut [f32],
) {
    let panels = panels.chunks_exact_mut(width * depth).take(outer.div_ceil(width));
    for (p, panel) in panels.enumerate() {
        let rows = width.min(outer - p * width);
        if rows < width {
            panel.fill(0.0);
        }
        // SAFETY: rows p * width .. p * width + rows lie inside the factor.
        unsafe {
            let start = from.start.add(p * width * from.outer);
            if from.outer == 1 {
                for (k, to) in panel.chunks_exact_mut(width).enumerate() {
                    let source = std::slice::from_raw_parts(start.add(k * from.depth), rows);
                    to[..rows].copy_from_slice(source);
                }
            } else {
                transpose(Strided { start, ..from }, rows, depth, width, panel);
            }
        }
    }
}

/// Writes `rows` x `depth` values, each row contiguous along k or strided, as `[depth][width]`.
///
/// # Safety
/// As for [`pack`], with `rows` in place of `outer`.
#[inline(always)]
unsafe fn transpose(from: Strided, rows: usize, depth: usize, width: usize, panel: &mut [f32]) {
    for i in 0..rows {
        for k in 0..depth {
            // SAFETY: (i, k) lies inside the factor by the caller's promise.
            panel[k * width + i] = unsafe { *from.start.add(i * from.outer + k * from.depth) };
        }
    }
}
