//! `chain info`, `metagraph`, and what a configuration on Bittensor is refused for.

use serde_json::{Value as Json, json};

use super::*;

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).expect("one JSON object")
}

/// A node `net/a` of a new network, with a hotkey in a wallet and `[chain]` of its own.
fn with_node(chain: &str) -> Place {
    let place = Place::new();
    assert!(place.run(&["wallet", "create"]).status.success());
    let hotkey = place.path(".bittensor/wallets/default/hotkeys/default");
    let init = ["init", "--network", "net", "--dir", "net/a"];
    assert!(place.run(&init).status.success());
    let path = place.path("net/a/run.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("netuid = 72", "netuid = 3");
    std::fs::write(
        &path,
        format!("{text}\n[chain]\nkind = \"subtensor\"\nhotkey = {hotkey:?}\n{chain}\n"),
    )
    .unwrap();
    place
}

#[test]
fn the_chain_tells_what_it_is_and_what_a_seat_costs() {
    let Some(bittensor) = Bittensor::start(Fixed { sealed: true, ..FIXED }) else { return };
    let (place, url) = (Place::new(), bittensor.server.url());
    let info = ["chain", "info", "--endpoint", &url, "--netuid", "3"];
    let told = place.says(&info);
    for part in ["0.5 TAO", "spec version 424", "sealed only", &bittensor.double.genesis()] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = parsed(&place.says(&[&info[..], &["--json"]].concat()));
    assert_eq!(told["block"], bittensor.double.head());
    assert_eq!(told["seats_max"], 16);
    assert_eq!(
        told["bittensor"],
        json!({
            "genesis": bittensor.double.genesis(),
            "spec_version": 424,
            "seat_price_rao": 500_000_000,
            "sealed_votes": true,
        })
    );
}

#[test]
fn the_metagraph_names_every_seat_by_its_address() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (Place::new(), bittensor.server.url());
    bittensor.seat(&key(1));
    bittensor.seat(&key(2));
    stake(&bittensor.double, key(2).hotkey());
    let metagraph = ["metagraph", "--endpoint", &url, "--netuid", "3"];
    let told = place.says(&metagraph);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    let address = |seed| chain::wallet::ss58(key(seed).hotkey());
    assert!(lines[1].contains(&address(1)) && lines[1].ends_with("miner"), "{told}");
    assert!(lines[2].contains(&address(2)) && lines[2].contains("5 TAO"), "{told}");
    assert!(lines[2].ends_with("validator"), "{told}");
    let told = parsed(&place.says(&[&metagraph[..], &["--json"]].concat()));
    assert_eq!(told["netuid"], 3);
    let seat = &told["seats"][1];
    assert_eq!((&seat["uid"], &seat["stake_rao"]), (&json!(1), &json!(5_000_000_000u64)));
    assert_eq!((&seat["address"], &seat["validator"]), (&json!(address(2)), &json!(true)));
}

#[test]
fn a_bucket_of_the_reference_implementation_is_named_and_its_keys_are_not() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (Place::new(), bittensor.server.url());
    bittensor.seat(&key(1));
    bittensor.seat(&key(2));
    let [account, access, secret] = ["a0".repeat(16), "B1".repeat(16), "c2".repeat(32)];
    let note = [&account[..], &access, &secret].concat();
    bittensor.client().commit(NETUID, &key(2), note.as_bytes()).unwrap();
    let metagraph = ["metagraph", "--endpoint", &url, "--netuid", "3"];
    let told = place.says(&metagraph);
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[1].ends_with("miner"), "{told}");
    assert!(lines[2].ends_with(&format!("reference bucket {account}")), "{told}");
    let json = place.says(&[&metagraph[..], &["--json"]].concat());
    let seats = &parsed(&json)["seats"];
    assert_eq!(seats[0]["reference_bucket"], Json::Null);
    assert_eq!(seats[1]["reference_bucket"], account);
    let told = [told, json].concat();
    assert!(!told.contains(&access[..8]) && !told.contains(&secret[..8]), "{told}");
}

#[test]
fn a_dev_chain_is_looked_at_by_a_nodes_configuration() {
    let place = Place::new();
    let init = ["init", "--network", "net", "--dir", "net/a", "--role", "validator"];
    assert!(place.run(&init).status.success());
    let told = place.says(&["metagraph", "--config", "net/a/run.toml"]);
    assert!(told.lines().last().unwrap().ends_with("validator"), "{told}");
    let told = place.says(&["chain", "info", "--config", "net/a/run.toml", "--json"]);
    assert_eq!((&parsed(&told)["netuid"], &parsed(&told)["bittensor"]), (&json!(72), &Json::Null));
}

#[test]
fn another_chain_is_refused_with_both_hashes() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (url, other) = (bittensor.server.url(), format!("0x{}", "5a".repeat(32)));
    let place = with_node(&format!("endpoints = [\"{url}\"]\ngenesis = \"{other}\""));
    for command in
        [&["train", "--windows", "1"][..], &["chain", "info"], &["metagraph"], &["validate"]]
    {
        let told = place.refusal(&[command, &["--config", "net/a/run.toml"]].concat(), 2);
        assert!(told.contains(&other) && told.contains(&bittensor.double.genesis()), "{told}");
        assert!(told.contains(&url) && told.contains("genesis"), "{told}");
    }
}

#[test]
fn a_node_that_does_not_answer_is_named() {
    // Nothing listens on the discard port of any machine we know.
    let url = "ws://127.0.0.1:9";
    let told = Place::new().refusal(&["metagraph", "--endpoint", url, "--netuid", "3"], 4);
    assert!(told.contains(url) && told.contains("check the connection"), "{told}");
    let place = with_node(&format!("endpoints = [\"{url}\"]"));
    let told = place.refusal(&["train", "--config", "net/a/run.toml", "--windows", "1"], 4);
    assert!(told.contains(url), "{told}");
}

#[test]
fn a_node_without_a_seat_is_told_the_price_and_the_command() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let place = with_node(&format!("endpoints = [\"{}\"]", bittensor.server.url()));
    for role in ["train", "validate"] {
        let told = place.refusal(&[role, "--config", "net/a/run.toml", "--windows", "1"], 3);
        assert!(told.contains("0.5 TAO") && told.contains("cov72 register"), "{told}");
        assert!(told.contains("netuid 3"), "{told}");
    }
    assert_eq!(bittensor.server.asked("author_submitExtrinsic"), 0);
}

#[test]
fn a_subnet_that_does_not_exist_is_told_apart_from_an_empty_one() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (Place::new(), bittensor.server.url());
    for command in [&["metagraph"][..], &["chain", "info"]] {
        let more = ["--endpoint", &url, "--netuid", "77"];
        let told = place.refusal(&[command, &more].concat(), 4);
        assert!(told.contains("no such subnet"), "{told}");
    }
    let empty = place.says(&["metagraph", "--endpoint", &url, "--netuid", "4"]);
    assert_eq!(empty.lines().count(), 1, "{empty}");
}

#[test]
fn what_leads_nowhere_is_refused_with_the_way_out() {
    let place = with_node("endpoint = \"wss://a\"");
    let told = place.refusal(&["metagraph", "--config", "net/a/run.toml"], 2);
    assert!(told.contains("unknown key chain.endpoint; did you mean endpoints?"), "{told}");
    let line = std::fs::read_to_string(place.path("net/a/run.toml")).unwrap().lines().count();
    assert!(told.contains(&format!("run.toml:{line}:")), "{told}");
    let place = with_node("");
    let told = place.refusal(&["train", "--config", "net/a/run.toml", "--windows", "1"], 2);
    assert!(told.contains("chain.endpoints") && told.contains("wss://"), "{told}");
    let path = place.path("net/a/run.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("\nhotkey", "\n# hotkey");
    std::fs::write(&path, text + "endpoints = [\"ws://127.0.0.1:9\"]\n").unwrap();
    let told = place.refusal(&["train", "--config", "net/a/run.toml", "--windows", "1"], 2);
    assert!(told.contains("chain.hotkey") && told.contains("cov72 wallet create"), "{told}");
    for arguments in [&["metagraph"][..], &["metagraph", "--endpoint", "ws://127.0.0.1:9"]] {
        let told = place.refusal(arguments, 2);
        assert!(told.contains("--config") && told.contains("--netuid"), "{told}");
    }
    let info = ["chain", "info", "--netuid", "3", "--endpoint", "ws://127.0.0.1:9"];
    let told = place.refusal(&[&info[..], &["--genesis", "0x12"]].concat(), 2);
    assert!(told.contains("64 hex digits"), "{told}");
}
