//! Rotary position embedding in interleaved pairs: values (2i, 2i + 1) of a head turn by
//! `position * theta^(-2i / head_dim)` (Su et al. 2021, in Meta's layout).

use super::row_len;
use crate::cpu::rope as cpu;
use crate::cuda::rope as cuda;
use crate::{Buffer, Device, ViewMut};

/// Cosines and sines for every position, computed in f64 and rounded once.
#[derive(Debug)]
pub struct Table {
    /// `[seq][head_dim]`: head_dim / 2 cosines, then as many sines.
    cos_sin: Buffer<f32>,
    seq: usize,
    head_dim: usize,
}

impl Table {
    /// The table for positions `0..seq`.
    ///
    /// # Panics
    /// `head_dim` is odd or either is zero.
    pub fn new(dev: &Device, seq: usize, head_dim: usize, theta: f64) -> Self {
        assert!(seq > 0 && head_dim > 0 && head_dim.is_multiple_of(2), "rope needs pairs");
        let mut values = vec![0.0; seq * head_dim];
        for (position, row) in values.chunks_exact_mut(head_dim).enumerate() {
            let (cos, sin) = row.split_at_mut(head_dim / 2);
            for i in 0..head_dim / 2 {
                let frequency = theta.powf(-2.0 * i as f64 / head_dim as f64);
                let angle = position as f64 * frequency;
                cos[i] = angle.cos() as f32;
                sin[i] = angle.sin() as f32;
            }
        }
        let mut cos_sin = dev.alloc(values.len());
        cos_sin.write(&values);
        Self { cos_sin, seq, head_dim }
    }

    /// Positions it holds.
    pub fn seq(&self) -> usize {
        self.seq
    }

    /// Values per head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }
}

/// Turns, in place, the first `heads_rotated * head_dim` values of each of the `t` packed rows of
/// `qkv[t, row]` (so heads + kv_heads turns queries and keys, not values). The position of a row is
/// its index modulo `seq`, the length of one sequence, at most the table's.
pub fn forward(
    dev: &Device,
    table: &Table,
    qkv: ViewMut<'_, f32>,
    t: usize,
    seq: usize,
    heads_rotated: usize,
) {
    turn(dev, table, qkv, t, seq, heads_rotated, 1.0);
}

/// As [`forward`] for `t` rows of one sequence whose first row is at position `first`.
///
/// # Panics
/// The table ends before the last row's position.
pub fn forward_from(
    dev: &Device,
    table: &Table,
    qkv: ViewMut<'_, f32>,
    t: usize,
    first: usize,
    heads_rotated: usize,
) {
    let row = row_len("qkv", qkv.len(), t);
    let (heads, hd) = (heads_rotated, table.head_dim);
    assert!(heads * hd <= row, "rope: {heads} heads do not fit a row of {row}");
    assert!(first + t <= table.seq, "rope: {first} + {t} positions, table of {}", table.seq);
    let cos_sin = table.cos_sin.slice(first * hd..(first + t) * hd);
    match dev {
        Device::Cpu(_) => dev.install(|| {
            cpu::rotate(cos_sin.on_host(), qkv.on_host(), row, heads, hd, t, 1.0);
        }),
        Device::Gpu(gpu) => {
            cuda::rotate(gpu, cos_sin.on_gpu(), qkv.on_gpu(), row, heads, hd, t, 1.0);
        }
    }
}

/// Turns gradients back, in place: the inverse of [`forward`].
pub fn backward(
    dev: &Device,
    table: &Table,
    dqkv: ViewMut<'_, f32>,
    t: usize,
    seq: usize,
    heads_rotated: usize,
) {
    turn(dev, table, dqkv, t, seq, heads_rotated, -1.0);
}

fn turn(
    dev: &Device,
    table: &Table,
    rows: ViewMut<'_, f32>,
    t: usize,
    seq: usize,
    heads: usize,
    sign: f32,
) {
    let row = row_len("qkv", rows.len(), t);
    assert!(heads * table.head_dim <= row, "rope: {heads} heads do not fit a row of {row}");
    assert!(0 < seq && seq <= table.seq, "rope: sequence of {seq}, table of {}", table.seq);
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let cos_sin = table.cos_sin.view().on_host();
            cpu::rotate(cos_sin, rows.on_host(), row, heads, table.head_dim, seq, sign);
        }),
        Device::Gpu(gpu) => {
            let cos_sin = table.cos_sin.view().on_gpu();
            cuda::rotate(gpu, cos_sin, rows.on_gpu(), row, heads, table.head_dim, seq, sign);
        }
    }
}
