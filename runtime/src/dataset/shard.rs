//! One shard: `u32` tokens, the `u64` ids of its samples, for conversations the loss mask and, when
//! asked for, where documents begin, all mapped.

use std::path::{Path, PathBuf};

use super::{DatasetError, NpyArray, SAMPLE_TOKENS, masked_sample_id, sample_id};

/// How the names of a shard's files begin.
const SHARD_FILES: [&str; 4] = ["train_", "sample_ids_", "loss_mask_", "documents_"];

/// A mapped shard.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    tokens: NpyArray<u32>,
    ids: NpyArray<u64>,
    mask: Option<NpyArray<u8>>,
    documents: Option<NpyArray<u64>>,
    samples: u64,
}

impl Shard {
    /// Maps shard `index` of the folder `dir`, with its loss mask where one lies there.
    ///
    /// # Errors
    /// As [`Shard::open_pair`], or the mask is damaged or not as long as the tokens.
    pub fn open(dir: &Path, index: u32) -> Result<Self, DatasetError> {
        let mut shard = Self::open_pair(&tokens_path(dir, index), &ids_path(dir, index))?;
        let path = mask_path(dir, index);
        if !path.exists() {
            return Ok(shard);
        }
        let mask = NpyArray::<u8>::open(&path)?;
        let (tokens, found) = (shard.tokens.values().len(), mask.values().len());
        if found != tokens {
            return Err(DatasetError::Disagrees {
                path,
                said: format!("{found} tokens"),
                found: format!("{tokens}"),
            });
        }
        shard.mask = Some(mask);
        Ok(shard)
    }

    /// Maps a file of tokens `[samples * 2048]` and the file of ids `[samples]` beside it. Where
    /// the ids are fewer than the tokens' samples, the shard ends with them.
    ///
    /// # Errors
    /// A file is missing or damaged, the tokens are no whole samples, or not even one.
    pub fn open_pair(tokens_path: &Path, ids_path: &Path) -> Result<Self, DatasetError> {
        let path = tokens_path.to_path_buf();
        let tokens = NpyArray::<u32>::open(tokens_path)?;
        let ids = NpyArray::<u64>::open(ids_path)?;
        let (token_count, id_count) = (tokens.values().len(), ids.values().len());
        let samples = (token_count / SAMPLE_TOKENS).min(id_count);
        if samples == 0 {
            return Err(DatasetError::TooShort { path, tokens: token_count, ids: id_count });
        }
        if !token_count.is_multiple_of(SAMPLE_TOKENS) {
            return Err(DatasetError::NotWholeSamples { path, tokens: token_count });
        }
        Ok(Self { path, tokens, ids, mask: None, documents: None, samples: samples as u64 })
    }

    /// The same shard `index` of `dir`, with the places at which documents begin.
    ///
    /// # Errors
    /// They are not recorded, not ascending, or beyond the shard.
    pub(super) fn with_documents(mut self, dir: &Path, index: u32) -> Result<Self, DatasetError> {
        let path = documents_path(dir, index);
        if !path.exists() {
            return Err(DatasetError::NoDocuments { path });
        }
        let documents = NpyArray::<u64>::open(&path)?;
        let (starts, tokens) = (documents.values(), self.samples * SAMPLE_TOKENS as u64);
        let ascending = starts.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || starts.last().is_some_and(|&last| last >= tokens) {
            return Err(DatasetError::Starts { path, tokens });
        }
        self.documents = Some(documents);
        Ok(self)
    }

    /// Tokens at which documents begin, ascending, where the dataset was opened with them.
    pub fn documents(&self) -> Option<&[u64]> {
        self.documents.as_ref().map(NpyArray::values)
    }

    /// Places within one sample at which documents begin, ascending.
    ///
    /// # Errors
    /// The dataset was opened without documents, or there are fewer samples.
    pub(super) fn borders(
        &self,
        sample: u64,
    ) -> Result<impl Iterator<Item = usize> + '_, DatasetError> {
        let first = self.checked(sample)? as u64 * SAMPLE_TOKENS as u64;
        let no_documents = || DatasetError::NoDocuments { path: self.path.clone() };
        let starts = self.documents().ok_or_else(no_documents)?;
        let starts = &starts[starts.partition_point(|&start| start < first)..];
        let within = move |&start: &u64| (start - first) as usize;
        Ok(starts.iter().map(within).take_while(|&place| place < SAMPLE_TOKENS))
    }

    /// The file of tokens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Byte of the file of tokens that the first one begins at.
    pub(super) fn values_start(&self) -> u64 {
        self.tokens.values_start()
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// All tokens, `[samples * 2048]`.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens.values()[..self.samples as usize * SAMPLE_TOKENS]
    }

    /// Tokens of one sample, `[2048]`.
    ///
    /// # Errors
    /// There are fewer samples.
    pub fn sample(&self, sample: u64) -> Result<&[u32], DatasetError> {
        let start = self.checked(sample)? * SAMPLE_TOKENS;
        Ok(&self.tokens.values()[start..start + SAMPLE_TOKENS])
    }

    /// Whether it says which tokens count towards the loss.
    pub fn has_mask(&self) -> bool {
        self.mask.is_some()
    }

    /// Loss mask of one sample, `[2048]`: not 0 where the token counts as a target.
    ///
    /// # Errors
    /// There is no mask, or there are fewer samples.
    pub fn mask(&self, sample: u64) -> Result<&[u8], DatasetError> {
        let start = self.checked(sample)? * SAMPLE_TOKENS;
        match &self.mask {
            Some(mask) => Ok(&mask.values()[start..start + SAMPLE_TOKENS]),
            None => Err(DatasetError::NoMask { path: self.path.clone() }),
        }
    }

    /// Ids of all samples, `[samples]`.
    pub fn ids(&self) -> &[u64] {
        &self.ids.values()[..self.samples as usize]
    }

    /// Recorded id of one sample.
    ///
    /// # Errors
    /// There are fewer samples.
    pub fn id(&self, sample: u64) -> Result<u64, DatasetError> {
        Ok(self.ids.values()[self.checked(sample)?])
    }

    /// Checks that a sample's tokens, and its mask if it has one, still hash to its id.
    ///
    /// # Errors
    /// They do not, or there are fewer samples.
    pub fn verify(&self, sample: u64) -> Result<(), DatasetError> {
        self.verify_read(sample, self.sample(sample)?)
    }

    /// Checks that `tokens`, read as those of a sample, hash to its id, with its mask if it has
    /// one.
    ///
    /// # Errors
    /// As [`Shard::verify`].
    pub(super) fn verify_read(&self, sample: u64, tokens: &[u32]) -> Result<(), DatasetError> {
        let recorded = self.id(sample)?;
        let computed = match self.has_mask() {
            true => masked_sample_id(tokens, self.mask(sample)?),
            false => sample_id(tokens),
        };
        if recorded != computed {
            let path = self.path.clone();
            return Err(DatasetError::IdMismatch { path, sample, recorded, computed });
        }
        Ok(())
    }

    fn checked(&self, sample: u64) -> Result<usize, DatasetError> {
        if sample >= self.samples {
            let path = self.path.clone();
            return Err(DatasetError::SampleBeyond { path, sample, samples: self.samples });
        }
        Ok(sample as usize)
    }
}

/// File of tokens of shard `index`.
pub(super) fn tokens_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("train_{index:06}.npy"))
}

/// File of sample ids of shard `index`.
pub(super) fn ids_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("sample_ids_{index:06}.npy"))
}

/// File of the loss mask of shard `index`.
pub(super) fn mask_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("loss_mask_{index:06}.npy"))
}

/// File of the starts of documents of shard `index`, where they are recorded: `u64` positions of
/// first tokens within the shard, ascending.
pub fn documents_path(dir: &Path, index: u32) -> PathBuf {
    dir.join(format!("documents_{index:06}.npy"))
}

/// Indices of the shards that lie in `dir`, ascending.
pub(super) fn indices(dir: &Path) -> Result<Vec<u32>, DatasetError> {
    let failed = |e| DatasetError::io("read", dir, e);
    let mut indices = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        indices.extend(name.to_str().and_then(|name| index(name.strip_suffix(".npy")?, "train_")));
    }
    indices.sort_unstable();
    Ok(indices)
}

/// The shard that a file belongs to, by the file's name, complete or partial.
pub(super) fn shard_of_file(name: &str) -> Option<u32> {
    let stem = name.strip_suffix(".partial").unwrap_or(name).strip_suffix(".npy")?;
    SHARD_FILES.iter().find_map(|prefix| index(stem, prefix))
}

/// The six digits behind `prefix`.
fn index(stem: &str, prefix: &str) -> Option<u32> {
    stem.strip_prefix(prefix).filter(|digits| digits.len() == 6)?.parse().ok()
}
