//! Sums over whole buffers on a GPU.

use kernels::simt::Launch;
use kernels::sum_squares::{RUN, SHARED_BYTES, THREADS, sum_of_partials, sum_squares_of_runs};

use super::array::Memory;
use super::{Gpu, Span, blocks};

/// Waits for the sum; not a number when the device has failed.
pub(crate) fn sum_squares(gpu: &Gpu, x: Span<'_>) -> f64 {
    let mut total = [f64::NAN];
    sum_of_squares(gpu, x).download(&mut total);
    total[0]
}

/// The sum, in the device's memory.
pub(super) fn sum_of_squares(gpu: &Gpu, x: Span<'_>) -> Memory {
    let runs = blocks(x.len(), RUN as u32);
    let (partials, sum) = (gpu.allocate(runs as usize * 8), gpu.allocate(8));
    let of_runs =
        sum_squares_of_runs { x: x.plain(gpu), partials: partials.global(), len: x.len() as u64 };
    gpu.launch(Launch::new(runs, THREADS, SHARED_BYTES), &of_runs);
    let of_partials = sum_of_partials { partials: partials.global(), sum: sum.global(), len: runs };
    gpu.launch(Launch::new(1, THREADS, SHARED_BYTES), &of_partials);
    sum
}
