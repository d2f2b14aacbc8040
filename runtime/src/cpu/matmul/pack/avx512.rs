//! Packing with AVX-512, for kernels that read words of 32 bits: an f32 of one step of k, or a pair
//! of bf16 of two. Values are rounded on their way, so that no second pass goes over the panels.
//!
//! Rows that lie side by side are copied step by step; rows contiguous along k are transposed in
//! registers, 16 words of up to 16 rows at a time. Places past the last row and the last step hold
//! zeros. Nothing here is marked with the features it needs, because only then it may always inline
//! into its callers, which are compiled with them.

use std::arch::x86_64::*;

use super::super::kernel::Strided;

/// Words of one vector.
const LANES: usize = 16;
/// Words of k copied at once for all panels: panel after panel would come back to every page of the
/// factor once per panel.
const RUN: usize = 8;

/// Values of a row between what is read and what is asked for ahead of its use.
const AHEAD: usize = 256;

/// What a panel holds for one row.
pub(crate) trait Word {
    /// Steps of k in a word.
    const STEPS: usize;

    /// Words of one row, whose steps lie side by side, zero from `steps` on.
    ///
    /// # Safety
    /// `steps` values are readable from `from`; the machine has the instructions.
    unsafe fn of_row(from: *const f32, steps: usize) -> __m512i;

    /// One word of each of `rows` rows that lie side by side, of `steps` steps, `stride` apart.
    ///
    /// # Safety
    /// The values are readable, `1 <= steps <= STEPS`; the machine has the instructions.
    unsafe fn of_steps(from: *const f32, stride: usize, steps: usize, rows: usize) -> __m512i;
}

/// Values as they are. Needs AVX-512.
pub(crate) struct Single;

impl Word for Single {
    const STEPS: usize = 1;

    #[inline(always)]
    unsafe fn of_row(from: *const f32, steps: usize) -> __m512i {
        // SAFETY: the caller's promise; what the mask leaves out is not touched.
        unsafe { _mm512_castps_si512(_mm512_maskz_loadu_ps(first(steps), from)) }
    }

    #[inline(always)]
    unsafe fn of_steps(from: *const f32, _: usize, _: usize, rows: usize) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_castps_si512(_mm512_maskz_loadu_ps(first(rows), from)) }
    }
}

/// Values rounded to bf16, the even step in the lower half and the odd one in the upper. Needs
/// AVX512-BF16, whose rounding takes denormals for zero, as its products do.
pub(crate) struct Pair;

impl Word for Pair {
    const STEPS: usize = 2;

    #[inline(always)]
    unsafe fn of_row(from: *const f32, steps: usize) -> __m512i {
        // SAFETY: as above; both types are 512 bits.
        unsafe {
            let near = _mm512_maskz_loadu_ps(first(steps), from);
            let far =
                _mm512_maskz_loadu_ps(first(steps.saturating_sub(LANES)), from.wrapping_add(LANES));
            std::mem::transmute(_mm512_cvtne2ps_pbh(far, near))
        }
    }

    #[inline(always)]
    unsafe fn of_steps(from: *const f32, stride: usize, steps: usize, rows: usize) -> __m512i {
        // SAFETY: as above.
        unsafe {
            let even = _mm512_maskz_loadu_ps(first(rows), from);
            let odd_rows = if steps == 2 { first(rows) } else { 0 };
            let odd = _mm512_maskz_loadu_ps(odd_rows, from.wrapping_add(stride));
            let halves: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(odd, even));
            let low = _mm512_castsi512_si256(halves);
            let high = _mm512_extracti64x4_epi64::<1>(halves);
            let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
            _mm512_or_si512(high, _mm512_cvtepu16_epi32(low))
        }
    }
}

/// The mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> u16 {
    if count >= LANES { u16::MAX } else { (1 << count) - 1 }
}

/// Packs `outer` x `depth` values of `from`, whose rows or whose steps lie side by side, into
/// panels of `WIDTH` rows, `[words][WIDTH]`.
///
/// # Safety
/// `from` is readable for all (i, k) with `i < outer`, `k < depth`; one of its strides is 1. The
/// machine has the instructions of `W`.
#[inline(always)]
pub(crate) unsafe fn pack<W: Word, const WIDTH: usize>(
    from: Strided,
    outer: usize,
    depth: usize,
    panels: &mut [f32],
) {
    let words = depth.div_ceil(W::STEPS);
    assert!(panels.len() >= outer.next_multiple_of(WIDTH) * words);
    let panels = Panels::<WIDTH> { start: panels.as_mut_ptr().cast(), words };
    // SAFETY: the caller's promise, and the panels were just checked.
    unsafe {
        if from.outer == 1 {
            copy::<W, WIDTH>(from, outer, depth, panels);
        } else {
            transpose::<W, WIDTH>(from, outer, depth, panels);
        }
    }
}

/// # Safety
/// As for [`pack`], with `from.outer` 1 and panels for all rows and words.
#[inline(always)]
unsafe fn copy<W: Word, const WIDTH: usize>(
    from: Strided,
    outer: usize,
    depth: usize,
    panels: Panels<WIDTH>,
) {
    for run in (0..panels.words).step_by(RUN) {
        for row in (0..outer).step_by(Panels::<WIDTH>::STRIP) {
            let rows = Panels::<WIDTH>::STRIP.min(outer - row);
            for word in run..panels.words.min(run + RUN) {
                let k = word * W::STEPS;
                // SAFETY: the caller's promise for rows `row..` at steps `k..`.
                unsafe {
                    let start = from.start.add(k * from.depth + row);
                    let steps = W::STEPS.min(depth - k);
                    // Rows that lie pages apart are not foreseen by the hardware.
                    for ahead in 0..W::STEPS {
                        let next = start.wrapping_add((RUN * W::STEPS + ahead) * from.depth);
                        _mm_prefetch::<_MM_HINT_T0>(next.cast());
                    }
                    panels.put(row, rows, word, W::of_steps(start, from.depth, steps, rows));
                }
            }
        }
    }
}

/// # Safety
/// As for [`pack`], with `from.depth` 1 and panels for all rows and words.
#[inline(always)]
unsafe fn transpose<W: Word, const WIDTH: usize>(
    from: Strided,
    outer: usize,
    depth: usize,
    panels: Panels<WIDTH>,
) {
    for row in (0..outer).step_by(Panels::<WIDTH>::STRIP) {
        let rows = Panels::<WIDTH>::STRIP.min(outer - row);
        for word in (0..panels.words).step_by(LANES) {
            let k = word * W::STEPS;
            // SAFETY: the caller's promise for rows `row..` at steps `k..`.
            unsafe {
                let mut square = [_mm512_setzero_si512(); LANES];
                for i in 0..Panels::<WIDTH>::STRIP {
                    if i < rows {
                        let start = from.start.add((row + i) * from.outer + k);
                        // As many rows at once are more than the hardware follows.
                        _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(AHEAD).cast());
                        square[i] = W::of_row(start, (LANES * W::STEPS).min(depth - k));
                    }
                }
                let square = transposed(square);
                for i in 0..LANES {
                    if word + i < panels.words {
                        panels.put(row, rows, word + i, square[i]);
                    }
                }
            }
        }
    }
}

/// Panels of `WIDTH` rows, each of `words` words per row.
#[derive(Clone, Copy)]
struct Panels<const WIDTH: usize> {
    start: *mut i32,
    words: usize,
}

impl<const WIDTH: usize> Panels<WIDTH> {
    /// Rows packed at once: a vector's share of a wide panel, or as many narrow panels as fit one.
    const STRIP: usize = if WIDTH < LANES { LANES / WIDTH * WIDTH } else { LANES };

    /// Writes one word of each of the `rows` rows from `row` on, a multiple of `STRIP`, and zeros
    /// (as the vector holds them) up to the end of the panel or the strip.
    ///
    /// # Safety
    /// There is a panel for each of the rows, and `word < words`; AVX-512 is present.
    #[inline(always)]
    unsafe fn put(self, row: usize, rows: usize, word: usize, values: __m512i) {
        let at = (row / WIDTH * self.words + word) * WIDTH + row % WIDTH;
        // SAFETY: the caller's promise; masks leave out the lanes of other panels.
        unsafe {
            if WIDTH >= LANES {
                _mm512_storeu_si512(self.start.add(at).cast(), values);
                return;
            }
            for skipped in (0..Self::STRIP).step_by(WIDTH) {
                if skipped < rows {
                    let start = self.start.wrapping_add(at + skipped * self.words - skipped);
                    _mm512_mask_storeu_epi32(start, first(WIDTH) << skipped, values);
                }
            }
        }
    }
}

/// Rows become columns: `columns[c][r] = rows[r][c]`.
///
/// # Safety
/// AVX-512 is present.
#[inline(always)]
unsafe fn transposed(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut twos = rows;
        for i in 0..8 {
            twos[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            twos[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        // fours[4 g + c] holds, in quarter q, column 4 q + c of rows 4 g to 4 g + 3.
        let mut fours = twos;
        for g in (0..LANES).step_by(4) {
            fours[g] = _mm512_unpacklo_epi64(twos[g], twos[g + 2]);
            fours[g + 1] = _mm512_unpackhi_epi64(twos[g], twos[g + 2]);
            fours[g + 2] = _mm512_unpacklo_epi64(twos[g + 1], twos[g + 3]);
            fours[g + 3] = _mm512_unpackhi_epi64(twos[g + 1], twos[g + 3]);
        }
        // Quarters are picked in two rounds: even and odd ones of two groups, then again.
        let mut columns = fours;
        for c in 0..4 {
            let [a, b, c2, d] = [fours[c], fours[c + 4], fours[c + 8], fours[c + 12]];
            let even = _mm512_shuffle_i32x4::<0x88>(a, b);
            let odd = _mm512_shuffle_i32x4::<0xdd>(a, b);
            let even_far = _mm512_shuffle_i32x4::<0x88>(c2, d);
            let odd_far = _mm512_shuffle_i32x4::<0xdd>(c2, d);
            columns[c] = _mm512_shuffle_i32x4::<0x88>(even, even_far);
            columns[c + 8] = _mm512_shuffle_i32x4::<0xdd>(even, even_far);
            columns[c + 4] = _mm512_shuffle_i32x4::<0x88>(odd, odd_far);
            columns[c + 12] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_far);
        }
        columns
    }
}
