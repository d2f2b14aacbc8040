//! Reads rounds of samples, each checked: its file is the one that was opened, and its tokens hash
//! to its id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use super::Reading;
#[cfg(target_os = "linux")]
use super::ring::Ring;
use super::sealed::SealedFile;
use crate::dataset::{Dataset, DatasetError, SAMPLE_TOKENS, sample_id};

/// Samples read at once at the most: 256 KiB, within what any user may register.
pub(super) const ROUND_SAMPLES: usize = 32;

/// Reads the samples of one order.
#[derive(Debug)]
pub(super) struct Fetcher {
    shards: Vec<SealedFile>,
    /// Of each position.
    places: Vec<Place>,
    way: Way,
    held: Vec<u32>,
}

/// Where a sample lies, and what it has to hash to.
#[derive(Clone, Copy, Debug)]
struct Place {
    shard: usize,
    sample: u64,
    /// None for a sample with a mask, which its id covers: whoever has both checks them.
    id: Option<u64>,
}

#[derive(Debug)]
enum Way {
    #[cfg(target_os = "linux")]
    Ring(Box<Ring>),
    Pread,
    /// Mappings of the fetcher's own, so that it outlives the dataset.
    Mapped(Vec<memmap2::Mmap>),
}

impl Fetcher {
    /// A fetcher of `samples`, and why it reads another way than `reading` where it does.
    pub(super) fn open(
        dataset: &Dataset,
        samples: &[u64],
        reading: Reading,
    ) -> Result<(Self, Option<String>), DatasetError> {
        // Only shards that are read: a process may hold no more files open than it is allowed to.
        let (mut shards, mut opened) = (Vec::new(), HashMap::new());
        let place = |&sample: &u64| {
            let (shard, within) = dataset.locate(sample)?;
            let id = (!shard.has_mask()).then(|| shard.id(within)).transpose()?;
            let shard = match opened.entry(shard.path()) {
                Entry::Occupied(at) => *at.get(),
                Entry::Vacant(new) => {
                    shards.push(SealedFile::open(shard)?);
                    *new.insert(shards.len() - 1)
                }
            };
            Ok(Place { shard, sample: within, id })
        };
        let places = samples.iter().map(place).collect::<Result<Vec<_>, DatasetError>>()?;
        let (way, fallback) = Way::open(reading, &shards)?;
        Ok((Self { shards, places, way, held: vec![0; SAMPLE_TOKENS] }, fallback))
    }

    pub(super) fn reading(&self) -> Reading {
        match self.way {
            #[cfg(target_os = "linux")]
            Way::Ring(_) => Reading::Ring,
            Way::Pread => Reading::Pread,
            Way::Mapped(_) => Reading::Mapped,
        }
    }

    /// Reads the samples at `positions`, at most [`ROUND_SAMPLES`], and gives each away.
    pub(super) fn fetch(
        &mut self,
        positions: Range<usize>,
        mut give: impl FnMut(usize, &[u32]),
    ) -> Result<(), DatasetError> {
        let Self { shards, places, way, held } = self;
        let round = &places[positions.clone()];
        // Before reading, so that a mapping is not read past the end of its file.
        check_files(shards, round)?;
        let mut checked = |at: usize, tokens: &[u32]| {
            check_sample(&shards[round[at].shard], &round[at], tokens)?;
            give(positions.start + at, tokens);
            Ok(())
        };
        match way {
            #[cfg(target_os = "linux")]
            Way::Ring(ring) => {
                let reads = round.iter().map(|place| {
                    let shard = &shards[place.shard];
                    (&shard.file, shard.offset(place.sample))
                });
                let reads: Vec<_> = reads.collect();
                let whole = ring
                    .read(&reads)
                    .map_err(|e| DatasetError::io("read", shards[round[0].shard].path(), e))?;
                for (at, place) in round.iter().enumerate() {
                    if whole[at] {
                        checked(at, ring.sample(at))?;
                    } else {
                        // Cut short or refused: the plain way tells which, or gets it.
                        shards[place.shard].read(place.sample, held)?;
                        checked(at, held)?;
                    }
                }
            }
            Way::Pread => {
                for (at, place) in round.iter().enumerate() {
                    shards[place.shard].read(place.sample, held)?;
                    checked(at, held)?;
                }
            }
            Way::Mapped(maps) => {
                for (at, place) in round.iter().enumerate() {
                    let start = shards[place.shard].offset(place.sample) as usize;
                    let bytes = &maps[place.shard][start..start + SAMPLE_TOKENS * 4];
                    bytemuck::cast_slice_mut(held).copy_from_slice(bytes);
                    checked(at, held)?;
                }
            }
        }
        Ok(())
    }
}

impl Way {
    fn open(
        reading: Reading,
        shards: &[SealedFile],
    ) -> Result<(Self, Option<String>), DatasetError> {
        Ok(match reading {
            #[cfg(target_os = "linux")]
            Reading::Ring => match Ring::new(ROUND_SAMPLES) {
                Ok(ring) => (Self::Ring(Box::new(ring)), None),
                Err(e) => (Self::Pread, Some(format!("the kernel refuses io_uring: {e}"))),
            },
            #[cfg(not(target_os = "linux"))]
            Reading::Ring => (Self::Pread, Some("this system has no io_uring".to_string())),
            Reading::Pread => (Self::Pread, None),
            Reading::Mapped => {
                if let Some(shard) = shards.iter().find(|shard| shard.is_writable()) {
                    let path = shard.path().display();
                    let why = format!(
                        "{path} may be written to, and one that is cut off while it is mapped ends \
                         the process; take that right away by chmod a-w"
                    );
                    return Ok((Self::Pread, Some(why)));
                }
                let map = |shard: &SealedFile| {
                    // SAFETY: nobody has the right to write to this file, and shards are only ever
                    // replaced by renaming a whole file over them, so nobody changes or shortens it
                    // while it is mapped.
                    unsafe { memmap2::Mmap::map(&shard.file) }
                        .map_err(|e| DatasetError::io("map", shard.path(), e))
                };
                (Self::Mapped(shards.iter().map(map).collect::<Result<Vec<_>, _>>()?), None)
            }
        })
    }
}

/// Checks each file of a round once.
fn check_files(shards: &[SealedFile], round: &[Place]) -> Result<(), DatasetError> {
    let mut seen: Vec<usize> = round.iter().map(|place| place.shard).collect();
    seen.sort_unstable();
    seen.dedup();
    seen.into_iter().try_for_each(|shard| shards[shard].check())
}

fn check_sample(shard: &SealedFile, place: &Place, tokens: &[u32]) -> Result<(), DatasetError> {
    let Some(recorded) = place.id else { return Ok(()) };
    let computed = sample_id(tokens);
    if computed == recorded {
        return Ok(());
    }
    // What hashes to something else because the file changed meanwhile is told as such.
    shard.check()?;
    Err(DatasetError::IdMismatch {
        path: shard.path().to_path_buf(),
        sample: place.sample,
        recorded,
        computed,
    })
}
