//! The published rules where ours depart from them, so that tests can show in what.

use crate::plackett_luce::{Player, Rating, rate};
use crate::rules::{BETA, KAPPA, TAU};

/// One match by the library of the published run, in which ties count as wins.
fn rate_as_published(players: &[(Rating, f64)]) -> Vec<Rating> {
    let variance = |rating: Rating| rating.sigma * rating.sigma + TAU * TAU;
    let c = players.iter().map(|(rating, _)| variance(*rating) + BETA * BETA).sum::<f64>().sqrt();
    let strength = |rating: Rating| libm::exp(rating.mu / c);
    let update = |&(rating, score): &(Rating, f64)| {
        let (mut omega, mut delta) = (0.0, 0.0);
        for (_, other) in players.iter().filter(|(_, other)| *other >= score) {
            let behind = players.iter().filter(|(_, behind)| behind <= other);
            let p = strength(rating) / behind.map(|(rating, _)| strength(*rating)).sum::<f64>();
            let tied = players.iter().filter(|(_, tied)| tied == other).count() as f64;
            omega += if *other == score { 1.0 - p } else { -p } / tied;
            delta += p * (1.0 - p) / tied;
        }
        let squared = variance(rating);
        let shrunk = (1.0 - delta * squared / (c * c) * squared.sqrt() / c).max(KAPPA);
        let sigma = squared.sqrt() * shrunk.sqrt();
        Rating { mu: rating.mu + omega * squared / c, sigma }
    };
    players.iter().map(update).collect()
}

/// Shares of `ranked` peers by the published rules, `gathered` and `reserve` of them at most.
fn pay_as_published(ranked: usize, gathered: usize, reserve: usize, burn: f64) -> Vec<f64> {
    let gathered = ranked.min(gathered);
    let reserve = (ranked - gathered).min(reserve);
    let share = |profile: Vec<f64>, of: f64| {
        let sum: f64 = profile.iter().sum();
        profile.into_iter().map(|part| of * part / sum).collect::<Vec<f64>>()
    };
    let slope = 1.0 / (gathered.max(2) - 1) as f64;
    let linear = (0..gathered).map(|rank| 2.0 - rank as f64 * slope).collect();
    let mut shares = share(linear, (1.0 - burn) * 0.75);
    let halves = (0..reserve).map(|rank| 0.5_f64.powi(rank as i32)).collect();
    let mut standby = share(halves, (1.0 - burn) * 0.25);
    if let (Some(least), Some(most)) = (shares.last(), standby.first())
        && most > least
    {
        let guard = 0.5 * least / most;
        standby.iter_mut().for_each(|part| *part *= guard);
    }
    shares.extend(standby);
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|part| part * (1.0 - burn) / sum).collect()
}

const ABSENT: f64 = -99.0;

fn fresh(scores: &[f64]) -> Vec<(Rating, f64)> {
    scores.iter().map(|score| (Rating::NEW, *score)).collect()
}

fn ours(scores: &[f64]) -> Vec<Rating> {
    let player =
        |score: &f64| Player { rating: Rating::NEW, score: (*score != ABSENT).then_some(*score) };
    rate(&scores.iter().map(player).collect::<Vec<_>>())
}

fn is_near(value: f64, golden: f64) -> bool {
    (value - golden).abs() < 5e-7
}

#[test]
fn four_new_peers_come_to_the_published_ratings() {
    let golden = [
        (27.393_071, 8.289_969),
        (26.329_484, 8.237_559),
        (24.734_103, 8.178_197),
        (21.543_342, 8.178_197),
    ];
    let scores = [0.02, 0.01, -0.005, ABSENT];
    for (rating, (mu, sigma)) in rate_as_published(&fresh(&scores)).into_iter().zip(golden) {
        assert!(is_near(rating.mu, mu) && is_near(rating.sigma, sigma), "{rating:?}");
    }
    // Without ties ours are the same, but that an absence makes nothing surer.
    for (at, (rating, (mu, sigma))) in ours(&scores).into_iter().zip(golden).enumerate() {
        let expected = if at == 3 { Rating::NEW.sigma } else { sigma };
        assert!(is_near(rating.mu, mu) && is_near(rating.sigma, expected), "{rating:?}");
    }
}

#[test]
fn the_published_rule_for_ties_rewards_mass_absence_and_ours_never_does() {
    let golden = [(1, 21.29), (2, 22.72), (3, 23.43), (5, 24.27), (10, 25.33)];
    for (absent, mu) in golden {
        let mut scores: Vec<f64> = (0..20).map(|at| 0.01 * f64::from(at)).collect();
        scores[..absent].fill(ABSENT);
        let published = rate_as_published(&fresh(&scores))[0].mu;
        assert!((published - mu).abs() < 0.005, "{absent}: {published}");
        // However many are absent, each loses to the same who are present.
        let rating = ours(&scores)[0];
        assert!(rating.mu < 25.0 && rating.ordinal() < 0.0, "{absent}: {rating:?}");
    }
}

#[test]
fn the_published_reserve_share_collapses() {
    let shares = pay_as_published(30, 20, 10, 0.5);
    let golden = [(0, 0.032_259), (19, 0.016_130), (20, 0.008_065), (29, 1.575e-5)];
    for (rank, share) in golden {
        assert!((shares[rank] - share).abs() < 1e-6, "{rank}: {}", shares[rank]);
    }
    let sum = |shares: &[f64]| shares.iter().sum::<f64>();
    assert!(is_near(sum(&shares[..20]), 0.483_886) && is_near(sum(&shares[20..]), 0.016_114));
}
