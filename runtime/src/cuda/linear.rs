//! Matrix products on a GPU: bf16 factors, f32 sums.

use super::driver::{Factor, Precision, Product};
use super::{Gpu, Span, Stored};

/// A factor: as it is in memory, or with rows and columns exchanged.
#[derive(Clone, Copy)]
pub(crate) enum Side<'a> {
    /// `[rows, cols]` for a factor of that shape, and values per row.
    Rows(Span<'a>, usize),
    /// `[cols, rows]`, and values per row of the memory.
    Cols(Span<'a>, usize),
}

impl Side<'_> {
    fn factor(self, gpu: &Gpu) -> Factor {
        match self {
            Side::Rows(span, row_stride) => {
                Factor { address: span.bf16_address(gpu), row_stride, transposed: false }
            }
            Side::Cols(span, row_stride) => {
                Factor { address: span.bf16_address(gpu), row_stride, transposed: true }
            }
        }
    }
}

/// `c[m, n] (+)= a[m, k] b[k, n]`.
pub(crate) fn multiply(
    gpu: &Gpu,
    (m, n, k): (usize, usize, usize),
    c: Span<'_>,
    a: Side<'_>,
    b: Side<'_>,
    accumulate: bool,
) {
    assert!(c.len() == m * n, "a product of {m} x {n} in {} values", c.len());
    let (address, precision) = match c.stored() {
        Stored::Bf16 => (c.bf16_address(gpu), Precision::Bf16),
        _ => (c.plain_address::<f32>(gpu), Precision::F32),
    };
    let (a, b) = (a.factor(gpu), b.factor(gpu));
    gpu.multiply(&Product { m, n, k, a, b, c: address, precision, accumulate });
}
