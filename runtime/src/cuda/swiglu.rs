//! SwiGLU on a GPU.

use kernels::rows;
use kernels::swiglu::{swiglu_backward_bf16, swiglu_forward_bf16};

use super::{Gpu, Span, extent};

pub(crate) fn forward(gpu: &Gpu, gate_up: Span<'_>, y: Span<'_>, f: usize) {
    let launch = rows::launch(extent(y.len() / f), extent(f));
    let (gate_up, y, f) = (gate_up.bf16(gpu), y.bf16(gpu), extent(f));
    gpu.launch(launch, &swiglu_forward_bf16 { gate_up, y, f });
}

pub(crate) fn backward(gpu: &Gpu, gate_up: Span<'_>, dy: Span<'_>, f: usize) {
    let launch = rows::launch(extent(dy.len() / f), extent(f));
    let (gate_up, dy, f) = (gate_up.bf16(gpu), dy.bf16(gpu), extent(f));
    gpu.launch(launch, &swiglu_backward_bf16 { gate_up, dy, f });
}
