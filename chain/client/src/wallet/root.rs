//! What a key grows from: 32 bytes, or a phrase of words that spells them for people.
//!
//! A phrase holds 128 to 256 bits and a checksum, by the English list of BIP 39. As Substrate's
//! tools do and unlike BIP 39, the seed is stretched from those bits, not from the words' letters.

use std::fmt;

use bip39::{Language, Mnemonic};
use sha2::Sha512;
use wire::{Digest, Hotkey, Keypair};

/// Rounds of stretching.
const ROUNDS: u32 = 2_048;
/// What BIP 39 puts before a password; there is none here.
const SALT: &[u8] = b"mnemonic";

/// A key's secret. It has no `Display`, and its `Debug` shows the public half only.
#[derive(Clone)]
pub struct Root {
    seed: [u8; 32],
    phrase: Option<String>,
}

impl Root {
    /// The key of these 32 bytes.
    pub fn of_seed(seed: [u8; 32]) -> Self {
        Self { seed, phrase: None }
    }

    /// The key whose phrase of 12 words spells `bits`.
    pub fn of_bits(bits: [u8; 16]) -> Self {
        Self::of_words(&Mnemonic::from_entropy(&bits).expect("12 words hold 16 bytes"))
    }

    /// The key of a phrase of 12, 15, 18, 21 or 24 words; none if a word or the checksum is wrong.
    pub fn of_phrase(phrase: &str) -> Option<Self> {
        let words: Vec<_> = phrase.split_whitespace().map(str::to_lowercase).collect();
        let words = Mnemonic::parse_in_normalized(Language::English, &words.join(" ")).ok()?;
        Some(Self::of_words(&words))
    }

    /// The key of a seed of 64 hex digits or of a phrase.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let seed = digits.parse().ok().map(|Digest(seed)| Self::of_seed(seed));
        seed.or_else(|| Self::of_phrase(text))
    }

    fn of_words(words: &Mnemonic) -> Self {
        let stretched = pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(&words.to_entropy(), SALT, ROUNDS);
        let seed = *stretched.first_chunk().expect("64 bytes hold 32");
        Self { seed, phrase: Some(words.to_string()) }
    }

    /// The words, if it came from some.
    pub fn phrase(&self) -> Option<&str> {
        self.phrase.as_deref()
    }

    /// The seed, for the file that keeps it.
    pub(super) fn seed(&self) -> [u8; 32] {
        self.seed
    }

    /// The key itself.
    pub fn keypair(&self) -> Keypair {
        Keypair::from_seed(self.seed)
    }

    /// The public half.
    pub fn hotkey(&self) -> Hotkey {
        self.keypair().hotkey()
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({})", self.hotkey())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::ss58;

    /// Substrate's development phrase, its seed and its address.
    const PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    const SEED: &str = "fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
    const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";

    #[test]
    fn a_known_phrase_gives_the_known_seed_and_address() {
        let root = Root::of_phrase(PHRASE).unwrap();
        assert_eq!(Digest(root.seed()).to_string(), SEED);
        assert_eq!(ss58(root.hotkey()), ADDRESS);
        assert_eq!(root.phrase(), Some(PHRASE));
        let spread = format!("  {}\n", PHRASE.to_uppercase().replace(' ', "  "));
        assert_eq!(Root::parse(&spread).unwrap().seed(), root.seed());
        for text in [SEED.to_string(), format!("0x{SEED}\n")] {
            let of_seed = Root::parse(&text).unwrap();
            assert_eq!((of_seed.seed(), of_seed.phrase()), (root.seed(), None));
        }
    }

    #[test]
    fn a_drawn_phrase_has_twelve_words_and_reads_back() {
        let root = Root::of_bits([7; 16]);
        let phrase = root.phrase().unwrap();
        assert_eq!(phrase.split(' ').count(), 12);
        assert_eq!(Root::of_phrase(phrase).unwrap().seed(), root.seed());
        assert_ne!(Root::of_bits([8; 16]).seed(), root.seed());
    }

    #[test]
    fn a_wrong_word_a_wrong_checksum_and_half_a_seed_are_no_key() {
        let swapped = PHRASE.replace("bottom drive", "drive bottom");
        let cut = PHRASE.rsplit_once(' ').unwrap().0;
        let wrong = [&swapped, cut, &PHRASE.replace("fit", "fjt"), &SEED[2..], "", "0x"];
        for text in wrong {
            assert!(Root::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn debug_shows_the_public_half_only() {
        let shown = format!("{:?}", Root::of_phrase(PHRASE).unwrap());
        assert!(!shown.contains("bottom") && !shown.contains(&SEED[..8]), "{shown}");
    }
}
