//! `dataset.json`: what the tokens of a folder are, written last, so that its presence means the
//! folder is whole.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DatasetError;
use super::npy::sync_folder_of;

/// What a folder of shards holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// `byte`, or the file name of a `tokenizer.json`.
    pub tokenizer: String,
    /// Size of the vocabulary: every token is below it.
    pub vocab: u32,
    /// Token that ends a document; never a training target.
    pub eos: Option<u32>,
    /// Tokens in all shards.
    pub tokens: u64,
    /// Samples in all shards.
    pub samples: u64,
    /// Entropy rate of the source in nats per token, where it is known: no model gets below it.
    pub entropy_nats_per_token: Option<f64>,
    /// Seed of a generated corpus.
    pub seed: Option<u64>,
    /// Where the tokens are from, for people.
    pub source: String,
    /// What conversations the tokens are made of; none for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversations: Option<Conversations>,
    /// Documents, where `documents_NNNNNN.npy` say at which token of a shard each begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<u64>,
    /// The files that the tokens are from, where they were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputDescription>,
    /// The shards, by index.
    pub shards: Vec<ShardDescription>,
}

/// Conversations as tokens, with a mask of what counts towards the loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversations {
    /// `plain`, or the file name of the chat template.
    pub template: String,
    /// Conversations.
    pub count: u64,
    /// Tokens of their answers.
    pub answer_tokens: u64,
    /// Tokens of a row; a conversation lies within one. A divisor of 2,048.
    pub row_tokens: u32,
}

/// A file that tokens were made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputDescription {
    /// Its path, as it was given.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 over it, in hexadecimal.
    pub blake3: String,
}

/// One shard of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardDescription {
    /// The number in its file names.
    pub index: u32,
    /// Samples in it.
    pub samples: u64,
    /// BLAKE3 over its tokens as little-endian bytes, in hexadecimal.
    pub tokens_blake3: String,
    /// BLAKE3 over its loss mask, in hexadecimal; none if it has no mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_blake3: Option<String>,
    /// BLAKE3 over the starts of its documents as little-endian bytes, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents_blake3: Option<String>,
}

impl Description {
    /// Where the description of the folder `dir` lies.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("dataset.json")
    }

    /// Reads the description of `dir`; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or has an unknown, missing or mistyped key.
    pub fn read(dir: &Path) -> Result<Option<Self>, DatasetError> {
        let path = Self::path(dir);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| DatasetError::Description { path, source }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(DatasetError::io("read", &path, e)),
        }
    }

    /// Writes the description of `dir`: a temporary file, flushed to disk, then renamed.
    pub(super) fn write(&self, dir: &Path) -> Result<(), DatasetError> {
        let (path, partial) = (Self::path(dir), Self::partial_path(dir));
        let write = || {
            let mut file = std::fs::File::create(&partial)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&partial, &path)
        };
        write().map_err(|e| DatasetError::io("write", &path, e))?;
        sync_folder_of(&path)
    }

    /// The file whose presence says that a folder is being written.
    pub(super) fn partial_path(dir: &Path) -> PathBuf {
        dir.join("dataset.json.partial")
    }
}
