//! Who stands where after a network, why, and whether that can be computed again.

use std::path::Path;

use chain::{Chain, DevChain, SystemClock};
use serde_json::Value;
use wire::Netuid;

use super::Place;

/// The standing of the peer that attacks so.
fn attacker<'a>(report: &'a Value, attack: &str) -> &'a Value {
    let standings = report["standings"].as_array().expect("a list of standings");
    let found = standings.iter().find(|standing| standing["attack"] == attack);
    found.unwrap_or_else(|| panic!("nobody attacks by {attack}: {report:#}"))
}

fn penalised(standing: &Value, code: &str) -> bool {
    standing["penalties"].as_array().unwrap().iter().any(|penalty| penalty["code"] == code)
}

fn explain(place: &Place, node: &str, window: &str, uid: &str, more: &[&str]) -> Value {
    let config = format!("net/{node}/run.toml");
    let fixed = ["explain", "--config", &config, "--window", window, "--uid", uid, "--json"];
    let output = place.run(&[&fixed[..], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

/// Judgements that a validator keeps, the oldest first.
fn judgements(node: &Path) -> Vec<Value> {
    let folder = std::fs::read_dir(node.join("judgements")).expect("judgements");
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| !path.ends_with("book.json"));
    paths.sort();
    let read = |path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    paths.iter().map(read).collect()
}

#[test]
fn whoever_cheats_is_told_from_the_honest_and_the_chain_knows_what_each_is_worth() {
    let place = Place::new();
    let report = place.localnet(&[
        "--peers",
        "5",
        "--windows",
        "8",
        "--attack",
        "malformed@3",
        "--attack",
        "copycat@4",
    ]);
    assert_eq!(report["agree"], true, "{report:#}");
    assert_eq!(report["standings"].as_array().unwrap().len(), 5, "{report:#}");
    for (attack, code) in [("malformed", "malformed"), ("copycat", "copied")] {
        let standing = attacker(&report, attack);
        assert!(penalised(standing, code), "{standing:#}");
        assert_eq!(standing["weight"], 0.0, "{standing:#}");
    }
    for standing in report["standings"].as_array().unwrap() {
        let honest = standing["attack"].is_null();
        assert!(!honest || !penalised(standing, "copied"), "{standing:#}");
        assert!(!honest || !penalised(standing, "malformed"), "{standing:#}");
        assert!(!honest || standing["score_random"].is_number(), "{standing:#}");
    }
    let file = place.path("net/chain.sqlite");
    let chain = DevChain::open(&file, std::sync::Arc::new(SystemClock)).expect("the chain");
    let metagraph = chain.metagraph(Netuid(72)).unwrap();
    let judge = metagraph.neurons.iter().find(|neuron| neuron.validator_permit).unwrap();
    let weights = chain.weights(Netuid(72), judge.uid).unwrap().expect("it voted");
    // Half is burned at the seat of the run's owner, which no node has.
    let is_node = |uid: u16| {
        let nodes = report["nodes"].as_array().unwrap();
        nodes.iter().any(|node| node["uid"].as_u64() == Some(u64::from(uid)))
    };
    assert!(weights.shares.iter().any(|(uid, _)| !is_node(uid.0)), "{weights:?}");
    for attack in ["malformed", "copycat"] {
        let uid = attacker(&report, attack)["uid"].as_u64();
        let paid = weights.shares.iter().any(|(paid, _)| Some(u64::from(paid.0)) == uid);
        assert!(!paid, "{attack}: {weights:?}");
    }
}

#[test]
fn a_score_is_explained_and_measured_again_by_others() {
    let place = Place::new();
    let report = place.localnet(&["--peers", "3", "--windows", "5"]);
    let uid = report["nodes"][1]["uid"].to_string();
    let own = explain(&place, "validator-0", "3", &uid, &["--replay"]);
    assert_eq!(own["replay"]["agrees"], true, "{own:#}");
    assert_eq!(own["replay"]["history"], 3, "{own:#}");
    let others = explain(&place, "peer-0", "3", &uid, &["--replay"]);
    assert_eq!(others["replay"]["agrees"], true, "{others:#}");
    assert_eq!(others["evidence"], own["evidence"]);

    let path = place.path("net/validator-0/judgements/000000000002.json");
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"mu\": 2", "\"mu\": 1", 1);
    std::fs::write(&path, text).unwrap();
    let config = ["explain", "--config", "net/validator-0/run.toml", "--window", "3"];
    let output = place.run(&[&config[..], &["--uid", &uid]].concat());
    assert_eq!(output.status.code(), Some(5));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("is not signed by"), "{told}");
}

#[test]
fn a_validator_that_is_killed_goes_on_from_its_judgements() {
    let place = Place::new();
    let events = ["--kill", "2@5", "--restart", "2@6"];
    // Nobody closes the window in which the only validator is away: it ends by the clock.
    let network = ["--peers", "2", "--windows", "10", "--window-s", "10"];
    let report = place.localnet(&[&network[..], &events].concat());
    assert_eq!(report["agree"], true, "{report:#}");
    let kept = judgements(&place.path("net/validator-0"));
    assert!(kept.len() >= 8, "{} judgements", kept.len());
    let windows = kept.iter().map(|judgement| judgement["document"]["evidence"]["window"].as_u64());
    let windows: Vec<u64> = windows.map(|window| window.expect("a number")).collect();
    for (before, judgement) in windows.iter().zip(&kept[1..]) {
        assert_eq!(judgement["document"]["previous"][0].as_u64(), Some(*before));
    }
    let uid = report["nodes"][0]["uid"].to_string();
    let last = (windows.last().unwrap() + 1).to_string();
    let explained = explain(&place, "validator-0", &last, &uid, &["--replay"]);
    assert_eq!(explained["replay"]["history"], kept.len(), "{explained:#}");
    assert_eq!(explained["replay"]["agrees"], true, "{explained:#}");
}
