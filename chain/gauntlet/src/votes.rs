//! Weights as the chain takes them: a `u16` per uid, relative to their sum.
//!
//! The largest becomes 65,535, as Bittensor's own clients scale them, and each is rounded by
//! itself. So equal weights stay equal, and whose is larger never turns around; shares that had to
//! sum to a fixed number would need a rule for who gets the odd one.

use wire::Uid;

/// Votes for `weights`, in uid order; what rounds to nothing is left out. Weights that are not
/// above zero, or no number, count as nothing.
pub fn votes(weights: &[(Uid, f64)]) -> Vec<(Uid, u16)> {
    let positive = weights.iter().filter(|(_, weight)| *weight > 0.0 && weight.is_finite());
    let largest = positive.clone().map(|(_, weight)| *weight).fold(0.0, f64::max);
    let vote = |(uid, weight): &(Uid, f64)| {
        let vote = (weight / largest * f64::from(u16::MAX)).round() as u16;
        (vote > 0).then_some((*uid, vote))
    };
    let mut votes: Vec<_> = positive.filter_map(vote).collect();
    votes.sort_unstable();
    votes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_fills_the_range_and_the_others_keep_their_ratio() {
        let weights = [(Uid(9), 0.25), (Uid(1), 0.5), (Uid(4), 1e-9), (Uid(5), 0.25)];
        assert_eq!(votes(&weights), [(Uid(1), 65_535), (Uid(5), 32_768), (Uid(9), 32_768)]);
    }

    #[test]
    fn what_is_no_weight_is_no_vote() {
        let weights = [f64::NAN, f64::INFINITY, -1.0, 0.0].map(|weight| (Uid(3), weight));
        assert_eq!(votes(&weights), []);
        assert_eq!(votes(&[]), []);
    }
}
