//! Named models with the training numbers that suit them. A preset is only a starting point: every
//! number of it ends up in the run description, which is what counts.

use wire::{Aggregation, IndexCodec, Inner, ModelSpec, Optimizer, Outer, Quantiser};

use crate::schedule;

/// A model and the training numbers that go with it.
#[derive(Clone, Debug)]
pub struct Preset {
    /// What to type after `--preset`.
    pub name: &'static str,
    /// The model.
    pub model: ModelSpec,
    /// Windows of a run when none are asked for.
    pub windows: u64,
    /// The inner loop.
    pub inner: Inner,
    /// SparseLoCo and the outer step.
    pub outer: Outer,
}

/// The preset called `name`.
pub fn preset(name: &str) -> Option<Preset> {
    PRESETS.iter().find(|row| row.name == name).map(Row::preset)
}

/// All names, smallest model first.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|row| row.name)
}

struct Row {
    name: &'static str,
    layers: usize,
    d_model: usize,
    heads: usize,
    kv_heads: usize,
    ffn: usize,
    vocab: usize,
    seq_len: usize,
    rope_theta: f64,
    norm_eps: f64,
    tied: bool,
}

/// The sizes of the published runs follow the deployed code where it and the paper differ:
/// feed-forward widths are rounded up to 256, and 72B has Gemma's 262,144 tokens and a tied head.
#[rustfmt::skip]
const PRESETS: &[Row] = &[
    row("nano", 4,   128,  4,  2,   512,     256,  256,  10_000.0, 1e-5, false),
    row("m1",   4,   128,  4,  4,   352,   1_024,  256,  10_000.0, 1e-5, true),
    row("m12",  6,   384,  6,  6, 1_024,   4_096,  256,  10_000.0, 1e-5, true),
    row("s15",  6,   288,  6,  6,   768,  32_000,  256,  10_000.0, 1e-5, true),
    row("150m", 12, 1_024, 16, 16, 2_816,  32_000, 2048, 10_000.0, 1e-6, true),
    row("512m", 12, 1_536, 12, 12, 5_632,  32_000, 2048, 10_000.0, 1e-6, false),
    row("1b",   16, 2_048,  8,  8, 8_192,  32_000, 2048, 10_000.0, 1e-6, false),
    row("8b",   32, 4_096, 32,  8, 14_336, 32_000, 2048, 500_000.0, 1e-5, false),
    row("72b",  80, 8_192, 64,  8, 28_672, 262_144, 2048, 500_000.0, 1e-5, true),
];

const fn row(
    name: &'static str,
    layers: usize,
    d_model: usize,
    heads: usize,
    kv_heads: usize,
    ffn: usize,
    vocab: usize,
    seq_len: usize,
    rope_theta: f64,
    norm_eps: f64,
    tied: bool,
) -> Row {
    Row { name, layers, d_model, heads, kv_heads, ffn, vocab, seq_len, rope_theta, norm_eps, tied }
}

impl Row {
    fn preset(&self) -> Preset {
        let model = ModelSpec {
            layers: self.layers,
            d_model: self.d_model,
            heads: self.heads,
            kv_heads: self.kv_heads,
            ffn: self.ffn,
            vocab: self.vocab,
            seq_len: self.seq_len,
            rope_theta: self.rope_theta,
            norm_eps: self.norm_eps,
            tied: self.tied,
        };
        // Models below the published sizes are for one machine and a minute or an hour of it.
        let small = self.seq_len < 2048;
        let (learning_rate, schedule) = if small {
            (2e-3, schedule::warmup_cosine(30, 370, None))
        } else {
            (1.17e-4, schedule::covenant())
        };
        Preset {
            name: self.name,
            model,
            windows: if small { 20 } else { 6_190 },
            inner: Inner {
                steps: if small { 20 } else { 30 },
                batch_samples: if small { 1 } else { 192 },
                clip_norm: 1.0,
                optimizer: Optimizer::AdamW {
                    learning_rate,
                    beta1: 0.9,
                    beta2: 0.95,
                    eps: 1e-8,
                    weight_decay: 0.1,
                },
                schedule,
            },
            outer: Outer {
                alpha: if small { 1.0 } else { 0.4 },
                beta: 0.95,
                k: 64,
                index_codec: IndexCodec::EliasFano,
                quantiser: Quantiser::LloydMax,
                aggregation: Aggregation::Contributors,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::layout_of;

    fn params(name: &str, change: impl FnOnce(&mut ModelSpec)) -> usize {
        let mut spec = preset(name).unwrap().model;
        change(&mut spec);
        layout_of(&spec).unwrap().params()
    }

    #[test]
    fn parameter_counts_are_those_of_the_published_models() {
        let nothing = |_: &mut ModelSpec| ();
        assert_eq!(params("72b", nothing), 70_599_843_840);
        assert_eq!(params("72b", |spec| spec.tied = false), 72_747_327_488);
        assert_eq!(params("8b", nothing), 7_241_732_096);
        assert_eq!(params("1b", nothing), 1_204_881_408);
        assert_eq!(params("1b", |spec| spec.tied = true), 1_139_345_408);
        assert_eq!(params("512m", |spec| spec.ffn = 5_440), 512_398_848);
        let research = |spec: &mut ModelSpec| (spec.ffn, spec.tied) = (2_688, false);
        assert_eq!(params("150m", research), 214_983_680);
    }

    #[test]
    fn the_smallest_preset_has_about_a_million_parameters() {
        assert!((900_000..1_100_000).contains(&params("nano", |_| ())));
    }
}
