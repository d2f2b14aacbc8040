//! Which tensors a model has, in order, and how each is cut into chunks for top-k.
//!
//! A tensor `[R, C]` becomes a grid of tiles `[r, c]`, where `r` and `c` are the largest divisors
//! of `R` and `C` up to 64; a tile, flattened by row, is one chunk (4,096 values for every matrix
//! of the large models). A vector `[N]` counts as `[1, N]`, so its chunks are at most 64 long. All
//! nodes of a run must cut alike: the layout's hash is in every signed header.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Longest side of a tile. Changing this breaks every payload, residual and state root.
const TILE_SIDE_MAX: usize = 64;
/// Most values of a chunk.
pub(crate) const CHUNK_LEN_MAX: usize = TILE_SIDE_MAX * TILE_SIDE_MAX;

/// Extent of a parameter tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shape {
    /// `[n]`
    Vector(usize),
    /// `[rows, cols]`, stored by row.
    Matrix(usize, usize),
}

impl Shape {
    /// Its extents, outermost first.
    pub fn extents(self) -> Vec<usize> {
        match self {
            Shape::Vector(n) => vec![n],
            Shape::Matrix(rows, cols) => vec![rows, cols],
        }
    }

    /// Number of values.
    pub fn len(self) -> usize {
        match self {
            Shape::Vector(n) => n,
            Shape::Matrix(rows, cols) => rows * cols,
        }
    }

    /// Whether there are no values.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// `(rows, cols)`, a vector being one row.
    pub fn rows_cols(self) -> (usize, usize) {
        match self {
            Shape::Vector(n) => (1, n),
            Shape::Matrix(rows, cols) => (rows, cols),
        }
    }

    /// How the tensor is cut into chunks.
    pub fn tiling(self) -> Tiling {
        let (rows, cols) = self.rows_cols();
        Tiling { rows, cols, tile_rows: tile_side(rows), tile_cols: tile_side(cols) }
    }
}

/// Largest divisor of `extent` that is at most [`TILE_SIDE_MAX`].
fn tile_side(extent: usize) -> usize {
    (1..=TILE_SIDE_MAX.min(extent)).rev().find(|side| extent.is_multiple_of(*side)).unwrap_or(1)
}

/// The grid of chunks of one tensor. Chunk `i` is tile `(i / grid_cols, i % grid_cols)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Rows of the tensor.
    pub rows: usize,
    /// Columns of the tensor.
    pub cols: usize,
    /// Rows of one tile.
    pub tile_rows: usize,
    /// Columns of one tile.
    pub tile_cols: usize,
}

impl Tiling {
    /// Values in a chunk.
    pub fn chunk_len(self) -> usize {
        self.tile_rows * self.tile_cols
    }

    /// Chunks in the tensor.
    pub fn chunks(self) -> usize {
        self.rows * self.cols / self.chunk_len()
    }

    /// Values kept of each chunk when `k` are asked for: at most the chunk, even, at least 2
    /// (or the whole chunk where it has fewer than 2 values).
    pub fn k_eff(self, k: usize) -> usize {
        let len = self.chunk_len();
        (k.min(len) / 2 * 2).max(2).min(len)
    }

    /// Offset within the tensor of the first value of chunk `chunk`; row `r` of the tile starts
    /// `r * cols` later.
    pub fn chunk_start(self, chunk: usize) -> usize {
        let grid_cols = self.cols / self.tile_cols;
        chunk / grid_cols * self.tile_rows * self.cols + chunk % grid_cols * self.tile_cols
    }
}

/// One parameter tensor: its name, its shape, and where it starts in the flat parameter vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tensor {
    /// For example `layers.0.attention.wq.weight`.
    pub name: String,
    /// Extent.
    pub shape: Shape,
    /// First value within the flat vector of all parameters.
    pub offset: usize,
}

impl Tensor {
    /// The tensor's values within the flat vector.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.shape.len()
    }
}

/// All tensors of a model in their one order, lying one behind the other in a flat vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    tensors: Vec<Tensor>,
    params: usize,
}

/// Why a list of tensors is no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A tensor without values.
    #[error("tensor {0} has no values")]
    Empty(String),
    /// Two tensors of one name.
    #[error("tensor {0} is there twice")]
    Duplicate(String),
}

impl Layout {
    /// Lays tensors out one behind the other, in the order given.
    ///
    /// # Errors
    /// A tensor is empty, or two share a name.
    pub fn new(tensors: impl IntoIterator<Item = (String, Shape)>) -> Result<Self, LayoutError> {
        let mut names = std::collections::HashSet::new();
        let mut params = 0;
        let tensors = tensors
            .into_iter()
            .map(|(name, shape)| {
                if shape.is_empty() {
                    return Err(LayoutError::Empty(name));
                }
                if !names.insert(name.clone()) {
                    return Err(LayoutError::Duplicate(name));
                }
                let offset = params;
                params += shape.len();
                Ok(Tensor { name, shape, offset })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { tensors, params })
    }

    /// The tensors, in order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Number of values in all tensors together.
    pub fn params(&self) -> usize {
        self.params
    }

    /// The tensor called `name`.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// BLAKE3 over, for each tensor in order: name length (u32), name, rank (u8), extents (u64
    /// each); all little-endian. Changing this breaks every payload and manifest.
    pub fn hash(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for tensor in &self.tensors {
            hasher.update(&(tensor.name.len() as u32).to_le_bytes());
            hasher.update(tensor.name.as_bytes());
            match tensor.shape {
                Shape::Vector(n) => {
                    hasher.update(&[1]).update(&(n as u64).to_le_bytes());
                }
                Shape::Matrix(rows, cols) => {
                    hasher.update(&[2]).update(&(rows as u64).to_le_bytes());
                    hasher.update(&(cols as u64).to_le_bytes());
                }
            }
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_the_largest_divisors_up_to_64() {
        let tiling = Shape::Matrix(128, 352).tiling();
        assert_eq!((tiling.tile_rows, tiling.tile_cols), (64, 44));
        assert_eq!(tiling.chunks() * tiling.chunk_len(), 128 * 352);
        assert_eq!(Shape::Vector(8192).tiling().chunk_len(), 64);
        assert_eq!(Shape::Matrix(97, 101).tiling().chunk_len(), 1);
    }

    #[test]
    fn k_is_even_at_least_two_and_never_more_than_the_chunk() {
        let chunk = |rows, cols| Shape::Matrix(rows, cols).tiling();
        assert_eq!(chunk(64, 64).k_eff(64), 64);
        assert_eq!(chunk(64, 64).k_eff(7), 6);
        assert_eq!(chunk(64, 64).k_eff(1), 2);
        assert_eq!(Shape::Vector(64).tiling().k_eff(64), 64);
        assert_eq!(Shape::Vector(27).tiling().k_eff(64), 26);
        assert_eq!(chunk(97, 101).k_eff(64), 1);
    }

    #[test]
    fn chunks_start_where_their_tile_does() {
        let tiling = Shape::Matrix(128, 192).tiling();
        assert_eq!(tiling.chunk_start(0), 0);
        assert_eq!(tiling.chunk_start(2), 128);
        assert_eq!(tiling.chunk_start(3), 64 * 192);
    }

    #[test]
    fn layouts_refuse_empty_and_repeated_tensors() {
        let named = |name: &str, n| (name.to_string(), Shape::Vector(n));
        assert!(Layout::new([named("a", 0)]).is_err());
        assert!(Layout::new([named("a", 1), named("a", 2)]).is_err());
        let layout = Layout::new([named("a", 3), named("b", 2)]).unwrap();
        assert_eq!(layout.find("b").unwrap().range(), 3..5);
    }
}
