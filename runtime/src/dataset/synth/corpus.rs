//! The generated corpus as a folder of one shard, made once and reused.

use std::path::Path;

use super::Language;
use crate::dataset::{
    Dataset, DatasetError, DatasetWriter, Description, Provenance, SAMPLE_TOKENS,
};

/// Names the generator: a corpus of another source is never taken for this one's.
const SOURCE: &str = "cov72 synthetic language 1";
/// Tokens drawn between writes.
const DRAW_TOKENS: usize = 1 << 16;

/// The corpus of `samples` samples that `seed` picks, in `dir`: reused where it is there and whole,
/// made where it is missing or half-written.
///
/// # Errors
/// `dir` holds another dataset, the corpus there is damaged, or the disk is full or failing.
pub fn ensure(dir: &Path, seed: u64, samples: u64) -> Result<Dataset, DatasetError> {
    let Some(description) = Description::read(dir)? else { return generate(dir, seed, samples) };
    let wanted = (SOURCE, Some(seed), samples);
    if (description.source.as_str(), description.seed, description.samples) != wanted {
        let found = match description.seed {
            Some(seed) => format!("{} samples of seed {seed}", description.samples),
            None => format!("{} samples of {}", description.samples, description.source),
        };
        return Err(DatasetError::Occupied { dir: dir.to_path_buf(), found });
    }
    let dataset = Dataset::open(dir)?;
    for ((_, shard), described) in dataset.shards().zip(&description.shards) {
        let found = blake3::hash(bytemuck::cast_slice(shard.tokens())).to_hex().to_string();
        if found != described.tokens_blake3 {
            return Err(DatasetError::Disagrees {
                path: Description::path(dir),
                said: format!("tokens of hash {}", described.tokens_blake3),
                found: format!("tokens of hash {found}"),
            });
        }
    }
    Ok(dataset)
}

fn generate(dir: &Path, seed: u64, samples: u64) -> Result<Dataset, DatasetError> {
    let language = Language::new();
    let mut tokens_left = samples * SAMPLE_TOKENS as u64;
    let mut writer = DatasetWriter::create(dir, tokens_left)?;
    let mut text = language.text(seed);
    let mut tokens = Vec::with_capacity(DRAW_TOKENS);
    while tokens_left > 0 {
        text.fill(&mut tokens, tokens_left.min(DRAW_TOKENS as u64) as usize);
        // The last word may reach past the corpus: it is cut.
        let used = tokens.len().min(usize::try_from(tokens_left).unwrap_or(usize::MAX));
        writer.push(&tokens[..used])?;
        tokens_left -= used as u64;
    }
    let written = writer.finish(Provenance {
        tokenizer: "byte".to_string(),
        vocab: 256,
        eos: Some(0),
        entropy_nats_per_token: Some(language.entropy_nats_per_byte()),
        seed: Some(seed),
        source: SOURCE.to_string(),
        conversations: None,
    })?;
    Ok(written.dataset)
}
