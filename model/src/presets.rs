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
    MODELS.iter().find(|(known, _)| *known == name).map(|(name, model)| Preset::of(name, model))
}

/// All names, smallest model first.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

/// `inner` with the numbers that suit answering questions rather than learning a language: those
/// of the published second stage, with its rate held after the warm-up, for how long a run will be
/// is not known when it starts. What is left of it is how many samples make a step.
pub fn fine_tuning(inner: Inner, model: &ModelSpec) -> Inner {
    let learning_rate = if is_small(model) { 5e-4 } else { 5e-6 };
    let Optimizer::AdamW { beta1, beta2, eps, .. } = inner.optimizer;
    let optimizer = Optimizer::AdamW { learning_rate, beta1, beta2, eps, weight_decay: 0.01 };
    Inner { clip_norm: 1.0, optimizer, schedule: schedule::warmup_constant(30), ..inner }
}

/// Models below the published sizes are for one machine and a minute or an hour of it.
fn is_small(model: &ModelSpec) -> bool {
    model.seq_len < 2048
}

/// The sizes of the published runs follow the deployed code where it and the paper differ:
/// feed-forward widths are rounded up to 256, and 72B has Gemma's 262,144 tokens and a tied head.
///
/// Columns: layers, d_model, heads, kv_heads, ffn, vocab, seq_len; rope_theta, norm_eps; tied.
#[rustfmt::skip]
const MODELS: &[(&str, ModelSpec)] = &[
    ("nano", spec([4,    128,  4,  2,    512,     256,  256],  10_000.0, 1e-5, false)),
    ("m1",   spec([4,    128,  4,  4,    352,   1_024,  256],  10_000.0, 1e-5, true)),
    ("m12",  spec([6,    384,  6,  6,  1_024,   4_096,  256],  10_000.0, 1e-5, true)),
    ("s15",  spec([6,    288,  6,  6,    768,  32_000,  256],  10_000.0, 1e-5, true)),
    ("150m", spec([12, 1_024, 16, 16,  2_816,  32_000, 2048],  10_000.0, 1e-6, true)),
    ("512m", spec([12, 1_536, 12, 12,  5_632,  32_000, 2048],  10_000.0, 1e-6, false)),
    ("1b",   spec([16, 2_048,  8,  8,  8_192,  32_000, 2048],  10_000.0, 1e-6, false)),
    ("8b",   spec([32, 4_096, 32,  8, 14_336,  32_000, 2048], 500_000.0, 1e-5, false)),
    ("72b",  spec([80, 8_192, 64,  8, 28_672, 262_144, 2048], 500_000.0, 1e-5, true)),
];

const fn spec(extents: [usize; 7], rope_theta: f64, norm_eps: f64, tied: bool) -> ModelSpec {
    let [layers, d_model, heads, kv_heads, ffn, vocab, seq_len] = extents;
    ModelSpec { layers, d_model, heads, kv_heads, ffn, vocab, seq_len, rope_theta, norm_eps, tied }
}

impl Preset {
    fn of(name: &'static str, model: &ModelSpec) -> Self {
        let small = is_small(model);
        let (learning_rate, schedule) = if small {
            (2e-3, schedule::warmup_cosine(30, 420, None))
        } else {
            (1.17e-4, schedule::covenant())
        };
        Self {
            name,
            model: model.clone(),
            windows: if small { 30 } else { 6_190 },
            inner: Inner {
                steps: if small { 15 } else { 30 },
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
