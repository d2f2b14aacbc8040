//! What sending one call needs of the chain: see [`super::submission`].

use serde_json::{Value as Json, json};
use subxt::dynamic::{At, Value};
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::ValueDef;
use wire::Keypair;

use super::client::hash_of;
use super::description::{Description, odd};
use super::rpc::{RpcFault, SUBMIT, hex_of};
use super::state::State;
use super::submission::{Ledger, Mark, Outcome};
use super::{Call, Refusal};
use crate::ChainError;

/// A call on its way.
pub(super) struct Sender<'a> {
    pub(super) state: &'a State,
    pub(super) call: &'a Call,
    pub(super) key: &'a Keypair,
}

/// What the chain knows of an account, as far as it matters here.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Account {
    nonce: u64,
}

impl Ledger for Sender<'_> {
    fn mark(&self) -> Result<Mark, ChainError> {
        let hash = self.state.finalized()?;
        let number = self.state.number_of(&hash)?;
        let spec_version = self.state.runtime(&hash)?.spec_version;
        Ok(Mark { number, hash: hash_of(&json!(hash))?, spec_version })
    }

    fn sign(&self, from: Mark) -> Result<Vec<u8>, ChainError> {
        let at = hex_of(&from.hash);
        let account = [Value::from_bytes(self.key.hotkey().0)];
        let account = self.state.stored::<Account>(&at, ("System", "Account"), &account)?;
        let nonce = account.map_or(0, |account| account.nonce);
        let genesis = hash_of(&Json::from(self.state.hash(0)?))?;
        self.state.runtime(&at)?.sign(self.call, self.key, nonce, from, genesis)
    }

    fn send(&self, transaction: &[u8]) -> Result<(), RpcFault> {
        let transaction = json!(hex_of(transaction));
        self.state.rpc().request(SUBMIT, vec![transaction]).map(drop)
    }

    fn find(&self, transaction: &[u8], number: u64) -> Result<Option<Outcome>, ChainError> {
        let hash = self.state.hash(number)?;
        let block = self.state.ask("chain_getBlock", vec![json!(hash)])?;
        let held = block["block"]["extrinsics"].as_array();
        let held = held.ok_or_else(|| odd("chain_getBlock", &"no transactions"))?;
        let ours = hex_of(transaction);
        let Some(index) = held.iter().position(|held| held.as_str() == Some(&ours)) else {
            return Ok(None);
        };
        // The block was made by the runtime that its parent held.
        let parent = self.state.hash(number.saturating_sub(1))?;
        let runtime = self.state.runtime(&parent)?;
        let (key, ty, _) = runtime.item("System", "Events", &[])?;
        let events = self.state.ask("state_getStorage", vec![json!(hex_of(&key)), json!(hash)])?;
        let events = self.state.bytes("System.Events", events)?;
        let events: Vec<Value> = runtime.decode("System.Events", &events, ty)?;
        let outcome = events.iter().find_map(|event| outcome(&runtime, event, index));
        outcome.map(Some).ok_or_else(|| odd("System.Events", &"no word on a transaction"))
    }
}

/// What an event says of the transaction at `index` of its block, if it says how that one ended.
fn outcome(runtime: &Description, event: &Value, index: usize) -> Option<Outcome> {
    let applied = event.at("phase")?.at(0)?.as_u128()?;
    let pallet = event.at("event")?;
    if applied != index as u128 || name(pallet)? != "System" {
        return None;
    }
    let event = pallet.at(0)?;
    match name(event)? {
        "ExtrinsicSuccess" => Some(Outcome::Done),
        "ExtrinsicFailed" => {
            let error = event.at("dispatch_error")?;
            Some(Outcome::Refused(refusal(runtime, error)))
        }
        _ => None,
    }
}

/// The reason in an error of the runtime: of a pallet, by its indices; else by its name.
fn refusal(runtime: &Description, error: &Value) -> Refusal {
    let of_module = || {
        let module = if name(error)? == "Module" { error.at(0)? } else { return None };
        let module = if module.at("index").is_some() { module } else { module.at(0)? };
        let pallet = u8::try_from(module.at("index")?.as_u128()?).ok()?;
        let index = module.at("error")?.at(0)?;
        let index = index.as_u128().or_else(|| index.at(0)?.as_u128())?;
        Some(Refusal::of_pallet(runtime.metadata(), pallet, u8::try_from(index).ok()?))
    };
    of_module().unwrap_or_else(|| Refusal::of_name(name(error).unwrap_or("an error")))
}

fn name(value: &Value) -> Option<&str> {
    match &value.value {
        ValueDef::Variant(variant) => Some(&variant.name),
        _ => None,
    }
}
