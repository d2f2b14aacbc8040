//! The rules of the double: who may register, write a note and vote, and what is stored then.

use subxt::dynamic::Value;
use subxt::ext::codec::{Compact, Decode, Encode};
use subxt::ext::frame_decode::extrinsics::decode_extrinsic;
use subxt::ext::frame_decode::storage::encode_storage_key;
use subxt::ext::scale_value::scale::encode_as_type;
use wire::Hotkey;

use super::{Double, Store};

const SUBTENSOR: &str = "SubtensorModule";

/// What is fixed for all subnets.
#[derive(Clone, Copy)]
pub(crate) struct Fixed {
    /// Between two blocks, by the chain's own clock.
    pub(crate) block_ms: u64,
    pub(crate) seats_max: u16,
    pub(crate) weights_every: u64,
    pub(crate) price_rao: u64,
    pub(crate) sealed: bool,
    /// Whether the runtime gives a subnet in one look.
    pub(crate) one_look: bool,
}

/// A transaction whose signature holds.
pub(crate) struct Signed {
    pub(crate) signer: [u8; 32],
    pub(crate) nonce: u32,
    pub(crate) call: Vec<u8>,
    pallet: String,
    name: String,
    arguments: Vec<u8>,
}

fn number(value: impl Into<u128>) -> Value {
    Value::u128(value.into())
}

impl Double {
    pub(crate) fn key(&self, pallet: &str, name: &str, keys: Vec<Value>) -> Vec<u8> {
        encode_storage_key(pallet, name, keys, &self.metadata, self.metadata.types()).unwrap()
    }

    fn of(&self, name: &str, keys: Vec<Value>) -> Vec<u8> {
        self.key(SUBTENSOR, name, keys)
    }

    pub(super) fn first_store(&self) -> Store {
        let mut store = Store::new();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        store.insert(self.key("Timestamp", "Now", vec![]), (now.as_millis() as u64).encode());
        for netuid in 0..8u16 {
            let netuid = || vec![number(netuid)];
            store.insert(self.of("NetworksAdded", netuid()), true.encode());
            store.insert(self.of("MaxAllowedUids", netuid()), self.fixed.seats_max.encode());
            let every = self.fixed.weights_every.encode();
            store.insert(self.of("WeightsSetRateLimit", netuid()), every);
            store.insert(self.of("Burn", netuid()), self.fixed.price_rao.encode());
            let sealed = self.fixed.sealed.encode();
            store.insert(self.of("CommitRevealWeightsEnabled", netuid()), sealed);
        }
        store
    }

    /// Checks version, era and signature as the runtime does, by putting together anew what must
    /// have been signed.
    pub(super) fn verify(
        &self,
        transaction: &[u8],
        number: u64,
        spec_version: u32,
        genesis: [u8; 32],
        hash_of: impl Fn(u64) -> [u8; 32],
    ) -> Option<Signed> {
        use blake2::digest::{Digest, consts::U32};
        let types = self.metadata.types();
        let read = decode_extrinsic(&mut &transaction[..], &self.metadata, types).ok()?;
        let (parts, extensions) =
            (read.signature_payload()?, read.transaction_extension_payload()?);
        // Each begins with the number of its kind: an account by its key, and sr25519.
        let signer: [u8; 32] = transaction[parts.address_range()][1..].try_into().ok()?;
        let signature = &transaction[parts.signature_range()];
        let of = |name: &str| {
            let part = extensions.iter().find(|part| part.name() == name).unwrap();
            &transaction[part.range()]
        };
        let nonce = Compact::<u32>::decode(&mut of("CheckNonce")).ok()?.0;
        let era = u16::from_le_bytes(of("CheckMortality").try_into().ok()?);
        let period = 2u64 << (era % 16);
        let phase = u64::from(era >> 4) * (period >> 12).max(1);
        let birth = (number.max(phase) - phase) / period * period + phase;
        let call = transaction[read.call_data_range()].to_vec();
        let mut payload = call.clone();
        payload.extend_from_slice(&transaction[extensions.range()]);
        (spec_version, 1u32, genesis, hash_of(birth), None::<[u8; 32]>).encode_to(&mut payload);
        if payload.len() > 256 {
            payload = blake2::Blake2b::<U32>::digest(&payload).to_vec();
        }
        let key = schnorrkel::PublicKey::from_bytes(&signer).ok()?;
        let signature = schnorrkel::Signature::from_bytes(&signature[1..]).ok()?;
        key.verify_simple(b"substrate", &payload, &signature).ok()?;
        let arguments = transaction[read.call_data_args_range()].to_vec();
        let (pallet, name) = (read.pallet_name().to_string(), read.call_name().to_string());
        Some(Signed { signer, nonce, call, pallet, name, arguments })
    }

    fn account(&self, signer: [u8; 32]) -> Vec<u8> {
        self.key("System", "Account", vec![Value::from_bytes(signer)])
    }

    pub(super) fn nonce(&self, store: &Store, signer: [u8; 32]) -> u32 {
        let found = store.get(&self.account(signer));
        found.map_or(0, |found| u32::from_le_bytes(found[..4].try_into().unwrap()))
    }

    pub(super) fn count_nonce(&self, store: &mut Store, signer: [u8; 32]) {
        let nonce = self.nonce(store, signer) + 1;
        let account = store.entry(self.account(signer)).or_insert_with(|| vec![0; 80]);
        account[..4].copy_from_slice(&nonce.to_le_bytes());
    }

    fn balance(&self, store: &Store, owner: [u8; 32]) -> u64 {
        let found = store.get(&self.account(owner));
        found.map_or(0, |found| u64::from_le_bytes(found[16..24].try_into().unwrap()))
    }

    /// What an account can pay with.
    pub(super) fn set_balance(&self, store: &mut Store, owner: [u8; 32], rao: u64) {
        let account = store.entry(self.account(owner)).or_insert_with(|| vec![0; 80]);
        account[16..24].copy_from_slice(&rao.to_le_bytes());
    }

    fn uid(&self, store: &Store, netuid: u16, hotkey: [u8; 32]) -> Option<u16> {
        let found = store.get(&self.of("Uids", vec![number(netuid), Value::from_bytes(hotkey)]))?;
        u16::decode(&mut &found[..]).ok()
    }

    fn read<T: Decode + Default>(&self, store: &Store, name: &str, keys: Vec<Value>) -> T {
        let found = store.get(&self.of(name, keys));
        found.map_or_else(T::default, |found| T::decode(&mut &found[..]).unwrap())
    }

    /// The runtime's own code for what it keeps out of the pool.
    pub(super) fn pool_refuses(&self, store: &Store, signed: &Signed, now: u64) -> Option<u8> {
        if signed.name != "set_weights" {
            return None;
        }
        let netuid = u16::decode(&mut &signed.arguments[..]).unwrap();
        let uid = self.uid(store, netuid, signed.signer)?;
        let last: Vec<u64> = self.read(store, "LastUpdate", vec![number(netuid)]);
        let last = last[usize::from(uid)];
        (last > 0 && now - last < self.fixed.weights_every).then_some(6)
    }

    /// Lets a call take effect; else the name of the error.
    pub(super) fn apply(
        &self,
        store: &mut Store,
        signed: &Signed,
        now: u64,
    ) -> Result<(), (&'static str, &'static str)> {
        let mut rest = &signed.arguments[..];
        let netuid = u16::decode(&mut rest).unwrap();
        let subtensor = |error| (SUBTENSOR, error);
        match (&*signed.pallet, &*signed.name) {
            (SUBTENSOR, "register_limit" | "burned_register") => {
                let hotkey = <[u8; 32]>::decode(&mut rest).unwrap();
                if u64::decode(&mut rest).is_ok_and(|limit| limit < self.fixed.price_rao) {
                    return Err(subtensor("RegistrationPriceLimitExceeded"));
                }
                let balance = self.balance(store, signed.signer);
                let rest = balance.checked_sub(self.fixed.price_rao);
                let rest = rest.ok_or(subtensor("NotEnoughBalanceToStake"))?;
                self.register(store, netuid, hotkey, now).map_err(subtensor)?;
                self.set_balance(store, signed.signer, rest);
                Ok(())
            }
            ("Commitments", "set_commitment") => {
                if self.uid(store, netuid, signed.signer).is_none() {
                    return Err(("Commitments", "AccountNotAllowedCommit"));
                }
                let keys = vec![number(netuid), Value::from_bytes(signed.signer)];
                let left = [&0u64.encode()[..], &(now as u32).encode(), rest].concat();
                store.insert(self.key("Commitments", "CommitmentOf", keys), left);
                Ok(())
            }
            (SUBTENSOR, "set_weights") => {
                let uids = Vec::<u16>::decode(&mut rest).unwrap();
                let shares = Vec::<u16>::decode(&mut rest).unwrap();
                let votes: Vec<_> = uids.into_iter().zip(shares).collect();
                self.vote(store, netuid, signed.signer, &votes, now).map_err(subtensor)
            }
            other => panic!("{other:?}"),
        }
    }

    fn register(
        &self,
        store: &mut Store,
        netuid: u16,
        hotkey: [u8; 32],
        now: u64,
    ) -> Result<(), &'static str> {
        let subnet = || vec![number(netuid)];
        let uid: u16 = self.read(store, "SubnetworkN", subnet());
        if self.uid(store, netuid, hotkey).is_some() {
            return Err("HotKeyAlreadyRegisteredInSubNet");
        }
        if uid >= self.fixed.seats_max {
            return Err("NoNeuronIdAvailable");
        }
        let seat = || vec![number(netuid), number(uid)];
        let uids = self.of("Uids", vec![number(netuid), Value::from_bytes(hotkey)]);
        store.insert(uids, uid.encode());
        store.insert(self.of("Keys", seat()), hotkey.encode());
        store.insert(self.of("BlockAtRegistration", seat()), now.encode());
        store.insert(self.of("SubnetworkN", subnet()), (uid + 1).encode());
        let mut last: Vec<u64> = self.read(store, "LastUpdate", subnet());
        let mut permits: Vec<bool> = self.read(store, "ValidatorPermit", subnet());
        // As if the seat came with a vote.
        last.push(now);
        permits.push(false);
        store.insert(self.of("LastUpdate", subnet()), last.encode());
        store.insert(self.of("ValidatorPermit", subnet()), permits.encode());
        Ok(())
    }

    fn vote(
        &self,
        store: &mut Store,
        netuid: u16,
        signer: [u8; 32],
        votes: &[(u16, u16)],
        now: u64,
    ) -> Result<(), &'static str> {
        let subnet = || vec![number(netuid)];
        let uid = self.uid(store, netuid, signer).ok_or("HotKeyNotRegisteredInSubNet")?;
        if self.fixed.sealed {
            return Err("CommitRevealEnabled");
        }
        let permits: Vec<bool> = self.read(store, "ValidatorPermit", subnet());
        if !permits[usize::from(uid)] {
            return Err("NeuronNoValidatorPermit");
        }
        store.insert(self.of("Weights", vec![number(netuid), number(uid)]), votes.encode());
        let mut last: Vec<u64> = self.read(store, "LastUpdate", subnet());
        last[usize::from(uid)] = now;
        store.insert(self.of("LastUpdate", subnet()), last.encode());
        Ok(())
    }

    /// Puts somebody else on the seat of `hotkey`.
    pub(super) fn give_away(&self, store: &mut Store, netuid: u16, hotkey: [u8; 32]) {
        let uids = |hotkey| self.of("Uids", vec![number(netuid), Value::from_bytes(hotkey)]);
        let uid = self.uid(store, netuid, hotkey).unwrap();
        let other = [0xee; 32];
        store.remove(&uids(hotkey));
        store.insert(uids(other), uid.encode());
        store.insert(self.of("Keys", vec![number(netuid), number(uid)]), other.encode());
    }

    /// Gives a hotkey stake, and with it a permit, on every subnet on which it has a seat.
    pub(super) fn give_permit(&self, store: &mut Store, hotkey: Hotkey) {
        for netuid in 0..8 {
            let Some(uid) = self.uid(store, netuid, hotkey.0) else { continue };
            let subnet = || vec![number(netuid)];
            let mut permits: Vec<bool> = self.read(store, "ValidatorPermit", subnet());
            permits[usize::from(uid)] = true;
            store.insert(self.of("ValidatorPermit", subnet()), permits.encode());
            let keys = vec![Value::from_bytes(hotkey.0), number(netuid)];
            store.insert(self.of("TotalHotkeyAlpha", keys), 5_000_000_000u64.encode());
        }
    }

    /// The events of a block of one transaction, which ended in `error` if there is one.
    pub(super) fn events(&self, error: Option<(&str, &str)>) -> Vec<u8> {
        let weight = [("ref_time", number(1u8)), ("proof_size", number(1u8))];
        let info = Value::named_composite([
            ("weight", Value::named_composite(weight)),
            ("class", Value::unnamed_variant("Normal", [])),
            ("pays_fee", Value::unnamed_variant("No", [])),
        ]);
        let event = match error {
            None => Value::named_variant("ExtrinsicSuccess", [("dispatch_info", info)]),
            Some((pallet, name)) => {
                let pallet = self.metadata.pallet_by_name(pallet).unwrap();
                let errors = pallet.error_variants().unwrap();
                let error = errors.iter().find(|error| error.name == name).unwrap().index;
                let module = Value::named_composite([
                    ("index", number(pallet.error_index())),
                    ("error", Value::from_bytes([error, 0, 0, 0])),
                ]);
                let error = Value::unnamed_variant("Module", [module]);
                let parts = [("dispatch_error", error), ("dispatch_info", info)];
                Value::named_variant("ExtrinsicFailed", parts)
            }
        };
        let record = Value::named_composite([
            ("phase", Value::unnamed_variant("ApplyExtrinsic", [number(0u8)])),
            ("event", Value::unnamed_variant("System", [event])),
            ("topics", Value::unnamed_composite([])),
        ]);
        let system = self.metadata.pallet_by_name("System").unwrap().storage().unwrap();
        let ty = system.entry_by_name("Events").unwrap().value_ty();
        self.encode(&Value::unnamed_composite([record]), ty)
    }

    fn encode(&self, value: &Value, ty: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_as_type(value, ty, self.metadata.types(), &mut bytes).unwrap();
        bytes
    }

    /// The answer to `get_metagraph`: zeros, but for what nodes read.
    pub(super) fn metagraph(&self, store: &Store, arguments: &[u8]) -> Vec<u8> {
        if !self.fixed.one_look {
            return vec![0];
        }
        let netuid = u16::decode(&mut &arguments[..]).unwrap();
        let subnet = || vec![number(netuid)];
        let seats: u16 = self.read(store, "SubnetworkN", subnet());
        let key = |uid| self.read::<[u8; 32]>(store, "Keys", vec![number(netuid), number(uid)]);
        let hotkeys: Vec<_> = (0..seats).map(key).collect();
        let since =
            |uid| self.read::<u64>(store, "BlockAtRegistration", vec![number(netuid), number(uid)]);
        let stake = |hotkey: &[u8; 32]| {
            let keys = vec![Value::from_bytes(hotkey), number(netuid)];
            number(self.read::<u64>(store, "TotalHotkeyAlpha", keys))
        };
        let last: Vec<u64> = self.read(store, "LastUpdate", subnet());
        let permits: Vec<bool> = self.read(store, "ValidatorPermit", subnet());
        let list = |values: Vec<Value>| Value::unnamed_composite(values);
        let set: [(&str, Value); 5] = [
            ("hotkeys", list(hotkeys.iter().map(Value::from_bytes).collect())),
            ("validator_permit", list(permits.into_iter().map(Value::bool).collect())),
            ("last_update", list(last.into_iter().map(number).collect())),
            ("block_at_registration", list((0..seats).map(since).map(number).collect())),
            ("total_stake", list(hotkeys.iter().map(stake).collect())),
        ];
        let questions = self.metadata.runtime_api_trait_by_name("SubnetInfoRuntimeApi").unwrap();
        let answer = questions.method_by_name("get_metagraph").unwrap().output_ty();
        self.encode(&Value::unnamed_variant("Some", [self.zero(self.inner(answer), &set)]), answer)
    }

    /// What an option is of.
    fn inner(&self, option: u32) -> u32 {
        let scale_info::TypeDef::Variant(variants) = &self.resolve(option).type_def else {
            panic!("no option")
        };
        variants.variants[1].fields[0].ty.id
    }

    fn resolve(&self, ty: u32) -> &scale_info::Type<scale_info::form::PortableForm> {
        self.metadata.types().resolve(ty).unwrap()
    }

    /// The zero of a type; of a composite, with `set` in place of the members so called.
    fn zero(&self, ty: u32, set: &[(&str, Value)]) -> Value {
        use scale_info::{TypeDef, TypeDefPrimitive};
        match &self.resolve(ty).type_def {
            TypeDef::Composite(composite) if composite.fields.iter().any(|f| f.name.is_some()) => {
                Value::named_composite(composite.fields.iter().map(|field| {
                    let name = field.name.clone().unwrap();
                    let given = set.iter().find(|(given, _)| *given == name);
                    let value = given
                        .map_or_else(|| self.zero(field.ty.id, &[]), |(_, value)| value.clone());
                    (name, value)
                }))
            }
            TypeDef::Composite(composite) => {
                let zeros = composite.fields.iter().map(|field| self.zero(field.ty.id, &[]));
                Value::unnamed_composite(zeros)
            }
            TypeDef::Variant(variants) => {
                let first = &variants.variants[0];
                let zeros = first.fields.iter().map(|field| self.zero(field.ty.id, &[]));
                Value::unnamed_variant(first.name.clone(), zeros)
            }
            TypeDef::Sequence(_) => Value::unnamed_composite([]),
            TypeDef::Array(array) => {
                let zero = || self.zero(array.type_param.id, &[]);
                Value::unnamed_composite((0..array.len).map(|_| zero()))
            }
            TypeDef::Tuple(parts) => {
                Value::unnamed_composite(parts.fields.iter().map(|part| self.zero(part.id, &[])))
            }
            TypeDef::Compact(compact) => self.zero(compact.type_param.id, &[]),
            TypeDef::Primitive(TypeDefPrimitive::Bool) => Value::bool(false),
            TypeDef::Primitive(TypeDefPrimitive::Str) => Value::string(""),
            TypeDef::Primitive(_) => number(0u8),
            TypeDef::BitSequence(_) => panic!("no bits in it"),
        }
    }
}
