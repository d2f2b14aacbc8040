//! Tokens into shards, with a note in the journal at each one's end.

use std::collections::HashMap;
use std::io::ErrorKind;

use indicatif::ProgressBar;
use runtime::dataset::{DatasetError, DatasetWriter, Provenance, Written};

use super::super::documents::{Counts, Cursor};
use super::encode::Encoded;
use super::journal::{Closed, Journal};
use crate::failure::Failure;

const TOKEN_BYTES: u64 = 4;

/// Where encoded pieces go.
pub(super) struct Sink<'a> {
    pub(super) writer: DatasetWriter,
    pub(super) journal: Journal,
    pub(super) progress: &'a ProgressBar,
    pub(super) counts: Counts,
    /// Tokens of the first piece that are in closed shards already.
    pub(super) used: usize,
    /// Whether a document began and has no token yet.
    begins: bool,
    /// Closed shards by the hash of their tokens.
    seen: HashMap<String, u32>,
    tokens_before: u64,
    read_before: u64,
    read_bytes: u64,
    total_bytes: u64,
}

impl<'a> Sink<'a> {
    /// A sink that goes on behind what `closed` says.
    pub(super) fn new(
        writer: DatasetWriter,
        journal: Journal,
        closed: &[Closed],
        progress: &'a ProgressBar,
    ) -> Self {
        let last = closed.last();
        let shards = closed.iter().map(|closed| &closed.shard);
        Self {
            counts: last.map_or_else(Counts::default, |closed| closed.counts),
            used: last.map_or(0, |closed| closed.cursor.tokens),
            begins: false,
            seen: shards.map(|shard| (shard.tokens_blake3.clone(), shard.index)).collect(),
            tokens_before: writer.tokens(),
            read_before: progress.position(),
            read_bytes: progress.position(),
            total_bytes: progress.length().unwrap_or(0),
            writer,
            journal,
            progress,
        }
    }

    /// Appends a piece.
    pub(super) fn write(&mut self, piece: Encoded) -> Result<(), Failure> {
        let mut used = std::mem::take(&mut self.used);
        if used > piece.tokens.len() {
            return Err(Failure::damaged(format!(
                "the journal says that {used} tokens of a piece were written, which has {}; remove \
                 the folder and prepare it anew",
                piece.tokens.len()
            )));
        }
        self.begins |= piece.begins && used == 0;
        if self.begins && !piece.tokens.is_empty() {
            self.writer.begin_document();
            self.begins = false;
        }
        while used < piece.tokens.len() {
            let room = self.writer.room();
            let end = piece.tokens.len().min(used.saturating_add(room as usize));
            let pushed = self.writer.push(&piece.tokens[used..end]);
            pushed.map_err(|error| self.explain(error))?;
            let closes = (end - used) as u64 == room;
            used = end;
            if closes {
                self.note(Cursor { tokens: used, ..piece.cursor })?;
            }
        }
        self.counts += piece.counts;
        self.read_bytes = piece.read_bytes;
        self.progress.set_position(piece.read_bytes);
        Ok(())
    }

    /// Notes the shard that was closed just now.
    fn note(&mut self, cursor: Cursor) -> Result<(), Failure> {
        let shard = self.writer.shards().last().expect("a shard was closed").clone();
        self.refuse_twin(&shard.tokens_blake3, shard.index)?;
        let documents = self.writer.closed_documents();
        let samples = shard.samples;
        self.progress.suspend(|| eprintln!("shard {}: {samples} samples", shard.index));
        self.journal.note(&Closed { shard, cursor, counts: self.counts, documents })
    }

    fn refuse_twin(&mut self, hash: &str, index: u32) -> Result<(), Failure> {
        match self.seen.insert(hash.to_string(), index) {
            Some(first) => Err(Failure::precondition(format!(
                "shards {first} and {index} would hold the same tokens: the text repeats itself; \
                 remove what is twice, and prepare into another --out"
            ))),
            None => Ok(()),
        }
    }

    /// Ends the folder. Its last shard is shorter than the others, and so no twin of one.
    pub(super) fn finish(self, provenance: Provenance) -> Result<(Written, Counts), Failure> {
        Ok((self.writer.finish(provenance)?, self.counts))
    }

    /// What a disk that is full lacks, from how far the text went so far.
    fn explain(&self, error: DatasetError) -> Failure {
        match &error {
            DatasetError::Io { source, path, .. } if source.kind() == ErrorKind::StorageFull => {
                let tokens = self.writer.tokens() - self.tokens_before;
                let read = self.read_bytes - self.read_before;
                let left = self.total_bytes.saturating_sub(self.read_bytes);
                let needed = needed_bytes(tokens, read, left);
                Failure::precondition(format!(
                    "the disk of {} is full: the rest of the text needs about {:.1} GB; free that, \
                     and give the same command again to go on",
                    path.display(),
                    needed as f64 / 1e9
                ))
            }
            _ => error.into(),
        }
    }
}

/// Bytes of shards that `left` bytes of text make, when `read` bytes made `tokens`. Before anything
/// is known, a token a byte: no tokenizer here makes more.
fn needed_bytes(tokens: u64, read: u64, left: u64) -> u64 {
    let tokens_per_byte = if read == 0 { 1.0 } else { tokens as f64 / read as f64 };
    (left as f64 * tokens_per_byte * TOKEN_BYTES as f64).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_disk_lacks_goes_by_the_tokens_so_far() {
        assert_eq!(needed_bytes(250, 1000, 8000), 8000);
        assert_eq!(needed_bytes(0, 0, 10), 40);
        assert_eq!(needed_bytes(5, 10, 0), 0);
    }
}
