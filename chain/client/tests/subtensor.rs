//! What this program says to Bittensor, against a runtime's own description of itself (metadata of
//! spec versions 365 and 424): the bytes of every call, every name, and errors by their indices.
//!
//! The description is no part of this repository. It is read from the file that
//! `SUBTENSOR_METADATA` names, or from `shared/data` above a checkout; without it these tests skip.

use std::path::{Path, PathBuf};

use chain::ChainError;
use chain::subtensor::{Call, Refusal, missing_names, note_of};
use subxt::dynamic::Value;
use subxt::ext::scale_value::scale::{decode_as_type, encode_as_type};
use subxt::metadata::Metadata;
use wire::{Hotkey, Netuid, Uid};

const NETUID: Netuid = Netuid(3);

/// The runtime's description, if it is at hand.
fn metadata() -> Option<Metadata> {
    Some(Metadata::decode_from(&description()?).unwrap())
}

fn description() -> Option<Vec<u8>> {
    let near = |dir: &Path| dir.join("shared/data/subtensor-424.scale");
    let above = || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let beside = || above().map(near).find(|path| path.exists());
    let Some(path) = std::env::var_os("SUBTENSOR_METADATA").map(PathBuf::from).or_else(beside)
    else {
        eprintln!("skipped: SUBTENSOR_METADATA names no metadata of a subtensor runtime");
        return None;
    };
    Some(std::fs::read(&path).unwrap())
}

#[test]
fn calls_have_the_bytes_that_the_runtime_reads() {
    let Some(metadata) = metadata() else { return };
    let bytes = |call: Call| hex::encode(call.bytes(&metadata).unwrap());
    // Pallet 7, call 0; netuid; two uids; their shares; the version key.
    let votes = Call::set_weights(NETUID, &[(Uid(0), 65_535), (Uid(7), 1)], 0);
    assert_eq!(
        bytes(votes),
        "0700_0300_08_0000_0700_08_ffff_0100_0000000000000000".replace('_', "")
    );
    let hotkey = "11".repeat(32);
    let burned = Call::burned_register(NETUID, Hotkey([0x11; 32]));
    assert_eq!(bytes(burned), format!("07070300{hotkey}"));
    let limited = Call::register_limit(NETUID, Hotkey([0x11; 32]), 500_000_000);
    let pallet = metadata.pallet_by_name("SubtensorModule").unwrap();
    match pallet.call_variant_by_name("register_limit") {
        Some(_) => assert_eq!(bytes(limited), format!("07860300{hotkey}0065cd1d00000000")),
        // Older runtimes sell seats without a limit only.
        None => assert!(matches!(limited.bytes(&metadata), Err(ChainError::NoSuchName { .. }))),
    }
    // Pallet 18, call 0; netuid; one field, of kind 1 + 5.
    let note = |note: &[u8]| Call::set_commitment(NETUID, note).unwrap();
    assert_eq!(bytes(note(b"hello")), format!("120003000406{}", hex::encode(b"hello")));
    assert_eq!(bytes(note(b"")), "120003000401");
    let long = format!("120003000c81{0}81{0}81{0}", "ab".repeat(128));
    assert_eq!(bytes(note(&[0xab; 384])), long);
    assert_eq!(bytes(note(&[1; 129])), format!("120003000881{}0201", "01".repeat(128)));
}

#[test]
fn the_runtime_knows_every_name() {
    let Some(metadata) = metadata() else { return };
    assert_eq!(missing_names(&metadata), [""; 0]);
}

#[test]
fn stored_items_have_the_keys_and_values_that_are_sent_and_read() {
    let Some(metadata) = metadata() else { return };
    let account = Value::from_bytes([7; 32]);
    let number = || Value::u128(258);
    let list = |of: Value| Value::unnamed_composite([of]);
    let scaled = |ty: u32, value: &Value| {
        let mut bytes = Vec::new();
        encode_as_type(value, ty, metadata.types(), &mut bytes).unwrap();
        hex::encode(&bytes)
    };
    let (u16_hex, u64_hex, account_hex) = ("0201", "0201000000000000", "07".repeat(32));
    let by_netuid = || vec![("Identity", number(), u16_hex.to_string())];
    let and_account = |hasher| [by_netuid(), vec![(hasher, account.clone(), account_hex.clone())]];
    let and_uid = || [by_netuid(), by_netuid()].concat();
    let votes = list(Value::unnamed_composite([number(), number()]));
    let items = [
        ("Uids", and_account("Blake2_128Concat").concat(), number(), u16_hex.to_string()),
        ("Keys", and_uid(), account.clone(), account_hex.clone()),
        ("SubnetworkN", by_netuid(), number(), u16_hex.into()),
        ("LastUpdate", by_netuid(), list(number()), format!("04{u64_hex}")),
        ("ValidatorPermit", by_netuid(), list(Value::bool(true)), "0401".into()),
        ("Weights", and_uid(), votes, format!("04{u16_hex}{u16_hex}")),
        ("MaxAllowedUids", by_netuid(), number(), u16_hex.into()),
        ("WeightsSetRateLimit", by_netuid(), number(), u64_hex.into()),
        ("CommitRevealWeightsEnabled", by_netuid(), Value::bool(true), "01".into()),
        ("Burn", by_netuid(), number(), u64_hex.into()),
        ("NetworksAdded", by_netuid(), Value::bool(true), "01".into()),
    ];
    let pallet = metadata.pallet_by_name("SubtensorModule").unwrap();
    for (name, keys, value, bytes) in items {
        let item = pallet.storage().unwrap().entry_by_name(name).unwrap();
        assert_eq!(item.keys().len(), keys.len(), "{name}");
        for (found, (hasher, key, bytes)) in item.keys().zip(&keys) {
            assert_eq!(format!("{:?}", found.hasher), *hasher, "{name}");
            assert_eq!(scaled(found.key_id, key), *bytes, "{name}");
        }
        assert_eq!(scaled(item.value_ty(), &value), bytes, "{name}");
    }
}

#[test]
fn a_stored_commitment_reads_as_the_note_that_was_left() {
    let Some(metadata) = metadata() else { return };
    let storage = metadata.pallet_by_name("Commitments").unwrap().storage().unwrap();
    let item = storage.entry_by_name("CommitmentOf").unwrap();
    let read = |fields: &[u8]| {
        // Deposit, block, fields.
        let stored = [&500u64.to_le_bytes()[..], &77u32.to_le_bytes(), fields].concat();
        let mut rest = &stored[..];
        let value = decode_as_type(&mut rest, item.value_ty(), metadata.types()).unwrap();
        assert!(rest.is_empty());
        let value = value.remove_context();
        let subxt::ext::scale_value::ValueDef::Composite(members) = value.value else { panic!() };
        let members: Vec<_> = members.into_values().collect();
        assert_eq!(members[1].as_u128(), Some(77));
        note_of(&members[2])
    };
    for note in [&b""[..], b"a", b"hello", &[0xab; 128], &[0xcd; 129], &[0xef; 384]] {
        let call = Call::set_commitment(NETUID, note).unwrap().bytes(&metadata).unwrap();
        assert_eq!(read(&call[4..]).as_deref(), Some(note));
    }
    let big = [&[4, 136][..], &[0x51, 0x01], &[9; 84]].concat();
    assert_eq!(read(&big), Some(vec![9; 84]), "a BigRaw field");
    assert_eq!(read(&[&[4, 131][..], &[9; 32]].concat()), None, "a hash is no note");
}

#[test]
fn an_error_of_the_runtime_is_found_by_its_name() {
    let Some(metadata) = metadata() else { return };
    let pallet = metadata.pallet_by_name("SubtensorModule").unwrap();
    for (name, reason) in [
        ("SettingWeightsTooFast", Refusal::TooSoon),
        ("CommitRevealEnabled", Refusal::CommitReveal),
        ("NeuronNoValidatorPermit", Refusal::NoPermit),
    ] {
        let error = pallet.error_variants().unwrap().iter().find(|error| error.name == name);
        let index = error.unwrap().index;
        assert_eq!(Refusal::of_pallet(&metadata, pallet.error_index(), index), reason);
    }
    let unknown = Refusal::of_pallet(&metadata, 255, 3).to_string();
    assert!(unknown.contains("error 3 of pallet 255"), "{unknown}");
}

#[test]
fn a_runtime_without_our_calls_is_told_apart_by_name() {
    let Some(mut bytes) = description() else { return };
    let call = Call::burned_register(NETUID, Hotkey([1; 32]));
    let name = b"burned_register";
    while let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
        bytes[at] = b'x';
    }
    let bare = Metadata::decode_from(&bytes).unwrap();
    match call.bytes(&bare) {
        Err(ChainError::NoSuchName { name }) => {
            assert_eq!(name, "call SubtensorModule.burned_register");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(missing_names(&bare), ["call SubtensorModule.burned_register"]);
}
