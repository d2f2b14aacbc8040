//! Wallet files: Bittensor's layout both ways, nothing overwritten, no secret in what is said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chain::ChainError;
use chain::wallet::{Root, WalletFault, hotkey_path, read_address, read_key, ss58, write_hotkey};
use wire::Keypair;

/// The seed behind Substrate's well-known development key Alice, and her address.
const ALICE_SEED: &str = "e5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
/// Her seed as Bittensor's own tool (bittensor-wallet 4.1.1) seals it.
const SEALED: &str = "\
    244e41434cab711eca728ca542c1e85b16f9410c1cef6c10e822654eb7e801ca0a11e5e1f251273fb5da73128a\
    ec30f07cb1438f0dd62b9cdb10ec7b169cdf0f142eba1d853cf231a8af23ceec12effb1614f0362fec9eeff189\
    eb38cab9c51fb9b13d2b2690f7185accd29316bd707d0aecc5cac1a856ee916fa9a8ef40c136";
const PASSWORD: &str = "correct horse";

fn alice() -> Root {
    Root::parse(ALICE_SEED).unwrap()
}

/// The key of a file that needs no password.
fn read(path: &Path) -> Result<Keypair, ChainError> {
    read_key(path, &|path| panic!("nobody should ask for the password of {path:?}"))
}

fn keep(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn fault_of<T: std::fmt::Debug>(done: Result<T, ChainError>) -> WalletFault {
    match done {
        Err(error @ ChainError::Wallet { .. }) => {
            let said = format!("{error} {error:?}");
            assert!(!said.contains(&ALICE_SEED[4..40]), "{said}");
            let ChainError::Wallet { fault, .. } = error else { unreachable!() };
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_reads_back_and_only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = hotkey_path(folder.path(), "miner", "first").unwrap();
    assert_eq!(path, folder.path().join("miner/hotkeys/first"));
    let hotkey = write_hotkey(&path, &alice()).unwrap();
    assert_eq!(ss58(hotkey), ALICE);
    assert_eq!(read(&path).unwrap().hotkey(), hotkey);
    let mut names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    names.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    for (entry, name) in names.into_iter().zip(["first", "firstpub.txt"]) {
        let entry = entry.unwrap();
        assert_eq!(entry.file_name(), name);
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(text.contains(ALICE));
        assert_eq!(text.contains(ALICE_SEED), name == "first");
    }
}

#[test]
fn a_key_that_is_there_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    write_hotkey(&path, &Root::of_seed([1; 32])).unwrap();
    assert_eq!(fault_of(write_hotkey(&path, &alice())), WalletFault::Exists);
    // Nor does a key take the public half of one that is gone.
    fs::rename(&path, folder.path().join("aside")).unwrap();
    assert_eq!(fault_of(write_hotkey(&path, &alice())), WalletFault::Exists);
    fs::rename(folder.path().join("aside"), &path).unwrap();
    assert_eq!(read(&path).unwrap().hotkey(), Keypair::from_seed([1; 32]).hotkey());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-written stays");
}

#[test]
fn a_file_of_bittensors_own_tool_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let public = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
    let text = format!(
        r#"{{"accountId": "{public}", "publicKey": "{public}", "privateKey": "0x00",
            "cryptoType": 1, "secretPhrase": null, "secretSeed": "0x{ALICE_SEED}",
            "ss58Address": "{ALICE}"}}"#
    );
    keep(&path, &text, 0o600);
    assert_eq!(format!("0x{}", read(&path).unwrap().hotkey()), public);
    keep(&path, &text.replace(ALICE, "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"), 0o600);
    assert_eq!(fault_of(read(&path)), WalletFault::OtherKey);
    keep(&path, &text.replace(public, &format!("0x{}", "11".repeat(32))), 0o600);
    assert_eq!(fault_of(read(&path)), WalletFault::OtherKey);
}

#[test]
fn each_file_that_is_no_open_key_is_refused_by_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    assert_eq!(fault_of(read(&path)), WalletFault::Missing);
    let seed = format!(r#"{{"secretSeed": "0x{ALICE_SEED}"}}"#);
    keep(&path, &seed, 0o640);
    assert_eq!(fault_of(read(&path)), WalletFault::Open { mode: 0o640 });
    for (text, expected) in [
        ("$ANSIBLE_VAULT;1.1", WalletFault::Sealed { seal: "Ansible Vault" }),
        ("gAAAAABk", WalletFault::Sealed { seal: "Fernet" }),
        ("hello", WalletFault::NotAKey),
        ("[1]", WalletFault::NotAKey),
        ("{}", WalletFault::NoSeed),
        (r#"{"secretPhrase": "bottom drive"}"#, WalletFault::NoSeed),
        (r#"{"privateKey": "0x00"}"#, WalletFault::NoSeed),
        (seed.replace('{', r#"{"cryptoType": 0, "#).as_str(), WalletFault::OtherKind),
        (seed.replace("0a\"", "\"").as_str(), WalletFault::NoSeed),
        (format!("{seed}{}", " ".repeat(20_000)).as_str(), WalletFault::NotAKey),
    ] {
        keep(&path, text, 0o600);
        assert_eq!(fault_of(read(&path)), expected, "{text:.20}");
    }
}

#[test]
fn a_file_with_a_phrase_alone_reads_as_the_key_of_the_phrase() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    keep(&path, &format!(r#"{{"secretPhrase": "{phrase}"}}"#), 0o600);
    let address = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";
    assert_eq!(ss58(read(&path).unwrap().hotkey()), address);
    let other = folder.path().join("other");
    write_hotkey(&other, &Root::of_phrase(phrase).unwrap()).unwrap();
    assert_eq!(ss58(read(&other).unwrap().hotkey()), address);
    assert!(fs::read_to_string(&other).unwrap().contains(phrase));
    assert!(!fs::read_to_string(folder.path().join("otherpub.txt")).unwrap().contains(phrase));
}

#[test]
fn a_file_that_bittensors_own_tool_sealed_opens_with_its_password_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let sealed = hex::decode(SEALED).unwrap();
    let put = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    };
    put(&sealed);
    let with = |password: Option<&str>| read_key(&path, &|_| password.map(str::to_string));
    assert_eq!(ss58(with(Some(PASSWORD)).unwrap().hotkey()), ALICE);
    assert_eq!(fault_of(with(Some("correct horst"))), WalletFault::WrongPassword);
    assert_eq!(fault_of(with(None)), WalletFault::Locked);
    assert_eq!(fault_of(read_address(&path)), WalletFault::Locked);
    put(&sealed[..20]);
    assert_eq!(fault_of(with(Some(PASSWORD))), WalletFault::WrongPassword, "a stump");
    put(&[&sealed[..sealed.len() - 1], &[0]].concat());
    assert_eq!(fault_of(with(Some(PASSWORD))), WalletFault::WrongPassword, "a changed byte");
}

#[test]
fn an_address_is_read_beside_the_key_and_needs_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let hotkey = write_hotkey(&path, &alice()).unwrap();
    let beside = folder.path().join("keypub.txt");
    fs::write(&path, hex::decode(SEALED).unwrap()).unwrap();
    assert_eq!(read_address(&path).unwrap(), hotkey);
    fs::write(&beside, "{}").unwrap();
    assert_eq!(fault_of(read_address(&path)), WalletFault::NotAKey);
    fs::remove_file(&beside).unwrap();
    fs::write(&path, format!(r#"{{"secretSeed": "0x{ALICE_SEED}"}}"#)).unwrap();
    assert_eq!(read_address(&path).unwrap(), hotkey);
    fs::remove_file(&path).unwrap();
    assert_eq!(fault_of(read_address(&path)), WalletFault::Missing);
}

#[test]
fn no_name_leads_out_of_the_folder_of_wallets() {
    for (wallet, hotkey) in [("..", "h"), ("a/b", "h"), ("w", ""), ("w", "../x"), ("w", ".h")] {
        let path = hotkey_path(Path::new("wallets"), wallet, hotkey);
        assert_eq!(fault_of(path), WalletFault::Name, "{wallet} {hotkey}");
    }
}
