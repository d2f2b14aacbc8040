//! Why the chain refused a transaction: one reason, whichever of its two shapes it came in.
//!
//! The pool answers `1010` with a custom code before a block is made; the block answers with an
//! error of a pallet. The same failure moved from the second to the first between runtimes, so both
//! map here. A pallet's error comes as two indices, which shift between runtimes: it is looked up
//! in the metadata and matched by name.

use std::fmt;

use subxt::metadata::Metadata;
use wire::ForeignText;

/// The pool's code for a transaction that the runtime refuses.
const POOL_REFUSED: i64 = 1010;
/// The pool already has this very transaction.
const POOL_HAS_IT: i64 = 1013;
/// The pool has another transaction with this nonce.
const POOL_HAS_NONCE: i64 = 1014;
/// How the pool spells a code of the runtime's own.
const CUSTOM: &str = "Custom error: ";

/// A reason, each with the caller's next move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The hotkey has no seat.
    NotRegistered,
    /// The hotkey has a seat already.
    AlreadyRegistered,
    /// All seats are taken by somebody who may not be pushed out yet.
    SeatsTaken,
    /// The subnet does not exist.
    NoSubnet,
    /// The subnet sells no seats.
    RegistrationClosed,
    /// The seat costs more than the caller would pay.
    PriceAboveLimit,
    /// The coldkey does not have the money.
    BalanceTooLow,
    /// The same was done too recently.
    TooSoon,
    /// The hotkey's votes do not count.
    NoPermit,
    /// The hotkey's stake is below what voting takes.
    StakeTooLow,
    /// The subnet takes sealed votes only.
    CommitReveal,
    /// The votes were made by older rules.
    OldVersionKey,
    /// The votes name somebody twice.
    DuplicateUid,
    /// The votes name nobody.
    UnknownUid,
    /// The hotkey has used up what it may write in this epoch.
    SpaceSpent,
    /// The chain has this transaction already.
    AlreadyThere,
    /// Another transaction of this key took its place.
    NonceTaken,
    /// The transaction was signed for a runtime or a time that has passed.
    Outdated,
    /// Anything else, as the chain calls it.
    Other(ForeignText),
}

impl Refusal {
    /// The reason that the pallet at `pallet_index` gives as `error_index`.
    pub fn of_pallet(metadata: &Metadata, pallet_index: u8, error_index: u8) -> Self {
        let pallet = metadata.pallet_by_error_index(pallet_index);
        let error = pallet.and_then(|pallet| {
            pallet.error_variant_by_index(error_index).map(|error| error.name.as_str())
        });
        match error {
            Some(name) => Self::of_name(name),
            None => Self::Other(text(&format!("error {error_index} of pallet {pallet_index}"))),
        }
    }

    /// The reason that a pallet calls `name`.
    pub fn of_name(name: &str) -> Self {
        match name {
            "HotKeyNotRegisteredInSubNet"
            | "HotKeyNotRegisteredInNetwork"
            | "AccountNotAllowedCommit" => Self::NotRegistered,
            "HotKeyAlreadyRegisteredInSubNet" => Self::AlreadyRegistered,
            "NoNeuronIdAvailable" => Self::SeatsTaken,
            "SubnetNotExists" | "MechanismDoesNotExist" => Self::NoSubnet,
            "SubNetRegistrationDisabled" => Self::RegistrationClosed,
            "RegistrationPriceLimitExceeded" => Self::PriceAboveLimit,
            "NotEnoughBalanceToStake" => Self::BalanceTooLow,
            "SettingWeightsTooFast"
            | "CommittingWeightsTooFast"
            | "TooManyRegistrationsThisBlock"
            | "TooManyRegistrationsThisInterval" => Self::TooSoon,
            "NeuronNoValidatorPermit" => Self::NoPermit,
            "NotEnoughStakeToSetWeights" => Self::StakeTooLow,
            "CommitRevealEnabled" => Self::CommitReveal,
            "IncorrectWeightVersionKey" => Self::OldVersionKey,
            "DuplicateUids" => Self::DuplicateUid,
            "UidVecContainInvalidOne" | "UidsLengthExceedUidsInSubNet" => Self::UnknownUid,
            "SpaceLimitExceeded" => Self::SpaceSpent,
            other => Self::Other(text(other)),
        }
    }

    /// The reason in an error of the pool: its code, and the text that came along.
    pub fn of_pool(code: i64, data: &str) -> Self {
        match code {
            POOL_REFUSED => Self::of_invalid(data),
            POOL_HAS_IT => Self::AlreadyThere,
            POOL_HAS_NONCE => Self::NonceTaken,
            _ => Self::Other(text(&format!("{code} {data}"))),
        }
    }

    /// The reason for which the runtime keeps a transaction out of the pool.
    fn of_invalid(data: &str) -> Self {
        let custom = data.split_once(CUSTOM).map(|(_, code)| code.trim());
        match custom.and_then(|code| code.parse::<u8>().ok()) {
            Some(code) => Self::of_custom(code),
            None if data.contains("outdated") || data.contains("bad signature") => Self::Outdated,
            None if data.contains("Inability to pay") => Self::BalanceTooLow,
            None => Self::Other(text(data)),
        }
    }

    /// The runtime's own codes.
    fn of_custom(code: u8) -> Self {
        match code {
            2 => Self::BalanceTooLow,
            3 => Self::NoSubnet,
            4 | 10 => Self::NotRegistered,
            6 | 12 => Self::TooSoon,
            8 => Self::PriceAboveLimit,
            19 => Self::UnknownUid,
            _ => Self::Other(text(&format!("Custom error: {code}"))),
        }
    }

    /// Whether signing the same call anew may help: nothing was done, and nothing is wrong with
    /// the call itself.
    pub fn signs_anew(&self) -> bool {
        matches!(self, Self::Outdated | Self::NonceTaken)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRegistered => "the hotkey has no seat: buy one with cov72 register",
            Self::AlreadyRegistered => "the hotkey has a seat already: go on with it",
            Self::SeatsTaken => {
                "all seats are taken by newcomers: wait for one, or use another netuid"
            }
            Self::NoSubnet => "there is no such subnet: correct the netuid",
            Self::RegistrationClosed => "the subnet sells no seats now: ask its owner when",
            Self::PriceAboveLimit => "a seat costs more than the limit: wait, or raise the limit",
            Self::BalanceTooLow => "the signing key has too little TAO: send it some",
            Self::TooSoon => "the last one is too recent: wait for the rate limit to pass",
            Self::NoPermit => "the hotkey has no validator permit: add stake to it",
            Self::StakeTooLow => "the hotkey's stake is below the threshold: add stake to it",
            Self::CommitReveal => {
                "the subnet takes sealed votes only, which cov72 cannot make: \
                 ask its owner to turn commit-reveal off"
            }
            Self::OldVersionKey => "the subnet demands newer rules: update cov72",
            Self::DuplicateUid => "the votes name a uid twice: add them up first",
            Self::UnknownUid => "the votes name a uid that nobody has: read the metagraph again",
            Self::SpaceSpent => "the hotkey wrote all it may in this epoch: wait for the next",
            Self::AlreadyThere => "the chain has this transaction already: wait for its block",
            Self::NonceTaken => "another transaction of this key came first: send it again",
            Self::Outdated => "the transaction was signed for another time: sign it again",
            Self::Other(reason) => {
                return write!(f, "the chain refused with \"{reason}\": look it up in its source");
            }
        })
    }
}

fn text(of: &str) -> ForeignText {
    ForeignText::new(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_one_failure_are_one_reason() {
        let pool = |code: u8| Refusal::of_pool(1010, &format!("Custom error: {code}"));
        for (code, name, reason) in [
            (6, "SettingWeightsTooFast", Refusal::TooSoon),
            (10, "HotKeyNotRegisteredInSubNet", Refusal::NotRegistered),
            (3, "SubnetNotExists", Refusal::NoSubnet),
            (2, "NotEnoughBalanceToStake", Refusal::BalanceTooLow),
        ] {
            assert_eq!(pool(code), reason);
            assert_eq!(Refusal::of_name(name), reason);
        }
    }

    #[test]
    fn only_what_was_not_done_and_can_be_done_is_signed_anew() {
        let outdated = Refusal::of_pool(1010, "Transaction is outdated");
        assert_eq!(outdated, Refusal::Outdated);
        assert!(outdated.signs_anew());
        assert!(Refusal::of_pool(1014, "").signs_anew());
        assert!(!Refusal::of_pool(1013, "").signs_anew(), "it is there: a second would double it");
        assert!(!Refusal::of_pool(1010, "Custom error: 6").signs_anew());
    }

    #[test]
    fn text_of_the_other_side_is_made_harmless_and_short() {
        let shown = Refusal::of_pool(-32_000, &format!("\u{1b}[2J{}", "x".repeat(9_000)));
        let shown = shown.to_string();
        assert!(!shown.contains('\u{1b}') && shown.len() < 1_000, "{shown}");
        let shown = Refusal::of_pool(1010, "Custom error: 300").to_string();
        assert!(shown.contains("Custom error: 300"), "{shown}");
    }
}
