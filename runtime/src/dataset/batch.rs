//! Samples to batches: inputs and targets `[samples * 2048 / seq_len, seq_len]`, row by row.
//!
//! The target of a token is its successor within the row. The last of a row has none, and what is
//! no target by [`Targets`] is none here: both are [`IGNORE`]. So is the first token of a document
//! where documents are kept apart; then each token has a *first key*, the first place of its row
//! that it attends to. Buffers are the caller's; nothing is allocated.

use super::{Dataset, DatasetError, SAMPLE_TOKENS, Shard};

/// The target that does not count towards the loss.
pub const IGNORE: u32 = u32::MAX;

/// Which tokens count as targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All of a text.
    Text {
        /// Token that ends a document, never a target.
        eos: Option<u32>,
    },
    /// Those whose loss mask is on; a token that ends an answer is one of them.
    Answers,
}

/// How tokens become inputs and targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRules {
    /// Tokens in a row; a divisor of 2,048.
    pub seq_len: usize,
    /// Size of the model's vocabulary: every token is below it.
    pub vocab: u32,
    /// What counts.
    pub targets: Targets,
    /// Whether documents are kept apart.
    pub document_masks: bool,
}

/// Fills `inputs` and `targets`, each `[samples.len() * 2048]`, from samples of one shard.
///
/// # Errors
/// A sample is beyond the shard, holds a token beyond the vocabulary, or `seq_len` does not divide
/// 2,048, or answers are asked for and there is no mask. The buffers then hold part of the batch.
///
/// # Panics
/// A buffer is not exactly as long as the samples together.
pub fn fill_batch(
    shard: &Shard,
    samples: &[u64],
    rules: BatchRules,
    inputs: &mut [u32],
    targets: &mut [u32],
) -> Result<(), DatasetError> {
    fill(|sample| Ok((shard, sample)), samples, rules, inputs, targets)
}

impl Dataset {
    /// Fills `inputs` and `targets`, each `[samples.len() * 2048]`, from samples counted over all
    /// shards end to end.
    ///
    /// # Errors
    /// As [`fill_batch`].
    ///
    /// # Panics
    /// A buffer is not exactly as long as the samples together.
    pub fn fill_batch(
        &self,
        samples: &[u64],
        rules: BatchRules,
        inputs: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), DatasetError> {
        fill(|sample| self.locate(sample), samples, rules, inputs, targets)
    }

    /// Fills the `targets` of `inputs`, each `[samples.len() * 2048]`, which hold the samples
    /// already.
    ///
    /// # Errors
    /// As [`fill_batch`].
    ///
    /// # Panics
    /// A buffer is not exactly as long as the samples together.
    pub fn fill_targets(
        &self,
        samples: &[u64],
        rules: BatchRules,
        inputs: &[u32],
        targets: &mut [u32],
    ) -> Result<(), DatasetError> {
        fill_targets(|sample| self.locate(sample), samples, rules, inputs, targets)
    }

    /// Fills the first keys of rows of `seq_len`, `[samples.len() * 2048]`: places within the row.
    ///
    /// # Errors
    /// The dataset was opened without documents, or there are fewer samples.
    ///
    /// # Panics
    /// The buffer is not as long as the samples together, or `seq_len` does not divide 2,048.
    pub fn fill_first_keys(
        &self,
        samples: &[u64],
        seq_len: usize,
        first_keys: &mut [u32],
    ) -> Result<(), DatasetError> {
        assert_eq!(first_keys.len(), samples.len() * SAMPLE_TOKENS, "as many as tokens");
        assert!(SAMPLE_TOKENS.is_multiple_of(seq_len), "rows cut a sample evenly");
        first_keys.fill(0);
        for (&sample, keys) in samples.iter().zip(first_keys.chunks_exact_mut(SAMPLE_TOKENS)) {
            let (shard, within) = self.locate(sample)?;
            for place in shard.borders(within)? {
                let row_end = (place / seq_len + 1) * seq_len;
                keys[place..row_end].fill((place % seq_len) as u32);
            }
        }
        Ok(())
    }
}

fn fill<'a>(
    locate: impl Fn(u64) -> Result<(&'a Shard, u64), DatasetError>,
    samples: &[u64],
    rules: BatchRules,
    inputs: &mut [u32],
    targets: &mut [u32],
) -> Result<(), DatasetError> {
    assert_eq!(inputs.len(), samples.len() * SAMPLE_TOKENS, "inputs hold exactly the samples");
    for (&sample, inputs) in samples.iter().zip(inputs.chunks_exact_mut(SAMPLE_TOKENS)) {
        let (shard, sample) = locate(sample)?;
        inputs.copy_from_slice(shard.sample(sample)?);
    }
    fill_targets(locate, samples, rules, inputs, targets)
}

/// Targets of `inputs` that hold the samples already.
fn fill_targets<'a>(
    locate: impl Fn(u64) -> Result<(&'a Shard, u64), DatasetError>,
    samples: &[u64],
    rules: BatchRules,
    inputs: &[u32],
    targets: &mut [u32],
) -> Result<(), DatasetError> {
    let BatchRules { seq_len, vocab, targets: which, document_masks } = rules;
    if seq_len == 0 || !SAMPLE_TOKENS.is_multiple_of(seq_len) {
        return Err(DatasetError::SequenceLength { seq_len });
    }
    assert_eq!(inputs.len(), samples.len() * SAMPLE_TOKENS, "inputs hold exactly the samples");
    assert_eq!(targets.len(), inputs.len(), "targets are as many as inputs");
    let rows = inputs.chunks_exact(SAMPLE_TOKENS).zip(targets.chunks_exact_mut(SAMPLE_TOKENS));
    for (&sample, (tokens, targets)) in samples.iter().zip(rows) {
        let (shard, sample) = locate(sample)?;
        // Whoever read these tokens ahead had no mask, which the id covers, too.
        if shard.has_mask() {
            shard.verify_read(sample, tokens)?;
        }
        check_vocabulary(shard, sample, tokens, vocab)?;
        let rows = tokens.chunks_exact(seq_len).zip(targets.chunks_exact_mut(seq_len));
        match which {
            Targets::Text { eos } => rows.for_each(|(row, targets)| shift(row, eos, targets)),
            Targets::Answers => {
                let masks = shard.mask(sample)?.chunks_exact(seq_len);
                rows.zip(masks).for_each(|((row, targets), mask)| answers(row, mask, targets));
            }
        }
        if document_masks {
            let borders = shard.borders(sample)?.filter(|&place| place > 0);
            borders.for_each(|place| targets[place - 1] = IGNORE);
        }
    }
    Ok(())
}

/// Targets of one row, `[seq_len]`.
fn shift(row: &[u32], eos: Option<u32>, targets: &mut [u32]) {
    for (target, &next) in targets.iter_mut().zip(&row[1..]) {
        *target = if Some(next) == eos { IGNORE } else { next };
    }
    targets[row.len() - 1] = IGNORE;
}

/// Targets of one row of conversations, `[seq_len]`.
fn answers(row: &[u32], mask: &[u8], targets: &mut [u32]) {
    for (target, (&next, &counts)) in targets.iter_mut().zip(row[1..].iter().zip(&mask[1..])) {
        *target = if counts == 0 { IGNORE } else { next };
    }
    targets[row.len() - 1] = IGNORE;
}

/// One pass for the largest token; only a shard that fails is searched for the place.
fn check_vocabulary(
    shard: &Shard,
    sample: u64,
    tokens: &[u32],
    vocab: u32,
) -> Result<(), DatasetError> {
    if tokens.iter().fold(0, |largest, &token| largest.max(token)) < vocab {
        return Ok(());
    }
    let position = tokens.iter().position(|&token| token >= vocab).unwrap_or(0);
    let (path, token) = (shard.path().to_path_buf(), tokens[position]);
    Err(DatasetError::TokenBeyondVocabulary { path, sample, position, token, vocab })
}
