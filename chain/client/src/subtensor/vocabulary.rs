//! Every name of the chain that this program speaks, so that a runtime which dropped one is found
//! out when a node connects and not when it votes.

use subxt::metadata::Metadata;

/// Calls: pallet and name.
const CALLS: [(&str, &str); 3] = [
    ("SubtensorModule", "set_weights"),
    ("SubtensorModule", "burned_register"),
    ("Commitments", "set_commitment"),
];
/// Stored items: pallet and name.
const ITEMS: [(&str, &str); 17] = [
    ("SubtensorModule", "NetworksAdded"),
    ("SubtensorModule", "Uids"),
    ("SubtensorModule", "Keys"),
    ("SubtensorModule", "SubnetworkN"),
    ("SubtensorModule", "LastUpdate"),
    ("SubtensorModule", "ValidatorPermit"),
    ("SubtensorModule", "Weights"),
    ("SubtensorModule", "MaxAllowedUids"),
    ("SubtensorModule", "WeightsSetRateLimit"),
    ("SubtensorModule", "CommitRevealWeightsEnabled"),
    ("SubtensorModule", "Burn"),
    ("SubtensorModule", "BlockAtRegistration"),
    ("SubtensorModule", "TotalHotkeyAlpha"),
    ("SubtensorModule", "WeightsVersionKey"),
    ("System", "Account"),
    ("Timestamp", "Now"),
    ("Commitments", "CommitmentOf"),
];
/// Errors that are told apart: pallet and name.
const ERRORS: [(&str, &str); 12] = [
    ("SubtensorModule", "HotKeyNotRegisteredInSubNet"),
    ("SubtensorModule", "HotKeyAlreadyRegisteredInSubNet"),
    ("SubtensorModule", "SubNetRegistrationDisabled"),
    ("SubtensorModule", "NotEnoughBalanceToStake"),
    ("SubtensorModule", "SettingWeightsTooFast"),
    ("SubtensorModule", "NeuronNoValidatorPermit"),
    ("SubtensorModule", "NotEnoughStakeToSetWeights"),
    ("SubtensorModule", "CommitRevealEnabled"),
    ("SubtensorModule", "DuplicateUids"),
    ("SubtensorModule", "UidVecContainInvalidOne"),
    ("Commitments", "AccountNotAllowedCommit"),
    ("Commitments", "SpaceLimitExceeded"),
];

/// What of it the runtime that `metadata` describes does not have, each by its kind and name.
pub fn missing_names(metadata: &Metadata) -> Vec<String> {
    let mut missing = Vec::new();
    let mut look = |kind: &str, names: &[(&str, &str)], has: &dyn Fn(&str, &str) -> bool| {
        for (owner, name) in names {
            if !has(owner, name) {
                missing.push(format!("{kind} {owner}.{name}"));
            }
        }
    };
    let pallet = |name: &str| metadata.pallet_by_name(name);
    look("call", &CALLS, &|owner, name| {
        pallet(owner).is_some_and(|pallet| pallet.call_variant_by_name(name).is_some())
    });
    look("stored item", &ITEMS, &|owner, name| {
        let storage = pallet(owner).and_then(|pallet| pallet.storage());
        storage.is_some_and(|storage| storage.entry_by_name(name).is_some())
    });
    look("error", &ERRORS, &|owner, name| {
        let errors = pallet(owner).and_then(|pallet| pallet.error_variants());
        errors.is_some_and(|errors| errors.iter().any(|error| error.name == name))
    });
    missing
}
