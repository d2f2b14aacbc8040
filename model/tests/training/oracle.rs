//! The model's loss in f64, written from the formulas and not from the program under test: one
//! token at a time, nothing fused, nothing saved. `x` is the residual stream, a row per place.

use wire::{Layout, ModelSpec};

/// A model whose parameters can be nudged.
pub(crate) struct Oracle<'a> {
    pub(crate) spec: &'a ModelSpec,
    pub(crate) layout: &'a Layout,
    pub(crate) params: Vec<f64>,
}

type Rows = Vec<Vec<f64>>;

impl Oracle<'_> {
    /// Sum of `-ln p(target)` over the targets that count, over sequences of `seq_len`.
    pub(crate) fn loss_sum(&self, tokens: &[u32], targets: &[u32]) -> f64 {
        let seq = self.spec.seq_len;
        std::iter::zip(tokens.chunks(seq), targets.chunks(seq))
            .map(|(tokens, targets)| self.sequence_loss(tokens, targets))
            .sum()
    }

    fn sequence_loss(&self, tokens: &[u32], targets: &[u32]) -> f64 {
        let d = self.spec.d_model;
        let embedding = self.tensor("tok_embeddings.weight");
        let row = |&token: &u32| embedding[token as usize * d..][..d].to_vec();
        let mut x: Rows = tokens.iter().map(row).collect();
        for layer in 0..self.spec.layers {
            self.attend(&mut x, &format!("layers.{layer}"));
            self.feed_forward(&mut x, &format!("layers.{layer}"));
        }
        let head = if self.spec.tied { embedding } else { self.tensor("output.weight") };
        let mut loss = 0.0;
        for (x, &target) in x.iter().zip(targets).filter(|(_, target)| **target != u32::MAX) {
            let logits = product(head, &self.norm("norm", x));
            let partition: f64 = logits.iter().map(|logit| logit.exp()).sum();
            loss += partition.ln() - logits[target as usize];
        }
        loss
    }

    /// Causal attention; query head `h` reads key and value head `h / (heads / kv_heads)`.
    fn attend(&self, x: &mut Rows, layer: &str) {
        let ModelSpec { d_model, heads, kv_heads, .. } = *self.spec;
        let (head_dim, group) = (d_model / heads, heads / kv_heads);
        let weight = |name: &str| self.tensor(&format!("{layer}.attention.{name}.weight"));
        let normed: Rows =
            x.iter().map(|x| self.norm(&format!("{layer}.attention_norm"), x)).collect();
        let project =
            |name: &str| -> Rows { normed.iter().map(|row| product(weight(name), row)).collect() };
        let (mut queries, mut keys, values) = (project("wq"), project("wk"), project("wv"));
        for place in 0..x.len() {
            self.turn(&mut queries[place], place);
            self.turn(&mut keys[place], place);
        }
        for (place, x) in x.iter_mut().enumerate() {
            let mut attended = vec![0.0; d_model];
            for head in 0..heads {
                let query = &queries[place][head * head_dim..][..head_dim];
                let kv = head / group * head_dim..(head / group + 1) * head_dim;
                let score =
                    |key: &Vec<f64>| dot(query, &key[kv.clone()]) / (head_dim as f64).sqrt();
                let weights: Vec<f64> = keys[..=place].iter().map(|k| score(k).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (weight, value) in weights.iter().zip(&values) {
                    for (at, value) in value[kv.clone()].iter().enumerate() {
                        attended[head * head_dim + at] += weight / total * value;
                    }
                }
            }
            add(x, &product(weight("wo"), &attended));
        }
    }

    /// `w2 (silu(w1 x) * w3 x)`.
    fn feed_forward(&self, x: &mut Rows, layer: &str) {
        let weight = |name: &str| self.tensor(&format!("{layer}.feed_forward.{name}.weight"));
        for x in x {
            let normed = self.norm(&format!("{layer}.ffn_norm"), x);
            let gate = product(weight("w1"), &normed);
            let up = product(weight("w3"), &normed);
            let silu = |g: &f64| g / (1.0 + (-g).exp());
            let gated: Vec<f64> = gate.iter().zip(up).map(|(g, up)| silu(g) * up).collect();
            add(x, &product(weight("w2"), &gated));
        }
    }

    /// RoPE on neighbouring pairs: pair `i` of a head turns by `place * theta^(-2 i / head_dim)`.
    fn turn(&self, row: &mut [f64], place: usize) {
        let head_dim = self.spec.d_model / self.spec.heads;
        for head in row.chunks_mut(head_dim) {
            for (i, pair) in head.chunks_mut(2).enumerate() {
                let exponent = -2.0 * i as f64 / head_dim as f64;
                let angle = place as f64 * self.spec.rope_theta.powf(exponent);
                let (sin, cos) = angle.sin_cos();
                let (a, b) = (pair[0], pair[1]);
                (pair[0], pair[1]) = (a * cos - b * sin, a * sin + b * cos);
            }
        }
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.tensor(&format!("{name}.weight"));
        let root = (dot(x, x) / x.len() as f64 + self.spec.norm_eps).sqrt();
        x.iter().zip(weight).map(|(x, w)| x / root * w).collect()
    }

    fn tensor(&self, name: &str) -> &[f64] {
        &self.params[self.layout.find(name).unwrap().range()]
    }
}

/// A matrix `[out, in]` times a vector `[in]`.
fn product(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| dot(row, x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
