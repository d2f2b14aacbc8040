//! `cov72 data synth`: a corpus whose entropy is known, from a seed.

use std::path::{Path, PathBuf};

use clap::Args;
use runtime::dataset::{SAMPLE_TOKENS, synth};
use serde::Serialize;

use crate::failure::Failure;
use crate::stdout;

/// Generate a corpus of known entropy, one byte per token.
///
/// The language is always the same, the seed picks the text. A folder that already holds just this
/// corpus is left as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cov72 data synth --out data/synth
  cov72 data synth --out data/held-out --seed 7 --tokens 200000")]
pub(super) struct SynthArgs {
    /// Folder for the shard
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Tokens, rounded up to whole samples of 2048
    #[arg(long, default_value_t = 1 << 22, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    tokens: u64,
    /// Picks the text
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Print what was made as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    out: &'a Path,
    seed: u64,
    tokens: u64,
    samples: u64,
    entropy_nats_per_token: Option<f64>,
}

pub(super) fn run(args: SynthArgs) -> Result<(), Failure> {
    let samples = args.tokens.div_ceil(SAMPLE_TOKENS as u64);
    let dataset = synth::ensure(&args.out, args.seed, samples)?;
    let entropy = dataset.description().and_then(|about| about.entropy_nats_per_token);
    let tokens = samples * SAMPLE_TOKENS as u64;
    let out = args.out.display();
    eprintln!("{out} holds {tokens} tokens, {samples} samples, of seed {}", args.seed);
    if let Some(nats) = entropy {
        eprintln!("entropy: {nats:.4} nats per token; no model's loss gets below it");
    }
    eprintln!("next: cov72 train --data {out}");
    let report = Report {
        out: &args.out,
        seed: args.seed,
        tokens,
        samples,
        entropy_nats_per_token: entropy,
    };
    if args.json { stdout::print_json(&report) } else { Ok(()) }
}
