//! Tokens to a folder of shards: samples are cut, hashed and streamed to disk as they come.
//!
//! `dataset.json.partial` marks a folder as being written and `dataset.json`, written last, as
//! whole, so that a killed writer's leftovers are told from shards that somebody else put there.
//! A shard is closed with its last token, so that a job may note how far it got and go on there.

use std::path::{Path, PathBuf};

use super::shard::{documents_path, ids_path, indices, mask_path, shard_of_file, tokens_path};
use super::{
    Conversations, Dataset, DatasetError, Description, InputDescription, NpyWriter, SAMPLE_TOKENS,
    Shard, ShardDescription, masked_sample_id, sample_id,
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
    inputs: Vec<InputDescription>,
    documents: Option<Documents>,
    /// Whether closed shards stay when the writer gives up.
    keeps_shards: bool,
    finished: bool,
}

/// Where documents begin.
#[derive(Debug, Default)]
struct Documents {
    /// In the shard being filled, by token.
    starts: Vec<u64>,
    /// In all shards that are closed.
    closed: u64,
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
        Ok(Self::behind(dir, shard_tokens, Vec::new()))
    }

    /// Goes on behind the `shards` that a writer with the same `shard_tokens` closed in `dir`
    /// before it was stopped. What else it left is removed.
    ///
    /// # Errors
    /// One of these shards is not there or not whole, or the folder cannot be written.
    pub fn resume(
        dir: &Path,
        shard_tokens: u64,
        shards: Vec<ShardDescription>,
    ) -> Result<Self, DatasetError> {
        for shard in &shards {
            let samples = Shard::open(dir, shard.index)?.samples();
            if samples != shard.samples {
                return Err(DatasetError::Disagrees {
                    path: tokens_path(dir, shard.index),
                    said: format!("{} samples before", shard.samples),
                    found: format!("{samples} now"),
                });
            }
        }
        remove_shards_from(dir, shards.len() as u32)?;
        let marker = Description::partial_path(dir);
        std::fs::write(&marker, "").map_err(|e| DatasetError::io("create", &marker, e))?;
        Ok(Self::behind(dir, shard_tokens, shards))
    }

    fn behind(dir: &Path, shard_tokens: u64, shards: Vec<ShardDescription>) -> Self {
        Self {
            dir: dir.to_path_buf(),
            shard_samples: (shard_tokens / SAMPLE_TOKENS as u64).max(1),
            pending: Vec::with_capacity(SAMPLE_TOKENS),
            open: None,
            samples: shards.iter().map(|shard| shard.samples).sum(),
            shards,
            inputs: Vec::new(),
            documents: None,
            keeps_shards: false,
            finished: false,
        }
    }

    /// The same writer, which keeps closed shards when it gives up, for [`DatasetWriter::resume`].
    #[must_use]
    pub fn keeping_shards(mut self) -> Self {
        self.keeps_shards = true;
        self
    }

    /// The same writer, which records where documents begin; `closed` of them lie in the shards it
    /// goes on behind.
    #[must_use]
    pub fn recording_documents(mut self, closed: u64) -> Self {
        self.documents = Some(Documents { starts: Vec::new(), closed });
        self
    }

    /// Notes the files that the tokens are from.
    pub fn set_inputs(&mut self, inputs: Vec<InputDescription>) {
        self.inputs = inputs;
    }

    /// Notes that a document begins with the next token, where that is recorded.
    pub fn begin_document(&mut self) {
        self.begin_document_at(0);
    }

    /// Notes that a document begins `ahead` tokens after the next one, where that is recorded.
    pub fn begin_document_at(&mut self, ahead: usize) {
        let samples = self.open.as_ref().map_or(0, |open| open.ids.len());
        let at = samples * SAMPLE_TOKENS as u64 + (self.pending.len() + ahead) as u64;
        if let Some(documents) = &mut self.documents {
            documents.starts.push(at);
        }
    }

    /// Documents that begin in closed shards, where that is recorded.
    pub fn closed_documents(&self) -> u64 {
        self.documents.as_ref().map_or(0, |documents| documents.closed)
    }

    /// The shards that are closed.
    pub fn shards(&self) -> &[ShardDescription] {
        &self.shards
    }

    /// Tokens that fit the shard being filled; never 0.
    pub fn room(&self) -> u64 {
        let samples = self.open.as_ref().map_or(0, |open| open.ids.len());
        (self.shard_samples - samples) * SAMPLE_TOKENS as u64 - self.pending.len() as u64
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
        if open.ids.len() == self.shard_samples { self.close_shard() } else { Ok(()) }
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
        let documents_blake3 = self.close_documents(index, samples)?;
        self.shards.push(ShardDescription {
            index,
            samples,
            tokens_blake3,
            mask_blake3,
            documents_blake3,
        });
        Ok(())
    }

    /// Writes the starts of documents of shard `index`. Those in the dropped tail are dropped.
    fn close_documents(
        &mut self,
        index: u32,
        samples: u64,
    ) -> Result<Option<String>, DatasetError> {
        let Some(documents) = &mut self.documents else { return Ok(None) };
        let mut starts = std::mem::take(&mut documents.starts);
        starts.retain(|&start| start < samples * SAMPLE_TOKENS as u64);
        let mut file = NpyWriter::<u64>::create(&documents_path(&self.dir, index))?;
        file.write(&starts)?;
        file.finish()?;
        documents.closed += starts.len() as u64;
        Ok(Some(blake3::hash(bytemuck::cast_slice(&starts)).to_hex().to_string()))
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
            documents: self.documents.as_ref().map(|documents| documents.closed),
            inputs: std::mem::take(&mut self.inputs),
            shards: std::mem::take(&mut self.shards),
        };
        description.write(&self.dir)?;
        self.finished = true;
        let dataset = Dataset::open(&self.dir)?;
        Ok(Written { dataset, dropped_tokens: self.pending.len() })
    }
}

impl Drop for DatasetWriter {
    /// A writer that gave up leaves nothing but shards it was told to keep; what cannot be removed
    /// now, the next one removes.
    fn drop(&mut self) {
        let stays = self.keeps_shards && !self.shards.is_empty();
        if !self.finished && !stays {
            let _ = clear(&self.dir);
        }
    }
}

/// Removes what an unfinished writer left in `dir`: shards, partial files, and last the marker.
fn clear(dir: &Path) -> Result<(), DatasetError> {
    remove_shards_from(dir, 0)?;
    let failed = |e| DatasetError::io("remove leftovers in", dir, e);
    std::fs::remove_file(Description::partial_path(dir)).map_err(failed)
}

/// Removes the files of shards from `first` on, and all partial ones.
fn remove_shards_from(dir: &Path, first: u32) -> Result<(), DatasetError> {
    let failed = |e| DatasetError::io("remove leftovers in", dir, e);
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        let is_partial = name.ends_with(".partial");
        if shard_of_file(name).is_some_and(|index| index >= first || is_partial) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
