//! The index of a published checkpoint: which parts hold which tensors, and the state they make.
//!
//! Parts are safetensors files of whole tensors, in the layout's order. A joiner fetches them from
//! any source that has the hashes, and believes the state only because a manifest confirms it.

use serde::{Deserialize, Serialize};

use crate::protocol::{CHECKPOINT_BYTES_MAX, CHECKPOINT_MAGIC, CHECKPOINT_VERSION};
use crate::{Content, Digest, Document, Hotkey, RunId, Signed, StateRoot, Window};

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointPart {
    /// Its content.
    pub object: Content,
    /// Number of the first tensor in it.
    pub first_tensor: u32,
    /// How many tensors it holds, at least 1.
    pub tensors: u32,
}

/// What a checkpoint is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointIndex {
    /// Version of this document, [`CHECKPOINT_VERSION`].
    pub version: u16,
    /// The run.
    pub run: RunId,
    /// The first window that starts from this state.
    pub window: Window,
    /// Who published it.
    pub validator: Hotkey,
    /// Hash of the layout.
    pub layout: Digest,
    /// The state.
    pub root: StateRoot,
    /// The parts, which hold each tensor once, in order.
    pub parts: Vec<CheckpointPart>,
}

/// An index with its validator's signature.
pub type SignedCheckpointIndex = Signed<CheckpointIndex>;

impl CheckpointIndex {
    /// Tensors in all parts.
    pub fn tensors(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.tensors)).sum()
    }
}

impl Document for CheckpointIndex {
    const MAGIC: [u8; 8] = CHECKPOINT_MAGIC;
    const VERSION: u16 = CHECKPOINT_VERSION;
    const BYTES_MAX: usize = CHECKPOINT_BYTES_MAX;
    const NAME: &'static str = "checkpoint index";

    fn version(&self) -> u16 {
        self.version
    }

    fn signer(&self) -> Hotkey {
        self.validator
    }

    fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        let mut next = 0u64;
        let follows = |part: &CheckpointPart| {
            let first = u64::from(part.first_tensor);
            let in_order = first == next && part.tensors > 0;
            next = first + u64::from(part.tensors);
            in_order
        };
        let rules = [
            (!self.parts.is_empty(), "parts", "at least one"),
            (self.parts.iter().all(follows), "parts", "each tensor once, in order"),
        ];
        let broken = rules.into_iter().find(|(holds, _, _)| !holds);
        broken.map(|(_, key, rule)| (key, rule))
    }
}
