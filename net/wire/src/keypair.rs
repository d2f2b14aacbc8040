//! sr25519 signatures: who wrote a contribution, a manifest, a run description.
//!
//! The key is the node's hotkey on the chain (32-byte seed, expanded as Bittensor's wallets do);
//! the signing context is our own, so that a signature made here can never pass for a transaction.
//! Transactions have a method, and a context, to themselves.

use std::fmt;

use rand_core::{CryptoRng, RngCore};
use schnorrkel::context::{attach_rng, signing_context};
use schnorrkel::{ExpansionMode, MiniSecretKey, PublicKey};

use crate::protocol::SIGNING_CONTEXT;
use crate::{Hotkey, Signature};

/// The context in which chains made with Substrate verify transactions.
const CHAIN_CONTEXT: &[u8] = b"substrate";

/// A hotkey with its secret. It has no `Display`, and its `Debug` shows the public half only.
#[derive(Clone)]
pub struct Keypair {
    secret: schnorrkel::Keypair,
}

impl Keypair {
    /// The key that grows from a 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = MiniSecretKey::from_bytes(&seed).expect("a seed is any 32 bytes");
        Self { secret: seed.expand_to_keypair(ExpansionMode::Ed25519) }
    }

    /// The public key.
    pub fn hotkey(&self) -> Hotkey {
        Hotkey(self.secret.public.to_bytes())
    }

    /// Signs `message`; the same message and key give the same 64 bytes, so that a node which
    /// repeats a window after a crash writes the same object again.
    ///
    /// No entropy enters, and that is sound for a plain Schnorr signature: as in EdDSA, the nonce
    /// is a keyed hash of a secret half of the key with everything that is signed (context, public
    /// key, message), so two messages never share one and nobody can foretell it. Fresh
    /// randomness would only guard against faulty hardware. The multi-signatures of the library,
    /// which do need it, are not used.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.sign_in(SIGNING_CONTEXT, message)
    }

    /// Signs the payload of a transaction on the chain, which acts in this key's name there. The
    /// same payload gives the same bytes, as in [`Keypair::sign`].
    pub fn sign_transaction(&self, payload: &[u8]) -> Signature {
        self.sign_in(CHAIN_CONTEXT, payload)
    }

    fn sign_in(&self, context: &[u8], message: &[u8]) -> Signature {
        let transcript = attach_rng(signing_context(context).bytes(message), NoEntropy);
        Signature(self.secret.sign(transcript).to_bytes())
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.hotkey())
    }
}

/// Whether `hotkey` signed exactly `message`.
pub fn verify(hotkey: Hotkey, message: &[u8], signature: &Signature) -> bool {
    let Ok(key) = PublicKey::from_bytes(&hotkey.0) else { return false };
    let Ok(signature) = schnorrkel::Signature::from_bytes(&signature.0) else { return false };
    key.verify_simple(SIGNING_CONTEXT, message, &signature).is_ok()
}

/// Adds nothing to the nonce; see [`Keypair::sign`].
struct NoEntropy;

impl RngCore for NoEntropy {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        bytes.fill(0);
        Ok(())
    }
}

impl CryptoRng for NoEntropy {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_message_and_key_give_the_same_signature() {
        let (one, two) = (Keypair::from_seed([1; 32]), Keypair::from_seed([1; 32]));
        assert_eq!(one.sign(b"window 7"), two.sign(b"window 7"));
        assert_ne!(one.sign(b"window 7"), one.sign(b"window 8"));
    }

    #[test]
    fn nonces_differ_between_messages_and_between_keys() {
        let nonce =
            |seed, message: &[u8]| Keypair::from_seed([seed; 32]).sign(message).0[..32].to_vec();
        assert_ne!(nonce(1, b"a"), nonce(1, b"b"));
        assert_ne!(nonce(1, b"a"), nonce(2, b"a"));
    }

    #[test]
    fn a_signature_holds_for_its_own_key_and_message_only() {
        let (key, other) = (Keypair::from_seed([1; 32]), Keypair::from_seed([2; 32]));
        let signature = key.sign(b"message");
        assert!(verify(key.hotkey(), b"message", &signature));
        assert!(!verify(other.hotkey(), b"message", &signature));
        assert!(!verify(key.hotkey(), b"massage", &signature));
        assert!(!verify(Hotkey([255; 32]), b"message", &signature));
        for bit in 0..512 {
            let mut flipped = signature;
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(key.hotkey(), b"message", &flipped), "bit {bit}");
        }
    }

    #[test]
    fn a_signature_of_the_chain_does_not_hold_here() {
        let seed = MiniSecretKey::from_bytes(&[1; 32]).unwrap();
        let chain = seed.expand_to_keypair(ExpansionMode::Ed25519);
        let signature = chain.sign_simple(b"substrate", b"message");
        let signature = Signature(signature.to_bytes());
        assert!(!verify(Keypair::from_seed([1; 32]).hotkey(), b"message", &signature));
    }

    #[test]
    fn a_transaction_is_signed_in_the_chains_context_and_in_no_other() {
        let key = Keypair::from_seed([1; 32]);
        let signature = key.sign_transaction(b"payload");
        let public = PublicKey::from_bytes(&key.hotkey().0).unwrap();
        let theirs = schnorrkel::Signature::from_bytes(&signature.0).unwrap();
        assert!(public.verify_simple(b"substrate", b"payload", &theirs).is_ok());
        assert!(!verify(key.hotkey(), b"payload", &signature));
    }

    #[test]
    fn the_hotkey_of_a_seed_is_the_one_that_substrate_wallets_derive() {
        let alice = "e5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
        let hotkey = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
        let seed: Hotkey = alice.parse().unwrap();
        assert_eq!(Keypair::from_seed(seed.0).hotkey().to_string(), hotkey);
    }

    #[test]
    fn debug_shows_the_public_key_only() {
        let key = Keypair::from_seed([7; 32]);
        assert_eq!(format!("{key:?}"), format!("Keypair({})", key.hotkey()));
    }
}
