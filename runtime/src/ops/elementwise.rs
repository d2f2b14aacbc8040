//! Whole-buffer streams: fill, copy, add, scale.

use super::assert_len;
use crate::cpu::elementwise as cpu;
use crate::cuda::elementwise as cuda;
use crate::{Device, View, ViewMut};

/// `y = value`.
pub fn fill(dev: &Device, y: ViewMut<'_, f32>, value: f32) {
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::fill(y.on_host(), value)),
        Device::Gpu(gpu) => cuda::fill(gpu, y.on_gpu(), value),
    }
}

/// `y = x`.
pub fn copy(dev: &Device, x: View<'_, f32>, y: ViewMut<'_, f32>) {
    assert_len("x", x.len(), y.len());
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::copy(x.on_host(), y.on_host())),
        Device::Gpu(gpu) => cuda::copy(gpu, x.on_gpu(), y.on_gpu()),
    }
}

/// `y += x`.
pub fn add(dev: &Device, x: View<'_, f32>, y: ViewMut<'_, f32>) {
    assert_len("x", x.len(), y.len());
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::add(x.on_host(), y.on_host())),
        Device::Gpu(gpu) => cuda::add(gpu, x.on_gpu(), y.on_gpu()),
    }
}

/// `y *= factor`.
pub fn scale(dev: &Device, y: ViewMut<'_, f32>, factor: f32) {
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::scale(y.on_host(), factor)),
        Device::Gpu(gpu) => cuda::scale(gpu, y.on_gpu(), factor),
    }
}
