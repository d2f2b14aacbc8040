//! Tests of single nodes in trouble: what an operator is told, and that the node keeps its place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bucket::{Bucket, Bytes, Spool};
use chain::{Blocks, Chain, Clock, DevChain, DevChainOptions};
use wire::{
    Announcement, BlockNumber, Document, Keypair, Manifest, ManifestRef, Note, SignedManifest,
    Window, protocol,
};

use super::forger::Forgery;
use super::script::Kind;
use super::stage::{self, NETUID, PACE, Scale, Stage, WINDOWS};
use crate::node::{Node, Outcome, Parts, Replica, Voice};

const BEGIN_MS: u64 = 1_000_000;

/// A clock that goes where it is put, also back.
struct Dial(AtomicU64);

impl Clock for Dial {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn sleep(&self, _: std::time::Duration) {}
}

/// Whatever a node says.
#[derive(Default)]
struct Ear {
    said: Mutex<Vec<String>>,
    evidence: Mutex<Vec<[Vec<u8>; 2]>>,
}

impl Ear {
    fn heard(&self, what: &str) -> usize {
        self.said.lock().unwrap().iter().filter(|said| said.contains(what)).count()
    }
}

impl Voice for Ear {
    fn say(&self, text: &str) {
        self.said.lock().unwrap().push(text.to_string());
    }

    fn doing(&self, _: &str) {}

    fn evidence(&self, first: &[u8], second: &[u8]) {
        self.evidence.lock().unwrap().push([first.to_vec(), second.to_vec()]);
    }
}

/// A network of which one node is looked at.
struct World {
    stage: Stage,
    chain: Arc<DevChain>,
    clock: Arc<Dial>,
    ear: Arc<Ear>,
    /// Everybody's bucket.
    bucket: Bucket,
    _data: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("data");
        stage::write_corpus(&path).unwrap();
        let scale = Scale { peers: 1, validators: 1, windows: 4 };
        let stage = Stage::new(1, scale, &path, None, &[]).unwrap();
        let clock = Arc::new(Dial(AtomicU64::new(BEGIN_MS)));
        let options =
            DevChainOptions { blocks: Blocks::EveryMs(1_000), ..DevChainOptions::default() };
        let chain = Arc::new(DevChain::in_memory(options, Arc::clone(&clock) as _).unwrap());
        let ear = Arc::default();
        Self { stage, chain, clock, ear, bucket: Bucket::memory(), _data: data }
    }

    fn put_clock(&self, since_ms: u64) {
        self.clock.0.store(BEGIN_MS + since_ms, Ordering::Relaxed);
    }

    async fn join(&self, key: u8, place: &str) -> Node {
        let bucket = self.bucket.clone();
        let parts = Parts {
            run: self.stage.run.clone(),
            layout: self.stage.layout.clone(),
            keypair: keypair(key),
            netuid: NETUID,
            chain: Arc::clone(&self.chain) as _,
            bucket: self.bucket.clone(),
            spool: Spool::new(&self.stage.data),
            place: place.to_string(),
            opener: Arc::new(move |_: &str| Ok(bucket.clone())),
            pace: PACE,
            voice: Arc::clone(&self.ear) as _,
            stop: Arc::default(),
        };
        Node::join(parts).await.unwrap()
    }

    /// Publishes a null manifest of window 0 by the node with that key, and announces it.
    async fn publish(&self, key: u8, close_block: u64) -> SignedManifest {
        let keypair = keypair(key);
        self.chain.register(NETUID, &keypair).unwrap();
        let (stage, run) = (&self.stage, self.stage.run.id());
        let replica = Replica::genesis(&stage.device, &stage.layout, &stage.run).unwrap();
        let manifest = Manifest {
            version: protocol::MANIFEST_VERSION,
            run,
            window: Window(0),
            validator: keypair.hotkey(),
            previous: None,
            first_block: WINDOWS.first_block,
            close_block: BlockNumber(close_block),
            parent_root: replica.root(),
            accepted: Vec::new(),
            rejected: Vec::new(),
            merged: None,
            root: replica.root(),
            tensor_roots: replica.tree().tensor_roots.clone(),
            checkpoint: None,
        };
        let (hash, parent_root) = (manifest.hash(), manifest.parent_root);
        let window = manifest.window;
        let signed = SignedManifest::sign(manifest, &keypair).unwrap();
        let key = bucket::ObjectKey::window_manifest(run, window, keypair.hotkey());
        let text = Bytes::from(signed.to_bytes());
        self.bucket.put(&key, text, bucket::PutMode::Overwrite).await.unwrap();
        let newest = Announcement { window, hash, parent_root };
        let note = Note { place: "sim:0".into(), manifest: Some(newest), previous: None };
        self.chain.commit(NETUID, &keypair, &note.to_bytes().unwrap()).unwrap();
        signed
    }
}

fn keypair(key: u8) -> Keypair {
    Keypair::from_seed([key; 32])
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_goes_back_is_waited_for_and_told_once() {
    let world = World::new();
    world.put_clock(20_000);
    let mut node = world.join(1, "sim:0").await;
    let (head, uid) = (node.head(), node.uid);
    world.put_clock(5_000);
    for _ in 0..3 {
        assert_eq!(node.pause().await.unwrap(), head, "it stays where it was");
    }
    assert_eq!(world.ear.heard("the chain went back from block"), 1);
    world.put_clock(30_000);
    assert!(node.pause().await.unwrap() > head);
    assert_eq!(node.uid, uid);
}

#[tokio::test(start_paused = true)]
async fn two_nodes_with_one_hotkey_are_told_to_stop_one() {
    let world = World::new();
    let first = world.join(1, "sim:0").await;
    let again = world.join(1, "sim:0").await;
    assert_eq!(world.ear.heard("stop one of the two"), 0, "the same node may come back");
    let second = world.join(1, "sim:1").await;
    assert_eq!((first.uid, again.uid), (second.uid, second.uid));
    assert_eq!(world.ear.heard("stop one of the two"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_of_nobodys_validator_does_not_count() {
    let world = World::new();
    world.chain.set_stake(keypair(2).hotkey(), 1_000_000_000).unwrap();
    world.chain.register(NETUID, &keypair(2)).unwrap();
    let mut node = world.join(1, "sim:0").await;
    world.put_clock(12_000);
    // Without stake, key 3 is no validator, whatever it signs.
    world.publish(3, 12).await;
    node.pause().await.unwrap();
    let span = WINDOWS.first();
    assert!(node.outcome_now(span).await.unwrap().is_none(), "the window stays open");
    let counts = world.publish(2, 12).await;
    node.pause().await.unwrap();
    let outcome = node.outcome_now(span).await.unwrap();
    let Some(Outcome::Counted(manifest)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(manifest.reference(), counts.document().reference());
}

#[tokio::test(start_paused = true)]
async fn two_manifests_for_one_window_are_kept_as_evidence_once() {
    let world = World::new();
    world.chain.set_stake(keypair(2).hotkey(), 1_000_000_000).unwrap();
    world.chain.register(NETUID, &keypair(2)).unwrap();
    let mut node = world.join(1, "sim:0").await;
    world.put_clock(12_000);
    let first = world.publish(2, 12).await;
    node.pause().await.unwrap();
    let span = WINDOWS.first();
    let Some(Outcome::Counted(manifest)) = node.outcome_now(span).await.unwrap() else {
        panic!("the first one counts")
    };
    let next = node.pass(&manifest);
    let second = world.publish(2, 11).await;
    for _ in 0..3 {
        node.pause().await.unwrap();
        assert!(node.outcome_now(next).await.unwrap().is_none());
    }
    let evidence = world.ear.evidence.lock().unwrap();
    assert_eq!(*evidence, [[first.to_bytes(), second.to_bytes()]]);
    let ManifestRef { validator, .. } = manifest.reference();
    assert_eq!(world.ear.heard(&format!("validator {validator} signed two manifests")), 1);
}

#[test]
fn every_forgery_is_played_by_some_seed() {
    let scale = Scale { peers: 4, validators: 3, windows: 12 };
    let drawn: Vec<_> = (0..60)
        .flat_map(|seed| super::script::Script::new(seed, scale, &[Kind::Forge]).forgeries)
        .map(|(_, forgery)| forgery)
        .collect();
    assert!(Forgery::ALL.iter().all(|forgery| drawn.contains(forgery)));
}
