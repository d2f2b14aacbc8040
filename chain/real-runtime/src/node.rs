//! The node: blocks, each with the state after it, and what is asked of them by JSON-RPC.

use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use blake2::Blake2b;
use blake2::digest::{Digest, consts::U32};
use chain::subtensor::{Rpc, RpcFault};
use serde_json::{Value as Json, json};
use subxt::dynamic::Value;
use subxt::ext::codec::{Compact, Decode, Encode};
use subxt::ext::frame_decode::storage::encode_storage_key;
use subxt::metadata::Metadata;

use crate::genesis::bytes;
use crate::wasm::Wasm;
use crate::{Genesis, Store};

/// Version of the description that tests read storage by; the client may ask for another.
const DESCRIPTION: u32 = 15;
/// A header's log for the runtime before the block is made: its kind, and Aura's name.
const PRE_RUNTIME: u8 = 6;
const AURA: [u8; 4] = *b"aura";
/// Where a transaction comes from: outside.
const EXTERNAL: u8 = 2;

type Hash = [u8; 32];

struct Block {
    hash: Hash,
    transactions: Vec<Vec<u8>>,
    store: Store,
}

/// A chain of one node.
pub struct Node {
    wasm: Wasm,
    metadata: Metadata,
    slot_ms: u64,
    blocks: Mutex<Vec<Block>>,
}

impl Node {
    /// The chain with its first block.
    ///
    /// # Errors
    /// The runtime does not say what is asked of it, or makes no block.
    pub fn new(genesis: Genesis) -> Result<Self, String> {
        let Genesis { mut store, wasm } = genesis;
        let slot = wasm.call(&mut store.clone(), "AuraApi_slot_duration", &[])?;
        let slot_ms = u64::decode(&mut &slot[..]).map_err(|error| error.to_string())?;
        let question = "Metadata_metadata_at_version";
        let told = wasm.call(&mut store, question, &DESCRIPTION.encode())?;
        let told = Option::<Vec<u8>>::decode(&mut &told[..]).map_err(|error| error.to_string())?;
        let told = told.ok_or("the runtime does not describe itself")?;
        let metadata = Metadata::decode_from(&told).map_err(|error| error.to_string())?;
        let header = [&[0; 32][..], &Compact(0u32).encode(), &[0; 64], &[0]].concat();
        let hash = Blake2b::<U32>::digest(&header).into();
        let first = Block { hash, transactions: Vec::new(), store };
        let node = Self { wasm, metadata, slot_ms, blocks: Mutex::new(vec![first]) };
        node.advance(1)?;
        Ok(node)
    }

    /// Version of the runtime.
    pub fn spec_version(&self) -> u32 {
        self.wasm.versions().0
    }

    /// How the runtime describes itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Makes `blocks` empty blocks.
    ///
    /// # Errors
    /// The runtime traps.
    pub fn advance(&self, blocks: u64) -> Result<(), String> {
        let mut held = self.blocks();
        (0..blocks).try_for_each(|_| self.make(&mut held, Vec::new()))
    }

    /// The key of a stored item, by its name.
    ///
    /// # Panics
    /// The runtime stores no such item.
    pub fn key(&self, pallet: &str, name: &str, keys: Vec<Value>) -> Vec<u8> {
        encode_storage_key(pallet, name, keys, &self.metadata, self.metadata.types())
            .unwrap_or_else(|error| panic!("{pallet}.{name}: {error}"))
    }

    /// Makes a block, and changes by hand what is stored after it.
    ///
    /// # Errors
    /// The runtime traps.
    pub fn change(&self, change: impl FnOnce(&mut Store)) -> Result<(), String> {
        let mut held = self.blocks();
        self.make(&mut held, Vec::new())?;
        change(&mut held.last_mut().expect("one was made").store);
        Ok(())
    }

    fn blocks(&self) -> MutexGuard<'_, Vec<Block>> {
        self.blocks.lock().expect("no test went on after a panic")
    }

    /// Makes the next block.
    fn make(&self, blocks: &mut Vec<Block>, transactions: Vec<Vec<u8>>) -> Result<(), String> {
        let parent = blocks.last().expect("there is always a first");
        let mut store = parent.store.clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        let before = store.get(&self.key("Timestamp", "Now", vec![]));
        let before = before.and_then(|time| u64::decode(&mut &time[..]).ok());
        let now_ms = before.map_or(now as u64, |before| before + self.slot_ms);
        let slot = now_ms / self.slot_ms;
        let logs = (Compact(1u32), PRE_RUNTIME, AURA, slot.encode()).encode();
        let number = Compact(blocks.len() as u32).encode();
        let header = [&parent.hash[..], &number, &[0; 64], &logs].concat();
        self.wasm.call(&mut store, "Core_initialize_block", &header)?;
        let timestamp = self.inherent_timestamp(slot * self.slot_ms);
        let all = [vec![timestamp], transactions].concat();
        for transaction in &all {
            let applied =
                self.wasm.call(&mut store, "BlockBuilder_apply_extrinsic", transaction)?;
            if applied.first() != Some(&0) {
                return Err(format!("a block does not take it: {}", hex::encode(applied)));
            }
        }
        let header = self.wasm.call(&mut store, "BlockBuilder_finalize_block", &[])?;
        let hash = Blake2b::<U32>::digest(&header).into();
        blocks.push(Block { hash, transactions: all, store });
        Ok(())
    }

    /// The unsigned transaction that tells a block its time.
    fn inherent_timestamp(&self, now_ms: u64) -> Vec<u8> {
        const UNSIGNED: u8 = 4;
        let pallet = self.metadata.pallet_by_name("Timestamp").expect("every chain has a clock");
        let call = pallet.call_variant_by_name("set").expect("which is set").index;
        (UNSIGNED, pallet.call_index(), call, Compact(now_ms)).encode().encode()
    }

    /// Takes a transaction into a block of its own, or refuses it as a pool does.
    fn submit(&self, transaction: Vec<u8>) -> Result<Json, RpcFault> {
        let mut blocks = self.blocks();
        let newest = blocks.last().expect("there is always a first");
        let argument = [&[EXTERNAL][..], &transaction, &newest.hash].concat();
        let function = "TaggedTransactionQueue_validate_transaction";
        let valid = self.wasm.call(&mut newest.store.clone(), function, &argument);
        let refused = |text: &str| Err(RpcFault::refused(1010, "Invalid Transaction", Some(text)));
        match &valid.map_err(trap)?[..] {
            [0, ..] => {}
            // Names and numbers as nodes spell them.
            [1, 0, 1, ..] => return refused("Inability to pay some fees"),
            [1, 0, 2, ..] => return refused("Transaction will be valid in the future"),
            [1, 0, 3, ..] => return refused("Transaction is outdated"),
            [1, 0, 4, ..] => return refused("Transaction has a bad signature"),
            [1, 0, 5, ..] => return refused("Transaction has an ancient birth block"),
            [1, 0, 7, code, ..] => return refused(&format!("Custom error: {code}")),
            other => return refused(&hex::encode(other)),
        }
        let hash = Blake2b::<U32>::digest(&transaction);
        self.make(&mut blocks, vec![transaction]).map_err(trap)?;
        Ok(json!(spelled(&hash)))
    }

    fn answer(&self, method: &str, params: &[Json]) -> Option<Result<Json, RpcFault>> {
        let (text, blocks) = (|at: usize| bytes(params.get(at)?), self.blocks());
        let at = |at: usize| {
            let hash = text(at)?;
            blocks.iter().position(|block| block.hash[..] == hash)
        };
        let store = |param| Some(&blocks[at(param)?].store);
        let value = |store: &Store, key: &[u8]| {
            store.get(key).map_or(Json::Null, |value| json!(spelled(value)))
        };
        Some(Ok(match method {
            "chain_getBlockHash" => {
                let block = blocks.get(params.first()?.as_u64()? as usize);
                block.map_or(Json::Null, |block| json!(spelled(&block.hash)))
            }
            "chain_getFinalizedHead" => json!(spelled(&blocks.last()?.hash)),
            "chain_getHeader" => json!({ "number": format!("0x{:x}", at(0)?) }),
            "chain_getBlock" => {
                let held = blocks[at(0)?].transactions.iter().map(|held| spelled(held));
                json!({ "block": { "extrinsics": held.collect::<Vec<_>>() } })
            }
            "state_getRuntimeVersion" => {
                let (spec, transaction) = self.wasm.versions();
                json!({ "specVersion": spec, "transactionVersion": transaction })
            }
            "state_getStorage" => value(store(1)?, &text(0)?),
            "state_getKeysPaged" => {
                let (prefix, start) = (text(0)?, text(2)?);
                let keys = store(3)?.range(start.clone()..).map(|(key, _)| key);
                let keys = keys.filter(|key| **key != start);
                let keys = keys.take_while(|key| key.starts_with(&prefix));
                let most = params[1].as_u64()? as usize;
                json!(keys.take(most).map(|key| spelled(key)).collect::<Vec<_>>())
            }
            "state_queryStorageAt" => {
                let (store, keys) = (store(1)?, params[0].as_array()?);
                let change = |key| Some(json!([key, value(store, &bytes(key)?)]));
                let changes: Option<Vec<_>> = keys.iter().map(change).collect();
                json!([{ "block": params[1], "changes": changes? }])
            }
            "state_call" => {
                let (function, mut store) = (params[0].as_str()?, store(2)?.clone());
                let answer = self.wasm.call(&mut store, function, &text(1)?);
                return Some(answer.map(|answer| json!(spelled(&answer))).map_err(trap));
            }
            _ => return Some(Err(RpcFault::refused(-32_601, "Method not found", Some(method)))),
        }))
    }
}

impl Rpc for Node {
    fn request(&self, method: &str, params: Vec<Json>) -> Result<Json, RpcFault> {
        let answer = match (method, params.first().and_then(bytes)) {
            ("author_submitExtrinsic", Some(transaction)) => Some(self.submit(transaction)),
            _ => self.answer(method, &params),
        };
        answer.unwrap_or_else(|| Err(RpcFault::refused(-32_602, "Invalid params", Some(method))))
    }
}

fn spelled(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn trap(fault: String) -> RpcFault {
    RpcFault::refused(-32_000, "Client error", Some(&fault))
}
