//! The calls that a node signs: named, with named arguments, encoded by the chain's own metadata.
//!
//! Amounts are in RAO, 10^-9 TAO. Calls that only a coldkey may send are here too, so that they can
//! be printed and signed elsewhere.

use subxt::dynamic::Value;
use subxt::ext::frame_decode::extrinsics::encode_call_data;
use subxt::ext::scale_value::Composite;
use subxt::metadata::Metadata;
use wire::{Hotkey, Netuid, Uid};

use super::fields;
use crate::ChainError;

/// Where weights and registrations live.
pub(super) const SUBTENSOR: &str = "SubtensorModule";

/// A call with its arguments, not yet signed and bound to no version of the runtime.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pallet: &'static str,
    name: &'static str,
    arguments: Vec<(&'static str, Value)>,
}

impl Call {
    /// Replaces the note of the hotkey that signs it.
    ///
    /// # Errors
    /// The note does not fit the fields of a commitment.
    pub fn set_commitment(netuid: Netuid, note: &[u8]) -> Result<Self, ChainError> {
        let info = Value::named_composite([("fields", fields::of_note(note)?)]);
        let arguments = vec![("netuid", number(netuid.0)), ("info", info)];
        Ok(Self { pallet: "Commitments", name: "set_commitment", arguments })
    }

    /// Replaces the votes of the validator that signs it. A subnet that demands commit-reveal
    /// refuses this call.
    pub fn set_weights(netuid: Netuid, shares: &[(Uid, u16)], version_key: u64) -> Self {
        let list = |of: fn(&(Uid, u16)) -> u16| {
            Value::unnamed_composite(shares.iter().map(|share| number(of(share))))
        };
        let arguments = vec![
            ("netuid", number(netuid.0)),
            ("dests", list(|(uid, _)| uid.0)),
            ("weights", list(|(_, share)| *share)),
            ("version_key", number(version_key)),
        ];
        Self { pallet: SUBTENSOR, name: "set_weights", arguments }
    }

    /// Buys a seat for `hotkey` if it costs at most `price_max_rao`. The coldkey signs and pays.
    pub fn register_limit(netuid: Netuid, hotkey: Hotkey, price_max_rao: u64) -> Self {
        let arguments = vec![
            ("netuid", number(netuid.0)),
            ("hotkey", Value::from_bytes(hotkey.0)),
            ("limit_price", number(price_max_rao)),
        ];
        Self { pallet: SUBTENSOR, name: "register_limit", arguments }
    }

    /// Buys a seat for `hotkey` at whatever it costs, on runtimes that know no limit. The coldkey
    /// signs and pays.
    pub fn burned_register(netuid: Netuid, hotkey: Hotkey) -> Self {
        let arguments = vec![("netuid", number(netuid.0)), ("hotkey", Value::from_bytes(hotkey.0))];
        Self { pallet: SUBTENSOR, name: "burned_register", arguments }
    }

    /// The call as the runtime that `metadata` describes reads it.
    ///
    /// # Errors
    /// That runtime has no such call, or calls it with other arguments.
    pub fn bytes(&self, metadata: &Metadata) -> Result<Vec<u8>, ChainError> {
        let found = metadata.pallet_by_name(self.pallet);
        if found.and_then(|pallet| pallet.call_variant_by_name(self.name)).is_none() {
            return Err(ChainError::NoSuchName { name: self.full_name() });
        }
        encode_call_data(self.pallet, self.name, &self.arguments(), metadata, metadata.types())
            .map_err(|fault| ChainError::OtherArguments {
                call: self.full_name(),
                fault: fault.to_string(),
            })
    }

    /// Pallet and name.
    pub fn names(&self) -> (&'static str, &'static str) {
        (self.pallet, self.name)
    }

    /// The arguments, by name.
    pub(super) fn arguments(&self) -> Composite<()> {
        Composite::named(self.arguments.clone())
    }

    pub(super) fn full_name(&self) -> String {
        format!("call {}.{}", self.pallet, self.name)
    }
}

fn number(value: impl Into<u128>) -> Value {
    Value::u128(value.into())
}
