//! `init` on Bittensor: what it makes, what it tells, and what it refuses before it makes anything.

use super::*;

/// A folder with a hotkey `alice` in the wallet `main`.
fn with_hotkey() -> Place {
    let place = Place::new();
    let create = ["wallet", "create", "--wallet", "main", "--hotkey", "alice"];
    assert!(place.run(&create).status.success());
    place
}

/// What makes the network `net` on netuid 3.
fn network(url: &str) -> Vec<&str> {
    let chain = ["--chain", "subtensor", "--netuid", "3", "--endpoint", url];
    let key = ["--wallet", "main", "--hotkey", "alice"];
    [&["init", "--network", "net"][..], &chain, &key].concat()
}

/// What a command that succeeds tells on stderr.
fn tells(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn toml_of(place: &Place, node: &str) -> toml::Table {
    let text = std::fs::read_to_string(place.path(node).join("run.toml")).expect("a file");
    text.parse().expect("TOML")
}

#[test]
fn the_first_node_makes_the_network_and_is_told_how_to_get_a_seat() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (with_hotkey(), bittensor.server.url());
    let told = tells(&place, &with(&network(&url), &["--dir", "net/alice"]));
    let file = place.path(".bittensor/wallets/main/hotkeys/alice");
    let address = chain::wallet::ss58(chain::wallet::read_address(&file).unwrap());
    for part in [
        &bittensor.double.genesis()[..],
        "0.5 TAO",
        &address,
        "cov72 register --config net/alice/run.toml",
        "cov72 train --config net/alice/run.toml",
        "nobody beyond this machine",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let toml = toml_of(&place, "net/alice");
    assert_eq!(toml["network"]["netuid"].as_integer(), Some(3));
    let chain = toml["chain"].as_table().unwrap();
    assert_eq!(chain["kind"].as_str(), Some("subtensor"));
    assert_eq!(chain["endpoints"].as_array().unwrap()[0].as_str(), Some(&*url));
    assert_eq!(chain["genesis"].as_str(), Some(&*bittensor.double.genesis()));
    assert_eq!(chain["hotkey"].as_str().map(PathBuf::from), Some(file));
    // The owner of the run is the hotkey, and a window is twenty minutes of blocks of 12 s.
    let run: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path("net/run.json")).unwrap()).unwrap();
    let run = run.get("document").unwrap_or(&run);
    assert_eq!(run["windows"]["blocks_per_window"], 100, "{run}");
    assert_eq!(run["windows"]["judge_blocks"], 10);
    assert_eq!(run["windows"]["first_block"], bittensor.double.head() + 1);
    assert!(!place.path("net/chain.sqlite").exists());
    // Nothing is sent before there is a seat, and both commands take the file.
    for role in ["train", "validate"] {
        let told = place.refusal(&[role, "--config", "net/alice/run.toml", "--windows", "1"], 3);
        assert!(told.contains("cov72 register"), "{told}");
    }
    assert_eq!(bittensor.server.asked("author_submitExtrinsic"), 0);
}

#[test]
fn who_comes_later_names_a_hotkey_only() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (with_hotkey(), bittensor.server.url());
    tells(&place, &network(&url));
    assert!(place.run(&["wallet", "create", "--hotkey", "bob"]).status.success());
    let bob = place.path(".bittensor/wallets/default/hotkeys/bob");
    bittensor.seat(&chain::wallet::read_key(&bob, &|_| None).unwrap());
    let join = ["init", "--network", "net", "--hotkey", "bob", "--role", "validator"];
    let told = tells(&place, &with(&join, &["--dir", "net/bob"]));
    assert!(told.contains("has uid 0 on netuid 3"), "{told}");
    assert!(told.contains("cov72 validate --config net/bob/run.toml"), "{told}");
    let toml = toml_of(&place, "net/bob");
    assert_eq!(toml["chain"]["genesis"].as_str(), Some(&*bittensor.double.genesis()));
    // With the run alone, as it comes from its owner, the chain is named once more.
    std::fs::create_dir(place.path("far")).unwrap();
    std::fs::copy(place.path("net/run.json"), place.path("far/run.json")).unwrap();
    let far = ["init", "--network", "far", "--dir", "far/bob"];
    let told = place.refusal(&far, 2);
    assert!(told.contains("--chain subtensor"), "{told}");
    let chain = ["--hotkey", "bob", "--chain", "subtensor", "--netuid", "3", "--endpoint", &url];
    let told = place.refusal(&with(&far, &chain), 2);
    assert!(told.contains("far/data is not there") && told.contains("--data"), "{told}");
    tells(&place, &with(&far, &with(&chain, &["--data", "net/data"])));
    let data = toml_of(&place, "far/bob")["node"]["data"].as_str().map(PathBuf::from);
    assert_eq!(data, Some(place.path("net/data")));
}

#[test]
fn what_leads_nowhere_is_refused_and_leaves_nothing_behind() {
    let Some(bittensor) = Bittensor::start(FIXED) else { return };
    let (place, url) = (with_hotkey(), bittensor.server.url());
    let node = ["--dir", "net/alice"];
    let network = |url, more: &[&'static str]| with(&with(&network(url), &node), more);
    let wrong = format!("0x{}", "5a".repeat(32));
    for (arguments, exit, part) in [
        (with(&["init", "--network", "net", "--chain", "subtensor"], &node), 2, "--netuid N"),
        (with(&["init", "--network", "net", "--netuid", "3"], &node), 2, "--chain subtensor"),
        (network(&url, &["--stake", "5"]), 2, "leave it out"),
        (with(&network(&url, &[]), &["--genesis", &wrong]), 2, &wrong),
        (network(&url, &["--genesis", "0x12"]), 2, "64 hex digits"),
        (network("https://a", &[]), 2, "wss://"),
        (network("ws://127.0.0.1:9", &[]), 4, "check the connection"),
        (network(&url, &["--block-ms", "0"]), 2, "at least 1"),
    ] {
        let told = place.refusal(&arguments, exit);
        assert!(told.contains(part), "{arguments:?}: {told}");
        assert!(!place.path("net/run.json").exists(), "{arguments:?}");
    }
    let nobody = ["--chain", "subtensor", "--netuid", "3", "--endpoint", &url];
    let told = place.refusal(&with(&["init", "--network", "net"], &nobody), 3);
    assert!(told.contains("hotkeys/default") && told.contains("cov72 wallet create"), "{told}");
    let nowhere = ["init", "--network", "net", "--wallet", "main", "--hotkey", "alice", "--chain"];
    let nowhere = with(&nowhere, &["subtensor", "--netuid", "77", "--endpoint", &url]);
    assert!(place.refusal(&nowhere, 4).contains("no such subnet"));
    assert!(!place.path("net/run.json").exists());
    // A network has one chain.
    assert!(place.run(&with(&["init", "--network", "dev"], &[])).status.success());
    let told = place.refusal(&with(&["init", "--network", "dev"], &nobody), 2);
    assert!(told.contains("is on a dev chain"), "{told}");
    tells(&place, &network(&url, &[]));
    let again = ["init", "--network", "net", "--wallet", "main", "--hotkey", "alice"];
    let told = place.refusal(&with(&again, &["--netuid", "4"]), 2);
    assert!(told.contains("--netuid 4") && told.contains("is on 3"), "{told}");
    let told = place.refusal(&with(&again, &["--chain", "dev"]), 2);
    assert!(told.contains("is on Bittensor"), "{told}");
    let told = place.refusal(&with(&again, &node), 3);
    assert!(told.contains("is there already"), "{told}");
}

#[test]
fn sealed_votes_are_told_before_a_network_relies_on_open_ones() {
    let Some(bittensor) = Bittensor::start(Fixed { sealed: true, ..FIXED }) else { return };
    let told = tells(&with_hotkey(), &network(&bittensor.server.url()));
    assert!(told.contains("sealed votes only"), "{told}");
}
