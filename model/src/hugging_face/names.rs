//! What a tensor is called elsewhere, and the order of rows that rotary embeddings ask for.
//!
//! Here the rotation turns neighbouring rows of a head, `2i` and `2i + 1`; there it turns `i` and
//! `i + head_dim / 2`. The same model has the rows of `wq` and `wk` in another order.

use wire::{ModelSpec, Shape, Tensor};

/// Matrices that rotate, hence whose rows change places.
const ROTATED: [&str; 2] = ["attention.wq", "attention.wk"];

/// Ours and theirs, within a layer.
const IN_LAYER: [(&str, &str); 9] = [
    ("attention_norm", "input_layernorm"),
    ("attention.wq", "self_attn.q_proj"),
    ("attention.wk", "self_attn.k_proj"),
    ("attention.wv", "self_attn.v_proj"),
    ("attention.wo", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("feed_forward.w1", "mlp.gate_proj"),
    ("feed_forward.w3", "mlp.up_proj"),
    ("feed_forward.w2", "mlp.down_proj"),
];

/// The Hugging Face name of one of our tensors.
pub(super) fn theirs(ours: &str) -> String {
    let outside = match ours {
        "tok_embeddings.weight" => Some("model.embed_tokens.weight"),
        "norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    if let Some(theirs) = outside {
        return theirs.to_string();
    }
    let layer = ours.split('.').nth(1).unwrap_or_default();
    let of = within_layer(ours);
    let (_, theirs) = IN_LAYER.iter().find(|(ours, _)| *ours == of).expect("a tensor of a layer");
    format!("model.layers.{layer}.{theirs}.weight")
}

/// `attention.wq` of `layers.3.attention.wq.weight`.
fn within_layer(ours: &str) -> &str {
    let rest = ours.splitn(3, '.').nth(2).unwrap_or_default();
    rest.strip_suffix(".weight").unwrap_or(rest)
}

/// Which way rows change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToTheirs,
    ToOurs,
}

/// The tensor's values in the other order of rows; those that do not rotate stay as they are.
pub(super) fn reorder(spec: &ModelSpec, tensor: &Tensor, values: Vec<f32>, way: Way) -> Vec<f32> {
    let Shape::Matrix(rows, cols) = tensor.shape else { return values };
    if !ROTATED.contains(&within_layer(&tensor.name)) {
        return values;
    }
    let head_dim = spec.d_model / spec.heads;
    let mut reordered = vec![0.0; values.len()];
    for row in 0..rows {
        let (head, at) = (row / head_dim, row % head_dim);
        // Row `at` of a head here is row `there` of it elsewhere.
        let there = head * head_dim + at / 2 + at % 2 * (head_dim / 2);
        let (from, to) = match way {
            Way::ToTheirs => (row, there),
            Way::ToOurs => (there, row),
        };
        reordered[to * cols..][..cols].copy_from_slice(&values[from * cols..][..cols]);
    }
    reordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ModelSpec {
        ModelSpec {
            layers: 1,
            d_model: 16,
            heads: 2,
            kv_heads: 1,
            ffn: 4,
            vocab: 3,
            rope_theta: 1e4,
            norm_eps: 1e-5,
            seq_len: 4,
            tied: false,
        }
    }

    #[test]
    fn every_tensor_has_a_name_elsewhere() {
        let layout = crate::layout_of(&spec()).unwrap();
        let names: Vec<String> = layout.tensors().iter().map(|t| theirs(&t.name)).collect();
        assert_eq!(names.first().unwrap(), "model.embed_tokens.weight");
        assert_eq!(names[2], "model.layers.0.self_attn.q_proj.weight");
        assert_eq!(names.last().unwrap(), "lm_head.weight");
    }

    #[test]
    fn pairs_become_halves_and_pairs_again() {
        let layout = crate::layout_of(&spec()).unwrap();
        let wk = layout.find("layers.0.attention.wk.weight").unwrap();
        let values: Vec<f32> = (0..8).flat_map(|row| [row as f32; 16]).collect();
        let halves = reorder(&spec(), wk, values.clone(), Way::ToTheirs);
        let rows: Vec<f32> = halves.iter().copied().step_by(16).collect();
        assert_eq!(rows, [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
        assert_eq!(reorder(&spec(), wk, halves, Way::ToOurs), values);
        let wv = layout.find("layers.0.attention.wv.weight").unwrap();
        assert_eq!(reorder(&spec(), wv, values.clone(), Way::ToTheirs), values);
    }
}
