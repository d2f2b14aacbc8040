//! When a validator stops waiting: learned from when each peer's contributions arrived before.
//!
//! A peer is expected some deviations after its mean arrival, both kept as moving averages as TCP
//! keeps round-trip times (Jacobson, Karels 1988). A peer that missed two windows is not waited
//! for, nor is one that never delivered, except in the first window of a run.

use std::collections::BTreeMap;

use wire::Uid;

/// Share of the expected peers that must have delivered before anybody is given up.
const QUORUM: f64 = 0.5;
/// Windows in a row that a peer may miss and still be waited for.
const MISSES_MAX: u32 = 2;
/// Weight of the newest arrival in the mean, and of its distance from it in the deviation.
const MEAN_WEIGHT: f64 = 1.0 / 8.0;
const DEVIATION_WEIGHT: f64 = 1.0 / 4.0;
/// Deviations behind its mean arrival at which a peer is given up.
const DEVIATIONS: f64 = 4.0;

/// One peer's habit, in seconds since the window began.
#[derive(Clone, Copy, Debug)]
struct Habit {
    mean_s: f64,
    deviation_s: f64,
    missed: u32,
}

/// What is known of all peers' arrivals.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience {
    habits: BTreeMap<Uid, Habit>,
}

impl Patience {
    /// Whether `uid` is waited for.
    pub(super) fn expects(&self, uid: Uid) -> bool {
        self.habits.get(&uid).is_some_and(|habit| habit.missed < MISSES_MAX)
    }

    /// Whether to stop waiting, `waited_s` into the window: everyone expected has delivered, or a
    /// quorum has and the others are later than they ever should be, by `grace_s` and more.
    pub(super) fn is_over(
        &self,
        waited_s: f64,
        grace_s: f64,
        delivered: &[Uid],
        missing: &[Uid],
    ) -> bool {
        let expected = delivered.len() + missing.len();
        if missing.is_empty() {
            return expected > 0;
        }
        let quorum = delivered.len() as f64 >= QUORUM * expected as f64;
        let given_up = |uid: &Uid| {
            let habit = self.habits.get(uid);
            habit.is_some_and(|habit| waited_s > habit.latest_s() + grace_s)
        };
        quorum && missing.iter().all(given_up)
    }

    /// Whether anything is known of `uid`.
    pub(super) fn knows(&self, uid: Uid) -> bool {
        self.habits.contains_key(&uid)
    }

    /// Takes note of when `uid`'s contribution arrived, or that it did not.
    pub(super) fn learn(&mut self, uid: Uid, arrived_s: Option<f64>) {
        match (self.habits.get_mut(&uid), arrived_s) {
            (Some(habit), Some(arrived_s)) => {
                let distance = arrived_s - habit.mean_s;
                habit.mean_s += MEAN_WEIGHT * distance;
                habit.deviation_s += DEVIATION_WEIGHT * (distance.abs() - habit.deviation_s);
                habit.missed = 0;
            }
            (Some(habit), None) => habit.missed += 1,
            (None, Some(mean_s)) => {
                let habit = Habit { mean_s, deviation_s: mean_s / 2.0, missed: 0 };
                self.habits.insert(uid, habit);
            }
            (None, None) => {}
        }
    }
}

impl Habit {
    fn latest_s(&self) -> f64 {
        self.mean_s + DEVIATIONS * self.deviation_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(arrivals_s: f64) -> Patience {
        let mut patience = Patience::default();
        for _ in 0..20 {
            (0..4).for_each(|uid| patience.learn(Uid(uid), Some(arrivals_s)));
        }
        patience
    }

    const ALL: [Uid; 4] = [Uid(0), Uid(1), Uid(2), Uid(3)];

    #[test]
    fn a_round_is_over_when_everybody_has_delivered() {
        let patience = steady(10.0);
        assert!(patience.is_over(0.1, 1.0, &ALL, &[]));
        assert!(!patience.is_over(0.1, 1.0, &ALL[..3], &ALL[3..]));
        assert!(!patience.is_over(1e9, 1.0, &[], &[]), "nobody is no round");
    }

    #[test]
    fn who_is_steady_is_given_up_soon_and_only_behind_a_quorum() {
        let patience = steady(10.0);
        assert!(patience.is_over(11.5, 1.0, &ALL[..2], &ALL[2..]));
        assert!(!patience.is_over(11.5, 1.0, &ALL[..1], &ALL[1..]));
    }

    #[test]
    fn who_varies_is_given_longer() {
        let mut patience = steady(10.0);
        (0..20).for_each(|i| patience.learn(Uid(3), Some(if i % 2 == 0 { 5.0 } else { 15.0 })));
        assert!(!patience.is_over(20.0, 1.0, &ALL[..3], &ALL[3..]));
        assert!(patience.is_over(40.0, 1.0, &ALL[..3], &ALL[3..]));
    }

    #[test]
    fn who_is_away_is_not_waited_for_until_it_delivers_again() {
        let mut patience = steady(10.0);
        assert!(!patience.expects(Uid(9)));
        patience.learn(Uid(3), None);
        assert!(patience.expects(Uid(3)));
        patience.learn(Uid(3), None);
        assert!(!patience.expects(Uid(3)));
        patience.learn(Uid(3), Some(10.0));
        assert!(patience.expects(Uid(3)));
    }
}
