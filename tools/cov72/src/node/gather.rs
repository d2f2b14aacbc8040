//! From a manifest to the updates it lists: each payload from its owner's bucket, checked by its
//! hash; all of them at once from a validator's merged update where an owner does not deliver.

use bucket::{Bucket, Bytes, Fetch, ObjectKey, Sources, fetch_all};
use futures::StreamExt;
use tokio::time::Instant;
use wire::contribution::HEADER_BYTES;
use wire::{Content, Manifest, Merged, MergedClaims, SparseTensor, StateRoot, Uid, Window, merge};

use super::Node;
use crate::failure::Failure;

/// Bytes of payloads under way at once.
const BUDGET_BYTES: u64 = 256 << 20;

/// What the contributions of one window amount to, by ascending uid, one update per tensor.
pub(crate) type Gathered = Vec<(Uid, Vec<SparseTensor>)>;

impl Node {
    /// What `manifest` lists. `own` is this node's object, if it has one at hand.
    ///
    /// # Errors
    /// The node is asked to stop.
    pub(crate) async fn gather(
        &mut self,
        manifest: &Manifest,
        own: Option<&Bytes>,
    ) -> Result<Option<Gathered>, Failure> {
        const ROUNDS: u32 = 3;
        for _ in 0..ROUNDS {
            if let Some(gathered) = self.gather_payloads(manifest, own).await {
                return Ok(Some(gathered));
            }
            if let Some(gathered) = self.gather_merged(manifest).await {
                return Ok(Some(gathered));
            }
            self.pause().await?;
        }
        Ok(None)
    }

    /// Each payload from its owner, in ranges, several at once, within a budget of memory.
    async fn gather_payloads(
        &mut self,
        manifest: &Manifest,
        own: Option<&Bytes>,
    ) -> Option<Gathered> {
        let own = own.filter(|own| {
            let listed = manifest.accepted.iter().find(|accepted| accepted.uid == self.uid);
            listed.is_some_and(|listed| listed.object == Content::of(own))
        });
        let shape = self.shape.clone();
        // Decoded as they come, so that bytes and values of one payload are all that is held twice.
        let decode = |object: &Bytes| shape.decode(object.get(HEADER_BYTES..)?).ok();
        let besides = own.map(|_| self.uid);
        let mut gathered = self.fetch_listed(manifest, besides, decode).await?;
        if let Some(own) = own {
            gathered.push((self.uid, decode(own)?));
            gathered.sort_by_key(|(uid, _)| *uid);
        }
        Some(gathered)
    }

    /// What the merged update of a window says of itself.
    pub(crate) fn merged_claims(&self, window: Window, parent_root: StateRoot) -> MergedClaims {
        MergedClaims { run: self.run_id, window, parent_root }
    }

    /// The merged update of `manifest`'s window, made anew from what the owners hold.
    pub(crate) async fn merge_payloads(&mut self, manifest: &Manifest) -> Option<Bytes> {
        let body =
            |object: &Bytes| (object.len() > HEADER_BYTES).then(|| object.slice(HEADER_BYTES..));
        let bodies = self.fetch_listed(manifest, None, body).await?;
        let bodies: Vec<_> = bodies.iter().map(|(uid, body)| (*uid, &body[..])).collect();
        let claims = self.merged_claims(manifest.window, manifest.parent_root);
        let merged = Bytes::from(merge(&claims, &self.shape, &bodies));
        (Some(Content::of(&merged)) == manifest.merged).then_some(merged)
    }

    /// What `take` makes of the objects that `manifest` lists, as their owners hold them, by
    /// ascending uid; none if one of them cannot be had.
    async fn fetch_listed<T>(
        &mut self,
        manifest: &Manifest,
        besides: Option<Uid>,
        take: impl Fn(&Bytes) -> Option<T>,
    ) -> Option<Vec<(Uid, T)>> {
        let (mut uids, mut requests) = (Vec::new(), Vec::new());
        for accepted in manifest.accepted.iter().filter(|a| Some(a.uid) != besides) {
            let hotkey = self.directory.seat(accepted.uid)?.hotkey;
            let key = ObjectKey::contribution(self.run_id, manifest.window, hotkey);
            let sources = Sources::new([self.directory.bucket(hotkey)?]);
            let Content { hash, bytes } = accepted.object;
            uids.push(accepted.uid);
            requests.push(Fetch { key, bytes, hash, sources });
        }
        let bytes: u64 = requests.iter().map(|request| request.bytes).sum();
        let deadline = Instant::now() + self.pace.read_time(bytes);
        let mut fetched = std::pin::pin!(fetch_all(requests, BUDGET_BYTES, deadline));
        let mut taken = Vec::new();
        while let Some((request, object)) = fetched.next().await {
            taken.push((uids[request], take(&object.ok()?)?));
        }
        self.down_bytes += bytes;
        taken.sort_by_key(|(uid, _)| *uid);
        Some(taken)
    }

    /// All payloads in one object, from any validator that has it.
    pub(crate) async fn gather_merged(&mut self, manifest: &Manifest) -> Option<Gathered> {
        let Some(wanted) = manifest.merged else { return Some(Vec::new()) };
        let object = self.merged_object(manifest, wanted).await?;
        let claims = self.merged_claims(manifest.window, manifest.parent_root);
        let merged = Merged::parse(&object, &claims, &self.shape).ok()?;
        let uids = merged.uids().iter().enumerate();
        let sections = self.shape.sections().len();
        let gathered = uids.map(|(peer, &uid)| {
            let tensors = (0..sections).map(|section| merged.tensor(peer, section).ok());
            Some((uid, tensors.collect::<Option<Vec<_>>>()?))
        });
        let gathered: Gathered = gathered.collect::<Option<_>>()?;
        let listed = manifest.accepted.iter().map(|accepted| accepted.uid);
        gathered.iter().map(|(uid, _)| *uid).eq(listed).then_some(gathered)
    }

    /// The merged update of `manifest`'s window as bytes.
    pub(crate) async fn merged_object(
        &mut self,
        manifest: &Manifest,
        wanted: Content,
    ) -> Option<Bytes> {
        let key = ObjectKey::Merged { run: self.run_id, window: manifest.window };
        let sources = self.directory.mirrors(manifest.validator);
        self.read_content(&sources, &key, wanted).await
    }

    /// An object by content, from the first source that has it whole.
    pub(super) async fn read_content(
        &mut self,
        sources: &[Bucket],
        key: &ObjectKey,
        wanted: Content,
    ) -> Option<Bytes> {
        let Content { hash, bytes } = wanted;
        let sources = Sources::new(sources.iter().cloned());
        let deadline = Instant::now() + self.pace.read_time(bytes);
        let request = Fetch { key: *key, bytes, hash, sources };
        let mut fetched = std::pin::pin!(fetch_all(vec![request], BUDGET_BYTES, deadline));
        let object = fetched.next().await?.1.ok()?;
        self.down_bytes += bytes;
        Some(object)
    }
}
