//! Validators that forge: they follow the network like everybody, and sign other manifests than
//! they made. They may have the most stake of all, and less than half of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bucket::ObjectKey;
use chain::ChainError;
use object_store::PutPayload;
use object_store::path::Path;
use wire::{
    Accepted, Announcement, Content, Digest, Document, Keypair, Manifest, Note, Rejected,
    Rejection, SignedManifest, StateRoot, StateTree, Uid,
};

use super::draw::Draw;
use super::line::{Net, joined};
use super::quick_chain::QuickChain;
use super::stage::NETUID;

/// How a validator forges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgery {
    /// Another state than the one that its list leads to.
    Root,
    /// It passes over the manifest that counted last.
    Previous,
    /// A payload and a merged update that nobody has.
    Missing,
    /// A merged update that nobody has, beside payloads that lead where it says.
    Unmerged,
    /// A contribution that it refused, under the state without it.
    Refused,
    /// Two manifests for one window, one after the other; both follow.
    Twice,
}

impl Forgery {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Root, Self::Previous, Self::Missing, Self::Unmerged, Self::Refused, Self::Twice];
}

/// One forging validator.
pub(super) struct Forger {
    forgery: Forgery,
    pub(super) keypair: Keypair,
    layout: Digest,
    state: Mutex<State>,
}

struct State {
    draw: Draw,
    /// What is published in place of each manifest that its node made.
    forged: BTreeMap<Digest, Published>,
    /// Tensor roots of the states that its node computed.
    tensor_roots: BTreeMap<StateRoot, Vec<Digest>>,
    /// Second manifests that are still to come.
    seconds: Vec<Second>,
}

#[derive(Clone, Copy)]
struct Published {
    hash: Digest,
    parent_root: StateRoot,
}

/// A second manifest for a window.
struct Second {
    path: Path,
    text: Vec<u8>,
    first: Digest,
    hash: Digest,
    /// The note that announces it, once the first one is announced.
    note: Option<Note>,
    pause: Duration,
}

impl Forger {
    /// A forger of manifests for a model of layout hash `layout`.
    pub(super) fn new(forgery: Forgery, keypair: Keypair, layout: Digest, draw: Draw) -> Self {
        let (forged, tensor_roots) = (BTreeMap::new(), BTreeMap::new());
        let state = State { draw, forged, tensor_roots, seconds: Vec::new() };
        Self { forgery, keypair, layout, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it puts instead of `honest`.
    pub(super) fn instead(&self, path: &Path, honest: PutPayload) -> PutPayload {
        let Ok(ObjectKey::WindowManifest { hotkey, .. }) = path.as_ref().parse() else {
            return honest;
        };
        if hotkey != self.keypair.hotkey() {
            return honest;
        }
        let Ok(made) = SignedManifest::parse(&joined(&honest)) else { return honest };
        let (made, mut forged) = (made.document().clone(), made.into_document());
        let state = &mut *self.state();
        state.tensor_roots.insert(made.root, made.tensor_roots.clone());
        let is_forged = state.draw.chance(0.8) && self.forge(&mut forged, state);
        let published = Published { hash: forged.hash(), parent_root: forged.parent_root };
        let Ok(signed) = SignedManifest::sign(forged, &self.keypair) else { return honest };
        if self.forgery == Forgery::Twice && is_forged {
            let (first, hash, path) = (made.hash(), published.hash, path.clone());
            let pause = Duration::from_millis(state.draw.between(500, 9_000));
            let text = signed.to_bytes();
            state.seconds.push(Second { path, text, first, hash, note: None, pause });
            return honest;
        }
        state.forged.insert(made.hash(), published);
        signed.to_bytes().into()
    }

    /// Changes a manifest; whether there was something to change.
    fn forge(&self, manifest: &mut Manifest, state: &mut State) -> bool {
        let State { draw, tensor_roots, .. } = state;
        let mut digest = [0; 32];
        draw.fill(&mut digest);
        let digest = Digest(digest);
        let is_null = manifest.accepted.is_empty();
        match self.forgery {
            Forgery::Root if !is_null => {
                // At times it claims that nothing changed, at others nonsense.
                match tensor_roots.get(&manifest.parent_root).filter(|_| draw.chance(0.3)) {
                    Some(parents) => manifest.tensor_roots.clone_from(parents),
                    None => manifest.tensor_roots[0] = digest,
                }
                let tensor_roots = manifest.tensor_roots.clone();
                manifest.root = StateTree { layout: self.layout, tensor_roots }.root();
            }
            Forgery::Previous if manifest.previous.is_some() => {
                manifest.previous = None;
                if draw.chance(0.5) {
                    manifest.parent_root = StateRoot(digest.0);
                }
            }
            Forgery::Missing if !is_null => {
                manifest.merged = manifest.merged.map(|merged| Content { hash: digest, ..merged });
                manifest.accepted[0].object.hash = digest;
            }
            Forgery::Unmerged if !is_null => {
                manifest.merged = manifest.merged.map(|merged| Content { hash: digest, ..merged });
            }
            Forgery::Refused if !is_null && !manifest.rejected.is_empty() => {
                let Rejected { uid, .. } = manifest.rejected.remove(0);
                let object = Content { hash: digest, ..manifest.accepted[0].object };
                manifest.accepted.push(Accepted { uid, object });
                manifest.accepted.sort_by_key(|accepted| accepted.uid);
            }
            Forgery::Twice => {
                let uid = Uid(u16::MAX);
                manifest.rejected.push(Rejected { uid, reason: Rejection::Missing {} });
                manifest.close_block.0 += draw.between(0, 1);
            }
            _ => return false,
        }
        true
    }

    /// What it announces instead of `honest`.
    pub(super) fn announce(&self, honest: &[u8]) -> Vec<u8> {
        let Ok(mut note) = Note::parse(honest) else { return honest.to_vec() };
        let state = &mut *self.state();
        if let Some(newest) = &mut note.manifest {
            if let Some(forged) = state.forged.get(&newest.hash) {
                (newest.hash, newest.parent_root) = (forged.hash, forged.parent_root);
            }
            let second = state.seconds.iter_mut().find(|second| second.first == newest.hash);
            if let Some(second) = second {
                let newest = Announcement { hash: second.hash, ..*newest };
                second.note = Some(Note { manifest: Some(newest), ..note.clone() });
            }
        }
        note.to_bytes().unwrap_or_else(|_| honest.to_vec())
    }

    /// Publishes second manifests, each a while after the first one, as long as the network lives.
    pub(super) async fn publish_seconds(
        self: Arc<Self>,
        net: Arc<Net>,
        owner: usize,
        chain: Arc<QuickChain>,
    ) -> Result<(), ChainError> {
        const LOOK: Duration = Duration::from_millis(250);
        loop {
            tokio::time::sleep(LOOK).await;
            let announced = {
                let seconds = &mut self.state().seconds;
                let at = seconds.iter().position(|second| second.note.is_some());
                at.map(|at| seconds.remove(at))
            };
            let Some(second) = announced else { continue };
            tokio::time::sleep(second.pause).await;
            net.overwrite(owner, &second.path, second.text).await;
            let note = second.note.expect("it was announced").to_bytes();
            chain.commit_unchanged(NETUID, &self.keypair, &note.expect("it was a note before"))?;
        }
    }
}
