//! What this machine can do at best, measured beside the rows: each row's floor follows from it.
//!
//! Rates are of the fastest of several samples, on as many threads as the rows use: in FLOP/s, and
//! in bytes/s counting what is read and what is written.

use std::hint::black_box;

use rayon::prelude::*;
use runtime::{Compute, Device};
use serde::Serialize;

use crate::timing::Times;

/// Ceilings of one device.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ceilings {
    /// f32 fused multiply-adds in registers, two operations each.
    pub(crate) fma_flop_per_s: f64,
    /// The same with factors in bf16, by whatever instructions products in bf16 use here.
    pub(crate) bf16_flop_per_s: f64,
    /// `b = a` over memory far larger than the caches, read and write counted.
    pub(crate) copy_bytes_per_s: f64,
    /// `a *= c` in place, read and write counted.
    pub(crate) update_bytes_per_s: f64,
    /// Sum over memory that is only read.
    pub(crate) read_bytes_per_s: f64,
    /// BLAKE3 of pieces of 16 KiB, a leaf of the state root.
    pub(crate) hash_bytes_per_s: f64,
}

/// What one call has to do, whatever the code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// f32 operations, a multiply-add being two.
    pub(crate) flops: f64,
    /// Operations of products whose factors are bf16.
    pub(crate) bf16_flops: f64,
    /// Bytes read from one place and written to another.
    pub(crate) copied_bytes: f64,
    /// Bytes read and written back in place, both counted.
    pub(crate) updated_bytes: f64,
    /// Bytes only read.
    pub(crate) read_bytes: f64,
    /// Bytes hashed.
    pub(crate) hashed_bytes: f64,
}

impl Work {
    /// Matrix products of so many operations, their factors as `compute` says.
    pub(crate) fn products(compute: Compute, operations: f64) -> Self {
        match compute {
            Compute::F32 => Self { flops: operations, ..Self::default() },
            Compute::Bf16 => Self { bf16_flops: operations, ..Self::default() },
        }
    }
}

/// Values that one task of a memory ceiling streams through.
const PIECE: usize = 1 << 16;

impl Ceilings {
    /// Measures all of them on `device`; `quick` with less memory and fewer samples.
    pub(crate) fn measure(device: &Device, quick: bool) -> Self {
        let (samples, values) = if quick { (3, 4 << 20) } else { (10, 32 << 20) };
        let rounds = if quick { 200_000 } else { 2_000_000 };
        let mut a: Vec<f32> = vec![1.0; values];
        let mut b: Vec<f32> = vec![0.0; values];
        device.install(|| Self {
            fma_flop_per_s: operations(Compute::F32, samples, rounds),
            bf16_flop_per_s: operations(Compute::Bf16, samples, rounds),
            copy_bytes_per_s: copy(samples, &a, &mut b),
            update_bytes_per_s: update(samples, &mut b),
            read_bytes_per_s: read(samples, &a),
            hash_bytes_per_s: hash(samples, &mut a),
        })
    }

    /// Least milliseconds that `work` takes: computing and moving data may overlap.
    pub(crate) fn floor_ms(&self, work: &Work) -> f64 {
        let memory = work.copied_bytes / self.copy_bytes_per_s
            + work.updated_bytes / self.update_bytes_per_s
            + work.read_bytes / self.read_bytes_per_s;
        let compute = work.flops / self.fma_flop_per_s
            + work.bf16_flops / self.bf16_flop_per_s
            + work.hashed_bytes / self.hash_bytes_per_s;
        1e3 * memory.max(compute)
    }
}

fn per_second(amount: f64, times: &Times) -> f64 {
    amount / (times.min_ms() / 1e3)
}

fn operations(compute: Compute, samples: usize, rounds: usize) -> f64 {
    let mut operations = 0;
    let times = Times::of(samples, |_| {
        operations =
            rayon::broadcast(|_| compute.operations_in_registers(rounds)).into_iter().sum();
    });
    per_second(operations as f64, &times)
}

fn copy(samples: usize, a: &[f32], b: &mut [f32]) -> f64 {
    let times = Times::of(samples, |_| {
        let pieces = b.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE));
        pieces.for_each(|(b, a)| b.copy_from_slice(a));
    });
    per_second(2.0 * size_of_val(a) as f64, &times)
}

fn update(samples: usize, a: &mut [f32]) -> f64 {
    let times = Times::of(samples, |_| {
        a.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|x| *x *= 0.999));
    });
    per_second(2.0 * size_of_val(a) as f64, &times)
}

fn read(samples: usize, a: &[f32]) -> f64 {
    let times = Times::of(samples, |_| {
        black_box(a.par_chunks(PIECE).map(sum).sum::<f32>());
    });
    per_second(size_of_val(a) as f64, &times)
}

fn sum(piece: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 64];
    for lanes in piece.as_chunks::<64>().0 {
        sums.iter_mut().zip(lanes).for_each(|(sum, x)| *sum += x);
    }
    sums.iter().sum()
}

fn hash(samples: usize, a: &mut [f32]) -> f64 {
    const LEAF_BYTES: usize = 16 << 10;
    let bytes: Vec<u8> = a[..a.len() / 2].iter().flat_map(|x| x.to_le_bytes()).collect();
    let times = Times::of(samples, |_| {
        bytes.par_chunks(LEAF_BYTES).with_min_len(16).for_each(|leaf| {
            black_box(blake3::hash(leaf));
        });
    });
    per_second(bytes.len() as f64, &times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_the_slower_of_computing_and_moving() {
        let ceilings = Ceilings {
            fma_flop_per_s: 100.0,
            bf16_flop_per_s: 200.0,
            copy_bytes_per_s: 10.0,
            update_bytes_per_s: 20.0,
            read_bytes_per_s: 40.0,
            hash_bytes_per_s: 5.0,
        };
        let work = Work { flops: 50.0, copied_bytes: 1.0, ..Work::default() };
        assert_eq!(ceilings.floor_ms(&work), 500.0);
        let in_bf16 = Work { flops: 0.0, bf16_flops: 50.0, ..work };
        assert_eq!(ceilings.floor_ms(&in_bf16), 250.0);
        let work = Work { copied_bytes: 5.0, updated_bytes: 5.0, ..work };
        assert_eq!(ceilings.floor_ms(&work), 750.0);
    }
}
