//! Any bytes at all as a manifest, and any JSON as one that its validator signed. What reads must
//! read back from its own text, and its verdicts must be in order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{Digest, Document, Keypair, Manifest, SignedManifest};

fuzz_target!(|text: &[u8]| {
    if let Err(error) = SignedManifest::parse(text) {
        assert!(error.to_string().len() < 2_000);
    }
    // The fuzzer cannot forge a signature: what is inside is signed again with our key.
    let keypair = Keypair::from_seed([42; 32]);
    let Ok(mut manifest) = serde_json::from_slice::<Manifest>(text) else { return };
    manifest.validator = keypair.hotkey();
    let Ok(signed) = SignedManifest::sign(manifest, &keypair) else { return };
    let read = SignedManifest::parse(&signed.to_bytes()).expect("what is signed reads back");
    let manifest = read.document();
    assert_eq!(manifest, signed.document());
    assert_eq!(manifest.hash(), signed.document().hash());
    assert!(manifest.accepted.iter().all(|accepted| manifest.accepts(accepted.uid)));
    assert!(manifest.rejected.iter().all(|rejected| !manifest.accepts(rejected.uid)));
    let _ = manifest.state(Digest([0; 32]));
});
