//! Models of others: that they compute here what they compute there, come back bit for bit, and are
//! refused by name when they are something else.

mod evaluation;
mod parity;
mod refusals;
mod round_trip;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// A Hugging Face folder to be made, and changed before it is.
pub(crate) struct Foreign {
    pub(crate) config: Value,
    pub(crate) dtype: Dtype,
    /// Extents and values of each tensor.
    pub(crate) tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

/// Numbers in [-1, 1), as in reference.py.
fn noise(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// CRC-32 of a name, as in reference.py.
fn crc32(text: &str) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    let byte = |crc: u32, byte: u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc));
    !text.bytes().fold(!0, byte)
}

impl Foreign {
    /// The model of these dimensions with the parameters of reference.py.
    pub(crate) fn new(shape: &Value) -> Self {
        let count = |key: &str| shape[key].as_u64().expect("a count") as usize;
        let (d, ffn, vocab) = (count("d_model"), count("ffn"), count("vocab"));
        let kv = d / count("heads") * count("kv_heads");
        let tied = shape["tied"] == true;
        let mut tensors = BTreeMap::new();
        let mut add = |name: String, extents: &[usize]| {
            let values = noise(u64::from(crc32(&name))).take(extents.iter().product());
            let values = match *extents {
                [_, width] => values.map(|v| (2.0 * v / (width as f64).sqrt()) as f32).collect(),
                _ => values.map(|v| (1.0 + 0.25 * v) as f32).collect(),
            };
            tensors.insert(name, (extents.to_vec(), values));
        };
        add("model.embed_tokens.weight".into(), &[vocab, d]);
        add("model.norm.weight".into(), &[d]);
        if !tied {
            add("lm_head.weight".into(), &[vocab, d]);
        }
        for layer in 0..count("layers") {
            let mut add = |name: &str, extents: &[usize]| {
                add(format!("model.layers.{layer}.{name}.weight"), extents);
            };
            add("input_layernorm", &[d]);
            add("post_attention_layernorm", &[d]);
            add("self_attn.q_proj", &[d, d]);
            add("self_attn.k_proj", &[kv, d]);
            add("self_attn.v_proj", &[kv, d]);
            add("self_attn.o_proj", &[d, d]);
            add("mlp.gate_proj", &[ffn, d]);
            add("mlp.up_proj", &[ffn, d]);
            add("mlp.down_proj", &[d, ffn]);
        }
        let config = json!({
            "model_type": "llama",
            "hidden_size": d,
            "intermediate_size": ffn,
            "num_hidden_layers": count("layers"),
            "num_attention_heads": count("heads"),
            "num_key_value_heads": count("kv_heads"),
            "vocab_size": vocab,
            "rms_norm_eps": shape["eps"],
            "rope_theta": shape["theta"],
            "tie_word_embeddings": tied,
            "max_position_embeddings": shape["seq_len"],
        });
        Self { config, dtype: Dtype::F32, tensors }
    }

    /// Writes it into a new folder under `dir`.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let folder = dir.join("theirs");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        let encode = |value: &f32| match self.dtype {
            Dtype::BF16 => half::bf16::from_f32(*value).to_le_bytes().to_vec(),
            Dtype::F16 => half::f16::from_f32(*value).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        };
        let encoded: Vec<(&String, &Vec<usize>, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, (extents, values))| {
                (name, extents, values.iter().flat_map(encode).collect())
            })
            .collect();
        let views = encoded.iter().map(|(name, extents, bytes)| {
            (name.as_str(), TensorView::new(self.dtype, extents.to_vec(), bytes).unwrap())
        });
        let path = folder.join("model.safetensors");
        safetensors::serialize_to_file(views, None, &path).unwrap();
        folder
    }
}

/// A small model.
pub(crate) fn small() -> Foreign {
    Foreign::new(&json!({
        "layers": 2, "d_model": 16, "heads": 2, "kv_heads": 1, "ffn": 24, "vocab": 11,
        "theta": 1e4, "eps": 1e-5, "seq_len": 8, "tied": false,
    }))
}
