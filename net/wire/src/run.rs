//! The run description: everything that all nodes of one run share, signed by the run's owner.
//!
//! It is a [`Document`]: its canonical bytes hash to the run id, so a file may be laid out as a
//! person likes and still names the same run.

use serde::{Deserialize, Serialize};

use crate::protocol::{RUN_BYTES_MAX, RUN_MAGIC, RUN_NAME_BYTES_MAX, RUN_VERSION};
use crate::{
    Digest, Document, Documents, Genesis, Hotkey, Inner, ModelSpec, Objective, Outer, RunId,
    Signed, StateRoot, Windows,
};

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunDescription {
    /// Version of this description; see [`RunDescription::version_for`].
    pub version: u16,
    /// What people call the run: lower-case letters, digits and dashes.
    pub name: String,
    /// Who signs the description.
    pub owner: Hotkey,
    /// Decides the initial parameters and everything else drawn at random.
    pub seed: u64,
    /// The model.
    pub model: ModelSpec,
    /// How the chain is cut into windows.
    pub windows: Windows,
    /// The inner loop.
    pub inner: Inner,
    /// SparseLoCo and the outer step.
    pub outer: Outer,
    /// What is trained on.
    pub dataset: Dataset,
    /// What counts towards the loss. Absent in version 1.
    #[serde(default, skip_serializing_if = "Objective::is_default")]
    pub objective: Objective,
    /// Where the first parameters come from. Absent in version 1.
    #[serde(default, skip_serializing_if = "Genesis::is_default")]
    pub genesis: Genesis,
    /// What the borders between documents mean. Absent before version 3.
    #[serde(default, skip_serializing_if = "Documents::is_default")]
    pub documents: Documents,
    /// Root of the parameters before the first outer step.
    pub genesis_root: StateRoot,
}

/// The identity of a dataset; where its bytes lie is each node's affair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// The shards in the order in which they are used, at least one.
    pub shards: Vec<Shard>,
}

/// One shard of the dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Samples in the shard, at least 1.
    pub samples: u64,
    /// BLAKE3 of the shard's sample ids, u64 little-endian one behind the other.
    pub sample_ids: Digest,
    /// BLAKE3 of the places in the shard at which documents begin, u64 little-endian one behind the
    /// other, where documents have masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Digest>,
}

/// A run description with its owner's signature: the object that a run publishes.
pub type SignedRun = Signed<RunDescription>;

impl RunDescription {
    /// The run's name: BLAKE3 of the canonical bytes.
    pub fn id(&self) -> RunId {
        RunId(self.hash().0)
    }

    /// The one version that a description with these is of: the first that can say so. Hence a run
    /// has one encoding, and what could be said in version 1 has the id that it had then.
    pub fn version_for(objective: Objective, genesis: Genesis, documents: Documents) -> u16 {
        match (documents.is_default(), objective.is_default() && genesis.is_default()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, _) => RUN_VERSION,
        }
    }
}

impl Document for RunDescription {
    const MAGIC: [u8; 8] = RUN_MAGIC;
    const VERSION: u16 = RUN_VERSION;
    const VERSION_MIN: u16 = 1;
    const BYTES_MAX: usize = RUN_BYTES_MAX;
    const NAME: &'static str = "run description";

    fn version(&self) -> u16 {
        self.version
    }

    fn signer(&self) -> Hotkey {
        self.owner
    }

    fn broken_rule(&self) -> Option<(&'static str, &'static str)> {
        let dash_case = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let name = self.name.as_bytes();
        let named = (1..=RUN_NAME_BYTES_MAX).contains(&name.len());
        let shards = &self.dataset.shards;
        let version = Self::version_for(self.objective, self.genesis, self.documents);
        let masks = self.documents.masks;
        let rules = [
            (
                self.version == version,
                "version",
                "1 without objective, genesis and documents, 2 without documents, else 3",
            ),
            (
                named && name.iter().copied().all(dash_case),
                "name",
                "1 to 64 lower-case letters, digits and dashes",
            ),
            (self.windows.blocks_per_window > 0, "windows.blocks_per_window", "at least 1"),
            (!shards.is_empty(), "dataset.shards", "at least one shard"),
            (shards.iter().all(|shard| shard.samples > 0), "dataset.shards.samples", "at least 1"),
            (
                shards.iter().all(|shard| shard.documents.is_some() == masks),
                "dataset.shards.documents",
                "there with documents.masks, and only then",
            ),
        ];
        let broken = rules.into_iter().find(|(holds, _, _)| !holds);
        broken
            .map(|(_, key, rule)| (key, rule))
            .or_else(|| self.model.broken_rule())
            .or_else(|| self.inner.broken_rule())
            .or_else(|| self.outer.broken_rule())
    }
}
