//! Names of things, each its own type, so that a uid is never passed where a window is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A peer's seat on the subnet, as the chain assigns it.
    Uid(u16)
}
number! {
    /// A subnet of the chain.
    Netuid(u16)
}
number! {
    /// One outer step: a fixed run of chain blocks, counted from the run's first.
    Window(u64)
}
number! {
    /// Height of a chain block.
    BlockNumber(u64)
}

impl Window {
    /// The one after this.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

macro_rules! bytes {
    ($(#[$doc:meta])* $name:ident[$len:literal]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = HexError;

            /// Reads two hexadecimal digits a byte.
            fn from_str(text: &str) -> Result<Self, HexError> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

bytes! {
    /// A peer's sr25519 public key, the name it signs with.
    Hotkey[32]
}
bytes! {
    /// BLAKE3 hash of a run description: the name of a run.
    RunId[32]
}
bytes! {
    /// Root of the hash tree over the shared parameters; equal roots mean equal bits.
    StateRoot[32]
}
bytes! {
    /// BLAKE3 hash of some bytes.
    Digest[32]
}
bytes! {
    /// Digest of the ids of the samples that a contribution trained on.
    SampleDigest[16]
}
bytes! {
    /// An sr25519 signature.
    Signature[64]
}

/// Text that is not the hexadecimal digits it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hexadecimal digits, found {found} characters")]
pub struct HexError {
    digits: usize,
    found: usize,
}

fn parse_hex<const LEN: usize>(text: &str) -> Result<[u8; LEN], HexError> {
    let refuse = || HexError { digits: 2 * LEN, found: text.chars().count() };
    let digits = text.as_bytes();
    if digits.len() != 2 * LEN {
        return Err(refuse());
    }
    let mut out = [0; LEN];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| (digit as char).to_digit(16).ok_or_else(refuse);
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_what_is_not_hex() {
        let key = Hotkey(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(key.to_string().parse::<Hotkey>().unwrap(), key);
        assert!("12".parse::<Hotkey>().is_err());
        assert!("g".repeat(64).parse::<Hotkey>().is_err());
    }
}
