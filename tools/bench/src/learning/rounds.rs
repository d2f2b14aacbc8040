//! A few rounds for the table of speeds: SparseLoCo beside both forms of dense DiLoCo, on text of
//! the synthetic language.

use runtime::dataset::synth::Language;
use wire::ModelSpec;

use super::corpus::Corpus;
use super::method::METHODS;
use super::study::Study;
use crate::BenchError;

/// Bytes of text; the last twentieth validates.
const TEXT_BYTES: usize = 1 << 20;
/// SparseLoCo as it runs by default, then what it is held against; by place in the study's list.
const COMPARED: [usize; 3] = [3, 2, 1];

/// What all methods share.
pub(crate) struct Rounds {
    pub(crate) spec: ModelSpec,
    pub(crate) peers: usize,
    pub(crate) windows: u64,
    pub(crate) inner_steps: u32,
    /// Sequences of one peer in one inner step.
    pub(crate) sequences: usize,
    pub(crate) threads: usize,
}

/// What one method took, and what it came to.
pub(crate) struct Taken {
    pub(crate) name: &'static str,
    /// Validation loss in nats per byte.
    pub(crate) loss: f64,
    pub(crate) seconds: f64,
}

impl Rounds {
    /// SparseLoCo, dense DiLoCo with Nesterov's momentum, dense DiLoCo by plain mean.
    pub(crate) fn compare(&self) -> Result<[Taken; 3], BenchError> {
        let (language, mut tokens) = (Language::new(), Vec::new());
        language.text(1).fill(&mut tokens, TEXT_BYTES);
        let corpus = Corpus::of(tokens.iter().map(|&token| token as u8).collect(), 1);
        let study = Study {
            spec: self.spec.clone(),
            corpus: &corpus,
            peers: self.peers,
            windows: self.windows,
            inner_steps: self.inner_steps,
            sequences: self.sequences,
            threads: self.threads,
            seed: 0,
        };
        let [sparse, momentum, mean] = COMPARED.map(|at| {
            let (name, method) = METHODS[at];
            let outcome = study.run(method, &mut |_| ())?;
            Ok::<_, BenchError>(Taken { name, loss: outcome.loss, seconds: outcome.seconds })
        });
        Ok([sparse?, momentum?, mean?])
    }
}
