//! `wallet` and `register`: keys in Bittensor's files, and seats that are paid for.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use chain::wallet::{Root, hotkey_path, ss58, write_hotkey};
use serde_json::{Value as Json, json};

use super::*;

/// Substrate's development phrase, its seed and its address.
const PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
const SEED: &str = "fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";
/// The seed of Substrate's Alice as Bittensor's own tool seals it, and her address.
const SEALED: &str = "\
    244e41434cab711eca728ca542c1e85b16f9410c1cef6c10e822654eb7e801ca0a11e5e1f251273fb5da73128a\
    ec30f07cb1438f0dd62b9cdb10ec7b169cdf0f142eba1d853cf231a8af23ceec12effb1614f0362fec9eeff189\
    eb38cab9c51fb9b13d2b2690f7185accd29316bd707d0aecc5cac1a856ee916fa9a8ef40c136";
const PASSWORD: &str = "correct horse";
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// Runs a command with `text` on its stdin.
fn piped(place: &Place, arguments: &[&str], text: &str) -> Output {
    let mut command = place.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().expect("it ends")
}

fn text_of(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Puts a file that only its owner reads.
fn put(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn a_created_key_lies_in_bittensors_layout_and_its_phrase_is_shown_once() {
    let place = Place::new();
    let create = ["wallet", "create", "--wallet", "main", "--hotkey", "alice"];
    let output = place.run(&create);
    assert!(output.status.success(), "{output:?}");
    let file = place.path(".bittensor/wallets/main/hotkeys/alice");
    let public = file.with_file_name("alicepub.txt");
    assert_eq!((mode(&file), mode(&public)), (0o600, 0o600));
    let read = |path| serde_json::from_slice::<Json>(&std::fs::read(path).unwrap()).unwrap();
    let kept: Json = read(&file);
    let phrase = kept["secretPhrase"].as_str().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(shown.matches(phrase).count(), 1, "{shown}");
    let told = String::from_utf8(output.stdout).unwrap();
    let address = kept["ss58Address"].as_str().unwrap();
    assert!(told.starts_with(address) && !told.contains(phrase), "{told}");
    assert_eq!(ss58(Root::of_phrase(phrase).unwrap().hotkey()), address);
    let public: Json = read(&public);
    assert_eq!(public["ss58Address"], kept["ss58Address"]);
    assert_eq!((&public["secretSeed"], &public["secretPhrase"]), (&Json::Null, &Json::Null));
    // A second one takes no name that is taken, and draws another key.
    let before = std::fs::read(&file).unwrap();
    let told = place.refusal(&create, 3);
    assert!(told.contains("hotkeys/alice") && told.contains("another name"), "{told}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let other = place.says(&["wallet", "create", "--wallet", "main", "--hotkey", "bob"]);
    assert!(!other.starts_with(address), "{other}");
}

#[test]
fn a_known_phrase_and_its_seed_are_imported_as_the_known_address() {
    let place = Place::new();
    for (name, text) in [("phrase", PHRASE), ("seed", SEED), ("prefixed", &format!("0x{SEED}\n"))] {
        let output = piped(&place, &["wallet", "import", "--hotkey", name], text);
        assert!(output.status.success(), "{output:?}");
        let told = text_of(&output);
        assert!(told.contains(ADDRESS), "{told}");
        assert!(!told.contains(&SEED[..16]) && !told.contains("bottom drive"), "{told}");
        let path = place.path(".bittensor/wallets/default/hotkeys").join(name);
        assert_eq!(mode(&path), 0o600);
        let shown = place.says(&["wallet", "show", "--hotkey", name, "--json"]);
        assert_eq!(serde_json::from_str::<Json>(&shown).unwrap()["address"], ADDRESS);
    }
    let again = piped(&place, &["wallet", "import", "--hotkey", "seed"], PHRASE);
    assert_eq!(again.status.code(), Some(3));
}

#[test]
fn what_is_no_key_is_refused_and_never_repeated() {
    let place = Place::new();
    for text in [&SEED[1..], &PHRASE.replace("walk", "drive"), "", &"bottom ".repeat(400)] {
        let output = piped(&place, &["wallet", "import"], text);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let told = text_of(&output);
        assert!(told.contains("12 to 24 words"), "{told}");
        assert!(!told.contains(&SEED[8..24]) && !told.contains("bottom"), "{told}");
    }
    let told = place.refusal(&["wallet", "show"], 3);
    assert!(told.contains("is not there"), "{told}");
    let told = place.refusal(&["wallet", "show", "--hotkey", "../coldkey"], 3);
    assert!(told.contains("use names of letters"), "{told}");
    assert!(place.refusal(&["wallet", "list", "--jsno"], 2).contains("--help"));
}

#[test]
fn the_list_tells_every_key_and_why_one_has_no_address() {
    let place = Place::new();
    assert_eq!(place.says(&["wallet", "list"]), "");
    let folder = place.path("keys");
    write_hotkey(&hotkey_path(&folder, "a", "x").unwrap(), &Root::parse(PHRASE).unwrap()).unwrap();
    put(&hotkey_path(&folder, "a", "y").unwrap(), b"$NACL and so on");
    let told = place.says(&["wallet", "list", "--wallets", "keys"]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert_eq!(lines[0], format!("a/x  {ADDRESS}"));
    assert!(lines[1].starts_with("a/y  ") && lines[1].contains("is sealed"), "{told}");
    let told = place.says(&["wallet", "list", "--wallets", "keys", "--json"]);
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!(
        told["keys"][0],
        json!({
            "wallet": "a", "hotkey": "x", "address": ADDRESS, "fault": null
        })
    );
}

/// A wallet with a hotkey `hot`, whose coldkey is Alice's and sealed.
fn with_wallet() -> Place {
    let place = Place::new();
    let folder = place.path(".bittensor/wallets");
    write_hotkey(&hotkey_path(&folder, "main", "hot").unwrap(), &Root::of_seed([5; 32])).unwrap();
    put(&folder.join("main/coldkey"), &hex::decode(SEALED).unwrap());
    place
}

/// Buys a seat with the wallet of [`with_wallet`].
fn register<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    with(&["register", "--endpoint", url, "--netuid", "3", "--wallet", "main"], more)
}

fn alice() -> wire::Hotkey {
    let seed = "e5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
    Root::parse(seed).unwrap().hotkey()
}

#[test]
fn a_seat_is_bought_by_the_wallets_sealed_coldkey_once() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (with_wallet(), bittensor.server.url());
    let register = register(&url, &["--hotkey", "hot"]);
    let with_password = |password: &str| {
        place.command(&register).env("COV72_WALLET_PASSWORD", password).output().unwrap()
    };
    let told = place.refusal(&register, 3);
    assert!(told.contains("main/coldkey") && told.contains("COV72_WALLET_PASSWORD"), "{told}");
    let wrong = with_password("correct horst");
    assert_eq!(wrong.status.code(), Some(3), "{wrong:?}");
    assert!(text_of(&wrong).contains("does not open with this password"), "{wrong:?}");
    let poor = with_password(PASSWORD);
    assert_eq!(poor.status.code(), Some(3), "{poor:?}");
    let told = text_of(&poor);
    for part in [ALICE, "needs 0.5 TAO", "has 0 TAO"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(bittensor.server.asked("author_submitExtrinsic"), 0);
    fund(&bittensor.double, alice(), 700_000_000);
    bittensor.double.advance(1);
    let bought = with_password(PASSWORD);
    assert!(bought.status.success(), "{bought:?}");
    assert_eq!(bought.stdout, b"uid 0\n");
    // The second time it costs nothing, and no password is needed.
    assert_eq!(place.says(&register), "uid 0\n");
    assert_eq!(bittensor.server.asked("author_submitExtrinsic"), 1);
}

#[test]
fn a_call_to_sign_elsewhere_needs_neither_coldkey_nor_money() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (with_wallet(), bittensor.server.url());
    let print = register(&url, &["--hotkey", "hot", "--max-burn", "0.75", "--print"]);
    let told = place.says(&print);
    let hotkey = Root::of_seed([5; 32]).hotkey();
    // Pallet 7, call 134; netuid; hotkey; limit.
    let bytes = format!("0x07860300{hotkey}{}", hex::encode(750_000_000u64.to_le_bytes()));
    assert!(told.contains("SubtensorModule.register_limit"), "{told}");
    assert!(told.contains(&bytes) && told.contains(&ss58(hotkey)), "{told}");
    assert!(told.contains("750000000 RAO"), "{told}");
    assert_eq!(bittensor.server.asked("author_submitExtrinsic"), 0);
}

#[test]
fn what_stands_in_the_way_of_a_seat_is_told_with_the_way_out() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (with_wallet(), bittensor.server.url());
    let hot = register(&url, &["--hotkey", "hot"]);
    let told = place.refusal(&with(&hot, &["--max-burn", "0.4"]), 4);
    assert!(told.contains("costs 0.5 TAO") && told.contains("0.4 TAO"), "{told}");
    let output = place.run(&with(&hot, &["--max-burn", "-1"]));
    assert_eq!(output.status.code(), Some(2));
    let told = place.refusal(&register(&url, &["--hotkey", "cold"]), 3);
    assert!(told.contains("hotkeys/cold is not there"), "{told}");
    std::fs::remove_file(place.path(".bittensor/wallets/main/coldkey")).unwrap();
    let told = place.refusal(&hot, 3);
    assert!(told.contains("--coldkey FILE") && told.contains("--print"), "{told}");
    assert!(place.run(&["init", "--network", "net", "--dir", "net/a"]).status.success());
    let told = place.refusal(&["register", "--config", "net/a/run.toml"], 2);
    assert!(told.contains("dev chain"), "{told}");
    assert_eq!(bittensor.server.asked("author_submitExtrinsic"), 0);
}

#[test]
fn no_command_lets_a_secret_out_however_much_it_is_asked_to_tell() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (with_wallet(), bittensor.server.url());
    let folder = place.path(".bittensor/wallets");
    let hot = hotkey_path(&folder, "main", "hot").unwrap();
    std::fs::remove_file(&hot).unwrap();
    std::fs::remove_file(hot.with_file_name("hotpub.txt")).unwrap();
    write_hotkey(&hot, &Root::parse(PHRASE).unwrap()).unwrap();
    assert!(place.run(&["init", "--network", "net", "--dir", "net/a"]).status.success());
    let chain =
        format!("\n[chain]\nkind = \"subtensor\"\nendpoints = [{url:?}]\nhotkey = {hot:?}\n");
    let toml = std::fs::read_to_string(place.path("net/a/run.toml")).unwrap();
    let toml = toml.replace("netuid = 72", "netuid = 3") + &chain;
    std::fs::write(place.path("net/a/run.toml"), toml).unwrap();
    fund(&bittensor.double, alice(), 700_000_000);
    bittensor.double.advance(1);
    let of_node = ["--config", "net/a/run.toml"];
    let mut told = String::new();
    for (command, exit) in [
        (&["wallet", "show", "--wallet", "main", "--hotkey", "hot"][..], 0),
        (&["wallet", "list"], 0),
        (&["wallet", "import", "--hotkey", "again"], 0),
        (&["wallet", "import", "--hotkey", "again"], 3),
        (&with(&["train", "--windows", "1"], &of_node), 3),
        (&with(&["validate", "--windows", "1"], &of_node), 3),
        (&with(&["register", "--print"], &of_node), 0),
        (&with(&["register"], &of_node), 0),
        (&with(&["metagraph", "--json"], &of_node), 0),
        (&with(&["chain", "info"], &of_node), 0),
    ] {
        let mut command_line = place.command(command);
        command_line.env("RUST_LOG", "trace").env("COV72_WALLET_PASSWORD", PASSWORD);
        command_line.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command_line.spawn().unwrap();
        // Commands that read no stdin may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(PHRASE.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{command:?}: {output:?}");
        told += &text_of(&output);
    }
    for secret in [PHRASE, "curtain", "smoke", &SEED[..16], "e5be9a5092b81bca", PASSWORD, "horse"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}
