//! One window's contributions, to be measured: whose they are, on which samples, and the facts that
//! come of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bucket::Spooled;
use model::sparseloco::CheckedBody;
use model::{LossMeter, ModelError, SampleLoss, SampleSource};
use runtime::dataset::{BatchRules, Dataset};
use wire::{
    Digest, Effect, Evidence, Hotkey, Loss, Pair, PeerEvidence, Probe, Rejection, RunDescription,
    StateRoot, Uid, Window,
};

use crate::train::rules;

/// The run's data, sample by sample.
pub(crate) struct Samples {
    pub(super) dataset: Arc<Dataset>,
    rules: BatchRules,
}

impl Samples {
    /// Those of `run` in `dataset`.
    pub(crate) fn new(run: &RunDescription, dataset: Arc<Dataset>) -> Self {
        Self { rules: rules(run, &dataset), dataset }
    }
}

impl SampleSource for Samples {
    fn fill_sample(
        &self,
        sample: u64,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        let filled = self.dataset.fill_batch(&[sample], self.rules, tokens, targets);
        filled.map_err(|error| error.to_string())
    }

    fn fill_first_keys(&self, sample: u64, first_keys: &mut [u32]) -> Result<(), String> {
        let filled = self.dataset.fill_first_keys(&[sample], self.rules.seq_len, first_keys);
        filled.map_err(|error| error.to_string())
    }
}

/// One peer of the window.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) uid: Uid,
    pub(super) hotkey: Hotkey,
    pub(super) object: Option<Digest>,
    pub(super) rejection: Option<Rejection>,
    /// What it sent, unless it is at fault.
    pub(super) body: Option<CheckedBody<Spooled>>,
    pub(super) modified_ms: u64,
}

/// A peer that is measured.
pub(super) struct Turn {
    /// Its place among the entries.
    pub(super) entry: usize,
    /// Samples that it trained on, ascending.
    pub(super) assigned: Vec<u64>,
}

/// One window.
pub(super) struct Case {
    pub(super) window: Window,
    pub(super) parent_root: StateRoot,
    /// By ascending uid.
    pub(super) entries: Vec<Entry>,
    /// Samples for all, ascending.
    pub(super) random: Vec<u64>,
    /// Who is measured, in that order.
    pub(super) turns: Vec<Turn>,
}

/// What measuring came to.
pub(super) struct Found {
    pub(super) evidence: Evidence,
    /// What could not be measured, and why.
    pub(super) troubles: Vec<String>,
    /// Peers measured.
    pub(super) measured: usize,
}

impl Case {
    /// Measures peers in turn until `stop` is set, but one at least. `meter` holds the parameters
    /// that the contributions were trained from.
    pub(super) fn measure(
        &self,
        meter: &mut LossMeter,
        samples: &dyn SampleSource,
        stop: &AtomicBool,
    ) -> Found {
        let mut found = Found { evidence: self.facts(), troubles: Vec::new(), measured: 0 };
        let Found { evidence, troubles, measured } = &mut found;
        match probes(meter, samples, &self.random) {
            Ok(random) => evidence.random = random,
            Err(error) => {
                troubles.push(format!("{error}; nobody is measured in this window"));
                return found;
            }
        }
        for turn in &self.turns {
            if *measured > 0 && stop.load(Ordering::Relaxed) {
                break;
            }
            match self.effect(turn, &evidence.random, meter, samples) {
                Ok(effect) => {
                    evidence.peers[turn.entry].effect = effect;
                    *measured += 1;
                }
                Err(trouble) => {
                    let uid = self.entries[turn.entry].uid;
                    troubles.push(format!("uid {uid} is not measured: {trouble}"));
                }
            }
        }
        found
    }

    /// What is known before anything is measured.
    pub(super) fn facts(&self) -> Evidence {
        let peer = |entry: &Entry| PeerEvidence {
            uid: entry.uid,
            hotkey: entry.hotkey,
            object: entry.object,
            rejection: entry.rejection.clone(),
            effect: None,
        };
        Evidence {
            window: self.window,
            parent_root: self.parent_root,
            random: Vec::new(),
            peers: self.entries.iter().map(peer).collect(),
        }
    }

    fn effect(
        &self,
        turn: &Turn,
        random: &[Probe],
        meter: &mut LossMeter,
        samples: &dyn SampleSource,
    ) -> Result<Option<Effect>, String> {
        let Some(body) = &self.entries[turn.entry].body else { return Ok(None) };
        let random: Vec<u64> = random.iter().map(|probe| probe.sample).collect();
        effect(meter, samples, body, &turn.assigned, &random).map(Some)
    }
}

/// Loss with the shared parameters on each of these samples.
fn probes(
    meter: &mut LossMeter,
    samples: &dyn SampleSource,
    numbers: &[u64],
) -> Result<Vec<Probe>, ModelError> {
    meter.restore();
    let losses = meter.losses(samples, numbers.iter().copied())?;
    let probe = |(sample, loss): (&u64, SampleLoss)| {
        let SampleLoss { tokens, nats } = loss;
        (tokens > 0).then_some(Probe { sample: *sample, tokens, before: Loss::new(nats) })
    };
    Ok(numbers.iter().zip(losses).filter_map(probe).collect())
}

/// What `body` does to the loss on samples that its peer trained on and on random ones. Where the
/// step with it is not finite, there is no loss.
pub(crate) fn effect(
    meter: &mut LossMeter,
    samples: &dyn SampleSource,
    body: &CheckedBody<Spooled>,
    assigned: &[u64],
    random: &[u64],
) -> Result<Effect, String> {
    let told = |error: ModelError| error.to_string();
    let assigned = probes(meter, samples, assigned).map_err(told)?;
    let is_finite = meter.apply(body).map_err(|error| error.to_string())?;
    let numbers = assigned.iter().map(|probe| probe.sample).chain(random.iter().copied());
    let after: Vec<Loss> = match is_finite {
        true => {
            let losses = meter.losses(samples, numbers).map_err(told)?;
            losses.into_iter().map(|loss| Loss::new(loss.nats)).collect()
        }
        false => vec![Loss::new(f64::NAN); assigned.len() + random.len()],
    };
    let (own, random_after) = after.split_at(assigned.len());
    let pair = |(probe, after): (Probe, &Loss)| {
        let Probe { sample, tokens, before } = probe;
        Pair { sample, tokens, before, after: *after }
    };
    let assigned = assigned.into_iter().zip(own).map(pair).collect();
    Ok(Effect { assigned, random_after: random_after.to_vec() })
}
