//! A runtime of the chain, by its own description: how its storage is keyed, how values read, and
//! how a transaction for it is signed.

use subxt::config::{
    ClientState, DefaultExtrinsicParamsBuilder, DefaultTransactionExtensions, PolkadotConfig,
    TransactionExtensions,
};
use subxt::dynamic::Value;
use subxt::ext::frame_decode::extrinsics::{encode_v4_signed, encode_v4_signer_payload};
use subxt::ext::frame_decode::runtime_apis::encode_runtime_api_inputs;
use subxt::ext::frame_decode::storage::encode_storage_key;
use subxt::ext::scale_decode::DecodeAsType;
use subxt::metadata::{ArcMetadata, Metadata, StorageEntryMetadata};
use subxt::utils::{AccountId32, H256, MultiAddress, MultiSignature};
use wire::{ForeignText, Keypair};

use super::submission::{MORTAL_BLOCKS, Mark};
use super::{Call, missing_names};
use crate::ChainError;

/// A stored item: its key, its type, and what stands for it where nothing is stored.
pub(super) type Item<'a> = (Vec<u8>, u32, Option<&'a [u8]>);

/// A version of the chain's runtime.
pub(super) struct Description {
    metadata: ArcMetadata,
    pub(super) spec_version: u32,
    transaction_version: u32,
}

impl Description {
    /// Reads what the runtime says of itself.
    ///
    /// # Errors
    /// It does not read, or lacks names that this program speaks.
    pub(super) fn new(
        metadata: &[u8],
        spec_version: u32,
        transaction_version: u32,
    ) -> Result<Self, ChainError> {
        let metadata = Metadata::decode_from(metadata)
            .map_err(|error| odd("the runtime's description", &error))?;
        match &missing_names(&metadata)[..] {
            [] => Ok(Self { metadata: metadata.arc(), spec_version, transaction_version }),
            missing => Err(ChainError::NoSuchName { name: missing.join(", ") }),
        }
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What the runtime says of an item.
    pub(super) fn entry(
        &self,
        pallet: &str,
        name: &str,
    ) -> Result<&StorageEntryMetadata, ChainError> {
        let storage = self.metadata.pallet_by_name(pallet).and_then(|pallet| pallet.storage());
        let entry = storage.and_then(|storage| storage.entry_by_name(name));
        entry.ok_or_else(|| ChainError::NoSuchName { name: item_name(pallet, name) })
    }

    /// Key of an item, and the type of its value; a value that is not stored reads as the bytes
    /// that come along, if there are some.
    pub(super) fn item(
        &self,
        pallet: &str,
        name: &str,
        keys: &[Value],
    ) -> Result<Item<'_>, ChainError> {
        let (metadata, entry) = (self.metadata(), self.entry(pallet, name)?);
        let key = encode_storage_key(pallet, name, keys.to_vec(), metadata, metadata.types());
        let key = key.map_err(|fault| ChainError::OtherArguments {
            call: item_name(pallet, name),
            fault: fault.to_string(),
        })?;
        Ok((key, entry.value_ty(), entry.default_value()))
    }

    /// Name and arguments of a question to the runtime, and the type of its answer; none if it
    /// answers no such question.
    pub(super) fn question(
        &self,
        owner: &str,
        name: &str,
        arguments: Vec<Value>,
    ) -> Option<(String, Vec<u8>, u32)> {
        let metadata = self.metadata();
        let method = metadata.runtime_api_trait_by_name(owner)?.method_by_name(name)?;
        let answer = method.output_ty();
        let types = metadata.types();
        let bytes = encode_runtime_api_inputs(owner, name, arguments, metadata, types).ok()?;
        Some((format!("{owner}_{name}"), bytes, answer))
    }

    /// The value of type `ty` that `bytes` hold.
    pub(super) fn decode<T: DecodeAsType>(
        &self,
        what: &str,
        mut bytes: &[u8],
        ty: u32,
    ) -> Result<T, ChainError> {
        T::decode_as_type(&mut bytes, ty, self.metadata.types()).map_err(|error| odd(what, &error))
    }

    /// `call`, signed by `key` with `nonce` for the blocks after `from`.
    pub(super) fn sign(
        &self,
        call: &Call,
        key: &Keypair,
        nonce: u64,
        from: Mark,
        genesis: [u8; 32],
    ) -> Result<Vec<u8>, ChainError> {
        let metadata = self.metadata();
        let params = DefaultExtrinsicParamsBuilder::<PolkadotConfig>::new()
            .nonce(nonce)
            .mortal_from_unchecked(MORTAL_BLOCKS, from.number, H256(from.hash))
            .build();
        let state = ClientState {
            genesis_hash: H256(genesis),
            spec_version: self.spec_version,
            transaction_version: self.transaction_version,
            metadata: self.metadata.clone(),
        };
        let other = |fault: String| ChainError::OtherArguments {
            call: format!("transactions that hold {}", call.full_name()),
            fault,
        };
        let extensions = DefaultTransactionExtensions::<PolkadotConfig>::new(&state, params)
            .map_err(|error| other(error.to_string()))?;
        let ((pallet, name), arguments) = (call.names(), call.arguments());
        let types = metadata.types();
        let payload =
            encode_v4_signer_payload(pallet, name, &arguments, &extensions, metadata, types)
                .map_err(|error| other(error.to_string()))?;
        let signature = MultiSignature::Sr25519(key.sign_transaction(&payload).0);
        let address: MultiAddress<AccountId32, ()> = AccountId32(key.hotkey().0).into();
        encode_v4_signed(
            pallet,
            name,
            &arguments,
            &extensions,
            &address,
            &signature,
            metadata,
            types,
        )
        .map_err(|error| other(error.to_string()))
    }
}

fn item_name(pallet: &str, name: &str) -> String {
    format!("stored item {pallet}.{name}")
}

/// An answer to `what` that does not read.
pub(super) fn odd(what: &str, fault: &dyn std::fmt::Display) -> ChainError {
    ChainError::Answer { what: what.into(), fault: ForeignText::new(&fault.to_string()) }
}
