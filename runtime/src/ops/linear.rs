//! Linear layers without bias: `y = x W'` with W as `[n_out, n_in]`, and both gradients.
//!
//! Factors are read as the device's [`Compute`](crate::Compute) says; sums and results are f32.
//! Several matrices that lie one after another (wq, wk, wv) are one W with more rows.

use super::{assert_len, row_len};
use crate::cpu::matmul::{Matrix, matmul};
use crate::cuda::linear::{Side, multiply};
use crate::{Device, View, ViewMut};

/// `y[t, n_out] = x[t, n_in] w[n_out, n_in]'`.
pub fn forward(dev: &Device, x: View<'_, f32>, w: View<'_, f32>, y: ViewMut<'_, f32>, t: usize) {
    let (n_in, n_out) = (row_len("x", x.len(), t), row_len("y", y.len(), t));
    assert_len("w", w.len(), n_out * n_in);
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let w = Matrix::rows(w.on_host(), n_in).transposed();
            let x = Matrix::rows(x.on_host(), n_in);
            matmul((t, n_out, n_in), y.on_host(), x, w, false, dev.compute());
        }),
        Device::Gpu(gpu) => {
            let (x, w) = (Side::Rows(x.on_gpu(), n_in), Side::Cols(w.on_gpu(), n_in));
            multiply(gpu, (t, n_out, n_in), y.on_gpu(), x, w, false);
        }
    }
}

/// `dx[t, n_in] (+)= dy[t, n_out] w[n_out, n_in]`, added to dx when `accumulate`.
pub fn backward_input(
    dev: &Device,
    dy: View<'_, f32>,
    w: View<'_, f32>,
    dx: ViewMut<'_, f32>,
    t: usize,
    accumulate: bool,
) {
    let (n_in, n_out) = (row_len("dx", dx.len(), t), row_len("dy", dy.len(), t));
    assert_len("w", w.len(), n_out * n_in);
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let w = Matrix::rows(w.on_host(), n_in);
            let dy = Matrix::rows(dy.on_host(), n_out);
            matmul((t, n_in, n_out), dx.on_host(), dy, w, accumulate, dev.compute());
        }),
        Device::Gpu(gpu) => {
            let (dy, w) = (Side::Rows(dy.on_gpu(), n_out), Side::Rows(w.on_gpu(), n_in));
            multiply(gpu, (t, n_in, n_out), dx.on_gpu(), dy, w, accumulate);
        }
    }
}

/// `dw[n_out, n_in] += dy[t, n_out]' x[t, n_in]`.
pub fn backward_weight(
    dev: &Device,
    dy: View<'_, f32>,
    x: View<'_, f32>,
    dw: ViewMut<'_, f32>,
    t: usize,
) {
    let (n_in, n_out) = (row_len("x", x.len(), t), row_len("dy", dy.len(), t));
    assert_len("dw", dw.len(), n_out * n_in);
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let x = Matrix::rows(x.on_host(), n_in);
            let dy = Matrix::rows(dy.on_host(), n_out).transposed();
            matmul((n_out, n_in, t), dw.on_host(), dy, x, true, dev.compute());
        }),
        Device::Gpu(gpu) => {
            let (dy, x) = (Side::Cols(dy.on_gpu(), n_out), Side::Rows(x.on_gpu(), n_in));
            multiply(gpu, (n_out, n_in, t), dw.on_gpu(), dy, x, true);
        }
    }
}
