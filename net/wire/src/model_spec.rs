//! The dimensions of a LLaMA: everything that decides its parameters and its forward pass.

use serde::{Deserialize, Serialize};

/// Shape of the model. All counts are at least 1, `heads` divides `d_model`, `kv_heads` divides
/// `heads`, and the dimension of a head is even (RoPE turns pairs).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Transformer layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of the feed-forward layer.
    pub ffn: usize,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub norm_eps: f64,
    /// Tokens in one training sequence.
    pub seq_len: usize,
    /// Whether the output matrix is the embedding.
    pub tied: bool,
}

impl ModelSpec {
    /// The first rule that the dimensions break, as `(key, rule)`.
    pub fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        let counts = [
            ("model.layers", self.layers),
            ("model.d_model", self.d_model),
            ("model.heads", self.heads),
            ("model.kv_heads", self.kv_heads),
            ("model.ffn", self.ffn),
            ("model.vocab", self.vocab),
            ("model.seq_len", self.seq_len),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Some((key, "at least 1"));
        }
        let rules = [
            (self.d_model.is_multiple_of(self.heads), "model.heads", "a divisor of d_model"),
            (self.heads.is_multiple_of(self.kv_heads), "model.kv_heads", "a divisor of heads"),
            (
                (self.d_model / self.heads).is_multiple_of(2),
                "model.heads",
                "such that a head's dimension, d_model / heads, is even",
            ),
            (positive(self.rope_theta), "model.rope_theta", "above 0"),
            (positive(self.norm_eps), "model.norm_eps", "above 0"),
        ];
        rules.into_iter().find(|(holds, _, _)| !holds).map(|(_, key, rule)| (key, rule))
    }
}

pub(crate) fn positive(number: f64) -> bool {
    number.is_finite() && number > 0.0
}
