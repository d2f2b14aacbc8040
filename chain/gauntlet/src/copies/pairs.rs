//! Which pairs of sketches have much in common: a join over the places that they hold.
//!
//! All places lie in one sorted list, those of one place side by side, so that each sketch meets
//! only the others that keep the same values. Memory is that list and one counter per sketch.

use super::sketch::Sketch;
use crate::rules::COPIED_MIN;

/// Two sketches with much in common, by their number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) a: usize,
    pub(super) b: usize,
    /// Share of the places that both hold.
    pub(super) overlap: f64,
    /// Of those, the share at which both values have the same sign.
    pub(super) agreement: f64,
}

/// What the comparison gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pairs {
    /// A quarter of the pairs within the window have no more in common than this.
    pub(super) lower_quartile: f64,
    /// Pairs that may be copies.
    pub(super) alike: Vec<Pair>,
}

/// Steps in which overlaps are counted for the quartile.
const STEPS: usize = 1000;
/// Standard errors that an estimate may be too low by and is still looked into.
const ERRORS: f64 = 4.0;

/// A place of one sketch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    place: u64,
    owner: u32,
    negative: bool,
}

/// Compares every sketch with every other, but not the first `last` among themselves.
pub(super) fn compare(sketches: &[&Sketch], last: usize) -> Pairs {
    let held = all_places(sketches);
    let mut places_of: Vec<Vec<u32>> =
        sketches.iter().map(|sketch| Vec::with_capacity(sketch.values())).collect();
    for (at, held) in held.iter().enumerate() {
        places_of[held.owner as usize].push(at as u32);
    }
    let mut counts = vec![[0_u32; 2]; sketches.len()];
    let mut histogram = vec![0_u64; STEPS + 1];
    let mut alike = Vec::new();
    for a in last..sketches.len() {
        counts[..a].fill([0; 2]);
        for at in &places_of[a] {
            count_others(&held, *at as usize, &mut counts);
        }
        for (b, [shared, agreed]) in counts[..a].iter().copied().enumerate() {
            let values = (sketches[a].values() + sketches[b].values()) as f64 / 2.0;
            if values == 0.0 {
                continue;
            }
            let overlap = f64::from(shared) / values;
            if b >= last {
                histogram[((overlap * STEPS as f64) as usize).min(STEPS)] += 1;
            }
            if overlap + ERRORS * 0.5 / values.sqrt() >= COPIED_MIN {
                let agreement = f64::from(agreed) / f64::from(shared.max(1));
                alike.push(Pair { a, b, overlap, agreement });
            }
        }
    }
    Pairs { lower_quartile: lower_quartile(&histogram), alike }
}

/// The places of all sketches, equal ones side by side in the order of their owners.
fn all_places(sketches: &[&Sketch]) -> Vec<Held> {
    let total = sketches.iter().map(|sketch| sketch.values()).sum();
    let mut held = Vec::with_capacity(total);
    for (owner, sketch) in sketches.iter().enumerate() {
        held.extend(sketch.places().iter().map(|place| Held {
            place: place >> 1,
            owner: owner as u32,
            negative: place & 1 == 1,
        }));
    }
    held.sort_unstable();
    held
}

/// Counts, for the place at `at`, every sketch before its owner that holds it too, and with the
/// same sign.
fn count_others(held: &[Held], at: usize, counts: &mut [[u32; 2]]) {
    let own = held[at];
    let others = held[..at].iter().rev().take_while(|other| other.place == own.place);
    for other in others {
        let [shared, agreed] = &mut counts[other.owner as usize];
        *shared += 1;
        *agreed += u32::from(other.negative == own.negative);
    }
}

/// The overlap that a quarter of the counted pairs do not exceed; 0 of none.
fn lower_quartile(histogram: &[u64]) -> f64 {
    let pairs: u64 = histogram.iter().sum();
    let mut below = 0;
    let step = histogram.iter().position(|count| {
        below += count;
        4 * below >= pairs
    });
    step.unwrap_or(0) as f64 / STEPS as f64
}
