//! Tokens to a folder of shards: samples are cut, hashed and streamed to disk as they come.
//!
//! `dataset.json.partial` marks a folder as being written and `dataset.json`, written last, as
//! whole, so that a killed writer's leftovers are told from shards that somebody else put there.

use std::path::{Path, PathBuf};

use super::shard::{ids_path, indices, is_shard_file, mask_path, tokens_path};
use super::{
    Conversations, Dataset, DatasetError, Description, NpyWriter, SAMPLE_TOKENS, ShardDescription,
    masked_sample_id, sample_id,
};

/// What a writer is told about its tokens; it counts the rest itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// `byte`, or the file name of a `tokenizer.json`.
    pub tokenizer: String,
    /// Size of the vocabulary.
    pub vocab: u32,
    /// Token that ends a document.
    pub eos: Option<u32>,
    /// Entropy rate in nats per token, where it is known.
    pub entropy_nats_per_token: Option<f64>,
    /// Seed of a generated corpus.
    pub seed: Option<u64>,
    /// Where the tokens are from, for people.
    pub source: String,
    /// What conversations they are made of; none for text.
    pub conversations: Option<Conversations>,
}

/// What a writer leaves behind.
#[derive(Debug)]
pub struct Written {
    /// The folder, opened.
    pub dataset: Dataset,
    /// Tokens of the last, incomplete sample, which were dropped.
    pub dropped_tokens: usize,
}

/// A folder of shards being written.
#[derive(Debug)]
pub struct DatasetWriter {
    dir: PathBuf,
    shard_samples: u64,
    /// Tokens of the sample being filled, fewer than 2,048.
    pending: Vec<u32>,
    open: Option<OpenShard>,
    shards: Vec<ShardDescription>,
    samples: u64,
    finished: bool,
}

#[derive(Debug)]
struct OpenShard {
    tokens: NpyWriter<u32>,
    ids: NpyWriter<u64>,
    hash: blake3::Hasher,
    mask: Option<(NpyWriter<u8>, blake3::Hasher)>,
}

impl DatasetWriter {
    /// Starts a dataset in `dir`, of shards of `shard_tokens` tokens, rounded down to whole samples
    /// and at least one. Leftovers of a writer that was killed are removed.
    ///
    /// # Errors
    /// The folder holds a dataset or shards of other origin, or cannot be written.
    pub fn create(dir: &Path, shard_tokens: u64) -> Result<Self, DatasetError> {
        std::fs::create_dir_all(dir).map_err(|e| DatasetError::io("create", dir, e))?;
        let occupied = |found: &str| DatasetError::Occupied {
            dir: dir.to_path_buf(),
            found: found.to_string(),
        };
        if Description::path(dir).exists() {
            return Err(occupied("a dataset"));
        }
        let marker = Description::partial_path(dir);
        if marker.exists() {
            clear(dir)?;
        } else if !indices(dir)?.is_empty() {
            return Err(occupied("shards without a dataset.json"));
        }
        std::fs::write(&marker, "").map_err(|e| DatasetError::io("create", &marker, e))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            shard_samples: (shard_tokens / SAMPLE_TOKENS as u64).max(1),
            pending: Vec::with_capacity(SAMPLE_TOKENS),
            open: None,
            shards: Vec::new(),
            samples: 0,
            finished: false,
        })
    }

    /// Appends tokens.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn push(&mut self, mut tokens: &[u32]) -> Result<(), DatasetError> {
        if !self.pending.is_empty() {
            let (head, rest) =
                tokens.split_at((SAMPLE_TOKENS - self.pending.len()).min(tokens.len()));
            self.pending.extend_from_slice(head);
            tokens = rest;
            if self.pending.len() < SAMPLE_TOKENS {
                return Ok(());
            }
            let sample = std::mem::take(&mut self.pending);
            self.write_sample(&sample, None)?;
            self.pending = sample;
            self.pending.clear();
        }
        let samples = tokens.chunks_exact(SAMPLE_TOKENS);
        self.pending.extend_from_slice(samples.remainder());
        samples.into_iter().try_for_each(|sample| self.write_sample(sample, None))
    }

    /// Appends one sample, `[2048]`, with its loss mask: 1 where a token counts as a target.
    ///
    /// # Errors
    /// The disk is full or failing.
    ///
    /// # Panics
    /// They are not a sample's length, or tokens were pushed without a mask before.
    pub fn push_masked(&mut self, sample: &[u32], mask: &[u8]) -> Result<(), DatasetError> {
        assert_eq!((sample.len(), mask.len()), (SAMPLE_TOKENS, SAMPLE_TOKENS), "one whole sample");
        assert!(self.pending.is_empty(), "a dataset has masks for all samples or for none");
        self.write_sample(sample, Some(mask))
    }

    fn write_sample(&mut self, sample: &[u32], mask: Option<&[u8]>) -> Result<(), DatasetError> {
        if self.open.as_ref().is_some_and(|shard| shard.ids.len() == self.shard_samples) {
            self.close_shard()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let index = self.shards.len() as u32;
                let mask = match mask {
                    Some(_) => Some(NpyWriter::create(&mask_path(&self.dir, index))?),
                    None => None,
                };
                none.insert(OpenShard {
                    tokens: NpyWriter::create(&tokens_path(&self.dir, index))?,
                    ids: NpyWriter::create(&ids_path(&self.dir, index))?,
                    hash: blake3::Hasher::new(),
                    mask: mask.map(|mask| (mask, blake3::Hasher::new())),
                })
            }
        };
        open.hash.update(bytemuck::cast_slice(sample));
        open.tokens.write(sample)?;
        assert_eq!(open.mask.is_some(), mask.is_some(), "masks for all samples or for none");
        let id = match (&mut open.mask, mask) {
            (Some((file, hash)), Some(mask)) => {
                hash.update(mask);
                file.write(mask)?;
                masked_sample_id(sample, mask)
            }
            _ => sample_id(sample),
        };
        open.ids.write(&[id])?;
        self.samples += 1;
        Ok(())
    }

    fn close_shard(&mut self) -> Result<(), DatasetError> {
        let Some(OpenShard { tokens, ids, hash, mask }) = self.open.take() else { return Ok(()) };
        let (index, samples) = (self.shards.len() as u32, ids.len());
        tokens.finish()?;
        ids.finish()?;
        let hex = |hash: blake3::Hasher| hash.finalize().to_hex().to_string();
        let (tokens_blake3, mut mask_blake3) = (hex(hash), None);
        if let Some((mask, hash)) = mask {
            mask.finish()?;
            mask_blake3 = Some(hex(hash));
        }
        self.shards.push(ShardDescription { index, samples, tokens_blake3, mask_blake3 });
        Ok(())
    }

    /// Tokens so far, whole samples or not.
    pub fn tokens(&self) -> u64 {
        self.samples * SAMPLE_TOKENS as u64 + self.pending.len() as u64
    }

    /// Closes the last shard, drops the incomplete sample, describes the folder and opens it.
    ///
    /// # Errors
    /// There is not one whole sample, or the disk is full or failing.
    pub fn finish(mut self, provenance: Provenance) -> Result<Written, DatasetError> {
        if self.samples == 0 {
            return Err(DatasetError::NothingToWrite { tokens: self.tokens() });
        }
        self.close_shard()?;
        let Provenance {
            tokenizer,
            vocab,
            eos,
            entropy_nats_per_token,
            seed,
            source,
            conversations,
        } = provenance;
        let description = Description {
            tokenizer,
            vocab,
            eos,
            tokens: self.samples * SAMPLE_TOKENS as u64,
            samples: self.samples,
            entropy_nats_per_token,
            seed,
            source,
            conversations,
            shards: std::mem::take(&mut self.shards),
        };
        description.write(&self.dir)?;
        self.finished = true;
        let dataset = Dataset::open(&self.dir)?;
        Ok(Written { dataset, dropped_tokens: self.pending.len() })
    }
}

impl Drop for DatasetWriter {
    /// A writer that gave up leaves nothing; what cannot be removed now, the next one removes.
    fn drop(&mut self) {
        if !self.finished {
            let _ = clear(&self.dir);
        }
    }
}

/// Removes what an unfinished writer left in `dir`: shards, partial files, and last the marker.
fn clear(dir: &Path) -> Result<(), DatasetError> {
    let failed = |e| DatasetError::io("remove leftovers in", dir, e);
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(is_shard_file) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    std::fs::remove_file(Description::partial_path(dir)).map_err(failed)
}
