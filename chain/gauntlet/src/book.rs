//! The book: what a validator knows of every peer, advanced by one window of evidence at a time.
//!
//! It is all the state there is. Written down and read back it goes on with the same bits, and from
//! an empty one the judgements of a whole history lead to the same standings again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::{Evidence, Hotkey, Place, Standing, Uid, Window};

use crate::outcome::Outcome;
use crate::plackett_luce::{Player, Rating, rate};
use crate::rules::Terms;
use crate::seat::{Field, Seat};
use crate::weights::{pay, rank};

/// What is known of all peers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    terms: Terms,
    /// The last window that was taken in.
    window: Option<Window>,
    seats: BTreeMap<Uid, Seat>,
}

impl Book {
    /// An empty book.
    pub fn new(terms: Terms) -> Self {
        Self { terms, window: None, seats: BTreeMap::new() }
    }

    /// The last window that was taken in.
    pub fn window(&self) -> Option<Window> {
        self.window
    }

    /// Takes in what a window showed, and says where every peer stands after it, by ascending uid.
    ///
    /// Evidence of a window that has passed changes nothing. A known peer that the evidence does
    /// not name delivered nothing. A window in which nobody delivered anything sound says more
    /// about the validator than about its peers, and costs nobody anything.
    pub fn advance(&mut self, evidence: &Evidence) -> Vec<Standing> {
        if self.window.is_some_and(|window| evidence.window <= window) {
            return self.standings();
        }
        self.window = Some(evidence.window);
        self.seats.values_mut().for_each(Seat::turn);
        let outcomes = self.outcomes(evidence);
        if outcomes.values().any(Outcome::is_sound) {
            let field = field(&outcomes);
            let ratings = self.play(&outcomes);
            for ((seat, rating), outcome) in
                self.seats.values_mut().zip(ratings).zip(outcomes.values())
            {
                seat.advance(outcome, rating, &field);
            }
        }
        self.standings()
    }

    /// Where every peer stands, by ascending uid.
    pub fn standings(&self) -> Vec<Standing> {
        let ranking = rank(&self.seats);
        let shares = pay(&ranking, &self.terms);
        let paid = ranking.iter().zip(shares).enumerate();
        let paid: BTreeMap<Uid, (Place, f64)> =
            paid.map(|(rank, (ranked, share))| (ranked.uid, (self.place(rank), share))).collect();
        let standing = |(uid, seat): (&Uid, &Seat)| {
            let unpaid = || (seat.shut_out().unwrap_or(Place::Waiting), 0.0);
            let (place, weight) = paid.get(uid).copied().unwrap_or_else(unpaid);
            seat.standing(*uid, place, weight)
        };
        self.seats.iter().map(standing).collect()
    }

    /// What to vote for, by ascending uid: every share above zero, and what is burned.
    pub fn weights(&self) -> Vec<(Uid, f64)> {
        let ranking = rank(&self.seats);
        let shares = pay(&ranking, &self.terms);
        let burned = (1.0 - shares.iter().sum::<f64>()).max(0.0);
        let mut weights = BTreeMap::from([(self.terms.burn_uid, burned)]);
        for (ranked, share) in ranking.iter().zip(shares) {
            *weights.entry(ranked.uid).or_default() += share;
        }
        weights.into_iter().filter(|(_, weight)| *weight > 0.0).collect()
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What is known of `hotkey`, if it is still the one on seat `uid`.
    pub(crate) fn seat(&self, uid: Uid, hotkey: Hotkey) -> Option<&Seat> {
        self.seats.get(&uid).filter(|seat| seat.hotkey == hotkey)
    }

    fn place(&self, rank: usize) -> Place {
        match rank.checked_sub(self.terms.gathered) {
            None => Place::Gathered,
            Some(behind) if behind < self.terms.reserve => Place::Reserve,
            Some(_) => Place::Waiting,
        }
    }

    /// What happened to each seat of the book, new ones included.
    fn outcomes(&mut self, evidence: &Evidence) -> BTreeMap<Uid, Outcome> {
        let mut outcomes: BTreeMap<Uid, Outcome> =
            self.seats.keys().map(|uid| (*uid, Outcome::Missed)).collect();
        for peer in &evidence.peers {
            let (hotkey, window) = (peer.hotkey, evidence.window);
            let seat = self.seats.entry(peer.uid).or_insert_with(|| Seat::new(hotkey, window));
            if seat.hotkey != hotkey {
                *seat = Seat::succeeded_by(hotkey, window);
            }
            outcomes.insert(peer.uid, Outcome::of(evidence, peer));
        }
        outcomes
    }

    /// The ratings of all seats after the window's match.
    fn play(&self, outcomes: &BTreeMap<Uid, Outcome>) -> Vec<Rating> {
        let plays = |(seat, outcome): (&Seat, &Outcome)| seat.plays(outcome);
        let both = || self.seats.values().zip(outcomes.values());
        let players = both().filter(|both| plays(*both)).map(|(seat, outcome)| Player {
            rating: seat.rating,
            score: match outcome {
                Outcome::Measured(scores) => Some(scores.random.mean),
                _ => None,
            },
        });
        let mut rated = rate(&players.collect::<Vec<_>>()).into_iter();
        let after = |(seat, outcome): (&Seat, &Outcome)| {
            let rated = if seat.plays(outcome) { rated.next() } else { None };
            rated.unwrap_or(seat.rating)
        };
        both().map(after).collect()
    }
}

/// What the measured peers of a window have in common.
fn field(outcomes: &BTreeMap<Uid, Outcome>) -> Field {
    let scores = outcomes.values().filter_map(|outcome| match outcome {
        Outcome::Measured(scores) => Some(scores.random.mean),
        _ => None,
    });
    let mut scores: Vec<f64> = scores.collect();
    scores.sort_by(f64::total_cmp);
    let harming = scores.partition_point(|score| *score < 0.0);
    let helping = &scores[scores.partition_point(|score| *score <= 0.0)..];
    Field { helping: median(helping), mostly_harm: 2 * harming > scores.len() }
}

/// The lower one of an even number, so that half of the peers reach it.
fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}
