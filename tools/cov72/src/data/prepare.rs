//! `cov72 data prepare`: text files to token shards, in one streaming pass.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use model::{BYTE_TOKENIZER, Eos, TOKENIZER_FILE, Tokenizer};
use runtime::dataset::{DatasetWriter, Provenance, Written};
use serde::Serialize;

use super::text::TextPieces;
use crate::failure::Failure;
use crate::stdout;

/// Turn text into token shards with sample ids.
///
/// Each file is one document: its tokens, then the end-of-document token. Tokens past the last
/// whole sample of 2,048 are dropped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cov72 data prepare --text book.txt --out data/book
  cov72 data prepare --text part1.txt part2.txt --tokenizer tokenizer.json --out data/parts
  cov72 train --data data/book")]
pub(super) struct PrepareArgs {
    /// Text files, in order
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    text: Vec<PathBuf>,
    /// `byte`, or a tokenizer.json
    #[arg(long, default_value = "byte", value_name = "byte|FILE")]
    tokenizer: PathBuf,
    /// Token of the tokenizer.json that ends a document [default: a well-known name]
    #[arg(long, value_name = "TOKEN")]
    eos: Option<String>,
    /// New folder for the shards
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Tokens per shard, 4 bytes each
    #[arg(long, default_value_t = 1 << 30, value_name = "N",
          value_parser = clap::value_parser!(u64).range(2048..))]
    shard_tokens: u64,
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
    text_bytes: u64,
    tokens: u64,
    samples: u64,
    shards: usize,
    dropped_tokens: usize,
}

pub(super) fn run(args: PrepareArgs) -> Result<(), Failure> {
    let (tokenizer, tokenizer_name) = load_tokenizer(&args)?;
    let text_bytes = total_bytes(&args.text)?;
    eprintln!("reading {text_bytes} bytes of text from {} file(s)", args.text.len());
    let progress = byte_bar(text_bytes);
    let mut writer = DatasetWriter::create(&args.out, args.shard_tokens)?;
    for path in &args.text {
        encode_file(path, &tokenizer, &mut writer, &progress)?;
    }
    progress.finish_and_clear();
    if tokenizer_name == TOKENIZER_FILE {
        keep_tokenizer(&args.tokenizer, &args.out)?;
    }
    let names: Vec<_> = args.text.iter().map(|path| path.display().to_string()).collect();
    let Written { dataset, dropped_tokens } = writer.finish(Provenance {
        tokenizer: tokenizer_name.to_string(),
        vocab: tokenizer.vocab(),
        eos: Some(tokenizer.eos()),
        entropy_nats_per_token: None,
        seed: None,
        source: names.join(", "),
        conversations: None,
    })?;
    let report = Report {
        out: &args.out,
        tokenizer: tokenizer_name,
        vocab: tokenizer.vocab(),
        eos: tokenizer.eos(),
        text_bytes,
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
    if *dropped_tokens > 0 {
        eprintln!("dropped the last {dropped_tokens} tokens: they do not fill a sample of 2048");
    }
    eprintln!("wrote {tokens} tokens, {samples} samples, {shards} shard(s) to {out}");
    eprintln!("next: cov72 train --data {out}");
}

fn load_tokenizer(args: &PrepareArgs) -> Result<(Tokenizer, &'static str), Failure> {
    if args.tokenizer != Path::new(BYTE_TOKENIZER) {
        let eos = args.eos.as_deref().map_or(Eos::WellKnown, Eos::Named);
        return Ok((Tokenizer::load(&args.tokenizer, eos)?, TOKENIZER_FILE));
    }
    match &args.eos {
        Some(_) => Err(Failure::usage(
            "--eos names a token of a tokenizer.json; the byte tokenizer uses byte 0: leave it out",
        )),
        None => Ok((Tokenizer::Byte, BYTE_TOKENIZER)),
    }
}

fn total_bytes(paths: &[PathBuf]) -> Result<u64, Failure> {
    let bytes = |path: &PathBuf| match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(_) => Err(unreadable(path, "it is no file")),
        Err(e) => Err(unreadable(path, e)),
    };
    paths.iter().map(bytes).sum()
}

pub(super) fn unreadable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::precondition(format!("cannot read {}: {why}; check --text", path.display()))
}

/// A bar when stderr is a terminal, nothing otherwise.
fn byte_bar(total_bytes: u64) -> ProgressBar {
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    ProgressBar::new(total_bytes).with_style(style)
}

fn encode_file(
    path: &Path,
    tokenizer: &Tokenizer,
    writer: &mut DatasetWriter,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    let mut pieces = TextPieces::open(path).map_err(|e| unreadable(path, e))?;
    let mut tokens = Vec::new();
    while let Some((offset, piece)) = pieces.next().map_err(|e| unreadable(path, e))? {
        tokens.clear();
        tokenizer.encode(piece, &mut tokens).map_err(|e| {
            Failure::precondition(format!("{}: {}", path.display(), e.offset_by(offset)))
        })?;
        writer.push(&tokens)?;
        progress.inc(piece.len() as u64);
    }
    Ok(writer.push(&[tokenizer.eos()])?)
}

/// Copies the tokenizer beside the shards, so that the folder can be read on its own.
fn keep_tokenizer(from: &Path, dir: &Path) -> Result<(), Failure> {
    let to = dir.join(TOKENIZER_FILE);
    let copied = std::fs::read(from).and_then(|bytes| std::fs::write(&to, bytes));
    copied.map_err(|e| {
        let (from, to) = (from.display(), to.display());
        Failure::precondition(format!("cannot copy {from} to {to}: {e}; check rights and space"))
    })
}
