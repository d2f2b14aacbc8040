//! How a window ends for a node that follows: by the counted manifest, by none, or by learning that
//! the others build on something else.

use wire::{
    Announced, Announcement, Manifest, ManifestRef, Span, StateRoot, Verdict, Voter, Windows,
    verdict,
};

use super::Node;
use super::course::breach;
use super::others::Others;
use super::word::Word;
use crate::failure::Failure;

/// What a window came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// This manifest counts, if what it lists leads to the state that it claims.
    Counted(Box<Manifest>),
    /// Nobody published one: the state stays.
    Null,
    /// The others build on this manifest and this state, from which this node is away.
    Behind(ManifestRef, StateRoot),
}

impl Node {
    /// Waits until the window of `span` is over.
    pub(crate) async fn outcome(&mut self, span: Span) -> Result<Outcome, Failure> {
        loop {
            if let Some(outcome) = self.outcome_now(span).await? {
                return Ok(outcome);
            }
            self.pause().await?;
        }
    }

    /// What the window of `span` came to, if that can be told now.
    pub(crate) async fn outcome_now(&mut self, span: Span) -> Result<Option<Outcome>, Failure> {
        let words = match self.words(span) {
            Ok(words) => words,
            Err(error) => {
                self.voice.say(&format!("{error}; the window stays open until it is known"));
                return Ok(None);
            }
        };
        self.look_for_doubles(&words).await;
        let mut others = self.others(span).await;
        if matches!(others, Others::Agree) && self.head > span.limit {
            others = self.others_ahead(span).await;
        }
        match others {
            Others::BuildOn(found, root) => {
                return Ok(Some(self.towards(found, root, span).await));
            }
            Others::Unread if self.may_wait(span) => return Ok(None),
            Others::Unread | Others::Agree => {}
        }
        let counted = match self.verdict_on(span, &words) {
            Verdict::Open => return Ok(None),
            Verdict::Null => return Ok(Some(Outcome::Null)),
            Verdict::Counted { validator, hash } => {
                ManifestRef { window: span.window, validator, hash }
            }
        };
        let Some(manifest) = self.manifest(&counted).await else {
            self.miss(&counted);
            return Ok(None);
        };
        match self.breach(span, &manifest) {
            None => Ok(Some(Outcome::Counted(Box::new(manifest)))),
            Some(why) => {
                self.disregard(&counted, why);
                Ok(None)
            }
        }
    }

    /// How to get to `found`: by the window of `span`, if it is what ends that.
    async fn towards(&mut self, found: ManifestRef, root: StateRoot, span: Span) -> Outcome {
        if found.window == span.window
            && let Some(manifest) = self.manifest_to(&found, root).await
            && self.breach(span, &manifest).is_none()
        {
            return Outcome::Counted(Box::new(manifest));
        }
        Outcome::Behind(found, root)
    }

    /// What `manifest` lacks to follow here, in the window of `span`.
    fn breach(&self, span: Span, manifest: &Manifest) -> Option<&'static str> {
        let last = self.course.last.map(|last| last.window);
        breach(last, self.course.state, span, manifest)
    }

    /// The window after the one that `manifest` closed, to which the next manifest will refer.
    pub(crate) fn pass(&mut self, manifest: &Manifest) -> Span {
        self.course.pass(manifest);
        let next = self.run.windows.after(manifest.window, manifest.close_block);
        self.trail.skip_to(next.window);
        next
    }

    /// The window after one that came to nothing.
    pub(crate) fn pass_null(&mut self, span: Span) -> Span {
        let next = self.run.windows.after(span.window, span.limit);
        self.trail.skip_to(next.window);
        next
    }

    /// The manifest, or what it lists, cannot be had now. Whoever has it will have moved on two
    /// windows from here, and then there is a later one to go by; if there is none, nobody has it.
    /// Whoever waits for less may go on before it hears of the others.
    pub(super) fn miss(&mut self, manifest: &ManifestRef) {
        let since = self.course.missed_since(*manifest, self.head);
        if self.head.0 > since.0.saturating_add(self.patience_blocks()) {
            self.disregard(manifest, "nobody can deliver it");
        }
    }

    /// Whether what the others build on may still come to light, in the window of `span`.
    fn may_wait(&mut self, span: Span) -> bool {
        let since = self.course.waiting_since(span.window, self.head);
        self.head.0 <= since.0.saturating_add(2 * self.patience_blocks())
    }

    /// Two whole windows, in blocks.
    fn patience_blocks(&self) -> u64 {
        let Windows { blocks_per_window, judge_blocks, .. } = self.run.windows;
        2 * (blocks_per_window + judge_blocks)
    }

    /// From here on the manifest is as if it had not been announced.
    pub(super) fn disregard(&mut self, manifest: &ManifestRef, why: &str) {
        self.course.disregard(*manifest);
        let (window, validator) = (manifest.window.0 + 1, manifest.validator);
        self.voice.say(&format!("window {window}: {validator}'s manifest is void: {why}"));
    }

    /// Which of the announced manifests counts by the blocks of the chain, without those that are
    /// void and those that say themselves that they start from another state.
    fn verdict_on(&self, span: Span, words: &[Word]) -> Verdict {
        let voter = |word: &Word| {
            let (validator, stake_rao, window) = (word.validator, word.stake_rao, span.window);
            let counts = |(block, Announcement { hash, parent_root, .. })| {
                let is_void = self.course.is_void(&ManifestRef { window, validator, hash });
                let builds_here = parent_root == self.course.state;
                (builds_here && !is_void).then_some(Announced { block, hash })
            };
            Voter { validator, stake_rao, announced: word.on(window).and_then(counts) }
        };
        let voters: Vec<_> = words.iter().map(voter).collect();
        verdict(&voters, span, self.run.windows.judge_blocks, self.head)
    }
}
