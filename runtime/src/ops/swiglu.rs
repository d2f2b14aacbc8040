//! SwiGLU: `y = silu(gate) * up`, `silu(x) = x / (1 + e^-x)` (Shazeer 2020).

use super::{assert_len, row_len};
use crate::cpu::swiglu as cpu;
use crate::cuda::swiglu as cuda;
use crate::{Device, View, ViewMut};

/// `y[t, f]` from `gate_up[t, 2f]`, each row the f gates, then the f ups.
pub fn forward(dev: &Device, gate_up: View<'_, f32>, y: ViewMut<'_, f32>, t: usize) {
    let f = row_len("y", y.len(), t);
    assert_len("gate_up", gate_up.len(), 2 * y.len());
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::forward(gate_up.on_host(), y.on_host(), f)),
        Device::Gpu(gpu) => cuda::forward(gpu, gate_up.on_gpu(), y.on_gpu(), f),
    }
}

/// Replaces `gate_up[t, 2f]` by its gradient, from `dy[t, f]`: no second buffer of that size.
pub fn backward(dev: &Device, gate_up: ViewMut<'_, f32>, dy: View<'_, f32>, t: usize) {
    let f = row_len("dy", dy.len(), t);
    assert_len("gate_up", gate_up.len(), 2 * dy.len());
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::backward(gate_up.on_host(), dy.on_host(), f)),
        Device::Gpu(gpu) => cuda::backward(gpu, gate_up.on_gpu(), dy.on_gpu(), f),
    }
}
