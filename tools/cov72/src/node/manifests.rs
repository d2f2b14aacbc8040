//! Manifests by reference: from their authors or whoever mirrors them, checked, remembered; and the
//! evidence when one validator signed two for one window.

use bucket::{Bucket, Bytes, Limits, ObjectKey, PutMode};
use wire::protocol::MANIFEST_BYTES_MAX;
use wire::{
    Digest, Hotkey, Manifest, ManifestRef, SignedManifest, StateRoot, Window, merged_bytes,
};

use super::Node;
use super::word::Word;

impl Node {
    /// The manifest, from its author or from a validator that mirrors it; none if nobody has it.
    pub(crate) async fn manifest(&mut self, wanted: &ManifestRef) -> Option<Manifest> {
        let place = (wanted.window, wanted.validator);
        if let Some(known) = self.course.manifests.get(&(place.0, place.1, wanted.hash)) {
            return Some(known.document().clone());
        }
        let mut seen = self.known_of(place).map(|(hash, known)| (hash, known.clone()));
        let key = ObjectKey::window_manifest(self.run_id, wanted.window, wanted.validator);
        for source in self.manifest_sources(wanted) {
            let Some(found) = self.read_manifest(&source, &key).await else { continue };
            let reference = found.document().reference();
            if reference != (ManifestRef { hash: reference.hash, ..*wanted }) {
                continue;
            }
            if let Some((_, seen)) = seen.as_ref().filter(|(hash, _)| *hash != reference.hash) {
                self.keep_evidence(seen, &found);
            }
            if reference.hash == wanted.hash && self.fits(found.document()) {
                let manifest = found.document().clone();
                self.keep_manifest(found);
                return Some(manifest);
            }
            seen.get_or_insert((reference.hash, found));
        }
        None
    }

    /// Buckets that may hold it: its author's, those of validators and, if its author announced
    /// another one beside it, those of everybody.
    fn manifest_sources(&mut self, wanted: &ManifestRef) -> Vec<Bucket> {
        let mut sources = self.directory.mirrors(wanted.validator);
        if self.course.doubled.contains(&(wanted.window, wanted.validator)) {
            let miners = self.directory.seats().filter(|seat| !seat.validator);
            let miners: Vec<_> = miners.map(|seat| seat.hotkey).collect();
            sources.extend(miners.into_iter().filter_map(|hotkey| self.directory.bucket(hotkey)));
        }
        sources
    }

    /// The manifest, or another one by the same validator for the same window that leads to the
    /// same state: of two that it signed, the first may be gone from everywhere.
    pub(super) async fn manifest_to(
        &mut self,
        wanted: &ManifestRef,
        root: StateRoot,
    ) -> Option<Manifest> {
        if let Some(manifest) = self.manifest(wanted).await {
            return Some(manifest);
        }
        let key = ObjectKey::window_manifest(self.run_id, wanted.window, wanted.validator);
        for source in self.directory.mirrors(wanted.validator) {
            let Some(found) = self.read_manifest(&source, &key).await else { continue };
            let manifest = found.document();
            let is_twin = manifest.root == root
                && manifest.window == wanted.window
                && manifest.validator == wanted.validator;
            if is_twin && self.fits(manifest) {
                let manifest = manifest.clone();
                self.keep_manifest(found);
                return Some(manifest);
            }
        }
        None
    }

    /// Remembers a manifest that was checked, or made here.
    pub(crate) fn keep_manifest(&mut self, manifest: SignedManifest) {
        let ManifestRef { window, validator, hash } = manifest.document().reference();
        self.course.manifests.insert((window, validator, hash), manifest);
    }

    /// A manifest in memory of that window and author, and its hash.
    fn known_of(&self, (window, validator): (Window, Hotkey)) -> Option<(Digest, &SignedManifest)> {
        let hashes = Digest([0; 32])..=Digest([255; 32]);
        let places = (window, validator, *hashes.start())..=(window, validator, *hashes.end());
        let (key, known) = self.course.manifests.range(places).next()?;
        Some((key.2, known))
    }

    /// The manifest that counted in `window`, if it was gone by and is still in memory.
    pub(crate) fn counted_manifest(&self, window: Window) -> Option<&Manifest> {
        let (counted, _) = self.course.counted.get(&window)?;
        let known = self.course.manifests.get(&(window, counted.validator, counted.hash))?;
        Some(known.document())
    }

    /// A manifest in memory, as it was published.
    pub(crate) fn signed_manifest(&self, wanted: &ManifestRef) -> Option<Vec<u8>> {
        let ManifestRef { window, validator, hash } = *wanted;
        Some(self.course.manifests.get(&(window, validator, hash))?.to_bytes())
    }

    /// Looks once at each manifest that was announced beside another one by the same validator for
    /// the same window: together they are evidence.
    pub(super) async fn look_for_doubles(&mut self, words: &[Word]) {
        let all = words.iter().flat_map(|word| {
            word.announced.iter().map(|(_, of)| (word.validator, of.window, of.hash))
        });
        let announced: Vec<_> = all
            .filter(|(validator, window, hash)| {
                let known = self.known_of((*window, *validator));
                known.is_some_and(|(known, _)| known != *hash)
            })
            .map(|(validator, window, hash)| ManifestRef { window, validator, hash })
            .collect();
        for second in announced {
            if self.course.looked_for.insert(second) {
                self.manifest(&second).await;
            }
        }
        for word in words {
            for (_, of) in &word.announced {
                let first = word.on(of.window).map(|(_, first)| first.hash);
                let is_new = first.is_some_and(|first| first != of.hash)
                    && self.course.doubled.insert((of.window, word.validator));
                if let Some(hash) = first.filter(|_| is_new) {
                    let (window, validator) = (of.window, word.validator);
                    self.hold_ready(&ManifestRef { window, validator, hash }).await;
                }
            }
        }
    }

    /// Puts a manifest, if it is in memory, where others find it: its author's bucket holds another
    /// one by now.
    async fn hold_ready(&mut self, manifest: &ManifestRef) {
        let ManifestRef { window, validator, .. } = *manifest;
        let Some(text) = self.signed_manifest(manifest) else { return };
        if validator != self.keypair.hotkey() {
            let key = ObjectKey::window_manifest(self.run_id, window, validator);
            let put = self.bucket.put(&key, Bytes::from(text), PutMode::Overwrite);
            // Others may have it, too: nobody waits for this one.
            let _ = tokio::time::timeout(self.pace.request, put).await;
        }
    }

    async fn read_manifest(&mut self, source: &Bucket, key: &ObjectKey) -> Option<SignedManifest> {
        let bytes_max = MANIFEST_BYTES_MAX as u64;
        let limits = Limits { bytes_max, timeout: self.pace.read_time(bytes_max) };
        let text = source.get(key, limits).await.ok()?;
        self.down_bytes += text.len() as u64;
        SignedManifest::parse(&text).ok()
    }

    /// Two different manifests of one validator for one window are evidence against it.
    fn keep_evidence(&mut self, one: &SignedManifest, other: &SignedManifest) {
        let (window, validator) = (one.document().window, one.document().validator);
        if !self.course.accused.insert((window, validator)) {
            return;
        }
        let window = window.0 + 1;
        self.voice.say(&format!(
            "validator {validator} signed two manifests for window {window}: evidence kept"
        ));
        self.voice.evidence(&one.to_bytes(), &other.to_bytes());
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
