//! Contributions that are far larger than the others of their window.

use std::collections::BTreeMap;

use wire::{Rejection, Uid};

use crate::rules::{NORM_MEDIANS_MAX, NORM_PEERS_MIN};

/// Who sent what does not count for its size, given the L2 norm of each contribution of a window.
///
/// They are compared with the lower median of the norms above zero. Of fewer than
/// [`NORM_PEERS_MIN`] nobody can say which one is unusual.
pub fn oversized(norms: &[(Uid, f64)]) -> BTreeMap<Uid, Rejection> {
    let positive = norms.iter().map(|(_, norm)| *norm).filter(|norm| *norm > 0.0);
    let mut positive: Vec<f64> = positive.collect();
    if positive.len() < NORM_PEERS_MIN {
        return BTreeMap::new();
    }
    positive.sort_by(f64::total_cmp);
    let median = positive[(positive.len() - 1) / 2];
    let is_over = |norm: f64| norm > NORM_MEDIANS_MAX * median || norm.is_infinite();
    let refuse =
        |norm: f64| Rejection::Oversized { of_median_permille: (1_000.0 * norm / median) as u64 };
    let over = norms.iter().filter(|(_, norm)| is_over(*norm));
    over.map(|(uid, norm)| (*uid, refuse(*norm))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(norms: &[f64]) -> BTreeMap<Uid, Rejection> {
        oversized(&(0..).map(Uid).zip(norms.iter().copied()).collect::<Vec<_>>())
    }

    fn who(norms: &[f64]) -> Vec<u16> {
        refused(norms).into_keys().map(|uid| uid.0).collect()
    }

    #[test]
    fn what_is_ten_times_as_large_is_refused_and_what_is_twice_is_not() {
        let ten = Rejection::Oversized { of_median_permille: 10_000 };
        assert_eq!(refused(&[1.0, 10.0, 0.9, 2.0, 0.8]), BTreeMap::from([(Uid(1), ten)]));
    }

    #[test]
    fn those_that_send_nothing_are_no_measure() {
        assert!(who(&[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]).is_empty());
    }

    #[test]
    fn a_minority_cannot_move_the_measure() {
        assert_eq!(who(&[1.0, 1.0, 1.0, 1e30, 1e30]), [3_u16, 4]);
        assert_eq!(who(&[f64::INFINITY, 1.0, 1.0]), [0]);
    }

    #[test]
    fn of_two_nobody_says_which_is_unusual() {
        assert!(who(&[1.0, 1e9]).is_empty());
        assert!(who(&[]).is_empty());
    }
}
