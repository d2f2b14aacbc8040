//! Operations on host cores: the same bits with any number of threads and any width of SIMD.

pub(crate) mod aggregate;
pub(crate) mod compress;
mod prefetch;
mod top_k;
