//! Which samples a window is measured on. Nobody but the validator can foretell them.
//!
//! A peer's own are drawn from exactly those that it trained on: its header signs their number and
//! digest, and they are the first so many of its assignment. The published validator draws 8 from
//! a pool of which a peer may have used a fifth.

use std::collections::BTreeSet;

use wire::{Hotkey, Window};

use crate::draw::{Draw, Secret};

/// Places within the samples that `hotkey` trained on in `window`, of which there are `trained`:
/// `count` different ones, or all if there are no more; ascending.
pub fn assigned_probes(
    secret: &Secret,
    window: Window,
    hotkey: Hotkey,
    trained: u64,
    count: usize,
) -> Vec<u64> {
    distinct(secret.draw("assigned probes", window, Some(hotkey)), trained, count)
}

/// Samples out of the `samples` of the data set on which every peer of `window` is measured;
/// ascending.
pub fn random_probes(secret: &Secret, window: Window, samples: u64, count: usize) -> Vec<u64> {
    distinct(secret.draw("random probes", window, None), samples, count)
}

/// Robert Floyd's sampling without replacement.
fn distinct(mut draw: Draw, of: u64, count: usize) -> Vec<u64> {
    let mut chosen = BTreeSet::new();
    for last in of.saturating_sub(count as u64)..of {
        let drawn = draw.below(last + 1);
        if !chosen.insert(drawn) {
            chosen.insert(last);
        }
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_different_samples_that_exist_and_change_with_the_window() {
        let secret = Secret::new([7; 32]);
        let of = |window| random_probes(&secret, Window(window), 1000, 64);
        assert_eq!(of(1).len(), 64);
        assert!(of(1).is_sorted_by(|a, b| a < b) && of(1)[63] < 1000);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let own = |key, trained| assigned_probes(&secret, Window(1), Hotkey([key; 32]), trained, 8);
        assert_eq!(own(1, 5), [0, 1, 2, 3, 4]);
        assert!(own(1, 0).is_empty());
        assert_ne!(own(1, 500), own(2, 500));
    }
}
