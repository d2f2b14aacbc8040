//! Bringing a replica to the state that counts: from where it is, from a published checkpoint, or
//! from the run's first parameters, then window by window, never skipping one.
//!
//! A joiner, a node that was away and a node whose bits went wrong all come through here. Where to
//! go is what at least half of the active stake builds on; how it came about is what its manifests
//! say, each naming the one before it by hash; and each step is believed because it is taken here.

use std::collections::HashSet;

use wire::{Manifest, ManifestRef, Phases, Span, StateRoot, StateTree};

use super::course::{breach, span_after};
use super::{Node, Outcome, Replica};
use crate::failure::Failure;

/// What a history starts from.
enum Base {
    /// The replica as it is.
    Own,
    /// The run's first parameters.
    Genesis,
    /// A checkpoint that this manifest's validator holds ready.
    Checkpoint(Box<Manifest>),
}

impl Node {
    /// Brings `replica` to the newest state that counts; the window that is open then. `span` is
    /// the window that the replica's state begins, as far as the node knows.
    ///
    /// # Errors
    /// The node is asked to stop, or chain or disk fail.
    pub(crate) async fn catch_up(
        &mut self,
        replica: &mut Replica,
        mut span: Span,
    ) -> Result<Span, Failure> {
        self.refresh()?;
        loop {
            match self.outcome_now(span).await? {
                Some(Outcome::Null) => {
                    self.trail.nothing_until(span.window.next(), replica.root());
                    span = self.pass_null(span);
                }
                Some(Outcome::Counted(manifest)) => {
                    if self.follow(replica, &manifest, None, &mut Phases::default()).await? {
                        self.trail.counted(&manifest);
                        span = self.pass(&manifest);
                    }
                }
                Some(Outcome::Behind(newest, root)) => {
                    span = self.jump(replica, (newest, root), span).await?;
                }
                // Open, or decided by a manifest that cannot be had yet: that shows with time.
                None if self.head() <= span.limit => return Ok(span),
                None => drop(self.pause().await?),
            }
        }
    }

    /// Goes to the state after `newest`, and returns the window that began then.
    async fn jump(
        &mut self,
        replica: &mut Replica,
        (newest, root): (ManifestRef, StateRoot),
        span: Span,
    ) -> Result<Span, Failure> {
        let windows = newest.window.0.saturating_sub(span.window.0);
        self.voice.doing(&format!("catching up {windows} windows"));
        let Some(history) = self.replay(replica, newest, root).await? else {
            self.miss(&newest);
            return Ok(span);
        };
        let Some(manifest) = self.manifest_to(&newest, root).await else { return Ok(span) };
        self.course.jump(&manifest, &history);
        history.iter().for_each(|manifest| self.trail.counted(manifest));
        Ok(self.pass(&manifest))
    }

    /// Brings the replica to the state after `newest`; the manifests that led there, from where it
    /// was or from where it had to begin. None if something cannot be had now: by the time it is
    /// asked again there may be a newer manifest to go by, or a newer checkpoint to begin from.
    pub(super) async fn replay(
        &mut self,
        replica: &mut Replica,
        newest: ManifestRef,
        root: StateRoot,
    ) -> Result<Option<Vec<Manifest>>, Failure> {
        // The tree says what the bits were when they were hashed; a base has to be sound now.
        let changed = replica.changed();
        if !changed.is_empty() {
            let names = replica.names(&changed);
            let what = "this node's parameters are no longer what they were";
            self.voice.say(&format!("{what}: {names}; taking them anew"));
        }
        let Some((base, mut history)) = self.history(newest, root, replica.tree()).await? else {
            self.voice.say("the history of manifests has a gap; waiting for a source");
            self.pause().await?;
            return Ok(None);
        };
        history.reverse();
        match base {
            Base::Own => {}
            Base::Genesis => self.restart(replica)?,
            Base::Checkpoint(by) => {
                if !self.load_checkpoint(replica, &by).await? {
                    self.pause().await?;
                    return Ok(None);
                }
                if let Some(first) = history.first() {
                    self.trail.skip_to(first.window);
                }
            }
        }
        for manifest in &history {
            self.voice.doing(&format!("applying window {}", manifest.window.0 + 1));
            if !self.follow_exactly(replica, manifest).await? {
                if self.course.is_forged(&manifest.reference()) {
                    // Whoever builds on it builds on nothing.
                    self.course.forged(newest);
                }
                return Ok(None);
            }
        }
        Ok(Some(history))
    }

    /// The counted manifests from `newest` back to a state that can be had, the newest first; none
    /// if one of them cannot be had now, or does not follow from the one before it.
    async fn history(
        &mut self,
        newest: ManifestRef,
        mut root: StateRoot,
        own: &StateTree,
    ) -> Result<Option<(Base, Vec<Manifest>)>, Failure> {
        let (own, mut history, mut cursor) = (own.root(), Vec::<Manifest>::new(), Some(newest));
        let (mut offered, mut tried) = (None, HashSet::new());
        while let Some(reference) = cursor {
            if self.asked_to_stop() {
                return Err(Failure::interrupted("stopped while catching up"));
            }
            let found = self.manifest_to(&reference, root).await;
            let Some(manifest) = found.filter(|found| found.root == root) else { return Ok(None) };
            if let Some(next) = history.last()
                && !self.is_next(Some(&manifest), next, newest)
            {
                return Ok(None);
            }
            if manifest.root == own {
                return Ok(Some((Base::Own, history)));
            }
            if offered.is_none()
                && let Some((window, hash)) = manifest.checkpoint
                && tried.insert(hash)
            {
                offered = Some((window, manifest.clone()));
            }
            if let Some((window, by)) = offered.take_if(|(window, _)| manifest.window < *window)
                && self.checkpoint_root(&by, window).await == Some(manifest.root)
            {
                return Ok(Some((Base::Checkpoint(Box::new(by)), history)));
            }
            cursor = manifest.previous;
            root = manifest.parent_root;
            history.push(manifest);
            if root == own {
                return Ok(Some((Base::Own, history)));
            }
        }
        match history.last() {
            Some(first) if !self.is_next(None, first, newest) => Ok(None),
            _ => Ok(Some((Base::Genesis, history))),
        }
    }

    /// Whether `next` follows from `before` in a history that ends with `newest`.
    fn is_next(&mut self, before: Option<&Manifest>, next: &Manifest, newest: ManifestRef) -> bool {
        let span = span_after(self.run.windows, before, next.window);
        let state = before.map_or(self.run.genesis_root, |before| before.root);
        let last = before.map(|before| before.window);
        let Some(why) = breach(last, state, span, next) else { return true };
        self.disregard(&next.reference(), why);
        self.course.forged(next.reference());
        self.course.forged(newest);
        false
    }

    /// Sets the replica to the run's first parameters.
    pub(super) fn restart(&self, replica: &mut Replica) -> Result<(), Failure> {
        replica.begin(&self.first, self.run.genesis_root)
    }
}
