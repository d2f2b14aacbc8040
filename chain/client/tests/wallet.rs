//! Wallet files: Bittensor's layout both ways, nothing overwritten, no secret in what is said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chain::ChainError;
use chain::wallet::{WalletFault, hotkey_path, read_hotkey, ss58, write_hotkey};
use wire::Keypair;

/// The seed behind Substrate's well-known development key Alice, and her address.
const ALICE_SEED: &str = "e5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

fn alice_seed() -> [u8; 32] {
    ALICE_SEED.parse::<wire::Digest>().unwrap().0
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
    let hotkey = write_hotkey(&path, alice_seed()).unwrap();
    assert_eq!(ss58(hotkey), ALICE);
    assert_eq!(read_hotkey(&path).unwrap().hotkey(), hotkey);
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
    write_hotkey(&path, [1; 32]).unwrap();
    assert_eq!(fault_of(write_hotkey(&path, alice_seed())), WalletFault::Exists);
    assert_eq!(read_hotkey(&path).unwrap().hotkey(), Keypair::from_seed([1; 32]).hotkey());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-written stays");
}

#[test]
fn a_file_of_bittensors_own_tool_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let public = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d";
    let text = format!(
        r#"{{"accountId": "{public}", "publicKey": "{public}", "privateKey": "0x00",
            "secretPhrase": "bottom drive", "secretSeed": "0x{ALICE_SEED}",
            "ss58Address": "{ALICE}"}}"#
    );
    keep(&path, &text, 0o600);
    assert_eq!(format!("0x{}", read_hotkey(&path).unwrap().hotkey()), public);
    keep(&path, &text.replace(ALICE, "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"), 0o600);
    assert_eq!(fault_of(read_hotkey(&path)), WalletFault::OtherKey);
    keep(&path, &text.replace(public, &format!("0x{}", "11".repeat(32))), 0o600);
    assert_eq!(fault_of(read_hotkey(&path)), WalletFault::OtherKey);
}

#[test]
fn each_file_that_is_no_open_key_is_refused_by_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    assert_eq!(fault_of(read_hotkey(&path)), WalletFault::Missing);
    let seed = format!(r#"{{"secretSeed": "0x{ALICE_SEED}"}}"#);
    keep(&path, &seed, 0o640);
    assert_eq!(fault_of(read_hotkey(&path)), WalletFault::Open { mode: 0o640 });
    for (text, expected) in [
        ("$NACL\u{1}\u{2}", WalletFault::Sealed { seal: "NaCl" }),
        ("$ANSIBLE_VAULT;1.1", WalletFault::Sealed { seal: "Ansible Vault" }),
        ("gAAAAABk", WalletFault::Sealed { seal: "Fernet" }),
        ("hello", WalletFault::NotAKey),
        ("[1]", WalletFault::NotAKey),
        ("{}", WalletFault::NoSeed),
        (seed.replace("0a\"", "\"").as_str(), WalletFault::NoSeed),
        (format!("{seed}{}", " ".repeat(20_000)).as_str(), WalletFault::NotAKey),
    ] {
        keep(&path, text, 0o600);
        assert_eq!(fault_of(read_hotkey(&path)), expected, "{text:.20}");
    }
}

#[test]
fn no_name_leads_out_of_the_folder_of_wallets() {
    for (wallet, hotkey) in [("..", "h"), ("a/b", "h"), ("w", ""), ("w", "../x"), ("w", ".h")] {
        let path = hotkey_path(Path::new("wallets"), wallet, hotkey);
        assert_eq!(fault_of(path), WalletFault::Name, "{wallet} {hotkey}");
    }
}
