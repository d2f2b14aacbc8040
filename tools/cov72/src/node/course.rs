//! What a node knows of the way so far: which manifests counted, and which cannot.
//!
//! A manifest counts only if it *follows*: it starts from the state that the windows before it led
//! to, closes its window in the blocks of that window, and what it lists leads to the state that it
//! claims. Every node sees this by itself, so all come to the same end without asking each other.

use std::collections::{BTreeMap, HashMap, HashSet};

use wire::{
    BlockNumber, Digest, Hotkey, Manifest, ManifestRef, Milestone, SignedManifest, Span, StateRoot,
    StateTree, Window, Windows,
};

use super::follow::Source;

/// Windows back from the last one that a node remembers.
pub(super) const WINDOWS_KEPT: u64 = 8;

/// The way so far, from where this node stands.
pub(super) struct Course {
    /// The newest manifest that counted.
    pub(super) last: Option<ManifestRef>,
    /// The state after it.
    pub(super) state: StateRoot,
    /// The manifests that counted lately, and the states after them.
    pub(super) counted: BTreeMap<Window, (ManifestRef, StateRoot)>,
    /// Manifests read lately, by window, author and hash.
    pub(super) manifests: BTreeMap<(Window, Hotkey, Digest), SignedManifest>,
    /// As if not announced, from where this node stands: they follow from something else, or nobody
    /// delivered them.
    void: HashSet<ManifestRef>,
    /// What they claim is wrong wherever one stands.
    forged: HashSet<ManifestRef>,
    /// Sources of a manifest's updates that lead to another state than it claims.
    refuted: HashSet<(ManifestRef, Source)>,
    /// What could not be had, and since when.
    missed: HashMap<ManifestRef, BlockNumber>,
    /// Authors of void manifests.
    caught: HashSet<Hotkey>,
    /// Where a step led that was not the manifest's, from a parent state that may have been wrong.
    pub(super) doubted: Option<(ManifestRef, StateTree)>,
    /// Since when the node waits, in that window, for what the others build on.
    waiting: Option<(Window, BlockNumber)>,
    /// Who is known to have signed two manifests for one window.
    pub(super) accused: HashSet<(Window, Hotkey)>,
    /// Second manifests for one window that were looked for.
    pub(super) looked_for: HashSet<ManifestRef>,
    /// Windows for which a validator announced two, of which its bucket holds one at most.
    pub(super) doubled: HashSet<(Window, Hotkey)>,
}

impl Course {
    /// At the beginning of a run whose first parameters have the root `genesis`.
    pub(super) fn new(genesis: StateRoot) -> Self {
        Self {
            last: None,
            state: genesis,
            counted: BTreeMap::new(),
            manifests: BTreeMap::new(),
            void: HashSet::new(),
            forged: HashSet::new(),
            refuted: HashSet::new(),
            missed: HashMap::new(),
            caught: HashSet::new(),
            doubted: None,
            accused: HashSet::new(),
            waiting: None,
            looked_for: HashSet::new(),
            doubled: HashSet::new(),
        }
    }

    /// `manifest` counts.
    pub(super) fn pass(&mut self, manifest: &Manifest) {
        let reference = manifest.reference();
        (self.last, self.state) = (Some(reference), manifest.root);
        self.counted.insert(manifest.window, (reference, manifest.root));
        self.looked_for.clear();
        self.doubted = None;
        let kept = manifest.window.0.saturating_sub(WINDOWS_KEPT);
        let kept = Window(kept)..=Window(manifest.window.0.saturating_add(WINDOWS_KEPT));
        self.counted.retain(|window, _| kept.contains(window));
        self.manifests.retain(|(window, ..), _| kept.contains(window));
        self.accused.retain(|(window, _)| kept.contains(window));
        self.doubled.retain(|(window, _)| kept.contains(window));
        self.void.retain(|manifest| kept.contains(&manifest.window));
        self.forged.retain(|manifest| kept.contains(&manifest.window));
        self.refuted.retain(|(manifest, _)| kept.contains(&manifest.window));
        self.missed.retain(|manifest, _| kept.contains(&manifest.window));
    }

    /// The node goes over to the history that ends with `newest`, as far back as `history` tells.
    pub(super) fn jump(&mut self, newest: &Manifest, history: &[Manifest]) {
        let counted = |m: &Manifest| (m.window, (m.reference(), m.root));
        self.counted = history.iter().map(counted).collect();
        self.void.clone_from(&self.forged);
        self.missed.clear();
        self.pass(newest);
    }

    /// Whether this node came through that state, as far back as it remembers.
    pub(super) fn holds(&self, (window, root): Milestone) -> bool {
        let oldest = self.counted.first_key_value();
        oldest.is_some_and(|(oldest, _)| window < *oldest)
            || self.counted.get(&window).is_some_and(|(_, counted)| *counted == root)
    }

    /// Whether `manifest` is as if it had not been announced.
    pub(super) fn is_void(&self, manifest: &ManifestRef) -> bool {
        self.void.contains(manifest)
    }

    /// Whether `manifest` claims what is wrong.
    pub(super) fn is_forged(&self, manifest: &ManifestRef) -> bool {
        self.forged.contains(manifest)
    }

    /// Whether a manifest of `validator` was void before.
    pub(super) fn is_caught(&self, validator: Hotkey) -> bool {
        self.caught.contains(&validator)
    }

    /// From here on `manifest` is as if it had not been announced.
    pub(super) fn disregard(&mut self, manifest: ManifestRef) {
        self.caught.insert(manifest.validator);
        self.void.insert(manifest);
    }

    /// `manifest` claims what is wrong wherever one stands.
    pub(super) fn forged(&mut self, manifest: ManifestRef) {
        self.forged.insert(manifest);
        self.disregard(manifest);
    }

    /// What `source` has of `manifest` leads elsewhere, from a parent state that is sound; whether
    /// nothing is left that could lead to what it claims.
    pub(super) fn refute(&mut self, manifest: ManifestRef, source: Source) -> bool {
        self.refuted.insert((manifest, source));
        Source::ALL.iter().all(|source| self.is_refuted(&manifest, *source))
    }

    /// Whether what `source` has of `manifest` leads elsewhere.
    pub(super) fn is_refuted(&self, manifest: &ManifestRef, source: Source) -> bool {
        self.refuted.contains(&(*manifest, source))
    }

    /// In which block `manifest`, or what it lists, could first not be had; it cannot in `head`.
    pub(super) fn missed_since(&mut self, manifest: ManifestRef, head: BlockNumber) -> BlockNumber {
        *self.missed.entry(manifest).or_insert(head)
    }

    /// Since which block the node waits, in `window`, for what the others build on.
    pub(super) fn waiting_since(&mut self, window: Window, head: BlockNumber) -> BlockNumber {
        match self.waiting {
            Some((of, since)) if of == window => since,
            _ => self.waiting.insert((window, head)).1,
        }
    }
}

/// What `manifest` lacks to follow, in the window of `span`, from `state`, to which `last` led.
///
/// The one that it names before it may be another one of the same window that leads to the same
/// state: somebody who signs two such does not divide anybody.
pub(super) fn breach(
    last: Option<Window>,
    state: StateRoot,
    span: Span,
    manifest: &Manifest,
) -> Option<&'static str> {
    if manifest.parent_root != state {
        return Some("it starts from another state than the last one led to");
    }
    if manifest.previous.map(|previous| previous.window) != last {
        return Some("it does not build on the window that counted last");
    }
    let blocks = span.first_block..=span.limit;
    let in_place = manifest.window == span.window && blocks.contains(&manifest.close_block);
    (!in_place).then_some("its blocks are not this window's")
}

/// Where `window` lies if `last` counted before it and nothing did in between.
pub(super) fn span_after(windows: Windows, last: Option<&Manifest>, window: Window) -> Span {
    let next = last.map_or(windows.first(), |last| windows.after(last.window, last.close_block));
    let nulls = window.0.saturating_sub(next.window.0);
    let blocks = nulls.saturating_mul(next.limit.0 - next.first_block.0);
    windows.span(window, BlockNumber(next.first_block.0.saturating_add(blocks)))
}
