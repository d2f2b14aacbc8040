//! Calls into a runtime: its questions about storage are answered from a [`Store`].

use std::iter;
use std::sync::Arc;

use smoldot::executor::host::{Config as HostConfig, HostVmPrototype};
use smoldot::executor::runtime_call::{
    self, RuntimeCall, StorageProofSizeBehavior, TrieEntryVersion,
};
use smoldot::executor::storage_diff::TrieDiff;
use smoldot::executor::vm::{ExecHint, HeapPages};
use smoldot::trie::{bytes_to_nibbles, nibbles_to_bytes_suffix_extend};

use crate::Store;

/// Pages of 64 KiB that a call may use.
const HEAP_PAGES: u32 = 2_048;
/// Errors and warnings are logged, and shown.
const LOG_LEVEL_MAX: u32 = 2;

/// A runtime, ready to be called.
#[derive(Clone)]
pub(crate) struct Wasm(HostVmPrototype);

impl Wasm {
    /// The runtime that is stored as `:code`.
    pub(crate) fn of(store: &Store) -> Result<Self, String> {
        let module = store.get(&b":code"[..]).ok_or("the chain's file holds no runtime")?;
        let config = HostConfig {
            module,
            heap_pages: HeapPages::new(HEAP_PAGES),
            exec_hint: ExecHint::ValidateAndExecuteOnce,
            // A call that needs one traps.
            allow_unresolved_imports: true,
        };
        let prototype = HostVmPrototype::new(config);
        prototype.map(Self).map_err(|error| format!("the runtime does not load: {error}"))
    }

    /// Versions of the runtime and of the form of its transactions.
    pub(crate) fn versions(&self) -> (u32, u32) {
        let version = self.0.runtime_version().decode();
        (version.spec_version, version.transaction_version.unwrap_or(0))
    }

    /// What `function` answers to `argument`, for which it may change `store`.
    pub(crate) fn call(
        &self,
        store: &mut Store,
        function: &str,
        argument: &[u8],
    ) -> Result<Vec<u8>, String> {
        let config = runtime_call::Config {
            virtual_machine: self.0.clone(),
            function_to_call: function,
            parameter: iter::once(argument),
            storage_main_trie_changes: TrieDiff::default(),
            storage_proof_size_behavior: StorageProofSizeBehavior::ConstantReturnValue(0),
            max_log_level: LOG_LEVEL_MAX,
            calculate_trie_changes: false,
        };
        let mut call = runtime_call::run(config).map_err(|(error, _)| format!("{error:?}"))?;
        loop {
            call = match call {
                RuntimeCall::Finished(Err(error)) => {
                    return Err(format!("{function} traps: {:?}", error.detail));
                }
                RuntimeCall::Finished(Ok(done)) => {
                    let changes = done.storage_changes.main_trie_storage_changes_iter_unordered();
                    for (key, value) in changes {
                        match value {
                            Some(value) => store.insert(key.to_vec(), Arc::from(value)),
                            None => store.remove(key),
                        };
                    }
                    return Ok(done.virtual_machine.value().as_ref().to_vec());
                }
                RuntimeCall::StorageGet(get) => {
                    let is_main = get.child_trie().is_none();
                    let found = store.get(get.key().as_ref()).filter(|_| is_main).cloned();
                    get.inject_value(found.map(|value| (iter::once(value), TrieEntryVersion::V1)))
                }
                RuntimeCall::NextKey(next) => {
                    // Branches matter to roots only.
                    let is_asked = !next.branch_nodes() && next.child_trie().is_none();
                    let found = if is_asked { next_key(store, &next) } else { None };
                    next.inject_key(found.map(|key| bytes_to_nibbles(key.into_iter())))
                }
                RuntimeCall::ClosestDescendantMerkleValue(ask) => ask.resume_unknown(),
                RuntimeCall::SignatureVerification(ask) => ask.verify_and_resume(),
                RuntimeCall::LogEmit(log) => log.resume(),
                RuntimeCall::OffchainStorageSet(set) => set.resume(),
                RuntimeCall::Offchain(_) => {
                    return Err(format!("{function} does what only offchain workers may"));
                }
            };
        }
    }
}

fn next_key(store: &Store, next: &runtime_call::NextKey) -> Option<Vec<u8>> {
    let from: Vec<u8> = nibbles_to_bytes_suffix_extend(next.key()).collect();
    let prefix: Vec<u8> = nibbles_to_bytes_suffix_extend(next.prefix()).collect();
    let mut keys = store.range(from.clone()..).map(|(key, _)| key);
    let found = keys.find(|key| next.or_equal() || **key != from)?;
    found.starts_with(&prefix).then(|| found.clone())
}
