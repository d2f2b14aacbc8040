//! The run description: everything that all nodes of one run share, signed by the run's owner.
//!
//! It is JSON. Its canonical bytes (no white space, keys in the order of the fields here, numbers
//! in their shortest form) hash to the run id, so a file may be laid out as a person likes and
//! still names the same run. Unknown keys are refused by name: two nodes never read one file
//! differently.

use serde::{Deserialize, Serialize};

use crate::protocol::{RUN_BYTES_MAX, RUN_MAGIC, RUN_NAME_BYTES_MAX, RUN_VERSION};
use crate::{
    Digest, Hotkey, Inner, Keypair, ModelSpec, Outer, RunId, Signature, StateRoot, Windows, verify,
};

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunDescription {
    /// Version of this description, [`RUN_VERSION`].
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
}

/// Why some text is no run description.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The text is longer than any description.
    #[error("the run description has {bytes} bytes, more than {RUN_BYTES_MAX}: check the file")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not the JSON that it should be; the message names the line and the key.
    #[error("the run description does not read: {0}")]
    Text(#[from] serde_json::Error),
    /// It is of another version.
    #[error("the run description is of version {found}, this program knows {RUN_VERSION}: upgrade")]
    Version {
        /// The version it names.
        found: u16,
    },
    /// A value is out of its range.
    #[error("the run description's {key} must be {rule}")]
    Value {
        /// Which value.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// The owner did not sign this description.
    #[error("the run description is not signed by its owner {owner}: fetch it again")]
    Signature {
        /// The owner it names.
        owner: Hotkey,
    },
}

impl RunDescription {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// The text is too long, is not JSON of this shape, or holds a value out of its range.
    pub fn parse(text: &[u8]) -> Result<Self, RunError> {
        let run: Self = parse_bounded(text)?;
        run.check()?;
        Ok(run)
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// The version is another one, or a value is out of its range; the first such is named.
    pub fn check(&self) -> Result<(), RunError> {
        if self.version != RUN_VERSION {
            return Err(RunError::Version { found: self.version });
        }
        let dash_case = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let name = self.name.as_bytes();
        let named = (1..=RUN_NAME_BYTES_MAX).contains(&name.len());
        let shards = &self.dataset.shards;
        let rules = [
            (
                named && name.iter().copied().all(dash_case),
                "name",
                "1 to 64 lower-case letters, digits and dashes",
            ),
            (self.windows.blocks_per_window > 0, "windows.blocks_per_window", "at least 1"),
            (!shards.is_empty(), "dataset.shards", "at least one shard"),
            (shards.iter().all(|shard| shard.samples > 0), "dataset.shards.samples", "at least 1"),
        ];
        let broken = rules.into_iter().find(|(holds, _, _)| !holds);
        let broken = broken
            .map(|(_, key, rule)| (key, rule))
            .or_else(|| self.model.broken_rule())
            .or_else(|| self.inner.broken_rule())
            .or_else(|| self.outer.broken_rule());
        match broken {
            Some((key, rule)) => Err(RunError::Value { key, rule }),
            None => Ok(()),
        }
    }

    /// The bytes that are hashed and signed.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a description has string keys only")
    }

    /// BLAKE3 of the canonical bytes.
    pub fn id(&self) -> RunId {
        RunId(*blake3::hash(&self.canonical_bytes()).as_bytes())
    }

    fn signed_bytes(&self) -> Vec<u8> {
        [&RUN_MAGIC[..], &self.canonical_bytes()].concat()
    }
}

/// A run description with its owner's signature: the object that a run publishes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRun {
    run: RunDescription,
    signature: Signature,
}

impl SignedRun {
    /// Checks and signs a description, naming the signer as its owner.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn sign(mut run: RunDescription, owner: &Keypair) -> Result<Self, RunError> {
        run.owner = owner.hotkey();
        run.check()?;
        let signature = owner.sign(&run.signed_bytes());
        Ok(Self { run, signature })
    }

    /// Reads a published description and checks its values and its signature.
    ///
    /// # Errors
    /// As [`RunDescription::parse`], or the signature is not the owner's.
    pub fn parse(text: &[u8]) -> Result<Self, RunError> {
        let signed: Self = parse_bounded(text)?;
        signed.run.check()?;
        let owner = signed.run.owner;
        if verify(owner, &signed.run.signed_bytes(), &signed.signature) {
            Ok(signed)
        } else {
            Err(RunError::Signature { owner })
        }
    }

    /// What is published.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a description has string keys only")
    }

    /// The description, whose signature holds.
    pub fn run(&self) -> &RunDescription {
        &self.run
    }
}

fn parse_bounded<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, RunError> {
    if text.len() > RUN_BYTES_MAX {
        return Err(RunError::TooLong { bytes: text.len() });
    }
    Ok(serde_json::from_slice(text)?)
}
