//! `cov72 data chat`: conversations to token shards with a loss mask, in one streaming pass.
//!
//! The mask is on for what an answer is made of, with the token that ends it, and off for prompts,
//! for what a template writes around them, and for padding.

mod pack;
mod row;
mod sheet;
mod template;

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use model::Tokenizer;
use runtime::dataset::{Conversations, DatasetWriter, Provenance, SAMPLE_TOKENS, rows};
use serde::Serialize;

use super::claim::claim;
use super::inputs;
use super::vocabulary::{VocabularyArgs, settle};
use crate::chat_template::Message;
use crate::failure::Failure;
use crate::stdout;
use pack::Row;
use sheet::{Counts, Sheet};
use template::Template;

/// Turn conversations into token shards with a loss mask, for `cov72 train --objective sft`.
///
/// A row is one JSON object: {"messages": [{"role", "content"}, ...]}, {"prompt", "completion"},
/// or {"instruction", "input", "output"}. Conversations are packed whole into rows; one that is
/// longer than a row is cut at its end, and one of which no answer is left is dropped; both are
/// counted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cov72 data chat --jsonl talks.jsonl --out data/talks --seq-len 256
  cov72 data chat --jsonl a.jsonl b.jsonl --tokenizer tokenizer.json --out data/talks
  cov72 data chat --jsonl a.jsonl --tokenizer m/tokenizer.json \\
      --template m/tokenizer_config.json --out data/talks
  cov72 train --objective sft --data data/talks --from models/smol")]
pub(super) struct ChatArgs {
    /// Files of conversations, one to a row: .jsonl, .json, .parquet, the first two also packed
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    jsonl: Vec<PathBuf>,
    #[command(flatten)]
    vocabulary: VocabularyArgs,
    /// `plain`, a tokenizer_config.json with a chat_template, or a chat_template.jinja
    #[arg(long, default_value = "plain", value_name = "plain|FILE")]
    template: PathBuf,
    /// New folder for the shards
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Tokens of a row: the sequence length of the model, a divisor of 2048
    #[arg(long, default_value_t = 2048, value_name = "N")]
    seq_len: usize,
    /// Tokens per shard, 5 bytes each with their masks
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
    template: &'a str,
    vocab: u32,
    eos: u32,
    row_tokens: usize,
    #[serde(flatten)]
    counts: Counts,
    tokens: u64,
    samples: u64,
    shards: usize,
}

pub(super) fn run(args: ChatArgs) -> Result<(), Failure> {
    if args.seq_len < 2 || !SAMPLE_TOKENS.is_multiple_of(args.seq_len) {
        return Err(Failure::usage(format!(
            "--seq-len {} does not divide the {SAMPLE_TOKENS} tokens of a sample; use a power of \
             two from 2 on",
            args.seq_len
        )));
    }
    let template = Template::load(&args.template)?;
    let tokenizer = args.vocabulary.load()?;
    let bytes =
        args.jsonl.iter().map(|path| inputs::bytes_of(path)).sum::<Result<u64, Failure>>()?;
    eprintln!("reading {bytes} bytes of conversations from {} file(s)", args.jsonl.len());
    let progress = inputs::byte_bar(bytes, 0);
    let _claim = claim(&args.out)?;
    let writer = DatasetWriter::create(&args.out, args.shard_tokens)?.recording_documents(0);
    let mut sheet = Sheet::new(writer, args.seq_len, tokenizer.eos());
    for path in &args.jsonl {
        read_file(path, &template, &tokenizer, &mut sheet, &progress)?;
    }
    progress.finish_and_clear();
    let (writer, counts) = sheet.finish()?;
    if counts.conversations == 0 {
        return Err(Failure::precondition(format!(
            "no answer of an assistant is left of {} conversation(s); give conversations with \
             answers, or a larger --seq-len",
            counts.without_answer
        )));
    }
    args.vocabulary.keep(&args.out)?;
    if let Some(source) = template.source() {
        keep(&args.out, template.name(), source.as_bytes())?;
    }
    let names: Vec<_> = args.jsonl.iter().map(|path| path.display().to_string()).collect();
    let written = writer.finish(Provenance {
        tokenizer: args.vocabulary.name().to_string(),
        vocab: tokenizer.vocab(),
        eos: Some(tokenizer.eos()),
        entropy_nats_per_token: None,
        seed: None,
        source: names.join(", "),
        conversations: Some(Conversations {
            template: template.name().to_string(),
            count: counts.conversations,
            answer_tokens: counts.answer_tokens,
            row_tokens: args.seq_len as u32,
        }),
    })?;
    let samples = written.dataset.samples();
    let report = Report {
        out: &args.out,
        tokenizer: args.vocabulary.name(),
        template: template.name(),
        vocab: tokenizer.vocab(),
        eos: tokenizer.eos(),
        row_tokens: args.seq_len,
        counts,
        tokens: samples * SAMPLE_TOKENS as u64,
        samples,
        shards: written.dataset.shards().len(),
    };
    say(&report);
    if args.json { stdout::print_json(&report) } else { Ok(()) }
}

fn say(report: &Report<'_>) {
    let Report { out, row_tokens, counts, tokens, samples, shards, .. } = report;
    let (out, Counts { conversations, truncated, without_answer, .. }) = (out.display(), counts);
    if *truncated > 0 {
        eprintln!("cut {truncated} conversations at their end: longer than {row_tokens} tokens");
    }
    if *without_answer > 0 {
        eprintln!("dropped {without_answer} conversations: no answer is left to learn");
    }
    let Counts { answer_tokens, padding_tokens, .. } = counts;
    eprintln!(
        "wrote {conversations} conversations, {answer_tokens} tokens of answers among {tokens}, \
         {padding_tokens} of them padding, {samples} samples, {shards} shard(s) to {out}"
    );
    eprintln!("next: cov72 train --objective sft --data {out} --from MODEL");
}

/// Writes the conversations of one file.
fn read_file(
    path: &Path,
    template: &Template,
    tokenizer: &Tokenizer,
    sheet: &mut Sheet,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    let passed_bytes = progress.position();
    let mut rows = rows::open(path)?;
    while let Some(found) = rows.next().transpose()? {
        let row = row::messages(&found).and_then(|said| encode(template, tokenizer, &said));
        sheet.add(row.map_err(|why| rows.error(why))?)?;
        progress.set_position(passed_bytes + rows.read_bytes());
    }
    Ok(())
}

/// Tokens and mask of a conversation.
fn encode(template: &Template, tokenizer: &Tokenizer, messages: &[Message]) -> Result<Row, String> {
    let rendered = template.render(messages)?;
    let encoded = tokenizer.encode_with_places(&rendered.text);
    let (mut tokens, places) = encoded.map_err(|error| error.to_string())?;
    let mut mask: Vec<u8> = places.iter().map(|place| u8::from(rendered.counts(place))).collect();
    // The byte vocabulary has no name for the token that ends a text, so no template can write it.
    if rendered.is_plain || matches!(tokenizer, Tokenizer::Byte) {
        tokens.push(tokenizer.eos());
        mask.push(u8::from(rendered.ends_with_an_answer()));
    }
    Ok(Row::new(tokens, mask))
}

/// Writes a file beside the shards, so that the folder can be read on its own.
fn keep(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (to, partial) = (dir.join(name), dir.join(format!("{name}.partial")));
    let kept = std::fs::write(&partial, bytes).and_then(|()| settle(&partial, &to));
    kept.map_err(|error| {
        let to = to.display();
        Failure::precondition(format!("cannot write {to}: {error}; check rights and space"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> Row {
        let messages = row::messages(&serde_json::from_str(line).unwrap()).unwrap();
        encode(&Template::Plain, &Tokenizer::Byte, &messages).unwrap()
    }

    /// What the mask lets through, and what it does not, as text.
    fn split(row: &Row) -> (String, String) {
        let part = |on: u8| {
            let kept = row.tokens.iter().zip(&row.mask).filter(|(_, mask)| **mask == on);
            Tokenizer::Byte.decode(&kept.map(|(token, _)| *token).collect::<Vec<_>>())
        };
        (part(1), part(0))
    }

    #[test]
    fn the_plain_mask_is_the_one_counted_by_hand() {
        let row = row(r#"{"prompt": "2+2?", "completion": "4"}"#);
        let text = "<start_of_turn>user\n2+2?<end_of_turn>\n\
                    <start_of_turn>assistant\n4<end_of_turn>\0";
        assert_eq!(Tokenizer::Byte.decode(&row.tokens), text);
        // 20 + 4 + 14 bytes of the user's turn and 25 of the assistant's opening, then "4",
        // 13 bytes that end the turn, and the end of the text.
        let mask = [vec![0; 20 + 4 + 14 + 25], vec![1; 1 + 13 + 1]].concat();
        assert_eq!(row.mask, mask);
    }

    #[test]
    fn every_answer_counts_and_nothing_else_does() {
        let line = r#"{"messages": [{"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hé!"},
            {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "So long."},
            {"role": "user", "content": "Wait"}]}"#;
        let (on, off) = split(&row(&line.replace('\n', " ")));
        assert_eq!(on, "Hé!<end_of_turn>So long.<end_of_turn>");
        assert_eq!(
            off,
            "<start_of_turn>system\nBe brief.<end_of_turn>\n<start_of_turn>user\nHi<end_of_turn>\n\
             <start_of_turn>assistant\n\n<start_of_turn>user\nBye<end_of_turn>\n\
             <start_of_turn>assistant\n\n<start_of_turn>user\nWait<end_of_turn>\0"
        );
    }

    #[test]
    fn an_instruction_may_have_an_input() {
        let with = row(r#"{"instruction": "Add.", "input": "1 2", "output": "3"}"#);
        let (on, off) = split(&with);
        assert_eq!(on, "3<end_of_turn>\0");
        assert!(off.contains("user\nAdd.\n\n1 2<end_of_turn>"), "{off}");
        let (_, off) = split(&row(r#"{"instruction": "Add.", "input": "", "output": "3"}"#));
        assert!(off.contains("user\nAdd.<end_of_turn>"), "{off}");
    }

    #[test]
    fn byte_zero_in_a_conversation_is_refused() {
        let row = serde_json::json!({"prompt": "a\0", "completion": "b"});
        let messages = row::messages(row.as_object().unwrap()).unwrap();
        let refused = encode(&Template::Plain, &Tokenizer::Byte, &messages).err().unwrap();
        assert!(refused.contains("byte 0 at offset 21"), "{refused}");
    }
}
