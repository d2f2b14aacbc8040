//! A tensor `[rows, cols]` as a grid of tiles `[tile_rows, tile_cols]`; a tile by row is one chunk.
//!
//! The rows of tiles are the unit of parallel work: such a band is contiguous in the tensor, in the
//! list of indices and in the list of codes, so threads write without meeting each other.

/// Most values of a chunk: a tile of 64 by 64.
pub const CHUNK_LEN_MAX: usize = 4096;

/// Geometry of the chunks of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileGrid {
    cols: usize,
    tile_rows: usize,
    tile_cols: usize,
    bands: usize,
}

impl TileGrid {
    /// The grid of `[tile_rows, tile_cols]` tiles over `[rows, cols]` values.
    ///
    /// # Panics
    /// The tiles do not divide the tensor, are empty, or hold more than [`CHUNK_LEN_MAX`] values.
    pub fn new(rows: usize, cols: usize, tile_rows: usize, tile_cols: usize) -> Self {
        let chunk_len = tile_rows * tile_cols;
        assert!((1..=CHUNK_LEN_MAX).contains(&chunk_len), "a chunk holds 1 to 4096 values");
        assert!(rows.is_multiple_of(tile_rows) && cols.is_multiple_of(tile_cols));
        Self { cols, tile_rows, tile_cols, bands: rows / tile_rows }
    }

    /// Values in the tensor.
    pub fn len(self) -> usize {
        self.bands * self.band_len()
    }

    /// Whether the tensor has no values.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Values in a chunk.
    pub fn chunk_len(self) -> usize {
        self.tile_rows * self.tile_cols
    }

    /// Chunks in the tensor.
    pub fn chunks(self) -> usize {
        self.bands * self.band_chunks()
    }

    /// Columns of the tensor.
    pub(crate) fn cols(self) -> usize {
        self.cols
    }

    /// Columns of a tile.
    pub(crate) fn tile_cols(self) -> usize {
        self.tile_cols
    }

    /// Values in one row of tiles.
    pub(crate) fn band_len(self) -> usize {
        self.tile_rows * self.cols
    }

    /// Chunks in one row of tiles.
    pub(crate) fn band_chunks(self) -> usize {
        self.cols / self.tile_cols
    }
}
