//! `cov72 sim`: whole networks from a seed, which replay byte for byte and hold together.

use std::process::{Command, Output};

use serde_json::Value;

fn sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
    command.arg("sim").args(arguments).stdin(std::process::Stdio::null());
    command.output().expect("the command starts")
}

fn report(arguments: &[&str]) -> Value {
    let output = sim(&[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

/// Plays `seeds` in which nothing but `kind` befalls six nodes.
fn holds_together(kind: &str, seeds: &str) {
    let output = sim(&["--seeds", seeds, "--only", kind]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let [one, two, other] = ["5", "5", "6"].map(|seed| report(&["--seed", seed]));
    assert_eq!(one, two);
    assert_ne!(one["history_blake3"], other["history_blake3"]);
    assert_eq!(one["agree"], true);
    assert_eq!(one["nodes"].as_array().map(Vec::len), Some(6));
}

#[test]
fn networks_to_which_everything_may_happen_hold_together() {
    let output = sim(&["--seeds", "0..24"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn seeds_that_once_broke_the_protocol_hold_together() {
    // What each of them showed stands in the commit that mended it.
    for seed in ["0", "3", "4", "177", "125", "176", "219", "341"] {
        let report = report(&["--seed", seed]);
        assert_eq!(report["agree"], true, "{}", report["violations"]);
    }
}

#[test]
fn late_joiners_come_to_the_state_of_the_others() {
    holds_together("late-join", "0..6");
}

#[test]
fn whoever_stays_is_not_held_up_by_who_leaves() {
    holds_together("leave", "0..6");
}

#[test]
fn a_killed_peer_comes_back_to_the_state_that_it_would_have_had() {
    holds_together("kill", "0..6");
}

#[test]
fn a_killed_validator_is_replaced() {
    holds_together("validator-kill", "0..6");
}

#[test]
fn a_network_without_validators_stands_still_until_they_are_back() {
    holds_together("validators-gone", "0..6");
}

#[test]
fn both_sides_of_a_split_come_together_again() {
    holds_together("split", "0..6");
}

#[test]
fn a_flipped_bit_is_noticed_and_mended() {
    holds_together("bit-flip", "0..6");
}

#[test]
fn lies_do_not_count() {
    holds_together("lie", "0..12");
}

#[test]
fn nobody_waits_for_who_sends_what_cannot_be_read() {
    let play = |more: &[&str]| {
        let report = report(&[&["--seed", "1", "--peers", "4", "--windows", "8"], more].concat());
        assert_eq!(report["agree"], true, "{report:#}");
        report["virtual_s"].as_f64().expect("seconds")
    };
    // Any attack plays without other troubles; this one delivers like an honest peer.
    let (honest_s, malformed_s) =
        (play(&["--attack", "sign-flip@1"]), play(&["--attack", "malformed@1"]));
    assert!(malformed_s < 1.5 * honest_s, "{malformed_s} s, {honest_s} s if it can be read");
}

/// Which of the two was first hung once on when the validator looked at the chain: the victim was
/// called the copycat in window 4 of this seed.
#[test]
fn exact_and_changed_copies_are_excluded_and_nobody_else_is() {
    let attacks = ["--attack", "copycat@4", "--attack", "copycat-perturbed@5"];
    let fixed = ["--seed", "3", "--peers", "6", "--validators", "1", "--windows", "6"];
    let report = report(&[&fixed[..], &attacks].concat());
    assert_eq!(report["agree"], true, "{report:#}");
    for standing in report["standings"].as_array().expect("a list") {
        let codes: Vec<&str> = standing["penalties"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|penalty| penalty["code"].as_str())
            .collect();
        let is_copy = standing["attack"].is_string();
        assert_eq!(codes.iter().any(|code| code.starts_with("copied")), is_copy, "{standing:#}");
        if is_copy {
            assert_eq!((&standing["place"], &standing["weight"]), (&"barred".into(), &0.0.into()));
            assert!(codes.contains(&"copied_again"), "{standing:#}");
        }
    }
}

/// In this seed a peer misses a window, and what it sends in the next one is refused. That lies in
/// its residual and is sent again, which once was held to be a copy of itself, and the peer barred.
#[test]
fn whoever_sends_again_what_did_not_count_is_not_barred_for_it() {
    let attacks = ["--attack", "copycat@6", "--attack", "copycat-delayed@8"];
    let fixed = ["--seed", "13", "--peers", "10", "--validators", "1", "--windows", "9"];
    let more = ["--attack", "copycat-perturbed@7"];
    let report = report(&[&fixed[..], &attacks, &more].concat());
    for standing in report["standings"].as_array().expect("a list") {
        let mut penalties = standing["penalties"].as_array().into_iter().flatten();
        let is_barred = penalties.any(|penalty| penalty["code"] == "copied_again");
        assert_eq!(is_barred, standing["attack"].is_string(), "{standing:#}");
    }
}

/// In this seed window 2 ends without a manifest, so that nothing of it counts. What the validators
/// would have counted was once held to have, and eleven honest peers to copy themselves.
#[test]
fn whatever_a_window_without_manifest_held_may_be_sent_again() {
    let fixed = ["--seed", "0", "--peers", "13", "--validators", "2", "--windows", "3"];
    let report = report(&[&fixed[..], &["--attack", "copycat@12"]].concat());
    for standing in report["standings"].as_array().expect("a list") {
        let mut penalties = standing["penalties"].as_array().into_iter().flatten();
        let is_accused = penalties.any(|penalty| penalty["code"] == "copied");
        assert_eq!(is_accused, standing["attack"].is_string(), "{standing:#}");
    }
}

#[test]
fn whatever_one_validator_forges_the_others_agree_and_go_on() {
    let output = sim(&["--seeds", "0..16", "--validators", "3", "--only", "forge"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn forging_is_refused_where_no_honest_majority_is_left() {
    let output = sim(&["--only", "forge"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--validators 3"), "{told}");
}

#[test]
fn every_window_leaves_one_record_on_every_node_that_stays() {
    for seed in ["1", "2", "3"] {
        let report = report(&["--seed", seed, "--only", "validators-gone"]);
        for node in report["nodes"].as_array().expect("a list") {
            assert_eq!(node["windows"], 12, "seed {seed}: {node}");
        }
    }
}

#[test]
fn storages_that_fail_do_not_divide_a_network() {
    holds_together("storage", "0..6");
}

#[test]
fn a_plan_of_faults_that_does_not_read_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let plan = dir.path().join("plan.toml");
    std::fs::write(&plan, "[[rule]]\nfault = { kind = \"fire\" }\n").expect("a small file");
    let output = sim(&["--faults", plan.to_str().expect("a path of plain letters")]);
    assert_eq!(output.status.code(), Some(2));
}
