//! Where each parameter tensor lies in the flat vector, how it is split over ranks, how it starts.
//!
//! The order puts `wq`, `wk`, `wv` and `w1`, `w3` side by side, so that each group is one matrix to
//! a linear operation. A rank of a tensor-parallel group holds the same order with smaller extents.

use std::ops::Range;

use wire::{Layout, ModelSpec, Shape};

use crate::ModelError;

/// How a tensor is divided among the ranks of a tensor-parallel group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Every rank holds all of it (norm weights).
    Whole,
    /// By output features, that is by rows of `[out, in]`: a column-parallel linear.
    Rows,
    /// By input features, that is by columns of `[out, in]`: a row-parallel linear.
    Cols,
}

/// How a tensor starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Init {
    /// All ones.
    Ones,
    /// Normal with mean 0; values beyond `cut` are drawn again.
    Normal { std: f64, cut: f64 },
}

pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) split: Split,
    pub(crate) init: Init,
}

/// All tensors of a model in flat order, with split and start.
pub(crate) fn params_of(spec: &ModelSpec) -> Vec<Param> {
    let (d, ffn) = (spec.d_model, spec.ffn);
    let kv = d / spec.heads * spec.kv_heads;
    let vocab = Shape::Matrix(spec.vocab, d);
    // The bound of plus or minus 2 is absolute, hence without effect on these small deviations.
    let narrow = |std| Init::Normal { std, cut: 2.0 };
    let head = Init::Normal { std: (d as f64).powf(-0.5), cut: 3.0 * (d as f64).powf(-0.5) };
    let mut params = Vec::new();
    let mut add =
        |name: String, shape, split, init| params.push(Param { name, shape, split, init });
    let embedding = if spec.tied { head } else { Init::Normal { std: 1.0, cut: f64::INFINITY } };
    add("tok_embeddings.weight".into(), vocab, Split::Rows, embedding);
    for layer in 0..spec.layers {
        let deep = narrow(0.02 / (2.0 * (layer as f64 + 1.0)).sqrt());
        let mut add = |name: &str, shape, split, init| {
            add(format!("layers.{layer}.{name}.weight"), shape, split, init);
        };
        add("attention_norm", Shape::Vector(d), Split::Whole, Init::Ones);
        add("attention.wq", Shape::Matrix(d, d), Split::Rows, narrow(0.02));
        add("attention.wk", Shape::Matrix(kv, d), Split::Rows, narrow(0.02));
        add("attention.wv", Shape::Matrix(kv, d), Split::Rows, narrow(0.02));
        add("attention.wo", Shape::Matrix(d, d), Split::Cols, deep);
        add("ffn_norm", Shape::Vector(d), Split::Whole, Init::Ones);
        add("feed_forward.w1", Shape::Matrix(ffn, d), Split::Rows, narrow(0.02));
        add("feed_forward.w3", Shape::Matrix(ffn, d), Split::Rows, deep);
        add("feed_forward.w2", Shape::Matrix(d, ffn), Split::Cols, deep);
    }
    add("norm.weight".into(), Shape::Vector(d), Split::Whole, Init::Ones);
    if !spec.tied {
        add("output.weight".into(), vocab, Split::Rows, head);
    }
    params
}

/// The flat ranges of one layer's tensors.
#[derive(Clone, Debug)]
pub(crate) struct LayerParams {
    pub(crate) attention_norm: Range<usize>,
    /// `wq`, `wk`, `wv` as one matrix `[(heads + 2 kv_heads) * head_dim, d_model]`.
    pub(crate) qkv: Range<usize>,
    pub(crate) wo: Range<usize>,
    pub(crate) ffn_norm: Range<usize>,
    /// `w1`, `w3` as one matrix `[2 ffn, d_model]`.
    pub(crate) gate_up: Range<usize>,
    pub(crate) w2: Range<usize>,
}

/// Where the tensors of one rank lie, by role.
#[derive(Clone, Debug)]
pub struct ParamTable {
    pub(crate) embedding: Range<usize>,
    pub(crate) layers: Vec<LayerParams>,
    pub(crate) norm: Range<usize>,
    /// The head's matrix: the embedding itself when tied.
    pub(crate) output: Range<usize>,
    /// Ranges that every rank holds whole: their gradient's norm counts once.
    pub(crate) whole: Vec<Range<usize>>,
    params: usize,
}

impl ParamTable {
    /// The table of the tensors in `layout`, which [`Partition::local_layout`] made from `spec`.
    pub(crate) fn new(spec: &ModelSpec, layout: &Layout) -> Self {
        let at = |name: &str| layout.find(name).map(wire::Tensor::range).unwrap_or(0..0);
        let layers = (0..spec.layers)
            .map(|layer| {
                let at = |name: &str| at(&format!("layers.{layer}.{name}.weight"));
                LayerParams {
                    attention_norm: at("attention_norm"),
                    qkv: at("attention.wq").start..at("attention.wv").end,
                    wo: at("attention.wo"),
                    ffn_norm: at("ffn_norm"),
                    gate_up: at("feed_forward.w1").start..at("feed_forward.w3").end,
                    w2: at("feed_forward.w2"),
                }
            })
            .collect();
        let embedding = at("tok_embeddings.weight");
        let output = if spec.tied { embedding.clone() } else { at("output.weight") };
        let whole = params_of(spec)
            .into_iter()
            .filter(|param| param.split == Split::Whole)
            .map(|param| at(&param.name))
            .collect();
        let params = layout.params();
        Self { embedding, layers, norm: at("norm.weight"), output, whole, params }
    }

    /// Values held.
    pub fn params(&self) -> usize {
        self.params
    }
}

/// The layout of the whole model.
///
/// # Errors
/// The model has a tensor without values.
pub fn layout_of(spec: &ModelSpec) -> Result<Layout, ModelError> {
    Ok(Layout::new(params_of(spec).into_iter().map(|param| (param.name, param.shape)))?)
}

/// One rank's part of every tensor.
#[derive(Clone, Debug)]
pub struct Partition {
    rank: usize,
    pieces: Vec<Piece>,
    local: Layout,
}

#[derive(Clone, Debug)]
struct Piece {
    split: Split,
    full: Range<usize>,
    local: Range<usize>,
    local_cols: usize,
    full_cols: usize,
}

impl Partition {
    /// The part of rank `rank` among `world`.
    ///
    /// # Errors
    /// Heads, feed-forward width or vocabulary do not divide by `world`.
    pub fn new(spec: &ModelSpec, rank: usize, world: usize) -> Result<Self, ModelError> {
        let extents = [
            ("heads", spec.heads),
            ("kv_heads", spec.kv_heads),
            ("ffn", spec.ffn),
            ("vocab", spec.vocab),
        ];
        for (name, extent) in extents {
            if world == 0 || extent % world != 0 {
                return Err(ModelError::Indivisible { name, extent, world });
            }
        }
        let full = layout_of(spec)?;
        let params = params_of(spec);
        let local = Layout::new(params.iter().map(|param| {
            let shape = match (param.split, param.shape) {
                (Split::Rows, Shape::Matrix(rows, cols)) => Shape::Matrix(rows / world, cols),
                (Split::Cols, Shape::Matrix(rows, cols)) => Shape::Matrix(rows, cols / world),
                (_, shape) => shape,
            };
            (param.name.clone(), shape)
        }))?;
        let pieces = std::iter::zip(full.tensors(), local.tensors())
            .zip(&params)
            .map(|((full, local), param)| Piece {
                split: param.split,
                full: full.range(),
                local: local.range(),
                local_cols: local.shape.rows_cols().1,
                full_cols: full.shape.rows_cols().1,
            })
            .collect();
        Ok(Self { rank, pieces, local })
    }

    /// The layout of this rank's part.
    pub fn local_layout(&self) -> &Layout {
        &self.local
    }

    /// Copies this rank's part out of the whole flat vector.
    pub fn take(&self, full: &[f32], local: &mut [f32]) {
        for piece in &self.pieces {
            piece.rows(self.rank, |at_full, at_local| {
                local[at_local].copy_from_slice(&full[at_full]);
            });
        }
    }

    /// Copies this rank's part into the whole flat vector.
    pub fn put(&self, local: &[f32], full: &mut [f32]) {
        for piece in &self.pieces {
            piece.rows(self.rank, |at_full, at_local| {
                full[at_full].copy_from_slice(&local[at_local]);
            });
        }
    }
}

impl Piece {
    /// Calls `copy(full range, local range)` for each contiguous run of values of rank `rank`.
    fn rows(&self, rank: usize, mut copy: impl FnMut(Range<usize>, Range<usize>)) {
        let len = self.local.len();
        match self.split {
            Split::Whole => copy(self.full.clone(), self.local.clone()),
            Split::Rows => {
                let start = self.full.start + rank * len;
                copy(start..start + len, self.local.clone());
            }
            Split::Cols => {
                for row in 0..len / self.local_cols {
                    let full = self.full.start + row * self.full_cols + rank * self.local_cols;
                    let local = self.local.start + row * self.local_cols;
                    copy(full..full + self.local_cols, local..local + self.local_cols);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    #[test]
    fn parts_of_all_ranks_put_together_are_the_whole() {
        let spec = preset("m1").unwrap().model;
        let params = layout_of(&spec).unwrap().params();
        let full: Vec<f32> = (0..params).map(|i| i as f32).collect();
        for world in [1, 2, 4] {
            let mut back = vec![f32::NAN; params];
            for rank in 0..world {
                let part = Partition::new(&spec, rank, world).unwrap();
                let mut local = vec![0.0; part.local_layout().params()];
                part.take(&full, &mut local);
                part.put(&local, &mut back);
            }
            assert_eq!(full, back);
        }
    }

    #[test]
    fn a_world_that_does_not_divide_the_heads_is_refused() {
        let spec = preset("nano").unwrap().model;
        let error = Partition::new(&spec, 0, 3).unwrap_err().to_string();
        assert!(error.contains("heads"), "{error}");
    }
}
