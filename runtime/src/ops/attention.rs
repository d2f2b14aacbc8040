//! Causal scaled dot-product attention with grouped queries, on packed `[q heads | k heads | v
//! heads]` rows. Scores exist one tile of queries at a time; the backward pass recomputes them from
//! the log-sum-exp of each query (Dao et al. 2022).

use super::assert_len;
use crate::cpu::attention as cpu;
use crate::cuda::attention as cuda;
use crate::{Device, Storage, View, ViewMut};

/// Sizes of one attention call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences.
    pub batch: usize,
    /// Tokens per sequence.
    pub seq: usize,
    /// Query heads; a multiple of `kv_heads`. Query head h uses key-value head
    /// `h / (heads / kv_heads)`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
}

impl Shape {
    /// Rows: `batch * seq`.
    pub fn tokens(&self) -> usize {
        self.batch * self.seq
    }

    /// Values of a packed row: `(heads + 2 * kv_heads) * head_dim`.
    pub fn qkv_row(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Values of an output row: `heads * head_dim`.
    pub fn out_row(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Values of the log-sum-exp: `[batch, heads, seq]`.
    pub fn lse_len(&self) -> usize {
        self.batch * self.heads * self.seq
    }

    fn assert_sound(&self) {
        let sound = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads);
        assert!(sound && self.heads > 0, "attention: heads are no multiple of kv_heads: {self:?}");
        assert!(self.tokens() > 0 && self.head_dim > 0, "attention: nothing to do: {self:?}");
    }
}

/// Bytes that [`backward`] takes from a device of that kind, beside its arguments, while it runs.
pub fn temporary_bytes(storage: Storage, shape: Shape) -> usize {
    match storage {
        Storage::Host => 0,
        Storage::Gpu => cuda::deltas_len(shape) * size_of::<f32>(),
    }
}

/// `out[t, heads * head_dim]` and `lse[batch, heads, seq]` (natural log, of scaled scores) from
/// `qkv[t, qkv_row]`, scale 1/sqrt(head_dim). A query sees the keys of its sequence from its own of
/// `first_keys`, `[t]` (all of them where there are none), up to itself.
///
/// # Panics
/// A first key comes after its query, or there are any on a GPU, whose kernels know none.
pub fn forward(
    dev: &Device,
    shape: Shape,
    first_keys: Option<View<'_, u32>>,
    qkv: View<'_, f32>,
    out: ViewMut<'_, f32>,
    lse: ViewMut<'_, f32>,
) {
    shape.assert_sound();
    assert_len("qkv", qkv.len(), shape.tokens() * shape.qkv_row());
    assert_len("out", out.len(), shape.tokens() * shape.out_row());
    assert_len("lse", lse.len(), shape.lse_len());
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let first_keys = first_keys_on_host(shape, first_keys);
            cpu::forward(shape, first_keys, qkv.on_host(), out.on_host(), lse.on_host());
        }),
        Device::Gpu(gpu) => {
            assert!(first_keys.is_none(), "attention on a GPU: rows are not divided");
            cuda::forward(gpu, shape, qkv.on_gpu(), out.on_gpu(), lse.on_gpu());
        }
    }
}

fn first_keys_on_host(shape: Shape, first_keys: Option<View<'_, u32>>) -> &[u32] {
    let Some(first_keys) = first_keys else { return &[] };
    assert_len("first_keys", first_keys.len(), shape.tokens());
    first_keys.on_host()
}

/// Overwrites `dqkv` with the gradient of `qkv`, from the forward's inputs and results and `dout`.
///
/// # Panics
/// As [`forward`].
pub fn backward(
    dev: &Device,
    shape: Shape,
    first_keys: Option<View<'_, u32>>,
    qkv: View<'_, f32>,
    out: View<'_, f32>,
    dout: View<'_, f32>,
    lse: View<'_, f32>,
    dqkv: ViewMut<'_, f32>,
) {
    shape.assert_sound();
    assert_len("qkv", qkv.len(), shape.tokens() * shape.qkv_row());
    assert_len("out", out.len(), shape.tokens() * shape.out_row());
    assert_len("dout", dout.len(), out.len());
    assert_len("lse", lse.len(), shape.lse_len());
    assert_len("dqkv", dqkv.len(), qkv.len());
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let (qkv, out, dout) = (qkv.on_host(), out.on_host(), dout.on_host());
            let (first_keys, lse) = (first_keys_on_host(shape, first_keys), lse.on_host());
            cpu::backward(shape, first_keys, qkv, out, dout, lse, dqkv.on_host());
        }),
        Device::Gpu(gpu) => {
            assert!(first_keys.is_none(), "attention on a GPU: rows are not divided");
            let (qkv, out, dout) = (qkv.on_gpu(), out.on_gpu(), dout.on_gpu());
            cuda::backward(gpu, shape, qkv, out, dout, lse.on_gpu(), dqkv.on_gpu());
        }
    }
}
