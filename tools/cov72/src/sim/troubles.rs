//! Tests of single nodes in trouble: what an operator is told, and that the node keeps its place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bucket::{Bucket, Bytes, Limits, ObjectKey, PutMode, Spool};
use chain::{Blocks, Chain, Clock, DevChain, DevChainOptions};
use wire::{
    Accepted, Announcement, BlockNumber, Content, Digest, Document, Keypair, Manifest, ManifestRef,
    Note, SignedManifest, Window, protocol,
};

use super::forger::Forgery;
use super::script::Kind;
use super::stage::{self, NETUID, PACE, Scale, Stage, Subject, WINDOWS};
use crate::node::{Node, Outcome, Parts, Publisher, Replica, Voice};
use crate::train::Screen;

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
        stage::write_corpus(&path, false).unwrap();
        let scale = Scale { peers: 1, validators: 1, windows: 4, subject: Subject::Nothing };
        let stage = Stage::new(1, scale, &path, None, &[], &[]).unwrap();
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
            first: self.stage.first_params(),
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

    fn replica(&self) -> Replica {
        let stage = &self.stage;
        let first = stage.first_params();
        Replica::genesis(&stage.device, &stage.layout, &stage.run, &first).unwrap()
    }

    /// A manifest of window 0 by the node with that key, in which nothing counts.
    fn null(&self, key: u8, close_block: u64) -> Manifest {
        let replica = self.replica();
        Manifest {
            version: protocol::MANIFEST_VERSION,
            run: self.stage.run.id(),
            window: Window(0),
            validator: keypair(key).hotkey(),
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
        }
    }

    /// Signs a manifest by the node with that key, publishes it, and announces it.
    async fn publish(&self, key: u8, manifest: Manifest) -> SignedManifest {
        let keypair = keypair(key);
        self.chain.register(NETUID, &keypair).unwrap();
        let Manifest { run, window, parent_root, .. } = manifest;
        let hash = manifest.hash();
        let signed = SignedManifest::sign(manifest, &keypair).unwrap();
        let key = ObjectKey::window_manifest(run, window, keypair.hotkey());
        let text = Bytes::from(signed.to_bytes());
        self.bucket.put(&key, text, PutMode::Overwrite).await.unwrap();
        let newest = Announcement { window, hash, parent_root };
        let note = Note { place: "sim:0".into(), manifest: Some(newest) };
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
    world.publish(3, world.null(3, 12)).await;
    node.pause().await.unwrap();
    let span = WINDOWS.first();
    assert!(node.outcome_now(span).await.unwrap().is_none(), "the window stays open");
    let counts = world.publish(2, world.null(2, 12)).await;
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
    let first = world.publish(2, world.null(2, 12)).await;
    node.pause().await.unwrap();
    let span = WINDOWS.first();
    let Some(Outcome::Counted(manifest)) = node.outcome_now(span).await.unwrap() else {
        panic!("the first one counts")
    };
    let next = node.pass(&manifest);
    let second = world.publish(2, world.null(2, 11)).await;
    for _ in 0..3 {
        node.pause().await.unwrap();
        assert!(node.outcome_now(next).await.unwrap().is_none());
    }
    let evidence = world.ear.evidence.lock().unwrap();
    assert_eq!(*evidence, [[first.to_bytes(), second.to_bytes()]]);
    let ManifestRef { validator, .. } = manifest.reference();
    assert_eq!(world.ear.heard(&format!("validator {validator} signed two manifests")), 1);
    assert_eq!(kept_on_disk(&evidence[0]), [first, second].map(|one| one.document().reference()));
}

/// What a process keeps of evidence in its node's folder, as somebody else reads it.
fn kept_on_disk([first, second]: &[Vec<u8>; 2]) -> [ManifestRef; 2] {
    let dir = tempfile::tempdir().unwrap();
    Screen::new(1, 1, None, dir.path().to_path_buf()).evidence(first, second);
    let read = |object: &[u8]| {
        let path = dir.path().join("evidence").join(format!("{}.json", blake3::hash(object)));
        let kept = std::fs::read(path).unwrap();
        SignedManifest::parse(&kept).unwrap().document().reference()
    };
    assert_eq!(std::fs::read_dir(dir.path().join("evidence")).unwrap().count(), 2);
    [read(first), read(second)]
}

#[tokio::test(start_paused = true)]
async fn a_note_that_hides_the_first_manifest_does_not_take_it_back() {
    let world = World::new();
    world.chain.set_stake(keypair(2).hotkey(), 1_000_000_000).unwrap();
    world.chain.register(NETUID, &keypair(2)).unwrap();
    let (mut early, mut late) = (world.join(1, "sim:0").await, world.join(3, "sim:0").await);
    world.put_clock(12_000);
    let first = world.publish(2, world.null(2, 12)).await;
    early.pause().await.unwrap();
    let span = WINDOWS.first();
    let Some(Outcome::Counted(manifest)) = early.outcome_now(span).await.unwrap() else {
        panic!("whoever looks now sees the first one")
    };
    assert_eq!(manifest.reference(), first.document().reference());
    let key = ObjectKey::window_manifest(manifest.run, Window(0), manifest.validator);
    let kept = world.bucket.get(&key, Limits { bytes_max: 1 << 20, timeout: PACE.request }).await;
    // Another one in its place, then a note that announces nothing at all.
    world.publish(2, world.null(2, 11)).await;
    let note = Note { place: "sim:0".into(), manifest: None };
    world.chain.commit(NETUID, &keypair(2), &note.to_bytes().unwrap()).unwrap();
    late.pause().await.unwrap();
    assert!(late.outcome_now(span).await.unwrap().is_none(), "it is known, and not to be had");
    world.bucket.put(&key, kept.unwrap(), PutMode::Overwrite).await.unwrap();
    let Some(Outcome::Counted(again)) = late.outcome_now(span).await.unwrap() else {
        panic!("some mirror has it")
    };
    assert_eq!(again.reference(), manifest.reference());
}

#[tokio::test(start_paused = true)]
async fn whoever_needs_an_update_that_is_gone_plans_anew_from_the_newest_note() {
    let world = World::new();
    world.chain.set_stake(keypair(2).hotkey(), 1_000_000_000).unwrap();
    let validator = world.join(2, "sim:0").await;
    let mut node = world.join(1, "sim:0").await;
    world.put_clock(12_000);
    let mut later = world.replica();
    later
        .fill(|_, values| {
            values[0] += 1.0;
            Ok(())
        })
        .unwrap();
    // What window 1 accepted was pruned everywhere.
    let (gone, mut first) = (Digest([9; 32]), world.null(2, 12));
    let object = Content { hash: gone, bytes: node.shape.object_bytes() };
    first.accepted = vec![Accepted { uid: node.uid, object }];
    first.merged = Some(Content { hash: gone, bytes: wire::merged_bytes(&node.shape, 1) });
    (first.root, first.tensor_roots) = (later.root(), later.tree().tensor_roots.clone());
    world.publish(2, first.clone()).await;
    let after = |last: &Manifest| Manifest {
        window: last.window.next(),
        previous: Some(last.reference()),
        parent_root: last.root,
        first_block: last.close_block,
        accepted: Vec::new(),
        merged: None,
        ..last.clone()
    };
    let second = after(&first);
    let mut third = after(&second);
    for manifest in [&second, &third] {
        world.publish(2, manifest.clone()).await;
    }

    let mut replica = world.replica();
    let arrives = node.catch_up(&mut replica, WINDOWS.first());
    let publishes = async {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(world.ear.heard("nobody has the update of window 1; planning anew") > 0);
        let hash = Publisher::new(&validator).publish(&later, Window(1)).await.unwrap();
        third.checkpoint = Some((Window(1), hash));
        world.publish(2, third.clone()).await;
        world.publish(2, after(&third)).await;
    };
    let both = async { tokio::join!(arrives, publishes) };
    let (span, ()) = tokio::time::timeout(std::time::Duration::from_secs(600), both)
        .await
        .expect("it does not wait for ever");
    assert_eq!(span.unwrap().window, Window(4));
    assert_eq!(replica.root(), later.root());
}

#[test]
fn every_forgery_is_played_by_some_seed() {
    let scale = Scale { peers: 4, validators: 3, windows: 12, subject: Subject::Nothing };
    let drawn: Vec<_> = (0..60)
        .flat_map(|seed| super::script::Script::new(seed, scale, &[Kind::Forge]).forgeries)
        .map(|(_, forgery)| forgery)
        .collect();
    assert!(Forgery::ALL.iter().all(|forgery| drawn.contains(forgery)));
}
