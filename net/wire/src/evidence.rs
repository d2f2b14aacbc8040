//! What a validator found out about each peer in one window: facts only, no opinion.
//!
//! Losses are in nats per token, sample by sample and always in pairs: with the shared parameters,
//! and after a part of the peer's update. So whoever holds the samples can measure them again, and
//! the spread of the differences says how far to trust their mean.

use serde::{Deserialize, Serialize};

use crate::protocol::{LOSS_NATS_MAX, PROBES_MAX, SAMPLE_TOKENS};
use crate::{Digest, Hotkey, Rejection, StateRoot, Uid, Window};

/// Mean loss of one sample, in nats per token; a loss that is no number, negative or larger than
/// [`LOSS_NATS_MAX`] has diverged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Option<f64>", into = "Option<f64>")]
pub struct Loss(Option<f64>);

impl Loss {
    /// A loss as it was measured.
    pub fn new(nats: f64) -> Self {
        Self((0.0..=LOSS_NATS_MAX).contains(&nats).then_some(nats))
    }

    /// Nats per token; none if it diverged.
    pub fn nats(self) -> Option<f64> {
        self.0
    }
}

impl From<Option<f64>> for Loss {
    fn from(nats: Option<f64>) -> Self {
        nats.map_or(Self(None), Self::new)
    }
}

impl From<Loss> for Option<f64> {
    fn from(loss: Loss) -> Self {
        loss.0
    }
}

/// A sample that every peer of the window is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Its number in the data set.
    pub sample: u64,
    /// Tokens whose loss was taken.
    pub tokens: u32,
    /// Loss with the shared parameters.
    pub before: Loss,
}

/// A sample that one peer is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Its number in the data set.
    pub sample: u64,
    /// Tokens whose loss was taken.
    pub tokens: u32,
    /// Loss with the shared parameters.
    pub before: Loss,
    /// Loss after a part of the peer's update.
    pub after: Loss,
}

/// What one peer's update does to the loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// On samples that the peer trained on, by ascending number.
    pub assigned: Vec<Pair>,
    /// Loss after the update on each of [`Evidence::random`].
    pub random_after: Vec<Loss>,
}

/// What was found out about one peer. Without fault and not measured: it was not its turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerEvidence {
    /// Its seat.
    pub uid: Uid,
    /// Who sits there in this window.
    pub hotkey: Hotkey,
    /// BLAKE3 of its object, if one was read.
    pub object: Option<Digest>,
    /// Why its contribution does not count, if so.
    pub rejection: Option<Rejection>,
    /// What its contribution does to the loss, if that was measured.
    pub effect: Option<Effect>,
}

/// What was found out in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The window of the contributions.
    pub window: Window,
    /// The shared parameters that they were trained from and measured at.
    pub parent_root: StateRoot,
    /// Random samples, the same for all peers, by ascending number.
    pub random: Vec<Probe>,
    /// Every peer that was looked for, by ascending uid.
    pub peers: Vec<PeerEvidence>,
}

impl PeerEvidence {
    /// Whether its contribution does not count by a fault of its own.
    pub fn is_at_fault(&self) -> bool {
        self.rejection.as_ref().is_some_and(Rejection::is_fault)
    }
}

impl Evidence {
    /// The first part that is out of its range, and what it must be.
    pub fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        let is_few = |len: usize| len <= PROBES_MAX;
        let effects = || self.peers.iter().filter_map(|peer| peer.effect.as_ref());
        let all = |holds: &dyn Fn(&Effect) -> bool| effects().all(holds);
        let rules = [
            (self.peers.is_sorted_by(|a, b| a.uid < b.uid), "peers", "in uid order"),
            (
                self.peers.iter().all(|peer| !(peer.is_at_fault() && peer.effect.is_some())),
                "effect",
                "of a contribution without fault",
            ),
            (
                is_few(self.random.len()) && all(&|effect| is_few(effect.assigned.len())),
                "probes",
                "at most 64 of each kind",
            ),
            (
                self.random.is_sorted_by(|a, b| a.sample < b.sample)
                    && all(&|effect| effect.assigned.is_sorted_by(|a, b| a.sample < b.sample)),
                "probes",
                "by ascending sample",
            ),
            (
                self.random.iter().all(|probe| is_sample(probe.tokens))
                    && all(&|effect| effect.assigned.iter().all(|pair| is_sample(pair.tokens))),
                "tokens",
                "between 1 and those of a sample",
            ),
            (
                all(&|effect| effect.random_after.len() == self.random.len()),
                "random_after",
                "one for each random sample",
            ),
        ];
        let broken = rules.into_iter().find(|(holds, _, _)| !holds);
        broken.map(|(_, key, rule)| (key, rule))
    }
}

fn is_sample(tokens: u32) -> bool {
    (1..=SAMPLE_TOKENS).contains(&(tokens as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_no_loss_has_diverged() {
        for nats in [f64::NAN, f64::INFINITY, -1e-9, 1e7] {
            assert_eq!(Loss::new(nats).nats(), None, "{nats}");
        }
        assert_eq!(Loss::new(2.5).nats(), Some(2.5));
        assert_eq!(serde_json::from_str::<Loss>("1e300").unwrap(), Loss::new(f64::NAN));
        assert_eq!(serde_json::to_string(&Loss::new(f64::NAN)).unwrap(), "null");
    }
}
