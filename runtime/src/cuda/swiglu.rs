//! SwiGLU on a GPU.

use kernels::simt::Launch;
use kernels::swiglu::{THREADS, swiglu_backward_bf16, swiglu_forward_bf16};

use super::{Gpu, Span, blocks, extent};

fn launch(len: usize, f: usize) -> (Launch, u64, u32) {
    assert!(f.is_multiple_of(8), "swiglu on a GPU: rows of {f} values are no eights");
    (Launch::new(blocks(len / 8, THREADS), THREADS, 0), len as u64, extent(f))
}

pub(crate) fn forward(gpu: &Gpu, gate_up: Span<'_>, y: Span<'_>, f: usize) {
    let (launch, len, f) = launch(y.len(), f);
    let kernel = swiglu_forward_bf16 { gate_up: gate_up.bf16(gpu), y: y.bf16(gpu), len, f };
    gpu.launch(launch, &kernel);
}

pub(crate) fn backward(gpu: &Gpu, gate_up: Span<'_>, dy: Span<'_>, f: usize) {
    let (launch, len, f) = launch(dy.len(), f);
    let kernel = swiglu_backward_bf16 { gate_up: gate_up.bf16(gpu), dy: dy.bf16(gpu), len, f };
    gpu.launch(launch, &kernel);
}
