//! `config.json` of a LLaMA, both ways.

use std::path::Path;

use serde_json::{Map, Value, json};
use wire::ModelSpec;

use super::Dtype;
use super::error::InteropError;

/// Largest configuration that is read.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
pub(super) const CONFIG: &str = "config.json";

/// The configuration of `spec`. The base of the rotation stands where older and where newer readers
/// look for it.
pub(super) fn to_json(spec: &ModelSpec, dtype: Dtype, eos: Option<u32>) -> Value {
    let dtype = dtype.name();
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": spec.vocab,
        "hidden_size": spec.d_model,
        "intermediate_size": spec.ffn,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads,
        "head_dim": spec.d_model / spec.heads,
        "max_position_embeddings": spec.seq_len,
        "rms_norm_eps": spec.norm_eps,
        "rope_theta": spec.rope_theta,
        "rope_parameters": { "rope_type": "default", "rope_theta": spec.rope_theta },
        "rope_scaling": null,
        "tie_word_embeddings": spec.tied,
        "hidden_act": "silu",
        "attention_bias": false,
        "attention_dropout": 0.0,
        "mlp_bias": false,
        "use_cache": true,
        "bos_token_id": null,
        "eos_token_id": eos,
        "torch_dtype": dtype,
        "dtype": dtype,
    })
}

/// The dimensions that a folder's configuration gives.
///
/// # Errors
/// It is of another kind of model, or asks for what this program cannot compute.
pub(super) fn read(dir: &Path) -> Result<ModelSpec, InteropError> {
    let path = &dir.join(CONFIG);
    let damaged = |reason: String| InteropError::Damaged { path: path.clone(), reason };
    let bytes = std::fs::metadata(path).map_err(super::error::io("look at", path))?.len();
    if bytes > CONFIG_BYTES_MAX {
        return Err(damaged(format!("a configuration of {bytes} bytes is none")));
    }
    let text = std::fs::read(path).map_err(super::error::io("read", path))?;
    let config: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| damaged(format!("it cannot be read: {error}")))?;
    let config = Config { path, config: &config };
    config.only("model_type", &json!("llama"))?;
    config.unless("hidden_act", &[json!("silu"), json!("swish")])?;
    for key in ["attention_bias", "mlp_bias"] {
        config.unless(key, &[json!(false)])?;
    }
    config.plain_rotation()?;
    let spec = ModelSpec {
        layers: config.count("num_hidden_layers")?,
        d_model: config.count("hidden_size")?,
        heads: config.count("num_attention_heads")?,
        kv_heads: config.optional("num_key_value_heads", || config.count("num_attention_heads"))?,
        ffn: config.count("intermediate_size")?,
        vocab: config.count("vocab_size")?,
        rope_theta: config.rope_theta()?,
        norm_eps: config.number("rms_norm_eps")?.unwrap_or(1e-6),
        seq_len: config.optional("max_position_embeddings", || Ok(2_048))?,
        tied: config.config.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false),
    };
    if let Some((key, rule)) = spec.broken_rule() {
        return Err(damaged(format!("{key} must be {rule}")));
    }
    let head_dim = spec.d_model / spec.heads;
    config.unless("head_dim", &[json!(head_dim)])?;
    Ok(spec)
}

/// The keys of a configuration, and the file to name when one is wrong.
#[derive(Clone, Copy)]
struct Config<'a> {
    path: &'a Path,
    config: &'a Map<String, Value>,
}

impl Config<'_> {
    /// What is there and says something.
    fn get(&self, key: &str) -> Option<&Value> {
        self.config.get(key).filter(|value| !value.is_null())
    }

    fn unsupported(&self, key: &'static str, found: &Value, expected: String) -> InteropError {
        let mut found = found.to_string();
        // A stranger's text is shown only so far.
        if let Some((end, _)) = found.char_indices().nth(60) {
            found.truncate(end);
        }
        InteropError::Unsupported { path: self.path.to_path_buf(), key, found, expected }
    }

    /// The key must be there and say this.
    fn only(&self, key: &'static str, wanted: &Value) -> Result<(), InteropError> {
        let missing = || InteropError::NoKey { path: self.path.to_path_buf(), key };
        let found = self.get(key).ok_or_else(missing)?;
        let differs = || self.unsupported(key, found, wanted.to_string());
        if found == wanted { Ok(()) } else { Err(differs()) }
    }

    /// If the key is there it says one of these.
    fn unless(&self, key: &'static str, allowed: &[Value]) -> Result<(), InteropError> {
        match self.get(key) {
            Some(found) if !allowed.contains(found) => {
                Err(self.unsupported(key, found, allowed[0].to_string()))
            }
            _ => Ok(()),
        }
    }

    fn count(&self, key: &'static str) -> Result<usize, InteropError> {
        let missing = || InteropError::NoKey { path: self.path.to_path_buf(), key };
        let found = self.get(key).ok_or_else(missing)?;
        // Beyond this no product of two extents overflows.
        let count = found.as_u64().filter(|count| (1..=1 << 24).contains(count));
        let count = count.map(|count| count as usize);
        count.ok_or_else(|| self.unsupported(key, found, "1 to 16777216".to_string()))
    }

    fn optional(
        &self,
        key: &'static str,
        otherwise: impl Fn() -> Result<usize, InteropError>,
    ) -> Result<usize, InteropError> {
        if self.get(key).is_some() { self.count(key) } else { otherwise() }
    }

    fn number(&self, key: &'static str) -> Result<Option<f64>, InteropError> {
        let Some(found) = self.get(key) else { return Ok(None) };
        let number = found.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        let wrong = || self.unsupported(key, found, "a number above 0".to_string());
        number.map(Some).ok_or_else(wrong)
    }

    /// Newer files keep the base of the rotation with its other parameters.
    fn rope_theta(&self) -> Result<f64, InteropError> {
        let newer = self.get("rope_parameters").and_then(|all| all.get("rope_theta"));
        let newer = newer.and_then(Value::as_f64).filter(|theta| theta.is_finite() && *theta > 0.0);
        Ok(newer.or(self.number("rope_theta")?).unwrap_or(10_000.0))
    }

    /// Rotations that are scaled for longer texts are another function of the position.
    fn plain_rotation(&self) -> Result<(), InteropError> {
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(found) = self.get(key) else { continue };
            let kind = found.get("rope_type").or_else(|| found.get("type"));
            if kind.is_some_and(|kind| kind != "default") {
                return Err(self.unsupported(key, found, "the default rotation".to_string()));
            }
        }
        Ok(())
    }
}
