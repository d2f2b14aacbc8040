//! Sums over whole buffers, the same bits on any number of threads.

use crate::cpu::reduce as cpu;
use crate::cuda::reduce as cuda;
use crate::{Device, View};

/// `sum x^2` in f64, for gradient norms. Not finite exactly when a value is not.
pub fn sum_squares(dev: &Device, x: View<'_, f32>) -> f64 {
    match dev {
        Device::Cpu(_) => dev.install(|| cpu::sum_squares(x.on_host())),
        Device::Gpu(gpu) => cuda::sum_squares(gpu, x.on_gpu()),
    }
}
