//! What SparseLoCo's two operations share on a GPU: the sides of tiles as kernels take them, which
//! kernel is for which tensor, and the word in which a value that is not finite is noted.

use kernels::simt::Global;
use kernels::tile::{TILE_SIDE, first_non_finite};

use super::array::Memory;
use super::{Gpu, Span, extent};
use crate::ops::{NonFinite, TileGrid};

/// Columns of a tensor, rows and columns of its tiles.
pub(super) struct Sides {
    pub(super) cols: u32,
    pub(super) tile_rows: u32,
    pub(super) tile_cols: u32,
}

impl Sides {
    pub(super) fn of(grid: TileGrid) -> Self {
        // Kernels count values in 32 bits.
        assert!(grid.len() < u32::MAX as usize, "a tensor of {} values", grid.len());
        Self {
            cols: extent(grid.cols()),
            tile_rows: extent(grid.chunk_len() / grid.tile_cols()),
            tile_cols: extent(grid.tile_cols()),
        }
    }
}

/// Whether the tensors are for the kernels that move 16 bytes at a time.
pub(super) fn is_wide(gpu: &Gpu, grid: TileGrid, tensors: &[Span<'_>]) -> bool {
    let Sides { tile_rows, tile_cols, .. } = Sides::of(grid);
    let is_aligned = |tensor: &Span<'_>| tensor.address(gpu).is_multiple_of(16);
    tile_rows == TILE_SIDE && tile_cols == TILE_SIDE && tensors.iter().all(is_aligned)
}

/// Where kernels note the first value that is not finite.
pub(super) struct FirstBad(Memory);

impl FirstBad {
    /// Nothing is noted yet.
    pub(super) fn new(gpu: &Gpu) -> Self {
        Self(gpu.hold(&[0_u32]))
    }

    pub(super) fn global(&self) -> Global<u32> {
        self.0.global()
    }

    /// Waits for the kernels.
    pub(super) fn outcome(&self) -> Result<(), NonFinite> {
        let mut word = [0];
        self.0.download(&mut word);
        first_non_finite(word[0]).map_or(Ok(()), |offset| Err(NonFinite { offset }))
    }
}
