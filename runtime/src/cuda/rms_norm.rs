//! RMS normalisation on a GPU.

use kernels::rms_norm::{
    PARTS, SHARED_BYTES, rms_norm_backward_bf16, rms_norm_backward_gains, rms_norm_forward_bf16,
    rms_norm_forward_residual_bf16, threads,
};
use kernels::simt::Launch;

use super::{Gpu, Span, blocks, extent};

fn launch(rows: usize, d: usize) -> Launch {
    Launch::new(extent(rows), threads(extent(d)), SHARED_BYTES)
}

pub(crate) fn forward(gpu: &Gpu, x: Span<'_>, w: Span<'_>, eps: f32, y: Span<'_>, rstd: Span<'_>) {
    let kernel = rms_norm_forward_bf16 {
        x: x.bf16(gpu),
        w: w.bf16(gpu),
        y: y.bf16(gpu),
        rstd: rstd.plain(gpu),
        d: extent(w.len()),
        eps,
    };
    gpu.launch(launch(rstd.len(), w.len()), &kernel);
}

pub(crate) fn forward_residual(
    gpu: &Gpu,
    x: Span<'_>,
    delta: Span<'_>,
    w: Span<'_>,
    eps: f32,
    sum: Span<'_>,
    y: Span<'_>,
    rstd: Span<'_>,
) {
    let kernel = rms_norm_forward_residual_bf16 {
        x: x.bf16(gpu),
        delta: delta.bf16(gpu),
        w: w.bf16(gpu),
        sum: sum.bf16(gpu),
        y: y.bf16(gpu),
        rstd: rstd.plain(gpu),
        d: extent(w.len()),
        eps,
    };
    gpu.launch(launch(rstd.len(), w.len()), &kernel);
}

/// Values of the partial sums of the gains' gradients.
pub(crate) fn partials_len(tokens: usize, d: usize) -> usize {
    tokens.min(PARTS as usize) * d
}

pub(crate) fn backward(
    gpu: &Gpu,
    dy: Span<'_>,
    x: Span<'_>,
    w: Span<'_>,
    rstd: Span<'_>,
    dx: Span<'_>,
    dw: Span<'_>,
) {
    const THREADS: u32 = 128;
    let (tokens, d) = (extent(rstd.len()), extent(w.len()));
    let parts = tokens.min(PARTS);
    let partials = gpu.allocate(partials_len(rstd.len(), w.len()) * size_of::<f32>());
    let rows = rms_norm_backward_bf16 {
        dy: dy.bf16(gpu),
        x: x.bf16(gpu),
        w: w.bf16(gpu),
        rstd: rstd.plain(gpu),
        dx: dx.bf16(gpu),
        partials: partials.global(),
        tokens,
        d,
    };
    gpu.launch(launch(parts as usize, w.len()), &rows);
    let dw = dw.plain(gpu);
    let gains = rms_norm_backward_gains { partials: partials.global(), dw, parts, d };
    gpu.launch(Launch::new(blocks(w.len(), THREADS), THREADS, 0), &gains);
}
