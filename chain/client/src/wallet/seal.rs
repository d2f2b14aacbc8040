//! Files under a password: how they begin, and how those of NaCl open.
//!
//! Such a file is a start, a nonce of 24 bytes, and a secret box (XSalsa20 and Poly1305) whose key
//! is stretched from the password by Argon2i over 512 MiB, always with the same salt.

use argon2::{Algorithm, Argon2, Params, Version};
use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, Nonce, XSalsa20Poly1305};

/// How the files that open here begin.
const START: &[u8] = b"$NACL";
/// How those begin that do not, and what sealed them.
const OTHERS: [(&[u8], &str); 2] = [(b"$ANSIBLE_VAULT", "Ansible Vault"), (b"gAAAAA", "Fernet")];
const NONCE_BYTES: usize = 24;
/// What Bittensor's tools stretch with.
const SALT: [u8; 16] = *b"\x13q\x83\xdf\xf1Z\t\xbc\x9c\x90\xb5Q\x879\xe9\xb1";
const PASSES: u32 = 8;
const MEMORY_KIB: u32 = 512 << 10;

/// Whether a password opens this file.
pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(START)
}

/// What sealed a file that cannot be opened here.
pub(super) fn other_seal(bytes: &[u8]) -> Option<&'static str> {
    OTHERS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, seal)| *seal)
}

/// What is in a sealed file; none if the password is another, or a byte of it changed.
pub(super) fn open(bytes: &[u8], password: &str) -> Option<Vec<u8>> {
    let (nonce, sealed) = bytes.strip_prefix(START)?.split_at_checked(NONCE_BYTES)?;
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2i, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), &SALT, &mut key)
        .ok()?;
    XSalsa20Poly1305::new(&key.into()).decrypt(Nonce::from_slice(nonce), sealed).ok()
}
