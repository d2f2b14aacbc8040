//! What the GPU can do at best, measured beside its rows.

use runtime::ops::{elementwise, linear};
use serde::Serialize;

use super::GpuBench;
use super::data::Kind;
use crate::BenchError;

/// Ceilings of one GPU, of the fastest of several samples.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct GpuCeilings {
    /// `b = a` over memory far larger than the cache, read and write counted.
    pub(crate) copy_bytes_per_s: f64,
    /// A product of square bf16 matrices of 8,192 rows, a multiply-add being two operations.
    pub(crate) gemm_flop_per_s: f64,
}

/// What one call has to do, whatever the code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GpuWork {
    /// Bytes read and written.
    pub(crate) bytes: f64,
    /// Operations of tensor cores.
    pub(crate) flops: f64,
}

impl GpuCeilings {
    /// Measures both.
    pub(super) fn measure(bench: &GpuBench) -> Result<Self, BenchError> {
        let bytes = bench.size(2 << 30, 1 << 16);
        let from = bench.noise(Kind::Plain, bytes / 4, 1.0);
        let mut to = bench.device.alloc(bytes / 4);
        let copied =
            bench.times(|| elementwise::copy(&bench.device, from.view(), to.view_mut()))?;
        drop((from, to));
        let n = bench.size(8192, 64);
        let [x, w] = [(); 2].map(|()| bench.noise(Kind::Activations, n * n, 1.0));
        let mut y = bench.device.alloc_activations(n * n);
        let product =
            bench.times(|| linear::forward(&bench.device, x.view(), w.view(), y.view_mut(), n))?;
        let n = n as f64;
        Ok(Self {
            copy_bytes_per_s: 2.0 * bytes as f64 / (copied.min_ms() / 1e3),
            gemm_flop_per_s: 2.0 * n * n * n / (product.min_ms() / 1e3),
        })
    }

    /// Least milliseconds that `work` takes: computing and moving data may overlap.
    pub(super) fn floor_ms(&self, work: GpuWork) -> f64 {
        1e3 * (work.bytes / self.copy_bytes_per_s).max(work.flops / self.gemm_flop_per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_the_slower_of_products_and_copies() {
        let ceilings = GpuCeilings { copy_bytes_per_s: 10.0, gemm_flop_per_s: 100.0 };
        assert_eq!(ceilings.floor_ms(GpuWork { bytes: 1.0, flops: 50.0 }), 500.0);
        assert_eq!(ceilings.floor_ms(GpuWork { bytes: 8.0, flops: 50.0 }), 800.0);
    }
}
