//! Bringing a replica to the state that counts: from where it is, from a published checkpoint, or
//! from the run's first parameters, then window by window, never skipping one.
//!
//! A joiner, a node that was away and a node whose bits went wrong all come through here. What is
//! applied is believed because the newest manifest names the one before it by hash, and so on.

use wire::{Manifest, ManifestRef, Span, StateTree};

use super::{Node, Outcome, Replica};
use crate::failure::Failure;

/// What a history starts from.
enum Base {
    /// The replica as it is.
    Own,
    /// The run's first parameters.
    Genesis,
    /// A checkpoint that the newest manifest's validator holds ready.
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
                Some(Outcome::Null) => span = self.pass_null(span),
                Some(Outcome::Counted(manifest)) => {
                    self.follow(replica, &manifest).await?;
                    span = self.pass(&manifest);
                    self.followed.push(*manifest);
                }
                Some(Outcome::Behind(newest)) => span = self.jump(replica, newest, span).await?,
                // Open, or decided by a manifest that cannot be had yet: that shows with time.
                None if self.head() <= span.limit => return Ok(span),
                None => drop(self.pause().await?),
            }
        }
    }

    /// Applies what `manifest` lists to a replica in its parent's state, and mends the replica if
    /// it is in another one.
    pub(crate) async fn follow(
        &mut self,
        replica: &mut Replica,
        manifest: &Manifest,
    ) -> Result<(), Failure> {
        if replica.root() == manifest.root {
            return Ok(());
        }
        if replica.root() != manifest.parent_root {
            return self.mend(replica, manifest).await;
        }
        self.apply(replica, manifest).await?;
        if replica.root() == manifest.root { Ok(()) } else { self.mend(replica, manifest).await }
    }

    /// Goes to the state in which the window of `newest` began, and returns that window.
    async fn jump(
        &mut self,
        replica: &mut Replica,
        newest: ManifestRef,
        span: Span,
    ) -> Result<Span, Failure> {
        let Some(manifest) = self.manifest(&newest).await else {
            self.miss(&newest);
            self.pause().await?;
            return Ok(span);
        };
        let windows = newest.window.0 - span.window.0;
        self.voice.doing(&format!("catching up {windows} windows"));
        if replica.root() != manifest.parent_root {
            if let Some(previous) = manifest.previous {
                self.replay(replica, previous).await?;
            } else {
                self.restart(replica)?;
            }
        }
        self.last = manifest.previous;
        Ok(self.run.windows.span(manifest.window, manifest.first_block))
    }

    /// Brings the replica to the state after `newest`, which counted.
    async fn replay(&mut self, replica: &mut Replica, newest: ManifestRef) -> Result<(), Failure> {
        // The tree says what the bits were when they were hashed; a base has to be sound now.
        let changed = replica.changed();
        if !changed.is_empty() {
            let names = replica.names(&changed);
            let what = "this node's parameters are no longer what they were";
            self.voice.say(&format!("{what}: {names}; taking them anew"));
        }
        let (base, history) = loop {
            match self.history(newest, replica.tree()).await? {
                Some(found) => break found,
                None => {
                    self.voice.say("the history of manifests has a gap; waiting for a source");
                    self.pause().await?;
                }
            }
        };
        match base {
            Base::Own => {}
            Base::Genesis => self.restart(replica)?,
            Base::Checkpoint(manifest) => self.load_checkpoint(replica, &manifest).await?,
        }
        for manifest in history.iter().rev() {
            self.voice.doing(&format!("applying window {}", manifest.window.0 + 1));
            self.apply_exactly(replica, manifest).await?;
            self.counted.insert(manifest.window, manifest.validator);
        }
        self.followed.extend(history.into_iter().rev());
        Ok(())
    }

    /// The counted manifests from `newest` back to a state that can be had, the newest first; none
    /// if one of them cannot be had now.
    async fn history(
        &mut self,
        newest: ManifestRef,
        own: &StateTree,
    ) -> Result<Option<(Base, Vec<Manifest>)>, Failure> {
        let (own, mut history, mut cursor) = (own.root(), Vec::new(), Some(newest));
        let mut offered = None;
        while let Some(reference) = cursor {
            if self.asked_to_stop() {
                return Err(Failure::interrupted("stopped while catching up"));
            }
            let Some(manifest) = self.manifest(&reference).await else { return Ok(None) };
            if history.is_empty() {
                offered = manifest.checkpoint.map(|(window, _)| (window, manifest.clone()));
            }
            if manifest.root == own {
                return Ok(Some((Base::Own, history)));
            }
            if let Some((window, by)) = offered.clone().filter(|(w, _)| manifest.window < *w) {
                if self.checkpoint_root(&by, window).await == Some(manifest.root) {
                    return Ok(Some((Base::Checkpoint(Box::new(by)), history)));
                }
                offered = None;
            }
            cursor = manifest.previous;
            let parent = manifest.parent_root;
            history.push(manifest);
            if parent == own {
                return Ok(Some((Base::Own, history)));
            }
        }
        Ok(Some((Base::Genesis, history)))
    }

    /// Sets the replica to the run's first parameters.
    fn restart(&self, replica: &mut Replica) -> Result<(), Failure> {
        replica.change(|values| model::initial_params(&self.run.model, self.run.seed, values))?;
        replica.hash();
        Ok(())
    }

    /// Takes the outer step with what `manifest` lists, from its merged update where there is one;
    /// waits for a source.
    async fn apply(&mut self, replica: &mut Replica, manifest: &Manifest) -> Result<(), Failure> {
        let gathered = loop {
            if let Some(gathered) = self.gather_merged(manifest).await {
                break gathered;
            }
            if let Some(gathered) = self.gather(manifest, None).await? {
                break gathered;
            }
            let window = manifest.window.0 + 1;
            self.voice.say(&format!("nobody has the update of window {window}; waiting"));
        };
        let round: Vec<_> = gathered.iter().map(|(uid, update)| (*uid, &update[..])).collect();
        replica.step(&round)?;
        replica.hash();
        Ok(())
    }

    /// One window of a history.
    async fn apply_exactly(
        &mut self,
        replica: &mut Replica,
        manifest: &Manifest,
    ) -> Result<(), Failure> {
        self.apply(replica, manifest).await?;
        if replica.root() == manifest.root {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "window {}: validator {} claims state {}, its contributions lead to {}; report it, \
             and start again once another validator leads",
            manifest.window.0 + 1,
            manifest.validator,
            manifest.root,
            replica.root()
        )))
    }

    /// The replica differs from everybody's: names the tensors, makes them anew and takes them.
    async fn mend(&mut self, replica: &mut Replica, manifest: &Manifest) -> Result<(), Failure> {
        let expected = manifest.state(self.shape.layout()).expect("checked when it was read");
        // Not a copy: what this replica holds must not count as a base.
        let mut sound = replica.anew(&self.run)?;
        let followed = self.followed.len();
        self.replay(&mut sound, manifest.reference()).await?;
        self.followed.truncate(followed);
        let differing = replica.tree().differing(&expected);
        self.voice.say(&format!(
            "window {}: this node's parameters are not those of the others: {}; taking them anew",
            manifest.window.0 + 1,
            replica.names(&differing)
        ));
        replica.take(&sound, &differing);
        Ok(())
    }
}
