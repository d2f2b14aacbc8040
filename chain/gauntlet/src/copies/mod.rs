//! Copies: which contributions of a window are another's work, of this window or the last.
//!
//! Honest peers choose many of the same values, because they see the same parameters: two fifths of
//! them in a small real run. How many is read off the window itself; what a pair shares beyond
//! that, one has from the other. Sketches ([`Sketcher`]) tell which pairs those are, at a cost that
//! goes with the number of contributions; only few pairs are compared in full.

mod natural;
mod overlap;
mod pairs;
mod priority;
mod sketch;

use wire::{Rejection, SparseTensor, Uid, Window};

use crate::rules::COPIED_MIN;
use pairs::Pair;

pub use natural::Natural;
pub use overlap::{Overlap, overlap};
pub use priority::Priority;
pub use sketch::{Sketch, Sketcher};

/// How far below [`COPIED_MIN`] an estimate may be and is still looked into: four standard errors.
const BLUR: f64 = 0.03;

/// A contribution to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Whose it is.
    pub uid: Uid,
    /// Of which window.
    pub window: Window,
    /// Its claim to have been first.
    pub priority: Priority,
    /// Its sketch, by the same sketcher as all others.
    pub sketch: &'a Sketch,
    /// The whole, by tensor, if it is at hand; without it the sketch decides.
    pub update: Option<&'a [SparseTensor]>,
    /// Whether it became part of the shared parameters. What did not stays in its peer's residual
    /// and is sent again; nobody copies by that. Of the window at hand it does not matter.
    pub counted: bool,
}

/// A contribution that is another's work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Copied {
    /// Who sent it.
    pub uid: Uid,
    /// Whose it is.
    pub of: Uid,
    /// The window of the original.
    pub window: Window,
    /// How much of it is copied, 0 to 1.
    pub share: f64,
    /// Of the values that both keep, how many have the same sign.
    pub agreement: f64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Copies {
    /// What peers have in common in the median.
    pub natural: Natural,
    /// The copies, by ascending uid, each beside the original that most of it is from.
    pub copies: Vec<Copied>,
}

impl Copied {
    /// The verdict on it.
    pub fn rejection(&self) -> Rejection {
        let copied_permille = (self.share * 1000.0).round() as u16;
        Rejection::Copied { of: self.of, window: self.window, copied_permille }
    }
}

/// Looks for copies among `current`, of each other and of `last`, the contributions of the window
/// before. All were sketched alike, under the current window's salt.
///
/// Time and memory go with the values of all sketches and with those that pairs have in common.
pub fn find(current: &[Candidate<'_>], last: &[Candidate<'_>]) -> Copies {
    let all: Vec<Candidate<'_>> = last.iter().chain(current).copied().collect();
    let sketches: Vec<&Sketch> = all.iter().map(|candidate| candidate.sketch).collect();
    let pairs = pairs::compare(&sketches, last.len());
    let natural = Natural::of_each(&pairs, all.len(), last.len());
    let mut by_copier: Vec<Vec<Suspicion>> = vec![Vec::new(); all.len()];
    for pair in pairs.into_iter().filter(|pair| !is_sent_again(&all, *pair)) {
        let suspicion = Suspicion::of(&all, pair, &natural, last.len());
        if suspicion.share() >= COPIED_MIN - BLUR {
            by_copier[suspicion.copier].push(suspicion);
        }
    }
    let confirmed = by_copier.into_iter().filter_map(|suspicions| confirm(&all, suspicions));
    let mut copies: Vec<Copied> = confirmed.collect();
    copies.sort_by_key(|copied| copied.uid);
    Copies { natural: Natural::median(&natural[last.len()..]), copies }
}

/// Whether both are of one peer, and the earlier one did not count.
fn is_sent_again(all: &[Candidate<'_>], pair: Pair) -> bool {
    let (later, earlier) = (all[pair.a], all[pair.b]);
    later.uid == earlier.uid && !earlier.counted
}

/// A pair whose sketches have more in common than is natural.
#[derive(Clone, Copy)]
struct Suspicion {
    copier: usize,
    original: usize,
    /// What two honest peers would share.
    natural: f64,
    /// How much is copied, by all values and by the rare ones.
    overall: f64,
    rare: f64,
    agreement: f64,
}

impl Suspicion {
    fn of(all: &[Candidate<'_>], pair: Pair, natural: &[Natural], last: usize) -> Self {
        let (a, b) = (pair.a, pair.b);
        // Everything of the last window was there before anything of this one.
        let claim = |at: usize| (at >= last, all[at].priority, all[at].uid);
        let (original, copier) = if claim(a) < claim(b) { (a, b) } else { (b, a) };
        let natural = natural[a].max(natural[b]);
        let expected = if b < last { natural.across } else { natural.within };
        Self {
            copier,
            original,
            natural: expected,
            overall: beyond(pair.overlap, expected),
            rare: beyond(pair.rare, natural.rare),
            agreement: pair.agreement,
        }
    }

    fn share(&self) -> f64 {
        self.overall.max(self.rare)
    }
}

/// The first suspicion that holds, the worst and then the eldest original first.
fn confirm(all: &[Candidate<'_>], mut suspicions: Vec<Suspicion>) -> Option<Copied> {
    suspicions.sort_by(|a, b| {
        let eldest = |suspicion: &Suspicion| all[suspicion.original].priority;
        b.share().total_cmp(&a.share()).then_with(|| eldest(a).cmp(&eldest(b)))
    });
    let look_closer = |mut suspicion: Suspicion| {
        let (copier, original) = (all[suspicion.copier], all[suspicion.original]);
        if let (Some(copy), Some(of)) = (copier.update, original.update) {
            let overlap = overlap(copy, of);
            suspicion.overall = beyond(overlap.share(), suspicion.natural);
            suspicion.agreement = overlap.agreement();
        }
        let (uid, of, window) = (copier.uid, original.uid, original.window);
        Copied { uid, of, window, share: suspicion.share(), agreement: suspicion.agreement }
    };
    suspicions.into_iter().map(look_closer).find(|copied| copied.share >= COPIED_MIN)
}

/// How much of a contribution is copied that has `overlap` in common with its original, where what
/// is not copied has `natural`.
fn beyond(overlap: f64, natural: f64) -> f64 {
    ((overlap - natural) / (1.0 - natural)).clamp(0.0, 1.0)
}
