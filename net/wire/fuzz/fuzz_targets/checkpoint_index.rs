//! Any bytes at all as a checkpoint index, and any JSON as one that its validator signed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{CheckpointIndex, Keypair, SignedCheckpointIndex};

fuzz_target!(|text: &[u8]| {
    if let Err(error) = SignedCheckpointIndex::parse(text) {
        assert!(error.to_string().len() < 2_000);
    }
    let keypair = Keypair::from_seed([42; 32]);
    let Ok(mut index) = serde_json::from_slice::<CheckpointIndex>(text) else { return };
    index.validator = keypair.hotkey();
    let Ok(signed) = SignedCheckpointIndex::sign(index, &keypair) else { return };
    let read = SignedCheckpointIndex::parse(&signed.to_bytes()).expect("what is signed reads back");
    assert_eq!(read.document(), signed.document());
    // Parts hold each tensor once, in order.
    let mut next = 0;
    for part in &read.document().parts {
        assert_eq!(u64::from(part.first_tensor), next);
        next += u64::from(part.tensors);
    }
    assert_eq!(read.document().tensors(), next);
});
