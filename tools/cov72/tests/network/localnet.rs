//! `cov72 localnet`: what its object says after joins, kills, restarts and takeovers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Place, roots};

/// The nodes of a report with this role.
fn nodes<'a>(report: &'a Value, role: &str) -> Vec<&'a Value> {
    let nodes = report["nodes"].as_array().expect("a list of nodes");
    nodes.iter().filter(|node| node["role"] == role).collect()
}

/// Checks by the nodes' own records that no window ever had two states.
fn assert_same_in_every_window(place: &Place) {
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    for entry in std::fs::read_dir(place.path("net")).unwrap() {
        let node = entry.unwrap().path();
        if node.join("windows.jsonl").exists() {
            for (window, root) in roots(&node) {
                let known = seen.entry(window).or_insert_with(|| root.clone());
                assert_eq!(*known, root, "window {window} in {}", node.display());
            }
        }
    }
    assert!(seen.len() >= 3);
}

#[test]
fn miners_that_join_die_and_return_hold_what_the_others_hold() {
    let place = Place::new();
    let report = place.localnet(&[
        "--peers",
        "4",
        "--windows",
        "10",
        "--join",
        "3@3",
        "--kill",
        "1@4",
        "--restart",
        "1@6",
    ]);
    assert_eq!(report["agree"], true, "{report:#}");
    let miners = nodes(&report, "miner");
    assert_eq!(miners.len(), 4);
    let root = |node: &Value| node["state_root"].as_str().expect("a root").to_string();
    let expected = root(nodes(&report, "validator")[0]);
    for miner in &miners {
        assert_eq!(root(miner), expected, "{report:#}");
        assert!(miner["accepted"].as_u64().unwrap() >= 1, "{report:#}");
    }
    assert!(miners[3]["joined_at"].as_u64().unwrap() >= 1);
    assert_same_in_every_window(&place);
}

#[test]
fn a_validator_that_dies_is_replaced_and_comes_back() {
    let place = Place::new();
    let report = place.localnet(&[
        "--peers",
        "2",
        "--validators",
        "2",
        "--windows",
        "9",
        "--kill",
        "2@3",
        "--restart",
        "2@6",
    ]);
    assert_eq!(report["agree"], true, "{report:#}");
    let last = |node: &Value| node["windows"].as_u64().expect("a number");
    assert_eq!(last(nodes(&report, "validator")[1]), 9, "the second one judged every window");
    for miner in nodes(&report, "miner") {
        assert!(miner["accepted"].as_u64().unwrap() >= 7, "{report:#}");
    }
    assert_same_in_every_window(&place);
}

/// Contributions that counted up to the end, and the mean loss of the last window of miners 0 to 2.
fn learned(place: &Place, report: &Value) -> (u64, f64) {
    let miners = nodes(report, "miner");
    let counted = miners.iter().map(|node| node["accepted"].as_u64().unwrap());
    let losses = (0..3).map(|peer| {
        let path = place.path(&format!("net/peer-{peer}/windows.jsonl"));
        let text = std::fs::read_to_string(path).expect("records");
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        last["loss_last"].as_f64().expect("a loss")
    });
    (counted.sum(), losses.sum::<f64>() / 3.0)
}

#[test]
fn eight_miners_of_which_one_comes_late_and_one_dies_learn_what_eight_undisturbed_ones_do() {
    let (calm, churned) = (Place::new(), Place::new());
    let report = calm.localnet(&["--peers", "8", "--windows", "12"]);
    let (calm_counted, calm_loss) = learned(&calm, &report);
    // A window more makes up for the contributions that the two did not make.
    let events = ["--join", "7@4", "--kill", "3@8"];
    let report = churned.localnet(&[&["--peers", "8", "--windows", "13"], &events[..]].concat());
    assert_eq!(report["agree"], true, "{report:#}");
    let (counted, loss) = learned(&churned, &report);
    assert!(counted < calm_counted + 4, "{counted} contributions against {calm_counted}");
    assert!(loss < 1.02 * calm_loss, "{loss} against {calm_loss}");
}
