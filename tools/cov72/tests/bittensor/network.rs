//! `train` and `validate` on Bittensor: a round needs nothing but finalized blocks and notes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use chain::wallet::read_key;
use double::unseat;
use serde_json::Value as Json;

use super::*;

/// A quarter of a second, as the dev chain's that `init` makes.
const BLOCK_MS: u64 = 250;
/// A model of 17 thousand parameters whose windows take a fraction of a second.
const MODEL: &str = "name = \"tiny\"\n[model]\nlayers = 1\nd_model = 32\nheads = 4\nkv_heads = 2\n\
                     ffn = 64\nseq_len = 64\ntied = true\n[inner]\nsteps = 2\n";

/// A node of Bittensor that makes blocks by the clock, and a network on it.
struct Network {
    place: Place,
    bittensor: Bittensor,
    stop: Arc<AtomicBool>,
    blocks: Option<JoinHandle<()>>,
}

impl Network {
    fn start() -> Option<Self> {
        let bittensor = Bittensor::start(Fixed { block_ms: BLOCK_MS, ..FIXED })?;
        let (double, stop) = (Arc::clone(&bittensor.double), Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&stop);
        let blocks = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                double.advance(1);
                std::thread::sleep(Duration::from_millis(BLOCK_MS));
            }
        });
        let place = Place::new();
        std::fs::write(place.path("model.toml"), MODEL).unwrap();
        Some(Self { place, bittensor, stop, blocks: Some(blocks) })
    }

    /// A node with a hotkey in a wallet, which has a seat; the first makes the network.
    fn add(&self, name: &str) -> Keypair {
        assert!(self.place.run(&["wallet", "create", "--hotkey", name]).status.success());
        let hotkey = self.place.path(".bittensor/wallets/default/hotkeys").join(name);
        let key = read_key(&hotkey, &|_| None).unwrap();
        self.bittensor.seat(&key);
        let (dir, url) = (format!("net/{name}"), self.bittensor.server.url());
        let mut init = vec!["init", "--network", "net", "--dir", &dir, "--hotkey", name];
        let chain = ["--chain", "subtensor", "--netuid", "3", "--endpoint", &url];
        let pace = ["--block-ms", "250", "--window-s", "120", "--judge-s", "3"];
        if !self.place.path("net/run.json").exists() {
            init.extend([&chain[..], &pace, &["--model", "model.toml"]].concat());
        }
        let made = self.place.run(&init);
        assert!(made.status.success(), "{made:?}");
        // Looks as often as such short windows want it.
        let path = self.place.path(&dir).join("run.toml");
        let toml = std::fs::read_to_string(&path).unwrap();
        let toml = toml.replace("look_ms = 2000", "look_ms = 50");
        std::fs::write(&path, toml.replace("poll_ms = 2000", "poll_ms = 200")).unwrap();
        key
    }

    fn spawn(&self, role: &str, name: &str, more: &[&str]) -> Child {
        let config = format!("net/{name}/run.toml");
        let mut command = self.place.command(&[&[role, "--config", &config], more].concat());
        command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the command starts")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(blocks) = self.blocks.take() {
            let _ = blocks.join();
        }
    }
}

/// The state root that a node recorded after each window.
fn roots(node: &Path) -> BTreeMap<u64, String> {
    let text = std::fs::read_to_string(node.join("windows.jsonl")).expect("records");
    let record = |line: &str| {
        let record: Json = serde_json::from_str(line).expect("a record");
        let root = record["root"].as_str().expect("a root").to_string();
        (record["window"].as_u64().expect("a window"), root)
    };
    text.lines().map(record).collect()
}

#[test]
fn three_miners_and_a_validator_agree_over_bittensor() {
    const MINERS: [&str; 3] = ["alice", "bob", "carol"];
    let Some(network) = Network::start() else { return };
    let judge = network.add("judge");
    for name in MINERS {
        network.add(name);
    }
    stake(&network.bittensor.double, judge.hotkey());
    let windows = ["--windows", "4"];
    let mut nodes = vec![network.spawn("validate", "judge", &windows)];
    nodes.extend(MINERS.map(|name| network.spawn("train", name, &windows)));
    for node in nodes {
        let output = node.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        let told = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
        for name in ["judge", "alice", "bob", "carol"] {
            let file = network.place.path(".bittensor/wallets/default/hotkeys").join(name);
            let key: Json = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            for secret in ["secretSeed", "secretPhrase"] {
                assert!(!told.contains(key[secret].as_str().unwrap()), "{name}'s {secret}");
            }
        }
    }
    let judged = roots(&network.place.path("net/judge"));
    assert_eq!(judged.len(), 4);
    for name in MINERS {
        assert_eq!(roots(&network.place.path("net").join(name)), judged, "{name}");
    }
}

#[test]
fn a_miner_that_loses_its_seat_stops_and_says_so() {
    let Some(network) = Network::start() else { return };
    let key = network.add("alice");
    let sent = network.bittensor.server.asked("author_submitExtrinsic");
    // Nobody judges: it waits in the first window.
    let node = network.spawn("train", "alice", &[]);
    while network.bittensor.server.asked("author_submitExtrinsic") < sent + 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    unseat(&network.bittensor.double, NETUID, key.hotkey());
    let output = node.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    let told = told.lines().last().unwrap_or_default();
    for part in ["lost its seat", &chain::wallet::ss58(key.hotkey()), "is kept", "cov72 register"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
