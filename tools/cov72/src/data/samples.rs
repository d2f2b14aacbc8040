//! `cov72 data samples`: the samples that a peer is assigned in a window, in order.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use runtime::dataset::{Assignment, Dataset};
use serde::Serialize;

use crate::failure::Failure;
use crate::stdout;

/// Print the samples assigned to a uid in a window, in the order they are trained on.
///
/// Equal, bit for bit, to numpy's default_rng(((uid * 1000003) ^ window) & 0xFFFFFFFF)
/// .choice(N, size, replace=False).
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("of_what").required(true)),
    after_help = "Examples:
  cov72 data samples --of 52428800 --uid 7 --window 62834 | head
  cov72 data samples --data data/book --uid 0 --window 12 --size 64 --json"
)]
pub(super) struct SamplesArgs {
    /// Folder of shards to assign from, all shards end to end
    #[arg(long, group = "of_what", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Number of samples to assign from, instead of a folder
    #[arg(long, group = "of_what", value_name = "N")]
    of: Option<u64>,
    /// The peer's uid
    #[arg(long, value_name = "U")]
    uid: u64,
    /// The window
    #[arg(long, value_name = "W")]
    window: u64,
    /// Samples to assign
    #[arg(long, default_value_t = 30_720, value_name = "N",
          value_parser = clap::value_parser!(u64).range(..=1 << 28))]
    size: u64,
    /// Print one JSON object instead of one index per line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    uid: u64,
    window: u64,
    of: u64,
    size: u64,
    samples: &'a [u64],
}

pub(super) fn run(args: SamplesArgs) -> Result<(), Failure> {
    let SamplesArgs { uid, window, size, .. } = args;
    let of = match (&args.data, args.of) {
        (Some(dir), _) => Dataset::open(dir)?.samples(),
        (None, of) => of.unwrap_or(0),
    };
    let assignment = Assignment::new(uid, window, of, size)?;
    let samples = assignment.samples();
    if args.json {
        return stdout::print_json(&Report { uid, window, of, size, samples });
    }
    stdout::print(|out| samples.iter().try_for_each(|sample| writeln!(out, "{sample}")))
}
