//! The state root: a hash tree over all parameters; equal roots mean equal bits on two nodes.
//!
//! leaf   = BLAKE3(one chunk: its f32 values, little-endian, in tile order)
//! node   = BLAKE3 keyed NODE(left, right); an odd last one moves up unchanged
//! tensor = BLAKE3 keyed TENSOR(number of leaves as u64 little-endian, top node)
//! root   = BLAKE3 keyed ROOT(layout hash, tensor roots in the layout's order)
//!
//! A leaf is a chunk, so a tensor-parallel rank hashes the tiles that it holds, and two nodes that
//! differ find the tensor, then the chunk, by comparing what lies under the root.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Digest, Layout, StateRoot, Tiling};

/// Domain of inner nodes. Changing this breaks every state root.
const NODE: &[u8; 32] = b"cov72 state root, inner node    ";
/// Domain of tensor roots. Changing this breaks every state root.
const TENSOR: &[u8; 32] = b"cov72 state root, tensor root   ";
/// Domain of the root. Changing this breaks every state root.
const ROOT: &[u8; 32] = b"cov72 state root, root          ";

/// Leaves that one task hashes, so that small chunks are not scheduled one by one.
const LEAVES_PER_TASK: usize = 16;

/// Hash of one chunk, whose first value is `part[start]` and whose rows lie `row_stride` apart.
///
/// `part` may be the whole tensor (start from [`Tiling::chunk_start`], stride `tiling.cols`) or a
/// rank's share of it: the hash depends on the chunk's values alone.
pub fn leaf(part: &[f32], start: usize, row_stride: usize, tiling: Tiling) -> Digest {
    leaf_in(&mut Vec::new(), part, start, row_stride, tiling)
}

/// [`leaf`] with room to lay the tile's bytes out in one piece, where BLAKE3 is fast.
fn leaf_in(
    tile: &mut Vec<u8>,
    part: &[f32],
    start: usize,
    row_stride: usize,
    tiling: Tiling,
) -> Digest {
    tile.resize(4 * tiling.chunk_len(), 0);
    for (row, bytes) in tile.chunks_exact_mut(4 * tiling.tile_cols).enumerate() {
        let first = start + row * row_stride;
        let values = &part[first..first + tiling.tile_cols];
        for (value, bytes) in values.iter().zip(bytes.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }
    Digest(*blake3::hash(tile).as_bytes())
}

/// Hashes of all chunks of one whole tensor `[rows, cols]`, in chunk order.
pub fn leaves(tensor: &[f32], tiling: Tiling) -> Vec<Digest> {
    let chunks = (0..tiling.chunks()).into_par_iter().with_min_len(LEAVES_PER_TASK);
    chunks
        .map_init(Vec::new, |tile, chunk| {
            leaf_in(tile, tensor, tiling.chunk_start(chunk), tiling.cols, tiling)
        })
        .collect()
}

/// Root of one tensor over the hashes of its chunks, in chunk order.
///
/// # Panics
/// There are no leaves; a tensor has at least one chunk.
pub fn tensor_root(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(node).collect();
    }
    let count = (leaves.len() as u64).to_le_bytes();
    keyed(TENSOR, [&count[..], &level[0].0])
}

fn node(children: &[Digest]) -> Digest {
    match children {
        [left, right] => keyed(NODE, [&left.0[..], &right.0]),
        odd => odd[0],
    }
}

fn keyed<'a>(domain: &[u8; 32], parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut hasher = blake3::Hasher::new_keyed(domain);
    for part in parts {
        hasher.update(part);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// The tree's upper part: the layout and one root per tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateTree {
    /// Hash of the layout that the tensors follow.
    pub layout: Digest,
    /// Root of each tensor, in the layout's order.
    pub tensor_roots: Vec<Digest>,
}

impl StateTree {
    /// Hashes the flat vector of all parameters, on all threads; the result does not depend on how
    /// many there are.
    ///
    /// # Panics
    /// `params` has another length than the layout.
    pub fn of_params(layout: &Layout, params: &[f32]) -> Self {
        assert_eq!(params.len(), layout.params(), "parameters that do not fit their layout");
        let root_of = |tensor: &crate::Tensor| {
            tensor_root(&leaves(&params[tensor.range()], tensor.shape.tiling()))
        };
        let tensor_roots = layout.tensors().par_iter().map(root_of).collect();
        Self { layout: layout.hash(), tensor_roots }
    }

    /// The one hash of everything.
    pub fn root(&self) -> StateRoot {
        let tensors = self.tensor_roots.iter().map(|root| &root.0[..]);
        StateRoot(keyed(ROOT, std::iter::once(&self.layout.0[..]).chain(tensors)).0)
    }

    /// Which tensors, by index, differ from `other`'s; all of them if the layouts differ.
    pub fn differing(&self, other: &StateTree) -> Vec<usize> {
        let same_layout = self.layout == other.layout;
        let differs =
            |&tensor: &usize| self.tensor_roots.get(tensor) != other.tensor_roots.get(tensor);
        let count = self.tensor_roots.len().max(other.tensor_roots.len());
        (0..count).filter(|tensor| !same_layout || differs(tensor)).collect()
    }
}
