//! SparseLoCo: what a peer sends of its pseudo-gradient, and what the network makes of all of them.
//!
//! After H inner steps a peer compresses `shared - local` with its residual (`compress`), 2 bits a
//! value (`quantise`); everyone then applies the same contributions to the shared parameters
//! (`outer`). Formulas: arXiv 2508.15706, and the published run where it differs.

mod checked_body;
mod compress;
mod error;
mod outer;
mod quantise;

pub use checked_body::CheckedBody;
pub use compress::Compressor;
pub use error::SparseLocoError;
pub use outer::{OuterReport, OuterStep, SkippedTensor};
pub use quantise::{LloydMaxFit, PublishedFit, QuantiserFit, fit, relative_error};
pub use runtime::ops::aggregate::Aggregation;

/// The chunks of a tensor as operations see them.
fn grid_of(shape: wire::SparseShape) -> runtime::ops::TileGrid {
    let tiling = shape.tiling();
    runtime::ops::TileGrid::new(tiling.rows, tiling.cols, tiling.tile_rows, tiling.tile_cols)
}
