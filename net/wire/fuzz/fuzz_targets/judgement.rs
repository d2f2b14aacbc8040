//! Any bytes at all as a judgement, and any JSON as one that its validator signed. What reads must
//! read back from its own text, and everyone in it must be found.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{Document, Judgement, Keypair, SignedJudgement};

fuzz_target!(|text: &[u8]| {
    if let Err(error) = SignedJudgement::parse(text) {
        assert!(error.to_string().len() < 2_000);
    }
    // The fuzzer cannot forge a signature: what is inside is signed again with our key.
    let keypair = Keypair::from_seed([42; 32]);
    let Ok(mut judgement) = serde_json::from_slice::<Judgement>(text) else { return };
    judgement.validator = keypair.hotkey();
    let Ok(signed) = SignedJudgement::sign(judgement, &keypair) else { return };
    let read = SignedJudgement::parse(&signed.to_bytes()).expect("what is signed reads back");
    let judgement = read.document();
    assert_eq!(judgement, signed.document());
    assert_eq!(judgement.hash(), signed.document().hash());
    for peer in &judgement.evidence.peers {
        assert_eq!(judgement.evidence_of(peer.uid), Some(peer));
    }
    for standing in &judgement.standings {
        assert_eq!(judgement.standing_of(standing.uid), Some(standing));
    }
});
