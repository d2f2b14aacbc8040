//! Nodes started one by one, as the README shows.

use super::{Place, roots};

#[test]
fn three_nodes_started_by_hand_agree() {
    let place = Place::new();
    let init = ["init", "--network", "net", "--model", "model.toml", "--dir"];
    for more in [&["net/judge", "--role", "validator"][..], &["net/alice"], &["net/bob"]] {
        let output = place.run(&[&init[..], more].concat());
        assert!(output.status.success(), "{}", place.tell(&output));
    }
    let start = |role: &str, name: &str| {
        let config = format!("net/{name}/run.toml");
        let mut command = place.command(&[role, "--config", &config, "--windows", "4"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().expect("the command starts")
    };
    let nodes = [start("validate", "judge"), start("train", "alice"), start("train", "bob")];
    for node in nodes {
        let output = node.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", place.tell(&output));
    }
    let judged = roots(&place.path("net/judge"));
    assert_eq!(judged.len(), 4);
    for name in ["net/alice", "net/bob"] {
        assert_eq!(roots(&place.path(name)), judged, "{name}");
    }
    // The same command again finds nothing left to do.
    let again = place.run(&["train", "--config", "net/bob/run.toml", "--windows", "4"]);
    assert!(again.status.success(), "{}", place.tell(&again));
    assert_eq!(roots(&place.path("net/bob")), judged);
}
