//! A node of Bittensor in this process: the runtime's rules that matter here, by hand, over the
//! real runtime's description of itself. It decodes what is sent by that description, checks real
//! signatures, and makes a finalized block of each transaction.

mod runtime;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value as Json, json};
use subxt::ext::codec::Encode;
use subxt::metadata::Metadata;
use wire::{Hotkey, Netuid};

use crate::socket::Refused;
pub(crate) use runtime::Fixed;

pub(crate) type Store = BTreeMap<Vec<u8>, Vec<u8>>;

struct Block {
    store: Store,
    transactions: Vec<Vec<u8>>,
    spec_version: u32,
}

/// The node.
pub(crate) struct Double {
    description: Vec<u8>,
    pub(crate) metadata: Metadata,
    pub(crate) fixed: Fixed,
    blocks: Mutex<Vec<Block>>,
    /// The calls that took effect, by their bytes.
    applied: Mutex<Vec<Vec<u8>>>,
}

/// The runtime's description of itself, if it is at hand.
pub(crate) fn description() -> Option<Vec<u8>> {
    let near = |dir: &Path| dir.join("shared/data/subtensor-424.scale");
    let above = || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let beside = || above().map(near).find(|path| path.exists());
    let path = std::env::var_os("SUBTENSOR_METADATA").map(PathBuf::from).or_else(beside);
    if path.is_none() {
        eprintln!("skipped: SUBTENSOR_METADATA names no metadata of a subtensor runtime");
    }
    path.map(|path| std::fs::read(path).unwrap())
}

fn hash_of(number: usize) -> [u8; 32] {
    let mut hash = [0xb1; 32];
    hash[..8].copy_from_slice(&(number as u64).to_be_bytes());
    hash
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn bytes(text: &Json) -> Vec<u8> {
    hex::decode(text.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap()
}

impl Double {
    pub(crate) fn new(description: Vec<u8>, fixed: Fixed) -> Self {
        let metadata = Metadata::decode_from(&description).unwrap();
        let (blocks, applied) = (Mutex::default(), Mutex::default());
        let double = Self { description, metadata, fixed, blocks, applied };
        let genesis =
            Block { store: double.first_store(), transactions: Vec::new(), spec_version: 424 };
        double.blocks.lock().unwrap().push(genesis);
        double.advance(1);
        double
    }

    /// Makes `blocks` empty blocks.
    pub(crate) fn advance(&self, blocks: u64) {
        (0..blocks).for_each(|_| self.seal(Vec::new(), |_, _| None));
    }

    /// The next block is made by another version of the runtime.
    pub(crate) fn upgrade(&self) {
        self.blocks.lock().unwrap().last_mut().unwrap().spec_version += 1;
    }

    /// Changes the newest block's state by hand.
    pub(crate) fn change(&self, change: impl FnOnce(&Self, &mut Store)) {
        change(self, &mut self.blocks.lock().unwrap().last_mut().unwrap().store);
    }

    /// How often the call with these bytes took effect.
    pub(crate) fn applied(&self, call: &[u8]) -> usize {
        self.applied.lock().unwrap().iter().filter(|applied| *applied == call).count()
    }

    pub(crate) fn head(&self) -> u64 {
        self.blocks.lock().unwrap().len() as u64 - 1
    }

    pub(crate) fn genesis(&self) -> String {
        hex(&hash_of(0))
    }

    /// A block of one transaction at most; `work` changes the state and gives events.
    fn seal(
        &self,
        transactions: Vec<Vec<u8>>,
        work: impl FnOnce(&mut Store, u64) -> Option<Vec<u8>>,
    ) {
        let mut blocks = self.blocks.lock().unwrap();
        let parent = blocks.last().unwrap();
        let (mut store, spec_version) = (parent.store.clone(), parent.spec_version);
        let number = blocks.len() as u64;
        let time = self.key("Timestamp", "Now", vec![]);
        let now = u64::from_le_bytes(store[&time][..].try_into().unwrap()) + self.fixed.block_ms;
        store.insert(time, now.encode());
        let events = work(&mut store, number);
        store.insert(self.key("System", "Events", vec![]), events.unwrap_or_else(|| vec![0]));
        blocks.push(Block { store, transactions, spec_version });
    }

    /// Takes a transaction into a block of its own, or refuses it.
    fn submit(&self, transaction: Vec<u8>) -> Result<Json, Refused> {
        let refused = |text: &str| Err((1010, "Invalid Transaction".to_string(), text.to_string()));
        let (store, number, spec_version) = {
            let blocks = self.blocks.lock().unwrap();
            let newest = blocks.last().unwrap();
            if blocks.iter().any(|block| block.transactions.contains(&transaction)) {
                return refused("Transaction is outdated");
            }
            (newest.store.clone(), blocks.len() as u64, newest.spec_version)
        };
        let era_hash = |block: u64| hash_of(block as usize);
        let Some(signed) = self.verify(&transaction, number, spec_version, hash_of(0), era_hash)
        else {
            return refused("Transaction has a bad signature");
        };
        if signed.nonce != self.nonce(&store, signed.signer) {
            return refused("Transaction is outdated");
        }
        if let Some(code) = self.pool_refuses(&store, &signed, number) {
            return refused(&format!("Custom error: {code}"));
        }
        self.seal(vec![transaction], |store, number| {
            self.count_nonce(store, signed.signer);
            let done = self.apply(store, &signed, number);
            if done.is_ok() {
                self.applied.lock().unwrap().push(signed.call.clone());
            }
            Some(self.events(done.err()))
        });
        Ok(json!(hex(&[0; 32])))
    }

    /// The block that a question is about.
    fn number(&self, hash: &Json) -> usize {
        u64::from_be_bytes(bytes(hash)[..8].try_into().unwrap()) as usize
    }

    /// Answers as a node's JSON-RPC does.
    pub(crate) fn answer(&self, method: &str, params: &Json) -> Result<Json, Refused> {
        if method == "author_submitExtrinsic" {
            return self.submit(bytes(&params[0]));
        }
        let blocks = self.blocks.lock().unwrap();
        let at = |param: usize| &blocks[self.number(&params[param])];
        let value = |store: &Store, key: &Json| {
            store.get(&bytes(key)).map_or(Json::Null, |value| json!(hex(value)))
        };
        Ok(match method {
            "chain_getBlockHash" => match params[0].as_u64().unwrap() as usize {
                number if number < blocks.len() => json!(hex(&hash_of(number))),
                _ => Json::Null,
            },
            "chain_getFinalizedHead" => json!(hex(&hash_of(blocks.len() - 1))),
            "chain_getHeader" => json!({ "number": format!("0x{:x}", self.number(&params[0])) }),
            "chain_getBlock" => {
                let held: Vec<_> = at(0).transactions.iter().map(|held| hex(held)).collect();
                json!({ "block": { "extrinsics": held } })
            }
            "state_getRuntimeVersion" => {
                json!({ "specVersion": at(0).spec_version, "transactionVersion": 1 })
            }
            "state_getStorage" => value(&at(1).store, &params[0]),
            "state_getKeysPaged" => {
                let (prefix, start) = (bytes(&params[0]), bytes(&params[2]));
                let keys = at(3).store.range(start.clone()..).map(|(key, _)| key);
                let keys = keys.filter(|key| **key != start);
                let keys = keys.take_while(|key| key.starts_with(&prefix));
                let most = params[1].as_u64().unwrap() as usize;
                json!(keys.take(most).map(|key| hex(key)).collect::<Vec<_>>())
            }
            "state_queryStorageAt" => {
                let store = &at(1).store;
                let keys = params[0].as_array().unwrap().iter();
                let changes: Vec<_> = keys.map(|key| json!([key, value(store, key)])).collect();
                json!([{ "block": params[1], "changes": changes }])
            }
            "state_call" => match params[0].as_str().unwrap() {
                "Metadata_metadata_at_version" => {
                    let is_there = bytes(&params[1])[0] == self.description[4];
                    json!(hex(&is_there.then_some(&self.description).encode()))
                }
                "SubnetInfoRuntimeApi_get_metagraph" => {
                    json!(hex(&self.metagraph(&at(2).store, &bytes(&params[1]))))
                }
                other => return Err((-32_000, "Client error".into(), other.into())),
            },
            "state_getMetadata" => json!(hex(&self.description)),
            _ => return Err((-32_601, "Method not found".into(), method.into())),
        })
    }
}

/// Gives the seat of a hotkey to somebody else.
#[allow(dead_code, reason = "for the tests of nodes")]
pub(crate) fn unseat(double: &Double, netuid: Netuid, hotkey: Hotkey) {
    double.change(|double, store| double.give_away(store, netuid.0, hotkey.0));
}

/// What the newest state gives a coldkey by hand.
pub(crate) fn fund(double: &Double, owner: Hotkey, rao: u64) {
    double.change(|double, store| double.set_balance(store, owner.0, rao));
}

/// What the newest state gives a validator by hand.
pub(crate) fn stake(double: &Double, hotkey: Hotkey) {
    double.change(|double, store| double.give_permit(store, hotkey));
}
