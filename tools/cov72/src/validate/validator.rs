//! One validator's window, start to finish: judge, take the step, publish the manifest, follow the
//! one that counts, hold ready what joiners need.

use std::collections::BTreeSet;
use std::sync::Arc;

use bucket::{Body, Bytes, ObjectKey};
use runtime::dataset::Dataset;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use wire::{
    Accepted, BlockNumber, Content, Digest, Document, Manifest, MergedClaims, Role, SignedManifest,
    Span, StateRoot, Uid, Window, WindowRecord, protocol,
};

use super::judge::{Judged, judge};
use super::patience::Patience;
use super::referee::{Referee, Scoring};
use crate::failure::Failure;
use crate::node::{Contribution, Node, Outcome, Publisher, Replica, merge, newest_checkpoint};

/// Takes the records of a validator's windows.
pub(crate) type OnRecord = Box<dyn FnMut(WindowRecord) -> Result<(), Failure>>;

/// First window of a published checkpoint, and the hash of its index.
type Published = Result<(Window, Digest), Failure>;

/// A validator with everything it holds between windows.
pub(crate) struct Validator {
    pub(crate) node: Node,
    replica: Replica,
    dataset: Arc<Dataset>,
    patience: Patience,
    referee: Referee,
    /// The window that the replica's state begins.
    span: Span,
    /// Windows between two published checkpoints.
    checkpoint_every: u64,
    /// The newest checkpoint in the bucket.
    checkpoint: Option<(Window, Digest)>,
    /// The one that is being published beside the windows, if there is one.
    publishing: JoinSet<Published>,
    on_record: OnRecord,
}

/// What this validator makes of a window.
struct Opinion {
    manifest: Manifest,
    state: Replica,
    /// The merged update, if anything is accepted.
    merged: Option<Body>,
}

impl Validator {
    /// A validator that holds `replica`, the run's first parameters, and of an earlier life what
    /// is in the archive of `scoring`.
    pub(crate) fn new(
        node: Node,
        replica: Replica,
        dataset: Dataset,
        checkpoint_every: u64,
        scoring: Scoring,
        on_record: OnRecord,
    ) -> Result<Self, Failure> {
        let (span, patience) = (node.run.windows.first(), Patience::default());
        let dataset = Arc::new(dataset);
        let referee = Referee::new(&node, Arc::clone(&dataset), replica.device(), scoring)?;
        Ok(Self {
            node,
            replica,
            dataset,
            patience,
            referee,
            span,
            checkpoint_every,
            checkpoint: None,
            publishing: JoinSet::new(),
            on_record,
        })
    }

    /// Judges until `windows` are done, or until asked to stop.
    ///
    /// # Errors
    /// As [`Node::pause`]; chain or disk fail.
    pub(crate) async fn run(&mut self, windows: u64) -> Result<(), Failure> {
        self.recall().await?;
        loop {
            self.span = self.node.catch_up(&mut self.replica, self.span).await?;
            let (run_id, uid) = (self.node.run_id, self.node.uid);
            let passed = self.node.trail.take(run_id, uid, Role::Validator);
            passed.into_iter().try_for_each(|record| (self.on_record)(record))?;
            if self.span.window.0 >= windows {
                self.node.voice.doing("measuring the last window");
                self.referee.absorb(&mut self.node).await?;
                self.node.voice.doing("waiting for the checkpoint");
                let published = self.publishing.join_next().await;
                return self.published(published);
            }
            if self.node.head() < self.span.first_block {
                self.node.voice.doing("waiting for the run to begin");
                self.node.pause().await?;
                continue;
            }
            self.window().await?;
        }
    }

    /// State of the shared parameters, and the window that begins with it.
    pub(crate) fn state(&self) -> (Window, StateRoot) {
        (self.span.window, self.replica.root())
    }

    /// What an earlier life of this validator left in the bucket.
    async fn recall(&mut self) -> Result<(), Failure> {
        let Some(announced) = self.node.announced() else { return Ok(()) };
        let last = self.node.manifest(&announced).await;
        self.checkpoint = newest_checkpoint(&self.node).await;
        let Some(manifest) = last else { return Ok(()) };
        // It may have been killed before the update was there for others.
        let root = manifest.parent_root;
        let (run_id, uid) = (self.node.run_id, self.node.uid);
        let window = announced.window;
        let mut record = WindowRecord::new(run_id, window, uid, Role::Validator, root);
        self.mirror(&manifest, None, &mut record).await
    }

    async fn window(&mut self) -> Result<(), Failure> {
        let (span, parent_root) = (self.span, self.replica.root());
        let (run_id, uid) = (self.node.run_id, self.node.uid);
        let mut record = WindowRecord::new(run_id, span.window, uid, Role::Validator, parent_root);
        // Whoever announced a manifest before it was killed does not announce another one.
        let judged_before = self.node.announced().is_some_and(|last| last.window >= span.window);
        let mut opinion = match judged_before {
            true => None,
            false => self.judge_and_publish(&mut record).await?,
        };
        loop {
            let clock = Instant::now();
            self.node.voice.doing("waiting for the manifest that counts");
            let outcome = self.node.outcome(span).await?;
            record.phases.wait_s += clock.elapsed().as_secs_f64();
            match outcome {
                Outcome::Counted(manifest) => {
                    if self.conclude(&manifest, &mut opinion, &mut record).await? {
                        break;
                    }
                }
                Outcome::Null => {
                    let window = span.window.0 + 1;
                    self.node.voice.say(&format!("window {window} ended without a manifest"));
                    self.span = self.node.pass_null(span);
                    break;
                }
                // The loop catches up, and its trail tells of this window.
                Outcome::Behind(..) => {
                    self.referee.forget();
                    return Ok(());
                }
            }
        }
        record.root = self.replica.root();
        record.down_bytes = self.node.take_down_bytes();
        (self.on_record)(record)
    }

    /// None if this node's own parameters are no longer what they were: then it has no opinion.
    async fn judge_and_publish(
        &mut self,
        record: &mut WindowRecord,
    ) -> Result<Option<Opinion>, Failure> {
        let published = self.publishing.try_join_next();
        self.published(published)?;
        let (span, clock) = (self.span, Instant::now());
        let window = span.window.0 + 1;
        self.node.voice.doing(&format!("judging window {window}"));
        let Self { node, dataset, patience, referee, .. } = self;
        let root = record.parent_root;
        expect_last(node, patience);
        let mut judged = judge(node, dataset, root, span, patience).await?;
        learn_late(node, patience, &referee.gone()).await;
        record.phases.gather_s = clock.elapsed().as_secs_f64();
        referee.look(node).await?;
        let case = referee.sift(node, &mut judged, (span.window, root))?;
        for rejected in &judged.rejected {
            let (uid, reason) = (rejected.uid, &rejected.reason);
            node.voice.say(&format!("window {window}: uid {uid} does not count: {reason}"));
        }
        let clock = Instant::now();
        let is_sound = self.replica.changed().is_empty();
        record.phases.root_s = clock.elapsed().as_secs_f64();
        if !is_sound && !self.node.restore(&mut self.replica).await? {
            return Ok(None);
        }
        let opinion = self.opinion(judged, record)?;
        let clock = Instant::now();
        self.publish(&opinion, record).await?;
        record.phases.put_s = clock.elapsed().as_secs_f64();
        self.referee.begin(&mut self.node, case, &self.replica).await?;
        Ok(Some(opinion))
    }

    /// Takes the step on a second replica, since another validator's manifest may count.
    fn opinion(&self, judged: Judged, record: &mut WindowRecord) -> Result<Opinion, Failure> {
        let (node, span, clock) = (&self.node, self.span, Instant::now());
        let mut state = self.replica.copy();
        let accepted = |a: &super::judge::Sound| Accepted { uid: a.uid, object: a.object };
        let accepted = judged.accepted.iter().map(accepted).collect();
        let round: Vec<_> = judged.accepted.into_iter().map(|a| (a.uid, a.body)).collect();
        state.step(&round)?;
        record.phases.outer_s = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        state.hash();
        record.phases.root_s += clock.elapsed().as_secs_f64();
        let (content, merged) = self.merged(&round, record.parent_root)?.unzip();
        let manifest = Manifest {
            version: protocol::MANIFEST_VERSION,
            run: node.run_id,
            window: span.window,
            validator: node.keypair.hotkey(),
            previous: node.last(),
            first_block: span.first_block,
            close_block: node.head().max(span.first_block).min(span.limit),
            parent_root: record.parent_root,
            accepted,
            rejected: judged.rejected,
            merged: content,
            root: state.root(),
            tensor_roots: state.tree().tensor_roots.clone(),
            checkpoint: self.checkpoint,
        };
        Ok(Opinion { manifest, state, merged })
    }

    /// The merged update of a round, if there is anything in it.
    fn merged(
        &self,
        round: &[Contribution],
        parent_root: StateRoot,
    ) -> Result<Option<(Content, Body)>, Failure> {
        if round.is_empty() {
            return Ok(None);
        }
        let (run, window) = (self.node.run_id, self.span.window);
        let claims = MergedClaims { run, window, parent_root };
        let merged = merge(&claims, &self.node.shape, round);
        merged.map(Some).map_err(|error| {
            Failure::ours(format!("cannot read contributions that were fetched: {error}"))
        })
    }

    async fn publish(
        &mut self,
        opinion: &Opinion,
        record: &mut WindowRecord,
    ) -> Result<(), Failure> {
        let manifest = &opinion.manifest;
        let (window, hash) = (manifest.window, manifest.hash());
        let signed = SignedManifest::sign(manifest.clone(), &self.node.keypair)?;
        let text = Bytes::from(signed.to_bytes());
        record.up_bytes += text.len() as u64;
        let key = ObjectKey::window_manifest(self.node.run_id, window, manifest.validator);
        if self.node.put_until(&key, text, self.span.limit).await? {
            self.node.keep_manifest(signed);
            self.node.announce(window, hash)?;
        }
        Ok(())
    }

    /// Follows the manifest that counts, and holds it and its update ready for others; false if it
    /// cannot be followed now, or not at all.
    async fn conclude(
        &mut self,
        manifest: &Manifest,
        opinion: &mut Option<Opinion>,
        record: &mut WindowRecord,
    ) -> Result<bool, Failure> {
        // Only who accepts the same knows without taking the step that it leads there.
        let agreed = opinion.take_if(|Opinion { manifest: own, .. }| {
            own.root == manifest.root && own.accepted == manifest.accepted
        });
        let mut merged = None;
        if let Some(opinion) = agreed {
            merged = opinion.merged.filter(|_| opinion.manifest.merged == manifest.merged);
            self.replica = opinion.state;
        } else if !self.node.follow(&mut self.replica, manifest, None, &mut record.phases).await? {
            return Ok(false);
        }
        self.span = self.node.pass(manifest);
        record.accepted = manifest.accepted.iter().map(|accepted| accepted.uid).collect();
        self.referee.count(manifest.window, &record.accepted.iter().copied().collect());
        record.rejected.clone_from(&manifest.rejected);
        self.mirror(manifest, merged, record).await?;
        self.publish_checkpoint();
        Ok(true)
    }

    /// Puts manifest and update into the own bucket, as far as it takes them.
    async fn mirror(
        &mut self,
        manifest: &Manifest,
        merged: Option<Body>,
        record: &mut WindowRecord,
    ) -> Result<(), Failure> {
        let (run, window) = (self.node.run_id, manifest.window);
        let deadline = self.span.deadline;
        if let Some(wanted) = manifest.merged {
            let objects = match merged {
                Some(merged) => vec![(ObjectKey::Merged { run, window }, merged)],
                None => self.node.lasting(manifest, wanted).await,
            };
            for (key, object) in objects {
                record.up_bytes += object.len();
                self.node.put_until(&key, object, deadline).await?;
            }
        }
        if manifest.validator != self.node.keypair.hotkey()
            && let Some(text) = self.node.signed_manifest(&manifest.reference())
        {
            let key = ObjectKey::window_manifest(run, window, manifest.validator);
            self.node.put_until(&key, Bytes::from(text), deadline).await?;
        }
        Ok(())
    }

    /// Begins to publish a checkpoint when it is time, beside the windows to come.
    fn publish_checkpoint(&mut self) {
        let window = self.span.window;
        if !window.0.is_multiple_of(self.checkpoint_every) {
            return;
        }
        if !self.publishing.is_empty() {
            let window = window.0 + 1;
            self.node.voice.say(&format!(
                "no checkpoint of window {window}: the one before it is still being put"
            ));
            return;
        }
        let (publisher, state) = (Publisher::new(&self.node), self.replica.copy());
        // Whoever catches up without the checkpoint that manifests named until now is on its way
        // already.
        let named = self.checkpoint.map_or(0, |(named, _)| named.0);
        let oldest = Window(named.saturating_sub(self.checkpoint_every));
        self.publishing.spawn(async move {
            let hash = publisher.publish(&state, window).await?;
            publisher.tidy(oldest).await;
            Ok((window, hash))
        });
    }

    /// Names the checkpoint that was published, if one was, from the next manifest on.
    fn published(
        &mut self,
        published: Option<Result<Published, JoinError>>,
    ) -> Result<(), Failure> {
        let Some(published) = published else { return Ok(()) };
        let published = published
            .map_err(|error| Failure::ours(format!("publishing a checkpoint failed: {error}")))?;
        self.checkpoint = Some(published?);
        Ok(())
    }
}

/// Whoever counted in the last window is expected in this one, also by a validator that was away
/// then: it takes as long as that window took.
fn expect_last(node: &Node, patience: &mut Patience) {
    let last = node.last().and_then(|last| node.counted_manifest(last.window));
    let Some(last) = last else { return };
    let Some(window_s) = seconds_between(node, last.first_block, last.close_block) else { return };
    for uid in last.accepted.iter().map(|accepted| accepted.uid) {
        if !patience.knows(uid) {
            patience.learn(uid, Some(window_s));
        }
    }
}

/// Contributions to the last window that came after it was closed: their peers are slower than was
/// thought, or new, and are waited for from here on; not those that are `gone`, or who is always
/// late could make every window as long as it likes.
async fn learn_late(node: &mut Node, patience: &mut Patience, gone: &BTreeSet<Uid>) {
    let last = node.last().and_then(|last| node.counted_manifest(last.window).cloned());
    let Some(last) = last else { return };
    let Some(first_ms) = node.block_time_ms(last.first_block) else { return };
    for uid in last.rejected.iter().map(|rejected| rejected.uid) {
        if gone.contains(&uid) {
            continue;
        }
        let Some(hotkey) = node.directory.seat(uid).map(|seat| seat.hotkey) else { continue };
        let Some(bucket) = node.directory.bucket(hotkey) else { continue };
        let key = ObjectKey::contribution(node.run_id, last.window, hotkey);
        let look = tokio::time::timeout(node.pace.request, bucket.head(&key));
        if let Ok(Ok(info)) = look.await {
            let late_s = info.modified_ms.saturating_sub(first_ms) as f64 / 1_000.0;
            patience.learn(uid, Some(late_s));
        }
    }
}

fn seconds_between(node: &Node, first: BlockNumber, last: BlockNumber) -> Option<f64> {
    let (first_ms, last_ms) = (node.block_time_ms(first)?, node.block_time_ms(last)?);
    Some(last_ms.saturating_sub(first_ms) as f64 / 1_000.0)
}
