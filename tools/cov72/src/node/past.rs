//! Back to a window that has passed: the state that it began with, and a contribution to it.

use bucket::{ObjectKey, Spooled};
use model::sparseloco::CheckedBody;
use wire::contribution::HEADER_BYTES;
use wire::{Content, Digest, Hotkey, Manifest, StateRoot, Uid, Window};

use super::gather::check;
use super::{Node, Replica};
use crate::failure::Failure;

impl Node {
    /// Brings `replica` to the state `root`, with which `window` began; the manifest that closed
    /// it. None if the manifests or updates that lead there are gone.
    pub(crate) async fn go_back_to(
        &mut self,
        replica: &mut Replica,
        window: Window,
        root: StateRoot,
    ) -> Result<Option<Manifest>, Failure> {
        self.refresh()?;
        let newest: Vec<_> = self
            .directory
            .validators()
            .iter()
            .filter_map(|seat| {
                let (newest, _) = seat.newest()?;
                let (window, validator, hash) = (newest.window, seat.hotkey, newest.hash);
                Some(wire::ManifestRef { window, validator, hash })
            })
            .collect();
        for newest in newest {
            let mut cursor = Some(newest);
            while let Some(reference) = cursor.filter(|reference| reference.window >= window) {
                let Some(manifest) = self.manifest(&reference).await else { break };
                if manifest.window == window && manifest.parent_root == root {
                    return self.begin_of(replica, manifest).await;
                }
                cursor = manifest.previous;
            }
        }
        Ok(None)
    }

    async fn begin_of(
        &mut self,
        replica: &mut Replica,
        manifest: Manifest,
    ) -> Result<Option<Manifest>, Failure> {
        match manifest.previous {
            None => self.restart(replica)?,
            Some(before) => {
                if self.replay(replica, before, manifest.parent_root).await?.is_none() {
                    return Ok(None);
                }
            }
        }
        Ok((replica.root() == manifest.parent_root).then_some(manifest))
    }

    /// The contribution of `uid` to the window of `manifest`, from its owner or from whoever holds
    /// the merged update; `object` is its hash.
    pub(crate) async fn contribution_to(
        &mut self,
        manifest: &Manifest,
        (uid, hotkey): (Uid, Hotkey),
        object: Digest,
    ) -> Result<Option<CheckedBody<Spooled>>, Failure> {
        let key = ObjectKey::contribution(self.run_id, manifest.window, hotkey);
        let wanted = Content { hash: object, bytes: self.shape.object_bytes() };
        let owner: Vec<_> = self.directory.bucket(hotkey).into_iter().collect();
        if let Some(found) = self.read_content(&owner, &key, wanted).await
            && let Ok(body) = check(&self.shape, found, HEADER_BYTES as u64).await
        {
            return Ok(Some(body));
        }
        if !manifest.accepted.iter().any(|of| of.uid == uid && of.object.hash == object) {
            return Ok(None);
        }
        let gathered = self.gather_merged(manifest).await.unwrap_or_default();
        Ok(gathered.into_iter().find(|(of, _)| *of == uid).map(|(_, body)| body))
    }
}
