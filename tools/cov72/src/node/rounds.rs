//! How a window ends for a node that follows: by the counted manifest, by none, or by learning that
//! the network is further along.

use bucket::{Bucket, Limits, ObjectKey};
use wire::protocol::MANIFEST_BYTES_MAX;
use wire::{
    Document, Manifest, ManifestRef, SignedManifest, Span, Verdict, Voter, Window, Windows,
    merged_bytes, verdict,
};

use super::Node;
use crate::failure::Failure;

/// What a window came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// This manifest counts.
    Counted(Box<Manifest>),
    /// Nobody published one: the state stays.
    Null,
    /// Validators have moved on to this manifest's window.
    Behind(ManifestRef),
}

/// As [`Outcome`], before anything is fetched.
enum Standing {
    Open,
    Counted(ManifestRef),
    Null,
    Behind(ManifestRef),
}

/// Windows whose manifests are kept in memory.
const MANIFESTS_KEPT: u64 = 8;

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
        let counted = match self.standing(span) {
            Standing::Open => return Ok(None),
            Standing::Null => return Ok(Some(Outcome::Null)),
            Standing::Behind(newest) => return Ok(Some(Outcome::Behind(newest))),
            Standing::Counted(counted) => counted,
        };
        if let Some(manifest) = self.manifest(&counted).await {
            let in_place =
                manifest.first_block == span.first_block && manifest.close_block <= span.limit;
            if in_place {
                return Ok(Some(Outcome::Counted(Box::new(manifest))));
            }
            self.disregard(&counted, "its blocks are not this window's");
        } else {
            self.miss(&counted);
        }
        Ok(None)
    }

    /// The window after the one that `manifest` closed, to which the next manifest will refer.
    pub(crate) fn pass(&mut self, manifest: &Manifest) -> Span {
        self.last = Some(manifest.reference());
        self.counted.insert(manifest.window, manifest.validator);
        self.run.windows.after(manifest.window, manifest.close_block)
    }

    /// The window after one that came to nothing.
    pub(crate) fn pass_null(&self, span: Span) -> Span {
        self.run.windows.after(span.window, span.limit)
    }

    /// The manifest cannot be had now. Whoever has it will have moved on two windows from here, and
    /// then there is a later one to go by; if there is none, nobody has it.
    pub(crate) fn miss(&mut self, manifest: &ManifestRef) {
        let Windows { blocks_per_window, judge_blocks, .. } = self.run.windows;
        let since = *self.missed.entry((manifest.window, manifest.validator)).or_insert(self.head);
        if self.head.0 > since.0.saturating_add(2 * (blocks_per_window + judge_blocks)) {
            self.disregard(manifest, "nobody can deliver it");
        }
    }

    /// From here on the manifest is as if it had not been announced.
    pub(crate) fn disregard(&mut self, manifest: &ManifestRef, why: &str) {
        let ManifestRef { window, validator, hash } = *manifest;
        self.void.insert((window, validator), hash);
        self.voice.say(&format!("window {}: {validator}'s manifest is void: {why}", window.0 + 1));
    }

    fn standing(&self, span: Span) -> Standing {
        let window = span.window;
        let mut voters = self.directory.voters(window);
        for voter in &mut voters {
            let void = self.void.get(&(window, voter.validator));
            voter.announced = voter.announced.filter(|announced| Some(&announced.hash) != void);
        }
        let judged = verdict(&voters, span, self.run.windows.judge_blocks, self.head);
        if let Some(newest) = self.moved_on(span, &voters, judged) {
            return Standing::Behind(newest);
        }
        match judged {
            Verdict::Open => Standing::Open,
            Verdict::Null => Standing::Null,
            Verdict::Counted { validator, hash } => {
                Standing::Counted(ManifestRef { window, validator, hash })
            }
        }
    }

    /// The manifest of a later window to go by instead of this window's notes, if there is one.
    ///
    /// Notes are replaced, so those that decided this window may be gone. A later manifest names
    /// the one that counted before it; it is believed when a third of the stake has moved on, or
    /// when nobody of more stake says anything else.
    fn moved_on(&self, span: Span, voters: &[Voter], judged: Verdict) -> Option<ManifestRef> {
        let validators = self.directory.validators();
        let later: Vec<_> = validators
            .iter()
            .enumerate()
            .filter_map(|(rank, seat)| {
                let (window, announced) = seat.manifest()?;
                let (validator, hash) = (seat.hotkey, announced.hash);
                let is_void = self.void.get(&(window, validator)) == Some(&hash);
                let newest = ManifestRef { window, validator, hash };
                (window > span.window && !is_void).then_some((rank, seat.stake_rao, newest))
            })
            .collect();
        let total: u128 = validators.iter().map(|seat| u128::from(seat.stake_rao)).sum();
        // The latest window that a third of the stake has got to.
        let mut by_window = later.clone();
        by_window.sort_by_key(|(_, _, newest)| std::cmp::Reverse(newest.window));
        let mut moved = 0;
        let agreed = by_window.iter().find(|(_, stake_rao, _)| {
            moved += u128::from(*stake_rao);
            3 * moved >= total
        });
        if let Some((_, _, agreed)) = agreed {
            let by_rank = later.iter().find(|(_, _, newest)| newest.window >= agreed.window);
            return by_rank.map(|(_, _, newest)| *newest);
        }
        let (rank, _, newest) = later.first()?;
        let winner = |of| voters.iter().position(|voter| voter.validator == of);
        let goes_before = match judged {
            Verdict::Counted { validator, .. } => winner(validator).is_some_and(|w| *rank < w),
            Verdict::Open => *rank == 0,
            Verdict::Null => true,
        };
        goes_before.then_some(*newest)
    }

    /// The manifest, from its author or from a validator that mirrors it; none if nobody has it.
    pub(crate) async fn manifest(&mut self, wanted: &ManifestRef) -> Option<Manifest> {
        let place = (wanted.window, wanted.validator);
        let known = self.manifests.get(&place).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.document().hash() == wanted.hash) {
            return Some(known.document().clone());
        }
        let key = ObjectKey::window_manifest(self.run_id, wanted.window, wanted.validator);
        for source in self.directory.mirrors(wanted.validator) {
            let Some(found) = self.read_manifest(&source, &key).await else { continue };
            let hash = found.document().hash();
            if found.document().reference() == (ManifestRef { hash, ..*wanted }) {
                self.compare(known.as_ref(), &found);
                if hash == wanted.hash && self.fits(found.document()) {
                    let manifest = found.document().clone();
                    self.keep_manifest(found);
                    return Some(manifest);
                }
            }
        }
        None
    }

    /// Remembers a manifest that was checked, or made here.
    pub(crate) fn keep_manifest(&mut self, manifest: SignedManifest) {
        let (window, validator) = (manifest.document().window, manifest.document().validator);
        self.manifests.insert((window, validator), manifest);
        let oldest = window.0.saturating_sub(MANIFESTS_KEPT);
        self.manifests.retain(|(window, _), _| window.0 >= oldest);
        self.void.retain(|(window, _), _| window.0 >= oldest);
        self.missed.retain(|(window, _), _| window.0 >= oldest);
        self.counted.retain(|window, _| window.0 >= oldest);
    }

    /// The manifest that counted in `window`, if it was gone by and is still in memory.
    pub(crate) fn counted_manifest(&self, window: Window) -> Option<&Manifest> {
        let validator = *self.counted.get(&window)?;
        self.manifests.get(&(window, validator)).map(SignedManifest::document)
    }

    /// A manifest in memory, as it was published.
    pub(crate) fn signed_manifest(&self, wanted: &ManifestRef) -> Option<Vec<u8>> {
        let known = self.manifests.get(&(wanted.window, wanted.validator))?;
        (known.document().hash() == wanted.hash).then(|| known.to_bytes())
    }

    async fn read_manifest(&mut self, source: &Bucket, key: &ObjectKey) -> Option<SignedManifest> {
        let bytes_max = MANIFEST_BYTES_MAX as u64;
        let limits = Limits { bytes_max, timeout: self.pace.read_time(bytes_max) };
        let text = source.get(key, limits).await.ok()?;
        self.down_bytes += text.len() as u64;
        SignedManifest::parse(&text).ok()
    }

    /// Two different manifests of one validator for one window are evidence against it.
    fn compare(&self, known: Option<&SignedManifest>, found: &SignedManifest) {
        let Some(known) = known.filter(|known| known.document() != found.document()) else {
            return;
        };
        let (window, validator) = (known.document().window, known.document().validator);
        self.voice.say(&format!(
            "validator {validator} signed two manifests for window {}: evidence kept",
            window.0 + 1
        ));
        self.voice.evidence(&known.to_bytes(), &found.to_bytes());
    }

    /// Whether a manifest is of this run and of this model's sizes.
    fn fits(&self, manifest: &Manifest) -> bool {
        let object_bytes = self.shape.object_bytes();
        let merged = merged_bytes(&self.shape, manifest.accepted.len());
        manifest.run == self.run_id
            && manifest.tensor_roots.len() == self.layout.tensors().len()
            && manifest.state(self.shape.layout()).is_some()
            && manifest.accepted.iter().all(|accepted| accepted.object.bytes == object_bytes)
            && manifest.merged.is_none_or(|object| object.bytes == merged)
    }
}
