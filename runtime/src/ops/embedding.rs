//! Token embedding: rows of a table, possibly only this rank's part of the vocabulary.

use super::row_len;
use crate::cpu::embedding as cpu;
use crate::cuda::embedding as cuda;
use crate::{Device, View, ViewMut};

/// `out[t, d]` = the table's row of each token; zero for tokens outside
/// `vocab_start..vocab_start + v_local`, so that the sum over ranks is the embedding.
pub fn forward(
    dev: &Device,
    tokens: View<'_, u32>,
    table: View<'_, f32>,
    vocab_start: u32,
    out: ViewMut<'_, f32>,
) {
    let d = row_len("out", out.len(), tokens.len());
    assert!(table.len().is_multiple_of(d), "table of {} values, rows of {d}", table.len());
    match dev {
        Device::Cpu(_) => dev.install(|| {
            cpu::forward(tokens.on_host(), table.on_host(), vocab_start, out.on_host(), d);
        }),
        Device::Gpu(gpu) => {
            let (tokens, table) = (tokens.on_gpu(), table.on_gpu());
            cuda::forward(gpu, tokens, table, vocab_start, out.on_gpu(), d);
        }
    }
}

/// `dtable[v_local, d] += dout[t, d]` at each token's row, a row's tokens in their order; tokens
/// outside the part are left out.
pub fn backward(
    dev: &Device,
    tokens: View<'_, u32>,
    dout: View<'_, f32>,
    vocab_start: u32,
    dtable: ViewMut<'_, f32>,
) {
    let d = row_len("dout", dout.len(), tokens.len());
    assert!(dtable.len().is_multiple_of(d), "dtable of {} values, rows of {d}", dtable.len());
    match dev {
        Device::Cpu(_) => dev.install(|| {
            cpu::backward(tokens.on_host(), dout.on_host(), vocab_start, dtable.on_host(), d);
        }),
        Device::Gpu(gpu) => {
            let (tokens, dout) = (tokens.on_gpu(), dout.on_gpu());
            cuda::backward(gpu, tokens, dout, vocab_start, dtable.on_gpu(), d);
        }
    }
}
