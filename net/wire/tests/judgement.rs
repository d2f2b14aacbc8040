//! Judgements: what reads back, and what contradicts itself.

use proptest::prelude::*;
use wire::{
    Digest, DocumentError, Effect, Evidence, Hotkey, Judgement, Keypair, Loss, LossScore, Pair,
    PeerEvidence, Penalty, Place, Probe, Rejection, RunId, SignedJudgement, Standing, StateRoot,
    Uid, Window,
};

fn validator() -> Keypair {
    Keypair::from_seed([3; 32])
}

fn peer(uid: u16) -> PeerEvidence {
    let (hotkey, object) = (Hotkey([uid as u8; 32]), Some(Digest([9; 32])));
    PeerEvidence { uid: Uid(uid), hotkey, object, rejection: None, effect: None }
}

fn standing(uid: u16) -> Standing {
    Standing {
        uid: Uid(uid),
        hotkey: Hotkey([uid as u8; 32]),
        place: Place::Gathered,
        assigned: Some(LossScore { mean: 0.03, error: Some(0.001) }),
        random: Some(LossScore { mean: 0.02, error: None }),
        mu: 25.5,
        sigma: 7.25,
        proof: 0.142_625,
        effort: 1.0,
        score: 0.1,
        weight: 0.5,
        penalties: vec![Penalty::Missed { in_row: 1 }, Penalty::Harmful {}],
    }
}

fn judgement() -> Judgement {
    let before = Loss::new(3.25);
    let effect = Effect {
        assigned: vec![Pair { sample: 4, tokens: 256, before, after: Loss::new(3.0) }],
        random_after: vec![Loss::new(3.5), Loss::new(f64::NAN)],
    };
    let missing = PeerEvidence { object: None, rejection: Some(Rejection::Missing {}), ..peer(2) };
    Judgement {
        version: 1,
        run: RunId([7; 32]),
        validator: validator().hotkey(),
        previous: Some((Window(8), Digest([5; 32]))),
        evidence: Evidence {
            window: Window(9),
            parent_root: StateRoot([8; 32]),
            random: [3, 7].map(|sample| Probe { sample, tokens: 256, before }).to_vec(),
            peers: vec![PeerEvidence { effect: Some(effect), ..peer(1) }, missing, peer(4)],
        },
        standings: vec![standing(1), standing(2), standing(4)],
    }
}

#[test]
fn a_judgement_reads_back_with_losses_that_diverged() {
    let signed = SignedJudgement::sign(judgement(), &validator()).unwrap();
    let read = SignedJudgement::parse(&signed.to_bytes()).unwrap();
    assert_eq!(read.document(), &judgement());
    let effect = read.document().evidence_of(Uid(1)).unwrap().effect.as_ref().unwrap();
    assert_eq!(effect.random_after[1].nats(), None);
    assert_eq!(read.document().standing_of(Uid(4)), Some(&standing(4)));
    assert_eq!(read.document().standing_of(Uid(3)), None);
}

#[test]
fn a_judgement_that_contradicts_itself_is_refused_by_key() {
    type Change = fn(&mut Judgement);
    fn effect(judgement: &mut Judgement) -> &mut Effect {
        judgement.evidence.peers[0].effect.as_mut().unwrap()
    }
    let broken: [(Change, &str); 11] = [
        (|j| j.evidence.peers.swap(0, 1), "peers"),
        (|j| j.evidence.peers[0].rejection = Some(Rejection::Missing {}), "effect"),
        (|j| effect(j).assigned = vec![effect(j).assigned[0]; 65], "probes"),
        (|j| effect(j).assigned = vec![effect(j).assigned[0]; 2], "probes"),
        (|j| j.evidence.random.swap(0, 1), "probes"),
        (|j| j.evidence.random[0].tokens = 0, "tokens"),
        (|j| effect(j).assigned[0].tokens = 2049, "tokens"),
        (|j| effect(j).random_after.truncate(1), "random_after"),
        (|j| j.previous = Some((Window(9), Digest([5; 32]))), "previous"),
        (|j| j.standings.swap(0, 1), "standings"),
        (|j| j.standings[0].mu = f64::NAN, "standings"),
    ];
    for (change, expected) in broken {
        let mut judgement = judgement();
        change(&mut judgement);
        match SignedJudgement::sign(judgement, &validator()) {
            Err(DocumentError::Value { key, .. }) => assert_eq!(key, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn a_contribution_that_was_only_outranked_may_be_measured() {
    let mut judgement = judgement();
    judgement.evidence.peers[0].rejection = Some(Rejection::Outranked { gathered: 20 });
    assert!(SignedJudgement::sign(judgement, &validator()).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(text: Vec<u8>) {
        let _ = SignedJudgement::parse(&text);
    }
}
