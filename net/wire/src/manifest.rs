//! The round manifest: which contributions count in a window, why others do not, and what state
//! that leads to; signed by the validator who judged.
//!
//! Every manifest names the counted one before it by hash, so that the newest one proves the whole
//! history; and it holds a root per tensor, so that a node that differs knows where.

use serde::{Deserialize, Serialize};

use crate::protocol::{MANIFEST_BYTES_MAX, MANIFEST_MAGIC, MANIFEST_VERSION};
use crate::{
    BlockNumber, Digest, Document, Hotkey, Rejected, RunId, Signed, StateRoot, StateTree, Uid,
    Window,
};

/// A manifest by reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestRef {
    /// The window it closed.
    pub window: Window,
    /// Who published it.
    pub validator: Hotkey,
    /// Its hash as a document.
    pub hash: Digest,
}

/// An object by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// BLAKE3 of the whole object.
    pub hash: Digest,
    /// Its length.
    pub bytes: u64,
}

impl Content {
    /// What `object` is.
    pub fn of(object: &[u8]) -> Self {
        Self { hash: Digest(*blake3::hash(object).as_bytes()), bytes: object.len() as u64 }
    }
}

/// A contribution that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Whose it is.
    pub uid: Uid,
    /// Its object.
    pub object: Content,
}

/// One validator's verdict on one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this document, [`MANIFEST_VERSION`].
    pub version: u16,
    /// The run.
    pub run: RunId,
    /// The window that it closes.
    pub window: Window,
    /// Who judged.
    pub validator: Hotkey,
    /// The counted manifest before this one; windows between the two had none.
    pub previous: Option<ManifestRef>,
    /// First block of the window.
    pub first_block: BlockNumber,
    /// Block at which the validator closed it: the next window's first.
    pub close_block: BlockNumber,
    /// State that the window's contributions were trained from.
    pub parent_root: StateRoot,
    /// What counts, by ascending uid; nothing in a null round.
    pub accepted: Vec<Accepted>,
    /// What does not, by ascending uid, and why.
    pub rejected: Vec<Rejected>,
    /// All accepted bodies in one object; none in a null round.
    pub merged: Option<Content>,
    /// State after the outer step.
    pub root: StateRoot,
    /// Root of each tensor, of which `root` is made.
    pub tensor_roots: Vec<Digest>,
    /// First window of the newest checkpoint that the validator holds ready, and the hash of its
    /// index.
    pub checkpoint: Option<(Window, Digest)>,
}

/// A manifest with its validator's signature.
pub type SignedManifest = Signed<Manifest>;

impl Manifest {
    /// This one by reference.
    pub fn reference(&self) -> ManifestRef {
        ManifestRef { window: self.window, validator: self.validator, hash: self.hash() }
    }

    /// The state that it leads to, for a model of layout hash `layout`; none if the root is not
    /// made of the tensor roots.
    pub fn state(&self, layout: Digest) -> Option<StateTree> {
        let tree = StateTree { layout, tensor_roots: self.tensor_roots.clone() };
        (tree.root() == self.root).then_some(tree)
    }

    /// Whether `uid`'s contribution counts.
    pub fn accepts(&self, uid: Uid) -> bool {
        self.accepted.binary_search_by_key(&uid, |accepted| accepted.uid).is_ok()
    }
}

impl Document for Manifest {
    const MAGIC: [u8; 8] = MANIFEST_MAGIC;
    const VERSION: u16 = MANIFEST_VERSION;
    const BYTES_MAX: usize = MANIFEST_BYTES_MAX;
    const NAME: &'static str = "manifest";

    fn version(&self) -> u16 {
        self.version
    }

    fn signer(&self) -> Hotkey {
        self.validator
    }

    fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        let ascend = |uids: Vec<Uid>| uids.windows(2).all(|pair| pair[0] < pair[1]);
        let null = self.accepted.is_empty();
        let rules = [
            (ascend(self.accepted.iter().map(|a| a.uid).collect()), "accepted", "in uid order"),
            (ascend(self.rejected.iter().map(|r| r.uid).collect()), "rejected", "in uid order"),
            (
                !self.rejected.iter().any(|rejected| self.accepts(rejected.uid)),
                "rejected",
                "of uids that are not accepted",
            ),
            (
                self.previous.is_none_or(|previous| previous.window < self.window),
                "previous",
                "of an earlier window",
            ),
            (self.first_block <= self.close_block, "close_block", "at least first_block"),
            (null == self.merged.is_none(), "merged", "there exactly when something is accepted"),
            (!null || self.root == self.parent_root, "root", "the parent's in a null round"),
            (
                self.checkpoint.is_none_or(|(window, _)| window <= self.window),
                "checkpoint",
                "of this window or an earlier one",
            ),
        ];
        let broken = rules.into_iter().find(|(holds, _, _)| !holds);
        broken.map(|(_, key, rule)| (key, rule))
    }
}
