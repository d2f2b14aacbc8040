//! A folder of shards with, where it was made here, the description of what they hold.

use std::path::{Path, PathBuf};

use super::{DatasetError, Description, Shard, sample_digest, shard};

/// All shards of a folder, mapped.
#[derive(Debug)]
pub struct Dataset {
    dir: PathBuf,
    shards: Vec<(u32, Shard)>,
    description: Option<Description>,
}

impl Dataset {
    /// Maps every `train_NNNNNN.npy` of `dir` with its ids.
    ///
    /// # Errors
    /// There is none, one is damaged, or `dataset.json` is not about these shards.
    pub fn open(dir: &Path) -> Result<Self, DatasetError> {
        let indices = shard::indices(dir)?;
        if indices.is_empty() {
            return Err(DatasetError::NoShards { dir: dir.to_path_buf() });
        }
        let open = |index| Ok((index, Shard::open(dir, index)?));
        let shards = indices.into_iter().map(open).collect::<Result<Vec<_>, DatasetError>>()?;
        let description = Description::read(dir)?;
        let dataset = Self { dir: dir.to_path_buf(), shards, description };
        dataset.agrees_with_description()?;
        dataset.masks_agree()?;
        Ok(dataset)
    }

    /// The same, with the places at which documents begin, to keep them apart.
    ///
    /// # Errors
    /// They were not recorded, or are damaged.
    pub fn with_documents(mut self) -> Result<Self, DatasetError> {
        let with =
            |(index, shard): (u32, Shard)| Ok((index, shard.with_documents(&self.dir, index)?));
        let shards = std::mem::take(&mut self.shards).into_iter();
        self.shards = shards.map(with).collect::<Result<_, DatasetError>>()?;
        Ok(self)
    }

    fn agrees_with_description(&self) -> Result<(), DatasetError> {
        let Some(description) = &self.description else { return Ok(()) };
        let said: Vec<_> = description.shards.iter().map(|s| (s.index, s.samples)).collect();
        let found: Vec<_> = self.shards.iter().map(|(i, shard)| (*i, shard.samples())).collect();
        if said == found && description.samples == self.samples() {
            return Ok(());
        }
        let list = |pairs: &[(u32, u64)], samples| {
            let shards: Vec<_> = pairs.iter().map(|(i, n)| format!("shard {i} of {n}")).collect();
            format!("{samples} samples ({})", shards.join(", "))
        };
        Err(DatasetError::Disagrees {
            path: Description::path(&self.dir),
            said: list(&said, description.samples),
            found: list(&found, self.samples()),
        })
    }

    /// All shards have a mask or none has, and as many as the description says.
    fn masks_agree(&self) -> Result<(), DatasetError> {
        let masked = |(_, shard): &(u32, Shard)| shard.has_mask();
        let said = self.description.as_ref().map(|description| {
            description.shards.iter().filter(|shard| shard.mask_blake3.is_some()).count()
        });
        let found = self.shards.iter().filter(|shard| masked(shard)).count();
        let said = said.unwrap_or(if found == 0 { 0 } else { self.shards.len() });
        match self.shards.iter().find(|shard| !masked(shard)) {
            Some((index, _)) if found < said => {
                Err(DatasetError::Missing { path: shard::mask_path(&self.dir, *index) })
            }
            _ if found > said => Err(DatasetError::Disagrees {
                path: Description::path(&self.dir),
                said: format!("{said} loss masks"),
                found: format!("{found}"),
            }),
            _ => Ok(()),
        }
    }

    /// Whether it says which tokens count towards the loss: it is made of conversations.
    pub fn has_mask(&self) -> bool {
        self.shards().all(|(_, shard)| shard.has_mask())
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the tokens are, where the folder says so.
    pub fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    /// The shards with their indices, ascending.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = (u32, &Shard)> {
        self.shards.iter().map(|(index, shard)| (*index, shard))
    }

    /// The shard whose file names carry `index`.
    ///
    /// # Errors
    /// It is not there.
    pub fn shard(&self, index: u32) -> Result<&Shard, DatasetError> {
        let found = self.shards().find(|(at, _)| *at == index).map(|(_, shard)| shard);
        found.ok_or_else(|| DatasetError::Missing { path: shard::tokens_path(&self.dir, index) })
    }

    /// Samples in all shards.
    pub fn samples(&self) -> u64 {
        self.shards().map(|(_, shard)| shard.samples()).sum()
    }

    /// Shard and sample within it of sample `sample` of the whole folder, shards end to end.
    ///
    /// # Errors
    /// There are fewer samples.
    pub fn locate(&self, sample: u64) -> Result<(&Shard, u64), DatasetError> {
        let mut within = sample;
        for (_, shard) in self.shards() {
            if within < shard.samples() {
                return Ok((shard, within));
            }
            within -= shard.samples();
        }
        let path = self.dir.clone();
        Err(DatasetError::SampleBeyond { path, sample, samples: self.samples() })
    }

    /// Receipt over samples counted over all shards: BLAKE2b-128 of their sorted ids.
    ///
    /// # Errors
    /// There are fewer samples.
    pub fn digest(&self, samples: &[u64]) -> Result<[u8; 16], DatasetError> {
        let id = |&sample| self.locate(sample).and_then(|(shard, within)| shard.id(within));
        let mut ids = samples.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        Ok(sample_digest(&mut ids))
    }
}
