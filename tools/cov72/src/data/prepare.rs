//! `cov72 data prepare`: documents to token shards, in one streaming pass that can be stopped
//! anywhere and goes on with the same bytes.

mod encode;
mod journal;
mod sink;

use std::path::{Path, PathBuf};

use clap::Args;
use model::Tokenizer;
use runtime::dataset::{DatasetError, DatasetWriter, Description, Provenance, Written};
use serde::Serialize;

use self::journal::{Closed, Job, Journal};
use self::sink::Sink;
use super::claim::claim;
use super::documents::{Counts, Cursor, Documents};
use super::inputs::{self, Input, InputArgs, ReadArgs};
use super::vocabulary::VocabularyArgs;
use crate::failure::Failure;
use crate::stdout;

/// Of the journal, and of how documents become tokens: a job of another version starts anew.
const JOB_VERSION: u32 = 1;

/// Turn text, JSON lines or parquet into token shards with sample ids.
///
/// Each text file and each row is one document: its tokens, then the end-of-document token. Tokens
/// past the last whole sample of 2,048 are dropped. The shards do not depend on --threads. Stopped
/// or killed, the same command goes on where it was and ends with the same bytes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cov72 data prepare --text book.txt --out data/book
  cov72 data prepare part-*.jsonl.zst --tokenizer tokenizer.json --out data/parts
  cov72 data prepare --parquet dclm/*.parquet --column text --documents --out data/dclm
  cov72 train --data data/book")]
pub(super) struct PrepareArgs {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    how: ReadArgs,
    #[command(flatten)]
    vocabulary: VocabularyArgs,
    /// New folder for the shards, or one of the same command that was stopped
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Tokens per shard, 4 bytes each
    #[arg(long, default_value_t = 1 << 30, value_name = "N",
          value_parser = clap::value_parser!(u64).range(2048..))]
    shard_tokens: u64,
    /// Record where documents begin, in documents_NNNNNN.npy, for masks across them
    #[arg(long)]
    documents: bool,
    /// Threads that encode [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print what was made as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    out: &'a Path,
    tokenizer: &'a str,
    vocab: u32,
    eos: u32,
    #[serde(flatten)]
    counts: Counts,
    tokens: u64,
    samples: u64,
    shards: usize,
    dropped_tokens: usize,
}

pub(super) fn run(args: PrepareArgs) -> Result<(), Failure> {
    let tokenizer = args.vocabulary.load()?;
    let inputs = args.inputs.inputs()?;
    let threads = match args.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let job = job(&args, &tokenizer, &inputs, threads)?;
    let (Written { dataset, dropped_tokens }, counts) =
        make(&args, &job, &inputs, &tokenizer, threads)?;
    let report = Report {
        out: &args.out,
        tokenizer: args.vocabulary.name(),
        vocab: tokenizer.vocab(),
        eos: tokenizer.eos(),
        counts,
        tokens: dataset.samples() * 2048,
        samples: dataset.samples(),
        shards: dataset.shards().len(),
        dropped_tokens,
    };
    say(&report);
    if args.json { stdout::print_json(&report) } else { Ok(()) }
}

fn say(report: &Report<'_>) {
    let Report { out, tokens, samples, shards, dropped_tokens, .. } = report;
    let out = out.display();
    let Counts { documents, empty_documents, not_utf8, .. } = report.counts;
    eprintln!("read {documents} document(s)");
    if empty_documents > 0 {
        eprintln!("passed over {empty_documents} document(s) without text");
    }
    if not_utf8 > 0 {
        eprintln!("{not_utf8} row(s) or place(s) of text were no UTF-8");
    }
    if *dropped_tokens > 0 {
        eprintln!("dropped the last {dropped_tokens} tokens: they do not fill a sample of 2048");
    }
    eprintln!("wrote {tokens} tokens, {samples} samples, {shards} shard(s) to {out}");
    eprintln!("next: cov72 train --data {out}");
}

/// What the shards hang on.
fn job(
    args: &PrepareArgs,
    tokenizer: &Tokenizer,
    inputs: &[Input],
    threads: usize,
) -> Result<Job, Failure> {
    Ok(Job {
        version: JOB_VERSION,
        inputs: inputs::described(inputs, threads)?,
        column: args.how.column.clone(),
        utf8: args.how.utf8,
        tokenizer: args.vocabulary.hash()?,
        eos: tokenizer.eos(),
        shard_tokens: args.shard_tokens,
        documents: args.documents,
    })
}

/// Makes the shards, or those that are still missing.
fn make(
    args: &PrepareArgs,
    job: &Job,
    inputs: &[Input],
    tokenizer: &Tokenizer,
    threads: usize,
) -> Result<(Written, Counts), Failure> {
    let out = &args.out;
    let _claim = claim(out)?;
    let before = Journal::read(out, job)?;
    let writer = match &before {
        None => DatasetWriter::create(out, args.shard_tokens)?,
        Some(closed) => resume(out, args.shard_tokens, closed)?,
    };
    let closed = before.unwrap_or_default();
    let mut writer = writer.keeping_shards();
    if args.documents {
        writer = writer.recording_documents(closed.last().map_or(0, |closed| closed.documents));
    }
    writer.set_inputs(job.inputs.clone());
    let journal = Journal::open(out, job, &closed)?;
    let at = closed.last().map_or_else(Cursor::default, |closed| closed.cursor);
    let total_bytes = inputs::total_bytes(inputs);
    eprintln!("reading {total_bytes} bytes from {} file(s)", inputs.len());
    if let Some(last) = closed.last() {
        eprintln!("going on behind shard {}", last.shard.index);
    }
    let progress =
        inputs::byte_bar(total_bytes, inputs::total_bytes(&inputs[..at.input]) + at.offset);
    let mut sink = Sink::new(writer, journal, &closed, &progress);
    let takes_bytes = matches!(tokenizer, Tokenizer::Byte);
    let documents = Documents::new(inputs, &args.how, takes_bytes, at);
    let encoded =
        encode::each_encoded(documents, inputs, tokenizer, threads, |piece| sink.write(piece));
    progress.finish_and_clear();
    let has_shards = !sink.writer.shards().is_empty();
    let made = encoded.and_then(|()| {
        args.vocabulary.keep(out)?;
        sink.finish(Provenance {
            tokenizer: args.vocabulary.name().to_string(),
            vocab: tokenizer.vocab(),
            eos: Some(tokenizer.eos()),
            entropy_nats_per_token: None,
            seed: None,
            source: names(inputs),
            conversations: None,
        })
    });
    // A whole folder needs no journal, and one without a shard has nothing to go on from.
    if made.is_ok() || !has_shards {
        Journal::remove(out)?;
    }
    made
}

/// The writer of a job that was stopped. Stopped between its last two files, it has a description
/// already, which is made again with the last shard.
fn resume(out: &Path, shard_tokens: u64, closed: &[Closed]) -> Result<DatasetWriter, Failure> {
    let description = Description::path(out);
    match std::fs::remove_file(&description) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::io("remove", &description, &e));
        }
        _ => {}
    }
    let shards = closed.iter().map(|closed| closed.shard.clone()).collect();
    DatasetWriter::resume(out, shard_tokens, shards).map_err(|error| match error {
        DatasetError::Missing { path } => Failure::damaged(format!(
            "{} is gone, which a stopped job had made; remove {} and prepare it anew",
            path.display(),
            out.display()
        )),
        error => error.into(),
    })
}

/// The files' names, for people.
fn names(inputs: &[Input]) -> String {
    const SHOWN: usize = 8;
    let names = inputs.iter().take(SHOWN).map(|input| input.path.display().to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    match inputs.len() {
        ..=SHOWN => names,
        more => format!("{names} and {} more", more - SHOWN),
    }
}
