//! What the chain holds at a block, asked for by name and kept: about a block that is past, the
//! answer never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value as Json, json};
use subxt::dynamic::Value;
use subxt::ext::codec::Decode;
use subxt::ext::scale_decode::DecodeAsType;
use wire::ForeignText;

use super::description::{Description, odd};
use super::rpc::{Rpc, RpcFault, bytes_of_hex, hex_of};
use crate::ChainError;

/// Answers kept, in bytes; beyond that all are forgotten.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// Runtimes kept.
const RUNTIMES_MAX: usize = 4;
/// Keys in one question, and in all for one list.
const KEYS_PER_PAGE: usize = 512;
const KEYS_MAX: usize = 8_192;
/// Versions of descriptions that are asked for, the richest first; 14 has no questions.
const DESCRIPTIONS: [u32; 2] = [16, 15];

/// A block by its hash, as the node spells it.
pub(super) type BlockHash = String;

/// The chain's past, read through one [`Rpc`].
pub(super) struct State {
    rpc: Arc<dyn Rpc>,
    kept: Mutex<Kept>,
    runtimes: Mutex<Vec<Arc<Description>>>,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<String, Json>,
    bytes: usize,
}

impl State {
    pub(super) fn new(rpc: Arc<dyn Rpc>) -> Self {
        Self { rpc, kept: Mutex::default(), runtimes: Mutex::default() }
    }

    pub(super) fn rpc(&self) -> &dyn Rpc {
        &*self.rpc
    }

    /// Asks without keeping the answer.
    pub(super) fn ask(&self, method: &str, params: Vec<Json>) -> Result<Json, ChainError> {
        self.rpc.request(method, params).map_err(|fault| error_of(method, fault))
    }

    /// Asks about a past block.
    fn ask_once(&self, method: &str, params: Vec<Json>) -> Result<Json, ChainError> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let question = format!("{method} {}", Json::from(params.clone()));
        if let Some(answer) = lock().answers.get(&question) {
            return Ok(answer.clone());
        }
        let answer = self.ask(method, params)?;
        let mut kept = lock();
        if kept.bytes > KEPT_BYTES_MAX {
            *kept = Kept::default();
        }
        kept.bytes += question.len() + answer.to_string().len();
        kept.answers.insert(question, answer.clone());
        Ok(answer)
    }

    /// The runtime that makes the block after `at`.
    pub(super) fn runtime(&self, at: &BlockHash) -> Result<Arc<Description>, ChainError> {
        let version = self.ask_once("state_getRuntimeVersion", vec![json!(at)])?;
        let number = |name: &str| {
            let number = version[name].as_u64().and_then(|number| u32::try_from(number).ok());
            number.ok_or_else(|| odd("state_getRuntimeVersion", &format!("no {name}")))
        };
        let (spec, transaction) = (number("specVersion")?, number("transactionVersion")?);
        let mut known = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| known.spec_version == spec) {
            return Ok(Arc::clone(known));
        }
        let new = Arc::new(Description::new(&self.describe(at)?, spec, transaction)?);
        if known.len() == RUNTIMES_MAX {
            known.remove(0);
        }
        known.push(Arc::clone(&new));
        Ok(new)
    }

    /// What the runtime at `at` says of itself.
    fn describe(&self, at: &BlockHash) -> Result<Vec<u8>, ChainError> {
        for version in DESCRIPTIONS {
            let call = json!("Metadata_metadata_at_version");
            let version = json!(hex_of(&version.to_le_bytes()));
            let answer = match self.ask("state_call", vec![call, version, json!(at)]) {
                Ok(answer) => bytes_of_hex(&answer),
                Err(error @ ChainError::Unreachable { .. }) => return Err(error),
                Err(_) => None,
            };
            let found = answer.and_then(|bytes| Option::<Vec<u8>>::decode(&mut &bytes[..]).ok());
            if let Some(Some(description)) = found {
                return Ok(description);
            }
        }
        self.bytes("state_getMetadata", self.ask("state_getMetadata", vec![json!(at)])?)
    }

    /// A stored value at a block: what is there, or what the runtime takes for it.
    pub(super) fn stored<T: DecodeAsType>(
        &self,
        at: &BlockHash,
        (pallet, name): (&str, &str),
        keys: &[Value],
    ) -> Result<Option<T>, ChainError> {
        let runtime = self.runtime(at)?;
        let (key, ty, default) = runtime.item(pallet, name, keys)?;
        let what = format!("{pallet}.{name}");
        let found = self.ask_once("state_getStorage", vec![json!(hex_of(&key)), json!(at)])?;
        let found = match found {
            Json::Null => None,
            found => Some(self.bytes(&what, found)?),
        };
        let bytes = found.as_deref().or(default);
        bytes.map(|bytes| runtime.decode(&what, bytes, ty)).transpose()
    }

    /// Stored values of many keys at a block; those that are there, with the index of their key.
    pub(super) fn stored_of<T: DecodeAsType>(
        &self,
        at: &BlockHash,
        (pallet, name): (&str, &str),
        keys: &[Vec<Value>],
    ) -> Result<Vec<(usize, T)>, ChainError> {
        let runtime = self.runtime(at)?;
        let key = |keys: &Vec<Value>| Ok(runtime.item(pallet, name, keys)?.0);
        let keys = keys.iter().map(key).collect::<Result<Vec<_>, ChainError>>()?;
        let index: HashMap<&[u8], usize> =
            keys.iter().enumerate().map(|(at, key)| (&key[..], at)).collect();
        let found = self.values::<T>(at, (pallet, name), &keys)?;
        Ok(found
            .into_iter()
            .filter_map(|(key, value)| Some((*index.get(&key[..])?, value)))
            .collect())
    }

    /// All values of an item below a prefix of its key, with their keys.
    pub(super) fn stored_below<T: DecodeAsType>(
        &self,
        at: &BlockHash,
        item: (&str, &str),
        prefix: &[u8],
    ) -> Result<Vec<(Vec<u8>, T)>, ChainError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let start = keys.last().map_or_else(|| hex_of(prefix), |last| hex_of(last));
            let params = vec![json!(hex_of(prefix)), json!(KEYS_PER_PAGE), json!(start), json!(at)];
            let page = self.ask_once("state_getKeysPaged", params)?;
            let page = page.as_array().ok_or_else(|| odd("state_getKeysPaged", &"no list"))?;
            let page: Option<Vec<_>> = page.iter().map(bytes_of_hex).collect();
            let page = page.ok_or_else(|| odd("state_getKeysPaged", &"no keys"))?;
            let is_last = page.len() < KEYS_PER_PAGE;
            keys.extend(page.into_iter().filter(|key| key.starts_with(prefix)));
            if is_last || keys.len() >= KEYS_MAX {
                keys.truncate(KEYS_MAX);
                return self.values(at, item, &keys);
            }
        }
    }

    fn values<T: DecodeAsType>(
        &self,
        at: &BlockHash,
        (pallet, name): (&str, &str),
        keys: &[Vec<u8>],
    ) -> Result<Vec<(Vec<u8>, T)>, ChainError> {
        const METHOD: &str = "state_queryStorageAt";
        let runtime = self.runtime(at)?;
        let ty = runtime.entry(pallet, name)?.value_ty();
        let mut values = Vec::new();
        for page in keys.chunks(KEYS_PER_PAGE) {
            let page: Vec<_> = page.iter().map(|key| hex_of(key)).collect();
            let answer = self.ask_once(METHOD, vec![json!(page), json!(at)])?;
            let changes = answer[0]["changes"].as_array();
            for change in changes.ok_or_else(|| odd(METHOD, &"no changes"))? {
                if change[1].is_null() {
                    continue;
                }
                let (key, value) = (bytes_of_hex(&change[0]), bytes_of_hex(&change[1]));
                let pair = key.zip(value).ok_or_else(|| odd(METHOD, &"no bytes"))?;
                values.push((pair.0, runtime.decode(&format!("{pallet}.{name}"), &pair.1, ty)?));
            }
        }
        Ok(values)
    }

    /// The runtime's answer to a question at a block; none if it answers no such question.
    pub(super) fn question<T: DecodeAsType>(
        &self,
        at: &BlockHash,
        (owner, name): (&str, &str),
        arguments: Vec<Value>,
    ) -> Result<Option<T>, ChainError> {
        let runtime = self.runtime(at)?;
        let Some((call, arguments, ty)) = runtime.question(owner, name, arguments) else {
            return Ok(None);
        };
        let params = vec![json!(call), json!(hex_of(&arguments)), json!(at)];
        let bytes = self.bytes(&call, self.ask_once("state_call", params)?)?;
        runtime.decode(&call, &bytes, ty).map(Some)
    }

    /// The newest finalized block.
    pub(super) fn finalized(&self) -> Result<BlockHash, ChainError> {
        const METHOD: &str = "chain_getFinalizedHead";
        let hash = self.ask(METHOD, vec![])?;
        hash.as_str().map(str::to_string).ok_or_else(|| odd(METHOD, &"no hash"))
    }

    /// The height of a block.
    pub(super) fn number_of(&self, hash: &BlockHash) -> Result<u64, ChainError> {
        const METHOD: &str = "chain_getHeader";
        let header = self.ask(METHOD, vec![json!(hash)])?;
        let digits = header["number"].as_str().and_then(|number| number.strip_prefix("0x"));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.ok_or_else(|| odd(METHOD, &"no number"))
    }

    /// The hash of a finalized block.
    pub(super) fn hash(&self, number: u64) -> Result<BlockHash, ChainError> {
        let answer = self.ask_once("chain_getBlockHash", vec![json!(number)])?;
        let hash = answer.as_str().map(str::to_string);
        hash.ok_or_else(|| odd("chain_getBlockHash", &format!("no block {number}")))
    }

    pub(super) fn bytes(&self, what: &str, answer: Json) -> Result<Vec<u8>, ChainError> {
        bytes_of_hex(&answer).ok_or_else(|| odd(what, &"no bytes"))
    }
}

fn error_of(method: &str, fault: RpcFault) -> ChainError {
    match fault {
        RpcFault::Lost(fault) => ChainError::Unreachable { fault: ForeignText::new(&fault) },
        RpcFault::OtherChain { endpoint, wanted, found } => {
            ChainError::OtherChain { endpoint, wanted, found }
        }
        refused @ RpcFault::Refused { .. } => odd(method, &refused),
    }
}
