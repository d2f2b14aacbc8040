//! `cov72 data train-tokenizer`: a byte-level BPE vocabulary from the documents themselves.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::Args;
use model::train_bpe;
use serde::Serialize;

use super::documents::{Cursor, Documents};
use super::inputs::{self, InputArgs, ReadArgs};
use super::vocabulary::settle;
use crate::failure::Failure;
use crate::stdout;

/// Learn a byte-level BPE vocabulary and write it as a tokenizer.json.
///
/// The same documents in the same order give the same file, byte for byte.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cov72 data train-tokenizer --text book.txt --vocab 4096 --out tokenizer.json
  cov72 data train-tokenizer part-*.jsonl.zst --special '<|endoftext|>' --special '<|user|>' \\
      --out tokenizer.json
  cov72 data prepare part-*.jsonl.zst --tokenizer tokenizer.json --out data/parts")]
pub(super) struct TrainTokenizerArgs {
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    how: ReadArgs,
    /// Tokens of the vocabulary, special ones included
    #[arg(long, default_value_t = 32_768, value_name = "N",
          value_parser = clap::value_parser!(u32).range(257..=1 << 22))]
    vocab: u32,
    /// Tokens that text never makes, in order; the first ends a document
    #[arg(long, default_value = "<|endoftext|>", value_name = "TOKEN")]
    special: Vec<String>,
    /// File to write, which must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print what was made as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    out: &'a Path,
    vocab: u32,
    documents: u64,
    text_bytes: u64,
    blake3: String,
}

pub(super) fn run(args: TrainTokenizerArgs) -> Result<(), Failure> {
    if args.out.exists() {
        return Err(Failure::precondition(format!(
            "{} is there already, and shards may need it; name another --out",
            args.out.display()
        )));
    }
    let inputs = args.inputs.inputs()?;
    let total_bytes = inputs::total_bytes(&inputs);
    eprintln!("reading {total_bytes} bytes from {} file(s)", inputs.len());
    let progress = inputs::byte_bar(total_bytes, 0);
    let mut documents = Documents::new(&inputs, &args.how, false, Cursor::default());
    let (failed, seen) = (Mutex::new(None), Mutex::new((0, 0)));
    let texts = std::iter::from_fn(|| {
        let piece = documents.next().and_then(|piece| {
            let Some(piece) = piece else { return Ok(None) };
            let text = String::from_utf8(piece.text).map_err(|e| {
                let path = inputs[piece.cursor.input].path.display();
                let offset = piece.cursor.offset + e.utf8_error().valid_up_to() as u64;
                Failure::precondition(format!(
                    "{path}: no UTF-8 at offset {offset}; convert the text, or use --utf8 replace"
                ))
            })?;
            progress.set_position(piece.read_bytes);
            let mut seen = seen.lock().expect("nobody panics holding it");
            seen.0 += piece.counts.documents;
            seen.1 += piece.counts.text_bytes;
            Ok(Some(text))
        });
        piece.unwrap_or_else(|failure| {
            *failed.lock().expect("nobody panics holding it") = Some(failure);
            None
        })
    });
    let special: Vec<&str> = args.special.iter().map(String::as_str).collect();
    let trained = train_bpe(texts, args.vocab, &special);
    progress.finish_and_clear();
    if let Some(failure) = failed.into_inner().expect("nobody panicked holding it") {
        return Err(failure);
    }
    let (json, vocab) = trained?;
    write(&args.out, &json)?;
    let (documents, text_bytes) = seen.into_inner().expect("nobody panicked holding it");
    let out = args.out.display();
    if vocab < args.vocab {
        eprintln!("the text has pairs for {vocab} tokens only; give more text for {}", args.vocab);
    }
    eprintln!("wrote {vocab} tokens, from {text_bytes} bytes of {documents} document(s), to {out}");
    eprintln!("next: cov72 data prepare --tokenizer {out} ...");
    if !args.json {
        return Ok(());
    }
    let blake3 = blake3::hash(json.as_bytes()).to_hex().to_string();
    stdout::print_json(&Report { out: &args.out, vocab, documents, text_bytes, blake3 })
}

fn write(path: &Path, json: &str) -> Result<(), Failure> {
    let partial = path.with_extension("json.partial");
    let written = std::fs::write(&partial, json).and_then(|()| settle(&partial, path));
    written.map_err(|e| Failure::io("write", path, &e))
}
