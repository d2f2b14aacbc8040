//! RMS normalisation over the last dimension: `y = x * rstd * w`, `rstd = 1 / sqrt(mean x^2 + eps)`
//! (Zhang and Sennrich 2019), with the residual sum that precedes it in a LLaMA fused in.

use super::{assert_len, row_len};
use crate::cpu::rms_norm as cpu;
use crate::cuda::rms_norm as cuda;
use crate::{Device, Storage, View, ViewMut};

/// Shares in which dw is summed, whatever the number of threads.
pub(crate) const PARTS: usize = 32;

/// Values of scratch that [`backward`] needs for rows of `d` values.
pub fn scratch_len(d: usize) -> usize {
    PARTS * d
}

/// Bytes that [`backward`] takes from a device of that kind, beside its arguments, while it runs.
pub fn temporary_bytes(storage: Storage, t: usize, d: usize) -> usize {
    match storage {
        Storage::Host => 0,
        Storage::Gpu => cuda::partials_len(t, d) * size_of::<f32>(),
    }
}

/// `y[t, d]` and `rstd[t]` from `x[t, d]` and the gains `w[d]`.
pub fn forward(
    dev: &Device,
    x: View<'_, f32>,
    w: View<'_, f32>,
    eps: f32,
    y: ViewMut<'_, f32>,
    rstd: ViewMut<'_, f32>,
) {
    assert_len("x", x.len(), rstd.len() * w.len());
    assert_len("y", y.len(), x.len());
    match dev {
        Device::Cpu(_) => dev.install(|| {
            cpu::forward(x.on_host(), w.on_host(), eps, y.on_host(), rstd.on_host());
        }),
        Device::Gpu(gpu) => {
            cuda::forward(gpu, x.on_gpu(), w.on_gpu(), eps, y.on_gpu(), rstd.on_gpu());
        }
    }
}

/// `sum[t, d] = x[t, d] + delta[t, d]`, then [`forward`] of the sum.
pub fn forward_residual(
    dev: &Device,
    x: View<'_, f32>,
    delta: View<'_, f32>,
    w: View<'_, f32>,
    eps: f32,
    sum: ViewMut<'_, f32>,
    y: ViewMut<'_, f32>,
    rstd: ViewMut<'_, f32>,
) {
    assert_len("x", x.len(), rstd.len() * w.len());
    assert_len("delta", delta.len(), x.len());
    assert_len("sum", sum.len(), x.len());
    assert_len("y", y.len(), x.len());
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let (x, delta, w) = (x.on_host(), delta.on_host(), w.on_host());
            let (sum, y, rstd) = (sum.on_host(), y.on_host(), rstd.on_host());
            cpu::forward_residual(x, delta, w, eps, sum, y, rstd);
        }),
        Device::Gpu(gpu) => {
            let (x, delta, w) = (x.on_gpu(), delta.on_gpu(), w.on_gpu());
            let (sum, y, rstd) = (sum.on_gpu(), y.on_gpu(), rstd.on_gpu());
            cuda::forward_residual(gpu, x, delta, w, eps, sum, y, rstd);
        }
    }
}

/// Adds to `dx[t, d]` and `dw[d]` from `dy[t, d]`, the forward's input x (the sum, after a
/// residual) and its rstd. With g = dy * w: `dx += rstd * (g - x * rstd^2 * mean(g * x))`,
/// `dw += sum_t dy * x * rstd`. `scratch` is at least [`scratch_len`] long; it need not be zero,
/// and a GPU leaves it as it is.
pub fn backward(
    dev: &Device,
    dy: View<'_, f32>,
    x: View<'_, f32>,
    w: View<'_, f32>,
    rstd: View<'_, f32>,
    dx: ViewMut<'_, f32>,
    dw: ViewMut<'_, f32>,
    scratch: ViewMut<'_, f32>,
) {
    let d = row_len("x", x.len(), rstd.len());
    assert_len("w", w.len(), d);
    assert_len("dw", dw.len(), d);
    assert_len("dy", dy.len(), x.len());
    assert_len("dx", dx.len(), x.len());
    assert!(scratch.len() >= scratch_len(d), "rms_norm: scratch of {} values", scratch.len());
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let (dy, x, w, rstd) = (dy.on_host(), x.on_host(), w.on_host(), rstd.on_host());
            cpu::backward(dy, x, w, rstd, dx.on_host(), dw.on_host(), scratch.on_host());
        }),
        Device::Gpu(gpu) => {
            let (dy, x, w, rstd) = (dy.on_gpu(), x.on_gpu(), w.on_gpu(), rstd.on_gpu());
            cuda::backward(gpu, dy, x, w, rstd, dx.on_gpu(), dw.on_gpu());
        }
    }
}
