//! What only the validator can foretell: numbers that follow from its secret, from the window and
//! from what they are for.

use std::fmt;

use wire::{Hotkey, Window};

/// 32 bytes that a validator keeps to itself. It has no `Display`, and its `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// These bytes as a secret.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Numbers for `purpose` in `window`, about one peer if one is given.
    pub(crate) fn draw(&self, purpose: &str, window: Window, hotkey: Option<Hotkey>) -> Draw {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&window.0.to_le_bytes());
        hasher.update(hotkey.as_ref().map_or(&[], |hotkey| &hotkey.0));
        hasher.update(purpose.as_bytes());
        Draw(hasher.finalize_xof())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// An endless row of random numbers.
pub(crate) struct Draw(blake3::OutputReader);

impl Draw {
    /// The next 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `bound`, which is not 0; each alike up to one in 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A number above 0 and at most 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.word() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}
