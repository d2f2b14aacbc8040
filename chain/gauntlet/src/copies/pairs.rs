//! What pairs of sketches have in common: a join over the places that they hold.
//!
//! All places lie in one sorted list, those of one place side by side, so that each sketch meets
//! only the others that keep the same values. Beside all places, those are counted that hardly
//! anybody else holds: honest peers agree on the values that everybody finds, and a copy that was
//! changed as much as honest peers differ still has the odd ones of its original.

use super::sketch::Sketch;
use crate::rules::{RARE_COUNT_MIN, RARE_SHARE};

/// Two sketches, by their number, `a` after `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) a: usize,
    pub(super) b: usize,
    /// Share of the places that both hold.
    pub(super) overlap: f64,
    /// The same of the places that hardly anybody else holds; the larger of both views. 0 where
    /// there are too few, and between windows.
    pub(super) rare: f64,
    /// Of the shared places, the share at which both values have the same sign.
    pub(super) agreement: f64,
}

/// Counts of one pair.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    shared: u32,
    agreed: u32,
    /// Shared, and held by few others.
    rare: u32,
    /// Those of them that would not count as rare if only one of the two held them.
    edge: u32,
}

/// A place of one sketch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    place: u64,
    owner: u32,
    negative: bool,
}

/// All places of all sketches.
struct Places {
    /// By place, then by owner.
    held: Vec<Held>,
    /// How many sketches of the window hold the place, for each of `held`.
    holders: Vec<u32>,
    /// Which of `held` belong to each sketch.
    of: Vec<Vec<u32>>,
}

/// Compares every sketch with every one before it, but not the first `last`, those of the window
/// before, among themselves.
pub(super) fn compare(sketches: &[&Sketch], last: usize) -> Vec<Pair> {
    let places = Places::new(sketches, last);
    // Others that may hold a rare place, beside the pair itself.
    let others_max = (RARE_SHARE * (sketches.len() - last).saturating_sub(2) as f64) as u32;
    let alone: Vec<u32> = (0..sketches.len()).map(|of| places.alone(of, others_max)).collect();
    let mut counts = vec![Counts::default(); sketches.len()];
    let mut pairs = Vec::new();
    for a in last..sketches.len() {
        counts[..a].fill(Counts::default());
        places.count_shared(a, others_max, &mut counts);
        for (b, counts) in counts[..a].iter().enumerate() {
            let values = (sketches[a].values() + sketches[b].values()) as f64 / 2.0;
            let rare = if b < last { 0.0 } else { counts.rare_share(alone[a].min(alone[b])) };
            let agreement = f64::from(counts.agreed) / f64::from(counts.shared.max(1));
            let overlap = f64::from(counts.shared) / values.max(1.0);
            pairs.push(Pair { a, b, overlap, rare, agreement });
        }
    }
    pairs
}

impl Counts {
    /// Share of rare places that both hold, of those that the one with fewer of them holds.
    fn rare_share(&self, alone: u32) -> f64 {
        match alone + self.edge {
            few if few < RARE_COUNT_MIN => 0.0,
            held => f64::from(self.rare) / f64::from(held),
        }
    }
}

impl Places {
    fn new(sketches: &[&Sketch], last: usize) -> Self {
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
        let mut holders = Vec::with_capacity(total);
        for place in held.chunk_by(|a, b| a.place == b.place) {
            let current = place.iter().filter(|held| held.owner as usize >= last).count();
            holders.extend(std::iter::repeat_n(current as u32, place.len()));
        }
        let mut of: Vec<Vec<u32>> =
            sketches.iter().map(|sketch| Vec::with_capacity(sketch.values())).collect();
        for (at, held) in held.iter().enumerate() {
            of[held.owner as usize].push(at as u32);
        }
        Self { held, holders, of }
    }

    /// Places of one sketch that at most `others_max` others hold.
    fn alone(&self, of: usize, others_max: u32) -> u32 {
        let rare = |at: &&u32| self.holders[**at as usize] <= others_max + 1;
        self.of[of].iter().filter(rare).count() as u32
    }

    /// Counts, for each place of `a`, every sketch before it that holds it too.
    fn count_shared(&self, a: usize, others_max: u32, counts: &mut [Counts]) {
        for at in self.of[a].iter().map(|at| *at as usize) {
            let (own, holders) = (self.held[at], self.holders[at]);
            let is_rare = u32::from(holders <= others_max + 2);
            let is_edge = u32::from(holders == others_max + 2);
            let others = self.held[..at].iter().rev();
            for other in others.take_while(|other| other.place == own.place) {
                let counts = &mut counts[other.owner as usize];
                counts.shared += 1;
                counts.agreed += u32::from(other.negative == own.negative);
                counts.rare += is_rare;
                counts.edge += is_edge;
            }
        }
    }
}
