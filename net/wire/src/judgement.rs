//! A validator's judgement on one window: the evidence, and where every peer stands after it,
//! signed.
//!
//! Standings follow from the evidence of this window and all before it, by arithmetic that is the
//! same on every machine. Each judgement names the one before it by hash, so whoever holds them
//! all can replay the whole history and hold the validator to it.

use serde::{Deserialize, Serialize};

use crate::protocol::{JUDGEMENT_BYTES_MAX, JUDGEMENT_MAGIC, JUDGEMENT_VERSION};
use crate::{Digest, Document, Evidence, Hotkey, RunId, Signed, Uid, Window};

/// How much an update lowered the loss, relative to the loss before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScore {
    /// Mean over tokens; below zero if the loss rose.
    pub mean: f64,
    /// Standard error of the mean; none of a single sample.
    pub error: Option<f64>,
}

/// Where a peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Among the best, whose contributions make the outer step; paid.
    Gathered,
    /// Next in line, should one of those fail; paid.
    Reserve,
    /// Has not proven its work yet, or others are better; counts where there is room, unpaid.
    Waiting,
    /// Its last contributions did harm; does not count until one is measured that helps.
    Excluded,
    /// Copied, lied or failed too often; does not count for some windows.
    Barred,
    /// Nothing has come from it for a while.
    Away,
}

/// A rule that cost a peer something in this window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case", deny_unknown_fields)]
pub enum Penalty {
    /// Another hotkey took the seat: it starts anew.
    NewHotkey {},
    /// Nothing sound came in time, for the `in_row`-th window.
    Missed {
        /// Such windows one after the other.
        in_row: u32,
    },
    /// Nothing came for so long that what was known of it is forgotten.
    Forgotten {},
    /// Too many windows missed of the last ones: barred.
    Unreliable {},
    /// What came was not what a contribution must be.
    Malformed {},
    /// The loss after its update was no number.
    Diverged {},
    /// Most of its last measured contributions raised the loss.
    Harmful {},
    /// Part of its contribution was another's.
    Copied {
        /// How much of it.
        copied_permille: u16,
    },
    /// It copied before: barred.
    CopiedAgain {},
    /// It signed two contributions for one window: barred.
    Equivocated {},
}

/// What one peer has come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Its seat.
    pub uid: Uid,
    /// Who sits there.
    pub hotkey: Hotkey,
    /// Where it stands.
    pub place: Place,
    /// Loss score on its own data, when it was last measured.
    pub assigned: Option<LossScore>,
    /// Loss score on random data, when it was last measured.
    pub random: Option<LossScore>,
    /// Mean of its rating.
    pub mu: f64,
    /// Deviation of its rating.
    pub sigma: f64,
    /// How sure it is that it trains on what it was given, -1 to 1.
    pub proof: f64,
    /// Its effect on the loss against that of its peers, 0 to 1.
    pub effort: f64,
    /// What it is ranked and paid by, 0 to 1.
    pub score: f64,
    /// Its share of what validators give, 0 to 1.
    pub weight: f64,
    /// What this window cost it.
    pub penalties: Vec<Penalty>,
}

/// One validator's judgement on one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// Version of this document, [`JUDGEMENT_VERSION`].
    pub version: u16,
    /// The run.
    pub run: RunId,
    /// Who judged.
    pub validator: Hotkey,
    /// Window and hash of its judgement before this one; none of its first.
    pub previous: Option<(Window, Digest)>,
    /// What it found.
    pub evidence: Evidence,
    /// What follows, by ascending uid.
    pub standings: Vec<Standing>,
}

/// A judgement with its validator's signature.
pub type SignedJudgement = Signed<Judgement>;

impl Standing {
    fn is_finite(&self) -> bool {
        let losses = [self.assigned, self.random].into_iter().flatten();
        let losses = losses.flat_map(|score| [score.mean, score.error.unwrap_or(0.0)]);
        let own = [self.mu, self.sigma, self.proof, self.effort, self.score, self.weight];
        losses.chain(own).all(f64::is_finite)
    }
}

impl Judgement {
    /// What was found out about `uid`.
    pub fn evidence_of(&self, uid: Uid) -> Option<&crate::PeerEvidence> {
        let at = self.evidence.peers.binary_search_by_key(&uid, |peer| peer.uid).ok()?;
        Some(&self.evidence.peers[at])
    }

    /// Where `uid` stands.
    pub fn standing_of(&self, uid: Uid) -> Option<&Standing> {
        let at = self.standings.binary_search_by_key(&uid, |standing| standing.uid).ok()?;
        Some(&self.standings[at])
    }
}

impl Document for Judgement {
    const MAGIC: [u8; 8] = JUDGEMENT_MAGIC;
    const VERSION: u16 = JUDGEMENT_VERSION;
    const BYTES_MAX: usize = JUDGEMENT_BYTES_MAX;
    const NAME: &'static str = "judgement";

    fn version(&self) -> u16 {
        self.version
    }

    fn signer(&self) -> Hotkey {
        self.validator
    }

    fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        let is_earlier = |(window, _): (Window, Digest)| window < self.evidence.window;
        let rules = [
            (self.previous.is_none_or(is_earlier), "previous", "of an earlier window"),
            (self.standings.is_sorted_by(|a, b| a.uid < b.uid), "standings", "in uid order"),
            (self.standings.iter().all(Standing::is_finite), "standings", "finite numbers"),
        ];
        let broken = rules.into_iter().find(|(holds, _, _)| !holds);
        self.evidence.broken_rule().or(broken.map(|(_, key, rule)| (key, rule)))
    }
}
