//! What is known of the peer on one seat, and how one window changes it.
//!
//! Penalties cut the average of its proof, which honest windows build up again; nothing that goes
//! wrong ever raises a score. Forgetting is no absolution: the mean of a rating only falls by it.

use serde::{Deserialize, Serialize};
use wire::{Hotkey, LossScore, Penalty, Place, Standing, Uid, Window};

use crate::history::History;
use crate::loss_score::{Scores, harms};
use crate::outcome::Outcome;
use crate::plackett_luce::Rating;
use crate::rules::{
    AWAY_WINDOWS, BAR_WINDOWS, EFFORT_RATE, HARM_KNOWN_MIN, HARMS_MAX, MEMORY_WINDOWS, MISSES_MAX,
    MU, PROOF_AFTER_HARM, PROOF_AFTER_MALFORMED, PROOF_AFTER_MISS, SIGMA,
};
use crate::{proof, score};

/// What all peers of a window are measured against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Field {
    /// Median loss score of those whose update helped; none if none did.
    pub(crate) helping: Option<f64>,
    /// Whether most updates raised the loss: then the window is at fault, and no peer.
    pub(crate) mostly_harm: bool,
}

/// A seat with its peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seat {
    pub(crate) hotkey: Hotkey,
    /// Its first window.
    pub(crate) since: Window,
    pub(crate) rating: Rating,
    pub(crate) proof: f64,
    /// None until it was measured.
    effort: Option<f64>,
    assigned: Option<LossScore>,
    random: Option<LossScore>,
    /// Windows without a sound contribution; those in which it copied; measurements that did harm.
    missed: History,
    copied: History,
    harmed: History,
    misses_in_row: u32,
    harms_in_row: u32,
    /// Windows since it was measured.
    pub(crate) unmeasured: u32,
    /// Windows for which it stays barred.
    pub(crate) barred: u32,
    penalties: Vec<Penalty>,
}

impl Seat {
    /// A peer that nothing is known of.
    pub(crate) fn new(hotkey: Hotkey, since: Window) -> Self {
        Self {
            hotkey,
            since,
            rating: Rating::NEW,
            proof: 0.0,
            effort: None,
            assigned: None,
            random: None,
            missed: History::default(),
            copied: History::default(),
            harmed: History::default(),
            misses_in_row: 0,
            harms_in_row: 0,
            unmeasured: 0,
            barred: 0,
            penalties: Vec::new(),
        }
    }

    /// The peer that took this seat over.
    pub(crate) fn succeeded_by(hotkey: Hotkey, since: Window) -> Self {
        Self { penalties: vec![Penalty::NewHotkey {}], ..Self::new(hotkey, since) }
    }

    /// Begins another window: what the last one cost is no news any more.
    pub(crate) fn turn(&mut self) {
        self.penalties.clear();
    }

    /// Whether it takes part in the window's match, given what came from it.
    pub(crate) fn plays(&self, outcome: &Outcome) -> bool {
        let is_there = outcome.is_sound() || !self.is_away();
        self.barred == 0 && is_there && *outcome != Outcome::Sound
    }

    /// Takes in what happened; `rating` is that after the match.
    pub(crate) fn advance(&mut self, outcome: &Outcome, rating: Rating, field: &Field) {
        if self.barred > 0 {
            self.barred -= 1;
            return;
        }
        self.rating = rating;
        if !matches!(outcome, Outcome::Measured(_)) {
            self.unmeasured = self.unmeasured.saturating_add(1);
        }
        self.copied.push(matches!(outcome, Outcome::Copied(_)));
        match outcome {
            Outcome::Missed => self.miss(),
            _ => self.misses_in_row = 0,
        }
        match *outcome {
            Outcome::Measured(scores) => self.take_scores(scores, field),
            Outcome::Sound | Outcome::Missed => {}
            Outcome::Malformed => {
                self.cut_proof(PROOF_AFTER_MALFORMED);
                self.penalties.push(Penalty::Malformed {});
            }
            Outcome::Diverged => {
                self.cut_proof(0.0);
                self.take_harm(true);
                self.penalties.push(Penalty::Diverged {});
            }
            Outcome::Copied(copied_permille) => self.copy(copied_permille),
            Outcome::Equivocated => {
                self.penalties.push(Penalty::Equivocated {});
                self.bar();
            }
        }
        if !self.is_away() && self.barred == 0 {
            let is_miss = matches!(outcome, Outcome::Missed | Outcome::Malformed);
            self.take_delivery(is_miss);
        }
    }

    fn take_scores(&mut self, scores: Scores, field: &Field) {
        (self.assigned, self.random, self.unmeasured) = (scores.assigned, Some(scores.random), 0);
        self.proof = proof::advance(self.proof, proof::indicator(&scores));
        let effort = score::effort(scores.random.mean, field.helping);
        let before = self.effort.unwrap_or(effort);
        self.effort = Some(before + EFFORT_RATE * (effort - before));
        if scores.random.mean > 0.0 {
            self.harms_in_row = 0;
        }
        if !field.mostly_harm {
            self.take_harm(harms(scores.random));
        }
    }

    fn take_harm(&mut self, harm: bool) {
        self.harmed.push(harm);
        self.harms_in_row += u32::from(harm);
        if self.harmed.known() >= HARM_KNOWN_MIN && 2 * self.harmed.yes() > self.harmed.known() {
            self.cut_proof(PROOF_AFTER_HARM);
            self.penalties.push(Penalty::Harmful {});
        }
    }

    fn miss(&mut self) {
        self.misses_in_row = self.misses_in_row.saturating_add(1);
        let in_row = self.misses_in_row;
        if in_row > AWAY_WINDOWS {
            return;
        }
        let left = PROOF_AFTER_MISS.get(in_row as usize - 1);
        self.cut_proof(left.copied().unwrap_or(0.0));
        self.penalties.push(Penalty::Missed { in_row });
        if in_row == AWAY_WINDOWS {
            self.penalties.push(Penalty::Forgotten {});
            self.forget();
        }
    }

    fn take_delivery(&mut self, is_miss: bool) {
        self.missed.push(is_miss);
        if self.missed.known() == MEMORY_WINDOWS && self.missed.yes() >= MISSES_MAX {
            self.penalties.push(Penalty::Unreliable {});
            self.bar();
        }
    }

    fn copy(&mut self, copied_permille: u16) {
        self.cut_proof(1.0 - f64::from(copied_permille) / 1000.0);
        self.penalties.push(Penalty::Copied { copied_permille });
        if self.copied.yes() > 1 {
            self.penalties.push(Penalty::CopiedAgain {});
            self.bar();
        }
    }

    /// Leaves this share of its proof; what is below zero already stays there.
    fn cut_proof(&mut self, left: f64) {
        if self.proof > 0.0 {
            self.proof *= left;
        }
    }

    fn bar(&mut self) {
        self.forget();
        self.barred = BAR_WINDOWS;
    }

    fn forget(&mut self) {
        self.rating = Rating { mu: self.rating.mu.min(MU), sigma: SIGMA };
        self.cut_proof(0.0);
        self.effort = None;
        (self.missed, self.copied) = (History::default(), History::default());
    }

    fn is_away(&self) -> bool {
        self.misses_in_row >= AWAY_WINDOWS
    }

    /// Why nothing of it may count, if so.
    pub(crate) fn shut_out(&self) -> Option<Place> {
        if self.barred > 0 {
            Some(Place::Barred)
        } else if self.harms_in_row >= HARMS_MAX {
            Some(Place::Excluded)
        } else if self.is_away() {
            Some(Place::Away)
        } else {
            None
        }
    }

    /// What it is ranked and paid by.
    pub(crate) fn score(&self) -> f64 {
        match self.shut_out() {
            Some(_) => 0.0,
            None => score::score(self.rating, self.proof, self.effort.unwrap_or(0.0)),
        }
    }

    /// What is published of it.
    pub(crate) fn standing(&self, uid: Uid, place: Place, weight: f64) -> Standing {
        Standing {
            uid,
            hotkey: self.hotkey,
            place,
            assigned: self.assigned,
            random: self.random,
            mu: self.rating.mu,
            sigma: self.rating.sigma,
            proof: self.proof,
            effort: self.effort.unwrap_or(0.0),
            score: self.score(),
            weight,
            penalties: self.penalties.clone(),
        }
    }
}
