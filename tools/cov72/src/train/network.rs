//! A miner in a network: contributes to whole windows, and follows the manifest that counts.

use std::collections::BTreeSet;

use bucket::{KeyPrefix, Limits, ObjectKey};
use tokio::time::Instant;
use wire::{
    Content, Manifest, Phases, Role, Span, SparseTensor, Window, WindowRecord, contribution,
};

use super::rounds::{Closed, Sent};
use crate::attack::Theft;
use crate::failure::Failure;
use crate::node::{Node, Outcome, Replica, Seat};

/// Windows whose own contributions stay in the bucket, for validators that are behind.
const CONTRIBUTIONS_KEPT: usize = 4;

/// A miner's seat in a network.
pub(crate) struct Network {
    pub(super) node: Node,
    /// The window that the replica's state begins.
    span: Span,
    /// Whether the node saw the window of `span` begin.
    in_step: bool,
    /// Windows of which the bucket holds a contribution.
    kept: BTreeSet<Window>,
    /// The newest windows that ended with a manifest, at most [`CONTRIBUTIONS_KEPT`].
    counted: BTreeSet<Window>,
}

impl Network {
    /// A miner that knows nothing yet.
    pub(crate) fn new(node: Node) -> Self {
        let span = node.run.windows.first();
        let (kept, counted) = (BTreeSet::new(), BTreeSet::new());
        Self { node, span, in_step: false, kept, counted }
    }

    /// Catches up and waits for a window from its beginning on.
    pub(super) async fn open(&mut self, replica: &mut Replica) -> Result<Window, Failure> {
        loop {
            let span = self.node.catch_up(replica, self.span).await?;
            self.in_step |= span.window.0 == 0;
            self.in_step &= span.window == self.span.window || span.window.0 == 0;
            self.span = span;
            if self.node.head() < span.first_block {
                self.node.voice.doing("waiting for the run to begin");
                self.node.pause().await?;
            } else if self.in_step {
                return Ok(span.window);
            } else {
                self.listen(replica).await?;
            }
        }
    }

    /// Records of windows that passed since this was last asked without a contribution.
    pub(super) fn take_records(&mut self) -> Vec<WindowRecord> {
        let (run, uid) = (self.node.run_id, self.node.uid);
        self.node.trail.take(run, uid, Role::Miner)
    }

    /// Follows the window of `span` to its end without contributing to it.
    pub(super) async fn listen(&mut self, replica: &mut Replica) -> Result<(), Failure> {
        let span = self.span;
        let window = span.window.0 + 1;
        self.node.voice.doing(&format!("listening until window {window} is over"));
        loop {
            match self.node.outcome(span).await? {
                Outcome::Counted(manifest) => {
                    let phases = &mut Phases::default();
                    if !self.node.follow(replica, &manifest, None, phases).await? {
                        continue;
                    }
                    self.node.trail.counted(&manifest);
                    self.span = self.node.pass(&manifest);
                    self.in_step = true;
                }
                Outcome::Null => {
                    self.node.trail.nothing_until(span.window.next(), replica.root());
                    self.span = self.node.pass_null(span);
                    self.in_step = true;
                }
                Outcome::Behind(..) => self.in_step = false,
            }
            return Ok(());
        }
    }

    /// Puts the contribution, once its hash is on the chain: whoever copies it is later, whatever
    /// a clock says.
    pub(super) async fn put(&mut self, sent: &Sent) -> Result<bool, Failure> {
        let hotkey = self.node.keypair.hotkey();
        let key = ObjectKey::contribution(self.node.run_id, sent.window, hotkey);
        self.node.announce(sent.window, Content::of(&sent.object).hash)?;
        self.node.refresh()?;
        self.node.put_until(&key, sent.object.clone(), self.span.deadline).await
    }

    /// Looks into another miner's bucket until its contribution is there, or the window takes no
    /// more.
    pub(super) async fn steal(
        &mut self,
        theft: Theft,
    ) -> Result<Option<Vec<SparseTensor>>, Failure> {
        let (bytes_max, timeout) = (self.node.shape.object_bytes(), self.node.pace.request);
        loop {
            let own = self.node.keypair.hotkey();
            let is_other = |seat: &&Seat| {
                !seat.validator && seat.hotkey != own && matches!(&seat.note, Some((_, Ok(_))))
            };
            let first = self.node.directory.seats().find(is_other).map(|seat| seat.hotkey);
            let of = theft.of.or(first);
            if let Some(hotkey) = of
                && let Some(bucket) = self.node.directory.bucket(hotkey)
            {
                let key = ObjectKey::contribution(self.node.run_id, theft.window, hotkey);
                let found = bucket.get(&key, Limits { bytes_max, timeout }).await;
                let body = found.ok().and_then(|found| {
                    self.node.shape.decode(found.get(contribution::HEADER_BYTES..)?).ok()
                });
                if body.is_some() || theft.window != self.span.window {
                    return Ok(body);
                }
            }
            if self.node.head() >= self.span.deadline {
                return Ok(None);
            }
            self.node.pause().await?;
        }
    }

    /// Waits for the manifest and takes the outer step with what it lists.
    pub(super) async fn close(
        &mut self,
        replica: &mut Replica,
        sent: &Sent,
        record: &mut WindowRecord,
    ) -> Result<Closed, Failure> {
        let counted = loop {
            let clock = Instant::now();
            self.node.voice.doing("waiting for the manifest");
            let outcome = self.node.outcome(self.span).await?;
            record.phases.wait_s += clock.elapsed().as_secs_f64();
            match outcome {
                Outcome::Counted(manifest) => {
                    let (own, phases) = (Some(&sent.object), &mut record.phases);
                    if self.node.follow(replica, &manifest, own, phases).await? {
                        self.span = self.node.pass(&manifest);
                        break self.note(&manifest, record);
                    }
                }
                Outcome::Null => {
                    let window = self.span.window.0 + 1;
                    self.node.voice.say(&format!("window {window} ended without a manifest"));
                    self.span = self.node.pass_null(self.span);
                    break false;
                }
                Outcome::Behind(..) => {
                    self.span = self.node.catch_up(replica, self.span).await?;
                    self.in_step = false;
                    // The state is that of a later window, and what is known of this one is on the
                    // trail.
                    let counted = self.node.counted_manifest(record.window);
                    let counted = counted.is_some_and(|manifest| manifest.accepts(self.node.uid));
                    return Ok(Closed { counted, passed_over: true });
                }
            }
        };
        record.down_bytes = self.node.take_down_bytes();
        Ok(Closed { counted, passed_over: false })
    }

    /// Takes the manifest's verdicts into the record; whether the own contribution counts.
    fn note(&self, manifest: &Manifest, record: &mut WindowRecord) -> bool {
        record.accepted = manifest.accepted.iter().map(|accepted| accepted.uid).collect();
        record.rejected.clone_from(&manifest.rejected);
        let own = manifest.rejected.iter().find(|rejected| rejected.uid == self.node.uid);
        if let Some(own) = own {
            let (window, reason) = (manifest.window.0 + 1, &own.reason);
            self.node.voice.say(&format!(
                "window {window}: this node's contribution does not count: {reason}"
            ));
        }
        manifest.accepts(self.node.uid)
    }

    /// Removes contributions that nobody will ask for again. Windows without a manifest do not
    /// count: in them no validator may have been there to keep the update.
    pub(super) async fn tidy(&mut self, window: Window) -> Result<(), Failure> {
        let run = self.node.run_id;
        if self.kept.is_empty() {
            // What an earlier life left.
            let all = self.node.bucket.list(&KeyPrefix::Run { run }).await.unwrap_or_default();
            self.kept = all.iter().filter_map(|object| object.key.window()).collect();
        }
        self.kept.insert(window);
        if self.node.last().is_some_and(|last| last.window == window) {
            self.counted.insert(window);
        }
        if self.counted.len() > CONTRIBUTIONS_KEPT {
            self.counted.pop_first();
        }
        let oldest = self.counted.first().filter(|_| self.counted.len() == CONTRIBUTIONS_KEPT);
        let Some(oldest) = oldest else { return Ok(()) };
        let needed = self.kept.split_off(oldest);
        for old in std::mem::replace(&mut self.kept, needed) {
            let key = ObjectKey::contribution(run, old, self.node.keypair.hotkey());
            // Whatever stays because the bucket does not answer stays in nobody's way.
            let _ = self.node.bucket.delete(&key).await;
        }
        Ok(())
    }
}
