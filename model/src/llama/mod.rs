//! The model's forward and backward pass on one rank, written out by hand.
//!
//! Legend: `t` tokens of a micro-batch (sequences x seq_len, row by row), `d` d_model, `f` this
//! rank's share of the feed-forward width. Linear weights are `[out, in]`. A column-parallel linear
//! needs its input's gradient summed over ranks, a row-parallel one its output.

mod activations;
mod backward;
mod forward;

use runtime::collective::Collective;
use runtime::ops::attention;
use runtime::{Device, View};
use wire::ModelSpec;

pub(crate) use activations::{Activations, planned_bytes};

use crate::ModelError;
use crate::params::ParamTable;

/// What one pass goes through, and what it keeps for the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicroBatch {
    /// Sequences of it.
    pub sequences: usize,
    /// Layers, from the first on, of which only the entry is kept and the rest computed again: the
    /// same bits in less memory and more time. One alone saves nothing.
    pub recomputed_layers: usize,
    /// Whether tokens attend to those of their own document only. On the host alone.
    pub document_masks: bool,
}

impl From<usize> for MicroBatch {
    /// So many sequences, everything kept, each one whole.
    fn from(sequences: usize) -> Self {
        Self { sequences, recomputed_layers: 0, document_masks: false }
    }
}

/// The extents of one rank's share of a micro-batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    pub(crate) tokens: usize,
    pub(crate) d_model: usize,
    /// This rank's share of the feed-forward width.
    pub(crate) ffn: usize,
    pub(crate) attention: attention::Shape,
    /// First row of the vocabulary that this rank holds.
    pub(crate) vocab_start: u32,
    pub(crate) vocab: usize,
    pub(crate) norm_eps: f32,
    /// Layers, from the first on, whose activations are computed again on the way back.
    pub(crate) recomputed: usize,
    /// Whether tokens attend to those of their own document only.
    pub(crate) document_masks: bool,
}

impl Extents {
    pub(crate) fn new(spec: &ModelSpec, micro: MicroBatch, rank: usize, world: usize) -> Self {
        let MicroBatch { sequences, recomputed_layers, document_masks } = micro;
        let vocab = spec.vocab / world;
        Self {
            tokens: sequences * spec.seq_len,
            d_model: spec.d_model,
            ffn: spec.ffn / world,
            attention: attention::Shape {
                batch: sequences,
                seq: spec.seq_len,
                heads: spec.heads / world,
                kv_heads: spec.kv_heads / world,
                head_dim: spec.d_model / spec.heads,
            },
            vocab_start: (rank * vocab) as u32,
            vocab,
            norm_eps: spec.norm_eps as f32,
            recomputed: recomputed_layers.min(spec.layers),
            document_masks,
        }
    }

    /// Refuses rows that are no multiple of 8 values, which is what kernels of a GPU move at once.
    pub(crate) fn assert_aligned(&self) -> Result<(), ModelError> {
        let turned = self.turned_heads() * self.attention.head_dim;
        let extents = [
            ("model.d_model", self.d_model),
            ("model.ffn", self.ffn),
            ("model.vocab", self.vocab),
            ("the width of queries, keys and values", self.attention.qkv_row()),
            ("the width of queries and keys", turned),
        ];
        match extents.into_iter().find(|(_, extent)| !extent.is_multiple_of(8)) {
            Some((name, extent)) => Err(ModelError::Unaligned { name, extent }),
            None => Ok(()),
        }
    }

    /// Of how many of `layers` layers all activations are held at once.
    pub(crate) fn held_layers(&self, layers: usize) -> usize {
        layers - self.recomputed.saturating_sub(1)
    }

    /// Query and key heads of this rank: those that RoPE turns.
    pub(crate) fn turned_heads(&self) -> usize {
        self.attention.heads + self.attention.kv_heads
    }
}

/// What a pass works with: where it runs, with whom, on which parameters.
pub(crate) struct Pass<'a> {
    pub(crate) device: &'a Device,
    pub(crate) comm: &'a dyn Collective,
    pub(crate) table: &'a ParamTable,
    pub(crate) params: View<'a, f32>,
    pub(crate) extents: Extents,
}

impl<'a> Pass<'a> {
    fn weight(&self, range: &std::ops::Range<usize>) -> View<'a, f32> {
        self.params.slice(range.clone())
    }
}
