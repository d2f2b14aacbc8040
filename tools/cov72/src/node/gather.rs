//! From a manifest to the contributions it lists: each payload from its owner's bucket or a mirror,
//! checked by its hash; or all of them at once from a validator's merged update.
//!
//! They are hashed and decoded as they arrive, and then lie in the node's spool, from where the
//! outer step reads them part by part.

use std::io;

use bucket::{Body, Bucket, Bytes, Fetch, FetchFault, ObjectKey, Sources, Spooled, fetch_all};
use futures::StreamExt;
use model::sparseloco::CheckedBody;
use tokio::time::Instant;
use wire::contribution::HEADER_BYTES;
use wire::{
    BodyShape, Content, Joined, Manifest, Merged, MergedClaims, PartFault, ReadAt, Uid, hash_of,
    merged_head, merged_head_bytes,
};

use super::Node;

/// Contributions that are decoded at once; each uses all threads.
const CHECKS_AT_ONCE: usize = 2;

/// One contribution, checked, where it lies.
pub(crate) type Contribution = (Uid, CheckedBody<Spooled>);
/// Those of one window, by ascending uid.
pub(crate) type Gathered = Vec<Contribution>;

/// Why something cannot be had now.
pub(super) enum Absence {
    /// Nobody delivers it as it should be.
    Theirs,
    /// This machine cannot hold it.
    Ours(String),
}

impl From<FetchFault> for Absence {
    fn from(fault: FetchFault) -> Self {
        match fault {
            FetchFault::Spool { .. } => Self::Ours(fault.to_string()),
            _ => Self::Theirs,
        }
    }
}

impl From<PartFault> for Absence {
    fn from(fault: PartFault) -> Self {
        match fault {
            PartFault::Unreadable(error) => error.into(),
            PartFault::Rejected(_) => Self::Theirs,
        }
    }
}

impl From<io::Error> for Absence {
    fn from(error: io::Error) -> Self {
        Self::Ours(format!("cannot read an object that was fetched: {error}; trying again"))
    }
}

/// Decodes the body that begins at `at`, whatever that takes.
pub(super) async fn check(
    shape: &BodyShape,
    object: Spooled,
    at: u64,
) -> Result<CheckedBody<Spooled>, Absence> {
    let shape = shape.clone();
    Ok(object.examine(move |object| CheckedBody::check(&shape, object, at)).await?)
}

/// The merged update of these contributions, which ascend.
pub(crate) fn merge(
    claims: &MergedClaims,
    shape: &BodyShape,
    round: &[Contribution],
) -> io::Result<(Content, Body)> {
    let uids: Vec<_> = round.iter().map(|(uid, _)| *uid).collect();
    let head = Spooled::from(Bytes::from(merged_head(claims, shape, &uids)));
    let head = (head.clone(), 0..head.len());
    let bodies = round
        .iter()
        .map(|(_, body)| (body.source().clone(), body.at()..body.at() + shape.body_bytes()));
    let merged = Joined::new(std::iter::once(head).chain(bodies));
    let bytes = merged.len();
    let hash = hash_of(&merged, 0..bytes)?;
    Ok((Content { hash, bytes }, merged.into()))
}

impl Node {
    /// Each payload from its owner, in ranges, several at once.
    pub(super) async fn gather_payloads(
        &mut self,
        manifest: &Manifest,
        own: Option<&Bytes>,
    ) -> Option<Gathered> {
        let listed = manifest.accepted.iter().find(|accepted| accepted.uid == self.uid);
        let own = own.map(|own| Spooled::from(own.clone()));
        let own = own.filter(|own| listed.is_some_and(|listed| listed.object == own.content()));
        let mut gathered = self.fetch_listed(manifest, own.as_ref().map(|_| self.uid)).await?;
        if let Some(own) = own {
            let body = check(&self.shape, own, HEADER_BYTES as u64).await;
            gathered.push((self.uid, self.had(body)?));
        }
        gathered.sort_by_key(|(uid, _)| *uid);
        Some(gathered)
    }

    /// What whoever comes later needs of `manifest`'s window: the merged update that it names or,
    /// where that is nowhere and the payloads make another one, the payloads.
    pub(crate) async fn lasting(
        &mut self,
        manifest: &Manifest,
        wanted: Content,
    ) -> Vec<(ObjectKey, Body)> {
        let (run, window) = (self.run_id, manifest.window);
        let key = ObjectKey::Merged { run, window };
        if let Some(merged) = self.merged_object(manifest, wanted).await {
            return vec![(key, merged.into())];
        }
        let Some(round) = self.gather_payloads(manifest, None).await else { return Vec::new() };
        let merged = merge(&self.merged_claims(manifest), &self.shape, &round);
        match self.had(merged) {
            Some((content, merged)) if content == wanted => vec![(key, merged)],
            _ => {
                let payload = |(uid, body): Contribution| {
                    let hotkey = self.directory.seat(uid)?.hotkey;
                    let key = ObjectKey::contribution(run, window, hotkey);
                    Some((key, body.source().clone().into()))
                };
                round.into_iter().filter_map(payload).collect()
            }
        }
    }

    /// The objects that `manifest` lists, from their owners or from who mirrors them, in no order;
    /// none if one of them cannot be had.
    async fn fetch_listed(
        &mut self,
        manifest: &Manifest,
        besides: Option<Uid>,
    ) -> Option<Gathered> {
        let (mut uids, mut requests) = (Vec::new(), Vec::new());
        for accepted in manifest.accepted.iter().filter(|a| Some(a.uid) != besides) {
            let hotkey = self.directory.seat(accepted.uid)?.hotkey;
            let key = ObjectKey::contribution(self.run_id, manifest.window, hotkey);
            let owner = self.directory.bucket(hotkey);
            let mirrors = self.directory.mirrors(manifest.validator);
            let sources = Sources::new(owner.into_iter().chain(mirrors));
            let Content { hash, bytes } = accepted.object;
            uids.push(accepted.uid);
            requests.push(Fetch { key, bytes, hash: Some(hash), sources });
        }
        let bytes: u64 = requests.iter().map(|request| request.bytes).sum();
        let deadline = Instant::now() + self.pace.read_time(bytes);
        let shape = &self.shape;
        let checked = fetch_all(&self.spool, requests, deadline).map(|(request, object)| {
            let uid = uids[request];
            async move {
                let body = check(shape, object?, HEADER_BYTES as u64).await?;
                Ok::<_, Absence>((uid, body))
            }
        });
        let mut checked = std::pin::pin!(checked.buffer_unordered(CHECKS_AT_ONCE));
        let mut gathered = Vec::new();
        while let Some(body) = checked.next().await {
            gathered.push(self.had(body)?);
        }
        self.down_bytes += bytes;
        Some(gathered)
    }

    /// All payloads in one object, from any validator that has it.
    pub(super) async fn gather_merged(&mut self, manifest: &Manifest) -> Option<Gathered> {
        let Some(wanted) = manifest.merged else { return Some(Vec::new()) };
        let object = self.merged_object(manifest, wanted).await?;
        let mut head = vec![0; merged_head_bytes(manifest.accepted.len()) as usize];
        self.had(object.read_at(0, &mut head))?;
        let claims = self.merged_claims(manifest);
        let merged = Merged::parse(&head, object.len(), &claims, &self.shape).ok()?;
        let listed = manifest.accepted.iter().map(|accepted| accepted.uid);
        if !listed.eq(merged.uids().iter().copied()) {
            return None;
        }
        let mut gathered = Vec::new();
        for (peer, &uid) in merged.uids().iter().enumerate() {
            let body = check(&self.shape, object.clone(), merged.body(peer).start).await;
            gathered.push((uid, self.had(body)?));
        }
        Some(gathered)
    }

    fn merged_claims(&self, manifest: &Manifest) -> MergedClaims {
        let (window, parent_root) = (manifest.window, manifest.parent_root);
        MergedClaims { run: self.run_id, window, parent_root }
    }

    /// What could be had; whoever could not have it because of its own machine says so.
    fn had<T>(&self, had: Result<T, impl Into<Absence>>) -> Option<T> {
        match had.map_err(Into::into) {
            Ok(had) => Some(had),
            Err(Absence::Theirs) => None,
            Err(Absence::Ours(why)) => {
                self.voice.say(&why);
                None
            }
        }
    }

    /// The merged update of `manifest`'s window, as it lies in a validator's bucket.
    async fn merged_object(&mut self, manifest: &Manifest, wanted: Content) -> Option<Spooled> {
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
    ) -> Option<Spooled> {
        let Content { hash, bytes } = wanted;
        let sources = Sources::new(sources.iter().cloned());
        let deadline = Instant::now() + self.pace.read_time(bytes);
        let request = Fetch { key: *key, bytes, hash: Some(hash), sources };
        let object = self.spool.fetch(&request, deadline).await;
        let object = self.had(object)?;
        self.down_bytes += bytes;
        Some(object)
    }
}
