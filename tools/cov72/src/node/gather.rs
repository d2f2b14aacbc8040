//! From a manifest to the updates it lists: each payload from its owner's bucket, checked by its
//! hash; all of them at once from a validator's merged update where an owner does not deliver.

use bucket::{Bucket, Bytes, Limits, ObjectKey};
use futures::StreamExt;
use wire::contribution::HEADER_BYTES;
use wire::{Content, Manifest, Merged, MergedClaims, SparseTensor, Uid, merge};

use super::Node;
use crate::failure::Failure;

/// Payloads under way at once.
const IN_FLIGHT: usize = 8;

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

    /// Each payload from its owner.
    async fn gather_payloads(
        &mut self,
        manifest: &Manifest,
        own: Option<&Bytes>,
    ) -> Option<Gathered> {
        let payloads = self.fetch_payloads(manifest, own).await?;
        let decode = |(uid, bytes): (Uid, Bytes)| {
            Some((uid, self.shape.decode(bytes.get(HEADER_BYTES..)?).ok()?))
        };
        payloads.into_iter().map(decode).collect()
    }

    /// The merged update of `manifest`'s window, made anew from what the owners hold.
    pub(crate) async fn merge_payloads(&mut self, manifest: &Manifest) -> Option<Bytes> {
        let payloads = self.fetch_payloads(manifest, None).await?;
        let bodies = payloads.iter().map(|(uid, bytes)| Some((*uid, bytes.get(HEADER_BYTES..)?)));
        let bodies: Vec<_> = bodies.collect::<Option<_>>()?;
        let claims = MergedClaims {
            run: self.run_id,
            window: manifest.window,
            parent_root: manifest.parent_root,
        };
        let merged = Bytes::from(merge(&claims, &self.shape, &bodies));
        (Some(Content::of(&merged)) == manifest.merged).then_some(merged)
    }

    /// The objects that `manifest` lists, as their owners hold them.
    async fn fetch_payloads(
        &mut self,
        manifest: &Manifest,
        own: Option<&Bytes>,
    ) -> Option<Vec<(Uid, Bytes)>> {
        let mut wanted = Vec::new();
        for accepted in &manifest.accepted {
            let hotkey = self.directory.seat(accepted.uid)?.hotkey;
            let at_hand = own.filter(|_| accepted.uid == self.uid).cloned();
            let source = match at_hand {
                Some(_) => None,
                None => Some(self.directory.bucket(hotkey)?),
            };
            let key = ObjectKey::contribution(self.run_id, manifest.window, hotkey);
            wanted.push((accepted.uid, accepted.object, key, source, at_hand));
        }
        let pace = self.pace;
        let fetches = wanted.into_iter().map(|(uid, object, key, source, at_hand)| async move {
            let bytes = match (source, at_hand) {
                (Some(source), _) => {
                    let time = pace.read_time(object.bytes);
                    let limits = Limits { bytes_max: object.bytes, timeout: time };
                    source.get(&key, limits).await.ok()?
                }
                (None, at_hand) => at_hand?,
            };
            (Content::of(&bytes) == object).then_some((uid, bytes))
        });
        let fetched: Vec<_> = futures::stream::iter(fetches).buffered(IN_FLIGHT).collect().await;
        let payloads = fetched.into_iter().collect::<Option<Vec<_>>>()?;
        self.down_bytes += payloads.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        Some(payloads)
    }

    /// All payloads in one object, from any validator that has it.
    pub(crate) async fn gather_merged(&mut self, manifest: &Manifest) -> Option<Gathered> {
        let Some(wanted) = manifest.merged else { return Some(Vec::new()) };
        let object = self.merged_object(manifest, wanted).await?;
        let claims = MergedClaims {
            run: self.run_id,
            window: manifest.window,
            parent_root: manifest.parent_root,
        };
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
        let timeout = self.pace.read_time(wanted.bytes);
        for source in sources {
            let limits = Limits { bytes_max: wanted.bytes, timeout };
            let Ok(bytes) = source.get(key, limits).await else { continue };
            self.down_bytes += bytes.len() as u64;
            if Content::of(&bytes) == wanted {
                return Some(bytes);
            }
        }
        None
    }
}
