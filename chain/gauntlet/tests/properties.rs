//! What holds for any evidence whatever.

mod town;

use std::collections::BTreeMap;

use gauntlet::{Book, Terms, votes};
use proptest::prelude::*;
use town::{PROBES, evidence, honest, hotkey, measured};
use wire::{Effect, Evidence, Loss, Pair, PeerEvidence, Rejection, Standing, Uid, Window};

const PEERS: u16 = 9;

fn loss() -> impl Strategy<Value = Loss> {
    let odd = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(0.0),
        Just(5e-324),
        Just(1e6),
        Just(f64::MAX)
    ];
    prop_oneof![9 => 2.0..4.0, 1 => odd].prop_map(Loss::new)
}

fn effect() -> impl Strategy<Value = Effect> {
    let pair = (1_u32..2048, loss(), loss()).prop_map(|(tokens, before, after)| Pair {
        sample: 0,
        tokens,
        before,
        after,
    });
    let assigned = prop::collection::vec(pair, 0..5);
    let random = prop::collection::vec(loss(), PROBES as usize);
    (assigned, random).prop_map(|(mut assigned, random_after)| {
        assigned.iter_mut().zip(0..).for_each(|(pair, sample)| pair.sample = sample);
        Effect { assigned, random_after }
    })
}

fn rejection() -> impl Strategy<Value = Rejection> {
    let of = Uid(3);
    prop_oneof![
        4 => Just(Rejection::Missing {}),
        1 => Just(Rejection::Late { late_ms: 7 }),
        1 => Just(Rejection::Codebook { section: 0, entry: 1 }),
        1 => Just(Rejection::Duplicate { of }),
        1 => any::<u16>().prop_map(move |copied_permille| Rejection::Copied {
            of, window: Window(1), copied_permille
        }),
    ]
}

fn peer() -> impl Strategy<Value = PeerEvidence> {
    let gain = -0.03..0.03;
    prop_oneof![
        4 => (gain.clone(), gain).prop_map(|(own, other)| measured(0, own, other)),
        1 => effect().prop_map(|effect| PeerEvidence { effect: Some(effect), ..town::sound(0) }),
        1 => Just(town::sound(0)),
        2 => rejection().prop_map(|reason| town::rejected(0, reason)),
    ]
}

/// Some windows of some peers, with anything at all.
fn history() -> impl Strategy<Value = Vec<Evidence>> {
    let window = prop::collection::vec((peer(), 0_u8..20), PEERS as usize);
    prop::collection::vec(window, 1..25).prop_map(|windows| {
        let named = |(uid, (peer, luck)): (u16, (PeerEvidence, u8))| match luck {
            0 => None,
            1 => Some(PeerEvidence { uid: Uid(uid), hotkey: hotkey(uid + 100), ..peer }),
            _ => Some(PeerEvidence { uid: Uid(uid), hotkey: hotkey(uid), ..peer }),
        };
        let of = |(window, peers): (u64, Vec<_>)| {
            evidence(window, (0..PEERS).zip(peers).filter_map(named))
        };
        (0..).zip(windows).map(of).collect()
    })
}

fn replay(history: &[Evidence]) -> (Book, Vec<Standing>) {
    let mut book = Book::new(Terms { gathered: 4, reserve: 2, ..Terms::default() });
    let standings = history.iter().map(|evidence| book.advance(evidence)).last();
    (book, standings.unwrap_or_default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_number_is_finite_and_in_its_range_and_weights_sum_to_one(history in history()) {
        let (book, standings) = replay(&history);
        for standing in &standings {
            prop_assert!(standing.mu.is_finite() && standing.sigma > 0.0, "{standing:?}");
            prop_assert!(standing.proof.abs() <= 1.0, "{standing:?}");
            for share in [standing.effort, standing.score, standing.weight] {
                prop_assert!((0.0..=1.0).contains(&share), "{standing:?}");
            }
            for score in [standing.assigned, standing.random].into_iter().flatten() {
                prop_assert!(score.mean.is_finite());
                prop_assert!(score.error.is_none_or(f64::is_finite));
            }
        }
        let weights = book.weights();
        let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
        prop_assert!((sum - 1.0).abs() < 1e-12, "{weights:?}");
        let votes = votes(&weights);
        prop_assert_eq!(votes.iter().map(|(_, vote)| *vote).max(), Some(u16::MAX));
        prop_assert!(votes.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn whoever_sits_where_comes_to_the_same(
        history in history(),
        seats in Just((0..PEERS).collect::<Vec<u16>>()).prop_shuffle(),
    ) {
        let moved = |peer: &PeerEvidence| {
            let uid = Uid(seats[usize::from(peer.uid.0)]);
            PeerEvidence { uid, ..peer.clone() }
        };
        let moved: Vec<Evidence> = history.iter().map(|window| {
            let mut window = window.clone();
            window.peers = window.peers.iter().map(moved).collect();
            window.peers.sort_by_key(|peer| peer.uid);
            window
        }).collect();
        let (_, standings) = replay(&history);
        let (_, other) = replay(&moved);
        let other: BTreeMap<Uid, Standing> =
            other.into_iter().map(|standing| (standing.uid, standing)).collect();
        for standing in standings {
            let uid = Uid(seats[usize::from(standing.uid.0)]);
            prop_assert_eq!(&other[&uid], &Standing { uid, ..standing });
        }
    }

    /// Peers 7 and 8 have the same past, and 8 helps at least as much from here on.
    #[test]
    fn a_better_peer_never_stands_below_a_worse_one(
        history in history(),
        windows in prop::collection::vec((-0.03..0.03_f64, -0.03..0.03_f64, 0.0..0.02_f64), 1..12),
    ) {
        let mut book = replay(&history.iter().map(|window| {
            let mut window = window.clone();
            window.peers.retain(|peer| peer.uid < Uid(7));
            let twin = window.peers.first().cloned().unwrap_or_else(|| honest(0));
            let twins = [7, 8].map(|uid| PeerEvidence {
                uid: Uid(uid), hotkey: hotkey(uid), ..twin.clone()
            });
            window.peers.extend(twins);
            window
        }).collect::<Vec<_>>()).0;
        for (at, (own, random, better)) in windows.into_iter().enumerate() {
            let twins = [measured(7, own, random), measured(8, own + better, random + better)];
            let others = (0..7).map(honest);
            let standings = book.advance(&evidence(100 + at as u64, others.chain(twins)));
            let (worse, better) = (&standings[7], &standings[8]);
            // The spread of both is the same but for the rounding of losses.
            prop_assert!(better.score >= worse.score - 1e-9, "{worse:?} {better:?}");
            prop_assert!(better.weight >= worse.weight - 1e-9, "{worse:?} {better:?}");
        }
    }

    #[test]
    fn absence_never_raises_a_rating(history in history(), absent in 1..PEERS) {
        let (mut book, before) = replay(&history);
        let peers = (0..PEERS).map(|uid| match uid < absent {
            true => town::missing(uid),
            false => honest(uid),
        });
        let after = book.advance(&evidence(1000, peers));
        for (before, after) in before.iter().zip(&after).filter(|(b, _)| b.uid.0 < absent) {
            let ordinal = |standing: &Standing| standing.mu - 3.0 * standing.sigma;
            if before.hotkey == after.hotkey && before.uid == after.uid {
                prop_assert!(after.mu <= before.mu && ordinal(after) <= ordinal(before));
                prop_assert!(after.score <= before.score);
            }
        }
    }
}
