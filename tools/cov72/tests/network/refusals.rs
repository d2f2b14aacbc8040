//! What a network's commands refuse, in one sentence with the remedy.

use super::Place;

/// Runs the command, expects it to fail with `exit`, and returns its last line.
fn refusal(place: &Place, arguments: &[&str], exit: i32) -> String {
    let output = place.run(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(exit), "{text}");
    assert!(output.stdout.is_empty(), "stdout is for data");
    text.lines().last().unwrap_or_default().to_string()
}

fn with_node() -> Place {
    let place = Place::new();
    let made = place.run(&["init", "--network", "net", "--model", "model.toml", "--dir", "net/a"]);
    assert!(made.status.success(), "{}", place.tell(&made));
    place
}

#[test]
fn a_network_without_miners_or_with_unknown_ones_is_refused() {
    let place = Place::new();
    let told = refusal(&place, &["localnet", "--peers", "0"], 2);
    assert!(told.contains("--peers"), "{told}");
    let told = refusal(&place, &["localnet", "--kill", "9@2"], 2);
    assert!(told.contains("kill 9@2") && told.contains("0 to 4"), "{told}");
    let told = refusal(&place, &["localnet", "--join", "1@99"], 2);
    assert!(told.contains("windows 1 to 10"), "{told}");
}

#[test]
fn a_folder_that_holds_a_network_or_a_node_is_not_overwritten() {
    let place = with_node();
    let told = refusal(&place, &["localnet", "--dir", "net"], 3);
    assert!(told.contains("net holds a network already"), "{told}");
    let told = refusal(&place, &["init", "--network", "net", "--dir", "net/a"], 3);
    assert!(told.contains("run.toml is there already"), "{told}");
}

#[test]
fn a_config_that_contradicts_the_networks_run_is_refused_by_key() {
    let place = with_node();
    let path = place.path("net/a/run.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.clone() + "\n[outer]\nalpha = 0.25\n").unwrap();
    let train = ["train", "--config", "net/a/run.toml", "--windows", "1"];
    let told = refusal(&place, &train, 2);
    assert!(told.contains("outer.alpha = 0.25") && told.contains("leave it out"), "{told}");
    std::fs::write(&path, text.replace("netuid", "netuidd")).unwrap();
    let told = refusal(&place, &train, 2);
    assert!(told.contains("unknown key network.netuidd; did you mean netuid?"), "{told}");
}

#[test]
fn other_data_than_the_runs_is_refused() {
    let place = with_node();
    let made = place.run(&["data", "synth", "--out", "other", "--tokens", "40960"]);
    assert!(made.status.success(), "{}", place.tell(&made));
    let train = ["train", "--config", "net/a/run.toml", "--data", "other", "--windows", "1"];
    let told = refusal(&place, &train, 3);
    assert!(told.contains("does not hold the data of run"), "{told}");
}

#[test]
fn a_missing_chain_or_run_is_named() {
    let place = with_node();
    std::fs::rename(place.path("net/chain.sqlite"), place.path("net/gone.sqlite")).unwrap();
    let train = ["train", "--config", "net/a/run.toml", "--windows", "1"];
    let told = refusal(&place, &train, 4);
    assert!(told.contains("chain.sqlite"), "{told}");
    std::fs::remove_file(place.path("net/run.json")).unwrap();
    let told = refusal(&place, &train, 2);
    assert!(told.contains("run.json"), "{told}");
}

#[test]
fn one_folder_is_one_node() {
    let place = with_node();
    let train = ["train", "--config", "net/a/run.toml", "--windows", "1"];
    // Nobody judges: it waits in the first window until it is killed.
    let mut first = place.command(&train);
    let mut first = first.stderr(std::process::Stdio::null()).spawn().expect("the command starts");
    let lock = place.path("net/a/lock");
    let pid = first.id().to_string();
    while std::fs::read_to_string(&lock).unwrap_or_default().trim() != pid {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let told = refusal(&place, &train, 3);
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    assert!(told.contains("is in use by process"), "{told}");
}

/// `cov72 init` of a node `net/b` on an S3 service that does not run.
fn init_on_s3(place: &Place, more: &[&str]) -> std::process::Output {
    // Nothing listens on the discard port of any machine we know.
    let bucket = "s3://bkt/p?endpoint=http://127.0.0.1:9&path_style=true";
    let init = ["init", "--network", "net", "--dir", "net/b", "--bucket", bucket];
    with_keys(place, &[&init[..], more].concat())
}

fn with_keys(place: &Place, arguments: &[&str]) -> std::process::Output {
    let mut command = place.command(arguments);
    command.env("COV72_S3_ACCESS_KEY", "WRITEACCESS").env("COV72_S3_SECRET_KEY", "writesecret1");
    command.output().expect("the command starts")
}

fn last_line(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_string()
}

#[cfg(unix)]
#[test]
fn an_s3_bucket_needs_a_private_key_file_a_read_key_and_a_service_that_answers() {
    use std::os::unix::fs::PermissionsExt;

    let place = with_node();
    let without = init_on_s3(&place, &[]);
    assert_eq!(without.status.code(), Some(2));
    assert!(last_line(&without).contains("needs a key that may read it"), "{without:?}");

    let key = place.path("read.toml");
    std::fs::write(&key, "access_key = \"READACCESS\"\nsecret_key = \"readsecret1\"\n").unwrap();
    let mode = |mode| std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o644);
    let open = init_on_s3(&place, &["--read-key", "read.toml"]);
    assert_eq!(open.status.code(), Some(3));
    assert!(last_line(&open).contains("chmod 600"), "{open:?}");

    mode(0o600);
    let made = init_on_s3(&place, &["--read-key", "read.toml"]);
    assert!(made.status.success(), "{made:?}");
    let train = ["train", "--config", "net/b/run.toml", "--windows", "1"];
    let refused = with_keys(&place, &train);
    assert_eq!(refused.status.code(), Some(4));
    let told = last_line(&refused);
    assert!(told.contains("cannot reach") && told.contains("127.0.0.1:9"), "{told}");
    assert!(!told.contains("secret1"), "{told}");
    assert_eq!(place.run(&train).status.code(), Some(3), "without a writing key");
}
