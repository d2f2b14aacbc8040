//! What is compared: how the peers' windows become one update, and what that costs in bytes.

use model::sparseloco::Aggregation;
use wire::{IndexCodec, Quantiser};

/// How peers learn together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Method {
    /// One optimizer over all peers' batches; dense gradients in every step.
    Synchronous,
    /// Dense pseudo-gradients once per window (Douillard et al. 2023); with `momentum` 0 plain
    /// averaging of the parameters.
    DenseDiLoCo { alpha: f32, momentum: f32 },
    /// Sparse, quantised pseudo-gradients with error feedback.
    SparseLoCo { alpha: f32, quantiser: Quantiser, codec: IndexCodec, rule: Aggregation },
}

/// Every method with its name in the table, the ones to compare with first.
pub(super) const METHODS: [(&str, Method); 6] = [
    ("AdamW, synchronous every step", Method::Synchronous),
    ("dense DiLoCo, mean, alpha 1", Method::DenseDiLoCo { alpha: 1.0, momentum: 0.0 }),
    ("dense DiLoCo, Nesterov 0.9, alpha 0.7", Method::DenseDiLoCo { alpha: 0.7, momentum: 0.9 }),
    (
        "SparseLoCo, contributors, Lloyd-Max, Elias-Fano",
        Method::SparseLoCo {
            alpha: 1.0,
            quantiser: Quantiser::LloydMax,
            codec: IndexCodec::EliasFano,
            rule: Aggregation::Contributors,
        },
    ),
    (
        "SparseLoCo, contributors, published quantiser, 12-bit",
        Method::SparseLoCo {
            alpha: 1.0,
            quantiser: Quantiser::Published,
            codec: IndexCodec::Packed12,
            rule: Aggregation::Contributors,
        },
    ),
    (
        "SparseLoCo, all peers, Lloyd-Max, Elias-Fano",
        Method::SparseLoCo {
            alpha: 1.0,
            quantiser: Quantiser::LloydMax,
            codec: IndexCodec::EliasFano,
            rule: Aggregation::All,
        },
    ),
];

impl Method {
    /// Whether it is the dense baseline that SparseLoCo is held against.
    pub(super) fn is_dense_diloco(&self) -> bool {
        matches!(self, Method::DenseDiLoCo { .. })
    }
}
