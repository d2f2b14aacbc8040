//! A text as byte tokens: the first 95 % to train on, the rest to validate.
//!
//! Which bytes a peer sees in a step follows from (seed, peer, step) alone, so every method trains
//! on the same tokens, and another number of threads changes nothing.

use std::path::Path;

use model::BatchSource;
use runtime::ops::cross_entropy::IGNORE;

use crate::BenchError;

/// Share of the text that is trained on.
const TRAIN_SHARE: f64 = 0.95;

/// A text, cut in two.
pub(super) struct Corpus {
    train: Vec<u8>,
    validation: Vec<u8>,
    seed: u64,
}

impl Corpus {
    /// Reads the text at `path`; each part must hold a sequence of `seq_len` and its last target.
    pub(super) fn read(path: &Path, seq_len: usize, seed: u64) -> Result<Self, BenchError> {
        let text = std::fs::read(path).map_err(|source| BenchError::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let bytes = text.len();
        let corpus = Self::of(text, seed);
        if corpus.validation.len() <= seq_len {
            let needed = ((seq_len + 1) as f64 / (1.0 - TRAIN_SHARE)).ceil() as usize;
            return Err(BenchError::ShortText { path: path.to_path_buf(), bytes, needed });
        }
        Ok(corpus)
    }

    /// A text at hand, of which each part is longer than any sequence.
    pub(super) fn of(mut text: Vec<u8>, seed: u64) -> Self {
        let validation = text.split_off((text.len() as f64 * TRAIN_SHARE) as usize);
        Self { train: text, validation, seed }
    }

    /// Bytes that are trained on.
    pub(super) fn train_bytes(&self) -> usize {
        self.train.len()
    }

    /// First byte of sequence `row` of peer `peer` in inner step `step` of the run.
    fn start(&self, peer: usize, step: u64, row: usize, seq_len: usize) -> usize {
        let mut mixed = self.seed;
        for part in [peer as u64, step, row as u64] {
            mixed = split_mix(mixed ^ part);
        }
        (mixed % (self.train.len() - seq_len) as u64) as usize
    }
}

/// One step of SplitMix64 (Steele, Lea and Flood 2014).
fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `tokens` and `targets` `[seq_len]` from the bytes at `start`.
fn fill_row(text: &[u8], start: usize, tokens: &mut [u32], targets: &mut [u32]) {
    let pairs = text[start..].windows(2);
    for ((token, target), pair) in tokens.iter_mut().zip(targets).zip(pairs) {
        (*token, *target) = (u32::from(pair[0]), u32::from(pair[1]));
    }
}

/// Training sequences of some peers; each peer's batch is one micro-batch.
pub(super) struct PeerBatches<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) peers: std::ops::Range<usize>,
    /// Inner steps of the run before the window.
    pub(super) first_step: u64,
    pub(super) seq_len: usize,
}

impl BatchSource for PeerBatches<'_> {
    fn micro_batches(&self) -> usize {
        self.peers.len()
    }

    fn fill(
        &self,
        step: u32,
        micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        let (peer, step) = (self.peers.start + micro, self.first_step + u64::from(step));
        let rows = tokens.chunks_exact_mut(self.seq_len);
        for (row, (tokens, targets)) in rows.zip(targets.chunks_exact_mut(self.seq_len)).enumerate()
        {
            let start = self.corpus.start(peer, step, row, self.seq_len);
            fill_row(&self.corpus.train, start, tokens, targets);
        }
        Ok(())
    }
}

/// The validation part, cut end to end; what is beyond its end does not count.
pub(super) struct Validation<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) sequences: usize,
    pub(super) seq_len: usize,
}

impl Validation<'_> {
    /// Steps that cover it once.
    pub(super) fn steps(&self) -> u32 {
        let rows = (self.corpus.validation.len() - 1) / self.seq_len;
        rows.div_ceil(self.sequences) as u32
    }
}

impl BatchSource for Validation<'_> {
    fn micro_batches(&self) -> usize {
        1
    }

    fn fill(
        &self,
        step: u32,
        _micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        tokens.fill(0);
        targets.fill(IGNORE);
        let rows = tokens.chunks_exact_mut(self.seq_len);
        for (row, (tokens, targets)) in rows.zip(targets.chunks_exact_mut(self.seq_len)).enumerate()
        {
            let start = (step as usize * self.sequences + row) * self.seq_len;
            if start + self.seq_len < self.corpus.validation.len() {
                fill_row(&self.corpus.validation, start, tokens, targets);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(seed: u64) -> Corpus {
        let text: Vec<u8> = (0..=255).collect();
        Corpus { train: text[..200].to_vec(), validation: text[200..].to_vec(), seed }
    }

    fn batch(source: &dyn BatchSource, step: u32, micro: usize) -> (Vec<u32>, Vec<u32>) {
        let (mut tokens, mut targets) = (vec![0; 16], vec![0; 16]);
        source.fill(step, micro, &mut tokens, &mut targets).unwrap();
        (tokens, targets)
    }

    #[test]
    fn a_target_is_the_byte_after_its_token() {
        let corpus = corpus(3);
        let source = PeerBatches { corpus: &corpus, peers: 0..2, first_step: 0, seq_len: 8 };
        let (tokens, targets) = batch(&source, 4, 1);
        assert!(tokens.iter().zip(&targets).all(|(token, target)| token + 1 == *target));
    }

    #[test]
    fn peers_alone_and_together_see_the_same_bytes() {
        let corpus = corpus(3);
        let all = PeerBatches { corpus: &corpus, peers: 0..4, first_step: 10, seq_len: 8 };
        let one = PeerBatches { corpus: &corpus, peers: 2..3, first_step: 10, seq_len: 8 };
        assert_eq!(batch(&all, 5, 2), batch(&one, 5, 0));
        assert_ne!(batch(&all, 5, 2), batch(&all, 5, 3));
        assert_ne!(batch(&all, 5, 2), batch(&all, 6, 2));
    }

    #[test]
    fn validation_covers_every_whole_sequence_once() {
        let corpus = corpus(0);
        let source = Validation { corpus: &corpus, sequences: 2, seq_len: 8 };
        let counted: usize = (0..source.steps())
            .map(|step| batch(&source, step, 0).1.iter().filter(|&&t| t != IGNORE).count())
            .sum();
        assert_eq!(counted, 48);
    }
}
