//! Rows of conversations, padded, on their way into samples of 2,048 tokens.

use runtime::dataset::{DatasetWriter, SAMPLE_TOKENS};
use serde::Serialize;

use super::pack::{Packer, Row};
use crate::failure::Failure;

/// What became of the conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Conversations that were written.
    pub(super) conversations: u64,
    /// Those of them that were longer than a row and are cut at their end.
    pub(super) truncated: u64,
    /// Those that were left out: they had no answer, or it was cut off.
    pub(super) without_answer: u64,
    /// Tokens whose mask is on.
    pub(super) answer_tokens: u64,
    /// Tokens that fill rows and the last sample up.
    pub(super) padding_tokens: u64,
}

/// A dataset of conversations being written.
pub(super) struct Sheet {
    writer: DatasetWriter,
    packer: Packer,
    row_tokens: usize,
    /// What rows are filled up with; its mask is off.
    padding: u32,
    /// The sample being filled.
    sample: Row,
    counts: Counts,
}

impl Sheet {
    /// One of rows of `row_tokens` tokens, filled up with `padding`.
    pub(super) fn new(writer: DatasetWriter, row_tokens: usize, padding: u32) -> Self {
        let (packer, sample, counts) = (Packer::new(row_tokens), Row::default(), Counts::default());
        Self { writer, packer, row_tokens, padding, sample, counts }
    }

    /// Adds a conversation, cut if it is too long and left out if it teaches nothing then.
    pub(super) fn add(&mut self, mut conversation: Row) -> Result<(), Failure> {
        let is_long = conversation.len() > self.row_tokens;
        conversation.truncate(self.row_tokens);
        if !conversation.has_an_answer() {
            self.counts.without_answer += 1;
            return Ok(());
        }
        self.counts.conversations += 1;
        self.counts.truncated += u64::from(is_long);
        self.counts.answer_tokens += conversation.answer_tokens();
        self.packer.add(conversation).map_or(Ok(()), |row| self.write(&row))
    }

    fn write(&mut self, row: &Row) -> Result<(), Failure> {
        let missing = self.row_tokens - row.len();
        self.sample.append(row);
        self.pad(missing);
        if self.sample.len() == SAMPLE_TOKENS {
            self.write_sample()?;
        }
        Ok(())
    }

    fn write_sample(&mut self) -> Result<(), Failure> {
        self.sample.starts.iter().for_each(|&start| self.writer.begin_document_at(start));
        self.writer.push_masked(&self.sample.tokens, &self.sample.mask)?;
        self.sample.truncate(0);
        Ok(())
    }

    fn pad(&mut self, tokens: usize) {
        let length = self.sample.len() + tokens;
        self.sample.tokens.resize(length, self.padding);
        self.sample.mask.resize(length, 0);
        self.counts.padding_tokens += tokens as u64;
    }

    /// Writes the rows that are not full and fills the last sample up.
    pub(super) fn finish(mut self) -> Result<(DatasetWriter, Counts), Failure> {
        let open = std::mem::replace(&mut self.packer, Packer::new(self.row_tokens)).finish();
        open.iter().try_for_each(|row| self.write(row))?;
        if self.sample.len() > 0 {
            self.pad(SAMPLE_TOKENS - self.sample.len());
            self.write_sample()?;
        }
        Ok((self.writer, self.counts))
    }
}
