//! Copies: which contributions of a window are another's work, of this window or the last.
//!
//! Two honest peers choose some of the same values, because they see the same parameters; how many
//! is read off the window itself. What a pair shares beyond that, one has from the other. Sketches
//! ([`Sketcher`]) tell which pairs those are, at a cost that goes with the number of contributions
//! and not of pairs; only they are compared in full. A copy keeps less and less in common with its
//! original as more of it is changed, but to go unnoticed it must change so much that what is left
//! is its own.

mod overlap;
mod pairs;
mod priority;
mod sketch;

use wire::{Rejection, SparseTensor, Uid, Window};

use crate::rules::{COPIED_MIN, NATURAL_MAX};
use pairs::{Pair, Pairs};

pub use overlap::{Overlap, overlap};
pub use priority::Priority;
pub use sketch::{Sketch, Sketcher};

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
    /// Share of their values that two honest peers have in common in this window.
    pub natural: f64,
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
pub fn find(current: &[Candidate<'_>], last: &[Candidate<'_>]) -> Copies {
    let all: Vec<Candidate<'_>> = last.iter().chain(current).copied().collect();
    let sketches: Vec<&Sketch> = all.iter().map(|candidate| candidate.sketch).collect();
    let Pairs { lower_quartile, alike } = pairs::compare(&sketches, last.len());
    let natural = lower_quartile.min(NATURAL_MAX);
    let mut by_copier: Vec<Vec<Suspicion>> = vec![Vec::new(); all.len()];
    for pair in alike {
        let suspicion = Suspicion::of(&all, pair, natural, last.len());
        by_copier[suspicion.copier].push(suspicion);
    }
    let confirmed =
        by_copier.into_iter().filter_map(|suspicions| confirm(&all, suspicions, natural));
    let mut copies: Vec<Copied> = confirmed.collect();
    copies.sort_by_key(|copied| copied.uid);
    Copies { natural, copies }
}

/// A pair whose sketches have much in common, in the order of its priority.
#[derive(Clone, Copy)]
struct Suspicion {
    copier: usize,
    original: usize,
    share: f64,
    agreement: f64,
}

impl Suspicion {
    fn of(all: &[Candidate<'_>], pair: Pair, natural: f64, last: usize) -> Self {
        let (a, b) = (pair.a, pair.b);
        // Everything of the last window was there before anything of this one.
        let claim = |at: usize| (at >= last, all[at].priority, all[at].uid);
        let (original, copier) = if claim(a) < claim(b) { (a, b) } else { (b, a) };
        let share = copied_share(pair.overlap, natural);
        Self { copier, original, share, agreement: pair.agreement }
    }
}

/// The first suspicion that holds, the worst and then the eldest original first.
fn confirm(all: &[Candidate<'_>], mut suspicions: Vec<Suspicion>, natural: f64) -> Option<Copied> {
    suspicions.sort_by(|a, b| {
        let eldest = |suspicion: &Suspicion| all[suspicion.original].priority;
        b.share.total_cmp(&a.share).then_with(|| eldest(a).cmp(&eldest(b)))
    });
    let hold = suspicions.into_iter().map(|suspicion| {
        let (copier, original) = (all[suspicion.copier], all[suspicion.original]);
        let (share, agreement) = match (copier.update, original.update) {
            (Some(copy), Some(of)) => {
                let overlap = overlap(copy, of);
                (copied_share(overlap.share(), natural), overlap.agreement())
            }
            _ => (suspicion.share, suspicion.agreement),
        };
        let (uid, of, window) = (copier.uid, original.uid, original.window);
        Copied { uid, of, window, share, agreement }
    });
    hold.into_iter().find(|copied| copied.share >= COPIED_MIN)
}

/// How much of a contribution is copied when it has `overlap` in common with its original, and
/// what is not copied has `natural`.
fn copied_share(overlap: f64, natural: f64) -> f64 {
    ((overlap - natural) / (1.0 - natural)).clamp(0.0, 1.0)
}
