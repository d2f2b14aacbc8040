//! Taking the outer step that a manifest asks for, and telling who is wrong when it leads
//! elsewhere: the manifest, or this node's own memory.
//!
//! What a manifest names, it names by content. So whether it leads to the state that it claims
//! does not depend on who looks, or when: if what it lists does, or the merged update does, it
//! counts; if neither does, it is void for everybody.

use bucket::Bytes;
use tokio::time::Instant;
use wire::{Manifest, Phases, StateTree};

use super::gather::Gathered;
use super::{Node, Replica};
use crate::failure::Failure;

/// Where the updates of a window come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// Each from its owner.
    Payloads,
    /// All in one object, from a validator.
    Merged,
}

impl Source {
    pub(super) const ALL: [Self; 2] = [Self::Payloads, Self::Merged];
}

impl Node {
    /// Brings `replica` from the state of the last manifest to that of `manifest`; false if that
    /// cannot be done now, or `manifest` turned out to be void: then its window is open again.
    /// `own` is this node's object, if it has one at hand.
    ///
    /// # Errors
    /// The node is asked to stop, or chain or disk fail.
    pub(crate) async fn follow(
        &mut self,
        replica: &mut Replica,
        manifest: &Manifest,
        own: Option<&Bytes>,
        phases: &mut Phases,
    ) -> Result<bool, Failure> {
        if is_there(replica, manifest) {
            return Ok(true);
        }
        // Whether the parent's bits are surely right: hashed just now, or taken from others.
        let mut is_sound = false;
        if replica.root() != manifest.parent_root {
            if !self.restore(replica).await? {
                return Ok(false);
            }
            is_sound = true;
        }
        while let Some((source, gathered)) = self.updates(manifest, own, phases).await? {
            // Against whoever was caught, the way back is kept at hand; against others it would
            // cost a copy in every window, and the way back is to take the state anew.
            let is_doubtful = is_sound || self.course.is_caught(manifest.validator);
            let parent = is_doubtful.then(|| replica.copy());
            step(replica, &gathered, phases)?;
            if is_sound
                && let Some((of, doubted)) = self.course.doubted.take()
                && of == manifest.reference()
            {
                self.tell_difference(replica, &doubted);
            }
            if replica.root() == manifest.root {
                return Ok(true);
            }
            if is_sound && self.refuted(manifest, source) {
                self.set_back(replica, parent).await?;
                return Ok(false);
            }
            if !is_sound {
                let window = manifest.window.0 + 1;
                self.voice.say(&format!(
                    "window {window} led this node to another state than the manifest claims; \
                     trying again from a state that is surely the others'"
                ));
                self.course.doubted = Some((manifest.reference(), replica.tree().clone()));
            }
            if !self.set_back(replica, parent).await? {
                return Ok(false);
            }
            is_sound = true;
        }
        self.miss(&manifest.reference());
        Ok(false)
    }

    /// One window of a history, from a parent state that is sound; false if that leads nowhere now,
    /// and `replica` may be in any state then.
    pub(super) async fn follow_exactly(
        &mut self,
        replica: &mut Replica,
        manifest: &Manifest,
    ) -> Result<bool, Failure> {
        let phases = &mut Phases::default();
        let Some((source, gathered)) = self.updates(manifest, None, phases).await? else {
            let window = manifest.window.0 + 1;
            self.voice.say(&format!("nobody has the update of window {window}; planning anew"));
            return Ok(false);
        };
        step(replica, &gathered, phases)?;
        let is_right = replica.root() == manifest.root;
        if !is_right {
            self.refuted(manifest, source);
        }
        Ok(is_right)
    }

    /// What `manifest` lists, from a source that did not prove wrong yet; none if nobody delivers.
    async fn updates(
        &mut self,
        manifest: &Manifest,
        own: Option<&Bytes>,
        phases: &mut Phases,
    ) -> Result<Option<(Source, Gathered)>, Failure> {
        const ROUNDS: u32 = 3;
        let clock = Instant::now();
        self.voice.doing("gathering");
        let reference = manifest.reference();
        // Owners first, as long as they surely have it; one object is less to ask for later on.
        let order = match own {
            Some(_) => [Source::Payloads, Source::Merged],
            None => [Source::Merged, Source::Payloads],
        };
        for _ in 0..ROUNDS {
            for source in order {
                if self.course.is_refuted(&reference, source) {
                    continue;
                }
                let gathered = match source {
                    Source::Payloads => self.gather_payloads(manifest, own).await,
                    Source::Merged => self.gather_merged(manifest).await,
                };
                if let Some(gathered) = gathered {
                    phases.gather_s += clock.elapsed().as_secs_f64();
                    return Ok(Some((source, gathered)));
                }
            }
            self.pause().await?;
        }
        phases.gather_s += clock.elapsed().as_secs_f64();
        Ok(None)
    }

    /// `source` leads elsewhere than `manifest` claims; whether that makes it void.
    fn refuted(&mut self, manifest: &Manifest, source: Source) -> bool {
        let reference = manifest.reference();
        let is_forged = self.course.refute(reference, source);
        if is_forged {
            self.disregard(&reference, "what it lists leads to another state than it claims");
            self.course.forged(reference);
        }
        is_forged
    }

    /// Brings a replica whose step led elsewhere back to the state of the last manifest; false if
    /// nobody delivers that now.
    async fn set_back(
        &mut self,
        replica: &mut Replica,
        parent: Option<Replica>,
    ) -> Result<bool, Failure> {
        let mut parent = match parent {
            Some(parent) => parent,
            None => replica.copy(),
        };
        let is_sound = parent.root() == self.course.state && parent.changed().is_empty();
        if !is_sound && !self.renew(&mut parent).await? {
            return Ok(false);
        }
        replica.take(&parent, &replica.tree().differing(parent.tree()));
        Ok(true)
    }

    /// Takes what differs from the state of the last manifest anew; false if nobody delivers now.
    pub(crate) async fn restore(&mut self, replica: &mut Replica) -> Result<bool, Failure> {
        let mut sound = replica.copy();
        if !self.renew(&mut sound).await? {
            return Ok(false);
        }
        let before = replica.tree().clone();
        replica.take(&sound, &before.differing(sound.tree()));
        // After a step that led elsewhere everything differs; the next one tells what was wrong.
        if self.course.doubted.is_none() {
            self.tell_difference(replica, &before);
        }
        Ok(true)
    }

    /// Makes `replica` anew, in the state of the last manifest, whatever it holds now.
    async fn renew(&mut self, replica: &mut Replica) -> Result<bool, Failure> {
        self.restart(replica)?;
        match self.course.last {
            Some(last) => Ok(self.replay(replica, last, self.course.state).await?.is_some()),
            None => Ok(true),
        }
    }

    /// Names the tensors of this node that were not those of the others.
    fn tell_difference(&self, replica: &Replica, before: &StateTree) {
        let differing = replica.tree().differing(before);
        if !differing.is_empty() {
            let names = replica.names(&differing);
            let what = "this node's parameters are not those of the others";
            self.voice.say(&format!("{what}: {names}; taking them anew"));
        }
    }
}

/// Whether the state is the one that `manifest` leads to. One that lists something and claims the
/// parent's state has yet to show that.
fn is_there(replica: &Replica, manifest: &Manifest) -> bool {
    let is_null = manifest.accepted.is_empty();
    replica.root() == manifest.root && (is_null || manifest.root != manifest.parent_root)
}

fn step(replica: &mut Replica, gathered: &Gathered, phases: &mut Phases) -> Result<(), Failure> {
    let clock = Instant::now();
    replica.step(gathered)?;
    phases.outer_s += clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    replica.hash();
    phases.root_s += clock.elapsed().as_secs_f64();
    Ok(())
}
