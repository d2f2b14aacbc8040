//! What the other validators build on: for a node that was away, or that went wrong without seeing
//! it. A node in step reads nothing for this; the notes say that all build on what it builds on.

use std::collections::HashMap;

use wire::{Announcement, Builder, Hotkey, ManifestRef, Span, StateRoot, Window, majority};

use super::Node;
use super::course::WINDOWS_KEPT;

/// What at least half of the active stake builds on, as far as this node can tell.
pub(super) enum Others {
    /// On what this node builds on, or on nothing that they agree on.
    Agree,
    /// On this manifest, which leads to this state, and which this node does not build on.
    BuildOn(ManifestRef, StateRoot),
    /// A third of the stake has moved on to something that cannot be read now.
    Unread,
}

/// A manifest that counted for somebody, and the state after it.
type Step = (ManifestRef, StateRoot);

/// A validator by its newest announcement.
#[derive(Clone, Copy)]
struct Tip {
    validator: Hotkey,
    stake_rao: u64,
    newest: Announcement,
}

impl Tip {
    fn manifest(&self) -> ManifestRef {
        let Announcement { window, hash, .. } = self.newest;
        ManifestRef { window, validator: self.validator, hash }
    }

    fn is_after(&self, window: Window) -> bool {
        self.newest.window > window
    }
}

impl Node {
    /// What the active validators build on, asked in the window of `span`.
    pub(super) async fn others(&mut self, span: Span) -> Others {
        let tips = self.tips();
        let stake = |of: &dyn Fn(&Tip) -> bool| -> u128 {
            tips.iter().filter(|tip| of(tip)).map(|tip| u128::from(tip.stake_rao)).sum()
        };
        let is_strange = |tip: &Tip| !self.builds_as_this(tip);
        let total = stake(&|_| true);
        let strange = stake(&is_strange);
        let ahead = stake(&|tip| is_strange(tip) && tip.is_after(span.window));
        if strange == 0 || (2 * strange < total && 3 * ahead < total) {
            return Others::Agree;
        }
        let (found, unread) = self.ask(&tips, span).await;
        match found {
            Some((found, root)) if !self.course.holds((found.window, root)) => {
                Others::BuildOn(found, root)
            }
            _ if 3 * unread >= total && unread > 0 => Others::Unread,
            _ => Others::Agree,
        }
    }

    /// What those build on who are past the window of `span`, asked when its time is over: then
    /// they know more of it than those who are silent. Who was caught is not asked.
    pub(super) async fn others_ahead(&mut self, span: Span) -> Others {
        let mut tips = self.tips();
        tips.retain(|tip| {
            let is_ahead = tip.is_after(span.window) && !self.builds_as_this(tip);
            is_ahead && !self.course.is_caught(tip.validator)
        });
        if tips.is_empty() {
            return Others::Agree;
        }
        let (found, unread) = self.ask(&tips, span).await;
        let found = found.filter(|(found, root)| {
            !self.course.holds((found.window, *root)) && !self.course.is_void(found)
        });
        match found {
            Some((found, root)) => Others::BuildOn(found, root),
            None if unread > 0 => Others::Unread,
            None => Others::Agree,
        }
    }

    /// Active validators, without those whose newest manifest is known to be forged.
    fn tips(&self) -> Vec<Tip> {
        let windows = self.run.windows;
        let active = self.directory.active(2 * (windows.blocks_per_window + windows.judge_blocks));
        let tip = |seat: &&super::directory::Seat| {
            let (newest, _) = seat.newest()?;
            Some(Tip { validator: seat.hotkey, stake_rao: seat.stake_rao, newest })
        };
        let tips = active.iter().filter_map(tip);
        tips.filter(|tip| !self.course.is_forged(&tip.manifest())).collect()
    }

    fn builds_as_this(&self, tip: &Tip) -> bool {
        let from = tip.newest.parent_root;
        from == self.run.genesis_root || self.course.counted.values().any(|(_, root)| *root == from)
    }

    /// The majority's newest state with the manifest that led to it, and the stake of those past
    /// the window of `span` whose word cannot be read.
    async fn ask(&mut self, tips: &[Tip], span: Span) -> (Option<Step>, u128) {
        let (mut builders, mut unread) = (Vec::new(), 0);
        let mut steps = HashMap::new();
        for tip in tips {
            let (is_known, history) = match self.history_of(tip).await {
                Some(history) => (true, history),
                None => (false, Vec::new()),
            };
            let newest = [tip.manifest()];
            let mut all = history.iter().map(|(manifest, _)| manifest).chain(&newest);
            if all.any(|manifest| self.course.is_forged(manifest)) {
                continue;
            }
            if !is_known && tip.is_after(span.window) {
                unread += u128::from(tip.stake_rao);
            }
            for (manifest, root) in &history {
                steps.entry((manifest.window, *root)).or_insert(*manifest);
            }
            let history = history.into_iter().map(|(manifest, root)| (manifest.window, root));
            builders.push(Builder { stake_rao: tip.stake_rao, history: history.collect() });
        }
        let found = majority(&builders);
        (found.map(|found| (steps[&found], found.1)), unread)
    }

    /// The manifests that `tip` builds on, the newest first; none if that cannot be told now, or if
    /// it contradicts itself: then it counts as forged.
    async fn history_of(&mut self, tip: &Tip) -> Option<Vec<Step>> {
        let from = tip.newest.parent_root;
        let known = self.course.counted.values().rev().find(|(_, root)| *root == from);
        let mut cursor = match known {
            Some(known) => Some(*known),
            None if from == self.run.genesis_root => None,
            None => {
                let manifest = self.manifest(&tip.manifest()).await?;
                let previous = manifest.previous.filter(|_| manifest.parent_root == from);
                let Some(previous) = previous else {
                    self.course.forged(tip.manifest());
                    return None;
                };
                Some((previous, from))
            }
        };
        let mut history = Vec::new();
        while let Some((manifest, root)) = cursor {
            if self.course.counted.get(&manifest.window).is_some_and(|(_, known)| *known == root) {
                let below = self.course.counted.range(..=manifest.window);
                history.extend(below.rev().map(|(_, counted)| *counted));
                break;
            }
            history.push((manifest, root));
            if history.len() as u64 > WINDOWS_KEPT {
                break;
            }
            let Some(manifest) = self.manifest_to(&manifest, root).await else { break };
            if manifest.root != root {
                self.course.forged(tip.manifest());
                return None;
            }
            cursor = manifest.previous.map(|previous| (previous, manifest.parent_root));
        }
        Some(history)
    }
}
