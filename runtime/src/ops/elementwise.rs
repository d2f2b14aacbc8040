//! Whole-buffer streams: fill, copy, add, scale.

use super::assert_len;
use crate::cpu::elementwise as cpu;
use crate::{Device, View, ViewMut};

/// `y = value`.
pub fn fill(dev: &Device, y: ViewMut<'_, f32>, value: f32) {
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::fill(y.on_host(), value)),
    }
}

/// `y = x`.
pub fn copy(dev: &Device, x: View<'_, f32>, y: ViewMut<'_, f32>) {
    assert_len("x", x.len(), y.len());
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::copy(x.on_host(), y.on_host())),
    }
}

/// `y += x`.
pub fn add(dev: &Device, x: View<'_, f32>, y: ViewMut<'_, f32>) {
    assert_len("x", x.len(), y.len());
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::add(x.on_host(), y.on_host())),
    }
}

/// `y *= factor`.
pub fn scale(dev: &Device, y: ViewMut<'_, f32>, factor: f32) {
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::scale(y.on_host(), factor)),
    }
}
