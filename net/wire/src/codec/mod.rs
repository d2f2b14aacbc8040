//! The two ways to write which values of a chunk were kept.

use serde::{Deserialize, Serialize};

/// How the indices of the kept values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexCodec {
    /// 12 bits an index, two in three bytes.
    Packed12,
    /// Elias-Fano: near the entropy of the index set.
    EliasFano,
}
