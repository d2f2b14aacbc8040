//! `cov72 data inspect`: what a folder of shards holds, and whether a sample is what its id says.

use std::path::PathBuf;

use clap::Args;
use model::Tokenizer;
use runtime::dataset::{Conversations, Dataset, SAMPLE_TOKENS};
use serde::Serialize;

use crate::failure::Failure;
use crate::stdout;

/// Tokens of the sample that are shown.
const SHOWN_TOKENS: usize = 64;

/// Look inside a folder of shards and check samples against their ids.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cov72 data inspect data/book
  cov72 data inspect data/book --sample 17 --json
  cov72 data inspect data/book --verify")]
pub(super) struct InspectArgs {
    /// Folder of train_NNNNNN.npy and sample_ids_NNNNNN.npy
    dir: PathBuf,
    /// Sample to show and check, counted over all shards
    #[arg(long, default_value_t = 0, value_name = "I")]
    sample: u64,
    /// Check every sample against its id, which reads everything
    #[arg(long)]
    verify: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    tokens: u64,
    samples: u64,
    shards: Vec<ShardReport>,
    tokenizer: Option<String>,
    vocab: Option<u32>,
    eos: Option<u32>,
    entropy_nats_per_token: Option<f64>,
    seed: Option<u64>,
    source: Option<String>,
    conversations: Option<Conversations>,
    verified_samples: u64,
    sample: SampleReport,
}

#[derive(Serialize)]
struct ShardReport {
    index: u32,
    samples: u64,
}

#[derive(Serialize)]
struct SampleReport {
    sample: u64,
    id: u64,
    first_tokens: Vec<u32>,
    first_text: Option<String>,
}

pub(super) fn run(args: InspectArgs) -> Result<(), Failure> {
    let dataset = Dataset::open(&args.dir)?;
    let sample = show_sample(&dataset, args.sample)?;
    let verified_samples = if args.verify { verify_all(&dataset)? } else { 1 };
    let about = dataset.description();
    let report = Report {
        tokens: dataset.samples() * SAMPLE_TOKENS as u64,
        samples: dataset.samples(),
        shards: dataset
            .shards()
            .map(|(index, shard)| ShardReport { index, samples: shard.samples() })
            .collect(),
        tokenizer: about.map(|about| about.tokenizer.clone()),
        vocab: about.map(|about| about.vocab),
        eos: about.and_then(|about| about.eos),
        entropy_nats_per_token: about.and_then(|about| about.entropy_nats_per_token),
        seed: about.and_then(|about| about.seed),
        source: about.map(|about| about.source.clone()),
        conversations: about.and_then(|about| about.conversations.clone()),
        verified_samples,
        sample,
    };
    if args.json { stdout::print_json(&report) } else { print_table(&report) }
}

/// The sample's beginning, once its id is known to match.
fn show_sample(dataset: &Dataset, sample: u64) -> Result<SampleReport, Failure> {
    let (shard, within) = dataset.locate(sample)?;
    shard.verify(within)?;
    let first_tokens = shard.sample(within)?[..SHOWN_TOKENS].to_vec();
    // A tokenizer that is gone costs the text, not the numbers.
    let tokenizer = Tokenizer::of_dataset(dataset).ok().flatten();
    let first_text = tokenizer.map(|tokenizer| tokenizer.decode(&first_tokens));
    Ok(SampleReport { sample, id: shard.id(within)?, first_tokens, first_text })
}

fn verify_all(dataset: &Dataset) -> Result<u64, Failure> {
    let progress = indicatif::ProgressBar::new(dataset.samples());
    for (_, shard) in dataset.shards() {
        for sample in 0..shard.samples() {
            shard.verify(sample)?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(dataset.samples())
}

fn print_table(report: &Report) -> Result<(), Failure> {
    let Report { tokens, samples, shards, sample, .. } = report;
    stdout::print(|out| {
        writeln!(out, "tokens      {tokens}")?;
        writeln!(out, "samples     {samples} of {SAMPLE_TOKENS} tokens")?;
        for ShardReport { index, samples } in shards {
            writeln!(out, "shard       {index}: {samples} samples")?;
        }
        match (&report.tokenizer, report.vocab) {
            (Some(tokenizer), Some(vocab)) => {
                writeln!(out, "tokenizer   {}, {vocab} tokens", tokenizer.escape_debug())?;
            }
            _ => writeln!(out, "tokenizer   unknown: there is no dataset.json")?,
        }
        if let Some(eos) = report.eos {
            writeln!(out, "document    ends with token {eos}")?;
        }
        if let Some(Conversations { template, count, answer_tokens, row_tokens }) =
            &report.conversations
        {
            let template = template.escape_debug();
            writeln!(out, "talks       {count} in rows of {row_tokens}, template {template}")?;
            writeln!(out, "answers     {answer_tokens} of {tokens} tokens")?;
        }
        if let Some(source) = &report.source {
            writeln!(out, "source      {}", source.escape_debug())?;
        }
        if let Some(seed) = report.seed {
            writeln!(out, "seed        {seed}")?;
        }
        if let Some(nats) = report.entropy_nats_per_token {
            writeln!(out, "entropy     {nats:.4} nats per token")?;
        }
        writeln!(out, "sample      {}: id {:016x}, as its tokens say", sample.sample, sample.id)?;
        match &sample.first_text {
            Some(text) => writeln!(out, "begins      \"{}\"", text.escape_debug())?,
            None => writeln!(out, "begins      {:?}", sample.first_tokens)?,
        }
        writeln!(
            out,
            "checked     {} of {samples} samples against their ids",
            report.verified_samples
        )
    })
}
