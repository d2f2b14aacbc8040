//! The operations on host cores, over plain slices, row-major.
//!
//! Work is cut in tiles; threads decide who computes which. Wherever a sum could cross a tile, its
//! size depends on shapes only. Sums run in a fixed order, and within an operation products that
//! are added are fused everywhere or nowhere, so the bits do not depend on the number of threads or
//! on the width of the vectors.

pub(crate) mod adamw;
pub(crate) mod aggregate;
pub(crate) mod attention;
pub(crate) mod cached_attention;
pub(crate) mod compress;
pub(crate) mod cross_entropy;
pub(crate) mod elementwise;
pub(crate) mod embedding;
pub(crate) mod matmul;
pub(crate) mod peak;
mod prefetch;
pub(crate) mod reduce;
pub(crate) mod rms_norm;
pub(crate) mod rope;
mod scratch;
mod shared;
pub(crate) mod simd;
mod stream;
pub(crate) mod swiglu;
mod top_k;
