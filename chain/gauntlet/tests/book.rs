//! What becomes of peers of every kind over many windows.

mod town;

use gauntlet::rules::BAR_WINDOWS;
use gauntlet::{Book, Secret, Terms, votes};
use town::{evidence, honest, hotkey, idle, measured, missing, rejected, sound};
use wire::{
    Digest, Evidence, Hotkey, Loss, PeerEvidence, Penalty, Place, Rejected, Rejection,
    SampleDigest, Standing, StateRoot, Uid, Window,
};

/// A history of `windows` windows of six honest peers and peer 9, who does as `peer` says.
fn history(windows: u64, peer: impl Fn(u64) -> PeerEvidence) -> Vec<Evidence> {
    let of = |window| evidence(window, (0..6).map(honest).chain([peer(window)]));
    (0..windows).map(of).collect()
}

fn replay(history: &[Evidence]) -> (Book, Vec<Vec<Standing>>) {
    let mut book = Book::new(Terms { burn_permille: 0, ..Terms::default() });
    let standings = history.iter().map(|evidence| book.advance(evidence)).collect();
    (book, standings)
}

/// Where peer 9 stands in the end, and the least weight of an honest one.
fn fate(windows: u64, peer: impl Fn(u64) -> PeerEvidence) -> (Standing, f64) {
    let (_, standings) = replay(&history(windows, peer));
    let last = standings.last().unwrap();
    let honest = last.iter().filter(|standing| standing.uid != Uid(9));
    let least = honest.map(|standing| standing.weight).fold(1.0, f64::min);
    (last.iter().find(|standing| standing.uid == Uid(9)).unwrap().clone(), least)
}

#[test]
fn an_honest_peer_earns_from_its_third_window_on() {
    for (windows, earns) in [(1, false), (2, false), (3, true), (30, true)] {
        let (standing, _) = fate(windows, |_| honest(9));
        assert_eq!(standing.weight > 0.0, earns, "{windows}: {standing:?}");
        assert!(standing.penalties.is_empty());
    }
}

#[test]
fn whoever_does_not_work_is_not_paid() {
    type Peer = fn(u64) -> PeerEvidence;
    let kinds: [(&str, Peer); 8] = [
        ("sends nothing", |_| missing(9)),
        ("sends zeros", |_| idle(9)),
        ("sends noise", |_| measured(9, -0.001, -0.001)),
        ("flips signs", |_| measured(9, -0.03, -0.02)),
        ("trains on other data", |_| measured(9, 0.02, 0.02)),
        ("poisons", |_| measured(9, 0.05, -0.01)),
        ("sends garbage", |_| rejected(9, Rejection::Padding { section: 0, chunk: 0 })),
        ("copies", |_| rejected(9, Rejection::Duplicate { of: Uid(1) })),
    ];
    for (kind, peer) in kinds {
        let (standing, least) = fate(30, peer);
        assert_eq!(standing.weight, 0.0, "{kind}: {standing:?}");
        assert!(least > 0.05, "{kind}: {least}");
    }
}

#[test]
fn a_tenth_of_the_work_is_paid_like_a_tenth_of_the_work() {
    let (standing, least) = fate(30, |_| measured(9, 0.003, 0.002));
    assert!(standing.weight < 0.1 * least, "{standing:?}");
    assert!((standing.effort - 0.1).abs() < 1e-2, "{standing:?}");
}

#[test]
fn honest_until_rated_and_lazy_afterwards_lasts_for_a_few_windows() {
    let peer = |window| if window < 20 { honest(9) } else { measured(9, 0.002, 0.002) };
    let (standing, least) = fate(32, peer);
    assert!(standing.weight < 0.2 * least, "{standing:?}");
}

#[test]
fn misses_cut_the_proof_and_the_third_in_a_row_forgets_it() {
    let (_, standings) = replay(&history(24, |window| match window {
        20..23 => missing(9),
        _ => measured(9, 0.03, 0.015),
    }));
    let proof = |window: usize| standings[window].last().unwrap().proof;
    assert_eq!(proof(20), proof(19) * 0.75);
    assert_eq!(proof(21), proof(20) * 0.5);
    assert_eq!(proof(22), 0.0);
    let last = standings[22].last().unwrap();
    assert_eq!(last.place, Place::Away);
    assert_eq!(last.penalties, [Penalty::Missed { in_row: 3 }, Penalty::Forgotten {}]);
    assert!(last.mu < 25.0, "to be forgotten is no way to a better rating: {last:?}");
    assert_eq!(standings[23].last().unwrap().place, Place::Waiting);
}

#[test]
fn to_be_away_for_long_costs_no_more_and_the_others_nothing() {
    let (_, standings) = replay(&history(40, |_| missing(9)));
    assert!(standings[39].last().unwrap().penalties.is_empty());
    assert_eq!(standings[39].last().unwrap().mu, standings[3].last().unwrap().mu);
    let (_, without) =
        replay(&(0..40).map(|w| evidence(w, (0..6).map(honest))).collect::<Vec<_>>());
    let weight = |standings: &[Vec<Standing>]| standings[39][0].weight;
    assert!((weight(&standings) - weight(&without)).abs() < 1e-2);
}

#[test]
fn a_peer_that_is_there_every_other_window_is_barred_for_a_while() {
    let peer = |window: u64| match window {
        0..8 if window.is_multiple_of(2) => missing(9),
        _ => honest(9),
    };
    let (_, standings) = replay(&history(40, peer));
    let places: Vec<Place> = standings.iter().map(|all| all.last().unwrap().place).collect();
    let barred = places.iter().filter(|place| **place == Place::Barred).count();
    assert_eq!(places[7], Place::Barred);
    assert_eq!(barred as u32, BAR_WINDOWS);
    assert!(standings[7].last().unwrap().penalties.contains(&Penalty::Unreliable {}));
    assert_eq!(places[39], Place::Gathered);
}

#[test]
fn three_harmful_updates_exclude_until_one_helps() {
    let (book, _) = replay(&history(3, |_| measured(9, -0.03, -0.02)));
    let secret = Secret::new([1; 32]);
    let sound = [(Uid(0), hotkey(0)), (Uid(9), hotkey(9))];
    let selection = book.select(&sound, &secret, Window(3));
    assert_eq!(selection.gathered, [Uid(0)]);
    let left_out = Rejected { uid: Uid(9), reason: Rejection::Excluded {} };
    assert_eq!(selection.left_out, [left_out]);
    // It is still measured, so it can come back.
    assert_eq!(book.to_measure(&sound, 2, &secret, Window(3)).len(), 2);
    let (standing, _) = fate(4, |window| match window {
        3 => honest(9),
        _ => measured(9, -0.03, -0.02),
    });
    assert_eq!(standing.place, Place::Waiting);
}

#[test]
fn a_window_that_harms_most_of_its_peers_is_at_fault_itself() {
    let bad = |window| evidence(window, (0..6).map(|uid| measured(uid, -0.01, -0.01)));
    let mut book = Book::new(Terms::default());
    let standings = (0..10).map(|window| book.advance(&bad(window))).last().unwrap();
    assert!(standings.iter().all(|standing| standing.penalties.is_empty()), "{standings:?}");
    assert!(standings.iter().all(|standing| standing.place == Place::Waiting));
}

#[test]
fn a_window_in_which_nothing_came_from_anybody_costs_nobody_anything() {
    let (mut book, standings) = replay(&history(10, |_| honest(9)));
    let silent = book.advance(&evidence(10, (0..10).map(missing)));
    assert_eq!(silent[0].proof, standings[9][0].proof);
    assert!(silent.iter().all(|standing| standing.penalties.is_empty()));
}

#[test]
fn a_loss_that_is_no_number_ends_the_proof() {
    let mut exploded = honest(9);
    exploded.effect.as_mut().unwrap().random_after[3] = Loss::new(f64::NAN);
    let (standing, _) = fate(20, |window| match window {
        19 => exploded.clone(),
        _ => honest(9),
    });
    assert_eq!((standing.proof, standing.weight), (0.0, 0.0));
    assert_eq!(standing.penalties, [Penalty::Diverged {}]);
}

#[test]
fn a_copy_costs_what_it_copied_and_the_second_bars() {
    let copy = Rejection::Copied { of: Uid(1), window: Window(3), copied_permille: 400 };
    let (_, standings) = replay(&history(30, |window| match window {
        20 | 22 => rejected(9, copy.clone()),
        _ => honest(9),
    }));
    let at = |window: usize| standings[window].last().unwrap();
    assert!((at(20).proof - 0.6 * at(19).proof).abs() < 1e-15);
    assert_eq!(at(20).penalties, [Penalty::Copied { copied_permille: 400 }]);
    assert_eq!((at(22).proof, at(22).place), (0.0, Place::Barred));
    assert!(at(22).penalties.contains(&Penalty::CopiedAgain {}));
}

#[test]
fn two_contributions_for_one_window_bar_at_once() {
    let (first, second) = (Digest([1; 32]), Digest([2; 32]));
    let (standing, _) = fate(20, |window| match window {
        19 => rejected(9, Rejection::Equivocated { first, second }),
        _ => honest(9),
    });
    assert_eq!((standing.proof, standing.place), (0.0, Place::Barred));
}

#[test]
fn one_window_from_other_parameters_is_a_miss_and_other_samples_are_a_lie() {
    let root = StateRoot([0; 32]);
    let stale = Rejection::OtherParent { found: root, expected: root };
    let digest = SampleDigest([0; 16]);
    let lie = Rejection::OtherSamples { found: digest, expected: digest };
    for (reason, expected) in [(stale, Penalty::Missed { in_row: 1 }), (lie, Penalty::Malformed {})]
    {
        let (standing, _) = fate(20, |window| match window {
            19 => rejected(9, reason.clone()),
            _ => honest(9),
        });
        assert_eq!(standing.penalties, [expected]);
        assert!(standing.weight > 0.0, "{standing:?}");
    }
}

#[test]
fn another_hotkey_on_a_seat_starts_anew() {
    let other = PeerEvidence { hotkey: Hotkey([7; 32]), ..honest(9) };
    let (standing, _) = fate(30, |window| if window < 29 { honest(9) } else { other.clone() });
    assert_eq!(standing.penalties, [Penalty::NewHotkey {}]);
    assert!(standing.proof > 0.0 && standing.proof <= 0.05, "{standing:?}");
    assert_eq!(standing.weight, 0.0);
}

#[test]
fn peers_that_are_not_named_or_not_measured_are_known_still() {
    let (mut book, _) = replay(&history(20, |_| honest(9)));
    let before = book.standings();
    let after = book.advance(&evidence(20, (0..6).map(sound)));
    assert_eq!(after[0].proof, before[0].proof);
    assert_eq!(after[6].penalties, [Penalty::Missed { in_row: 1 }]);
    let again = book.advance(&evidence(20, (0..6).map(missing)));
    assert_eq!(again, after, "a window that has passed changes nothing");
}

#[test]
fn a_book_that_was_written_down_goes_on_with_the_same_bits() {
    let history = history(40, |window| match window % 7 {
        3 => missing(9),
        5 => measured(9, -0.01, -0.02),
        _ => honest(9),
    });
    let (book, standings) = replay(&history);
    let mut again = Book::new(Terms { burn_permille: 0, ..Terms::default() });
    for (evidence, expected) in history.iter().zip(&standings) {
        let text = serde_json::to_string(&again).unwrap();
        again = serde_json::from_str(&text).unwrap();
        assert_eq!(&again.advance(evidence), expected);
    }
    assert_eq!(again, book);
}

#[test]
fn weights_of_nobody_are_burned() {
    let terms = Terms { burn_uid: Uid(7), burn_permille: 0, ..Terms::default() };
    let mut book = Book::new(terms);
    assert_eq!(votes(&book.weights()), [(Uid(7), 65_535)]);
    book.advance(&evidence(0, (0..6).map(missing)));
    assert_eq!(votes(&book.weights()), [(Uid(7), 65_535)]);
}

#[test]
fn of_more_than_there_is_room_for_the_best_count_and_newcomers_fill_up() {
    let terms = Terms { gathered: 4, reserve: 2, ..Terms::default() };
    let mut book = Book::new(terms);
    // Peer 0 is the best, peer 4 the worst of those that have proven something.
    let of = |window| {
        evidence(window, (0..5).map(|uid| measured(uid, 0.03, 0.02 - 0.001 * f64::from(uid))))
    };
    let standings = (0..20).map(|window| book.advance(&of(window))).last().unwrap();
    let places: Vec<Place> = standings.iter().map(|standing| standing.place).collect();
    assert_eq!(places[..4], [Place::Gathered; 4]);
    assert_eq!(places[4], Place::Reserve);
    let secret = Secret::new([1; 32]);
    let select = |uids: &[u16]| {
        let sound: Vec<_> = uids.iter().map(|uid| (Uid(*uid), hotkey(*uid))).collect();
        book.select(&sound, &secret, Window(20))
    };
    let selection = select(&[8, 4, 3, 2, 1, 0]);
    assert_eq!(selection.gathered, [0, 1, 2, 3].map(Uid));
    let reason = Rejection::Outranked { gathered: 4 };
    let left_out = [4, 8].map(|uid| Rejected { uid: Uid(uid), reason: reason.clone() });
    assert_eq!(selection.left_out, left_out);
    // Who stands by steps in, then who has proven nothing yet.
    assert_eq!(select(&[8, 4, 3, 2]).gathered, [2, 3, 4, 8].map(Uid));
}

#[test]
fn whose_turn_it_is_cannot_be_foretold_and_comes_in_time() {
    let mut book = Book::new(Terms::default());
    let secret = Secret::new([1; 32]);
    let all: Vec<_> = (0..20).map(|uid| (Uid(uid), hotkey(uid))).collect();
    let mut waited = [0_u32; 20];
    let mut orders = Vec::new();
    for window in 0..60 {
        let turn = book.to_measure(&all, 5, &secret, Window(window));
        let peers = (0..20).map(|uid| match turn.contains(&Uid(uid)) {
            true => honest(uid),
            false => sound(uid),
        });
        book.advance(&evidence(window, peers));
        for (uid, waited) in waited.iter_mut().enumerate() {
            *waited = if turn.contains(&Uid(uid as u16)) { 0 } else { *waited + 1 };
        }
        assert!(waited.iter().all(|waited| *waited <= 12), "{waited:?}");
        orders.push(turn);
    }
    orders.sort_unstable();
    orders.dedup();
    assert!(orders.len() > 50);
}
