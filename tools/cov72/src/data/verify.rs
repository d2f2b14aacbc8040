//! `cov72 data verify`: whether a folder of shards is what its description says, byte by byte.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use runtime::dataset::{Dataset, NpyArray, Shard, ShardDescription, documents_path};
use serde::Serialize;

use crate::failure::Failure;
use crate::stdout;

/// Check every byte of a folder of shards: hashes, sizes, ids, vocabulary, duplicates.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cov72 data verify data/book
  cov72 data verify data/book --json && cov72 train --data data/book
The exit code is 5 where something is damaged, and the file is named.")]
pub(super) struct VerifyArgs {
    /// Folder of train_NNNNNN.npy and sample_ids_NNNNNN.npy
    dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    shards: usize,
    samples: u64,
    /// Whether a description said what the hashes have to be.
    hashes_known: bool,
    /// Samples whose tokens occur before, within these shards.
    repeated_samples: u64,
}

pub(super) fn run(args: VerifyArgs) -> Result<(), Failure> {
    let dataset = Dataset::open(&args.dir)?;
    let about = dataset.description();
    let progress = ProgressBar::new(dataset.samples());
    let mut twins = HashMap::new();
    let mut ids = Vec::with_capacity(dataset.samples() as usize);
    for (at, (index, shard)) in dataset.shards().enumerate() {
        let described = about.map(|about| &about.shards[at]);
        let hash = check_shard(shard, about.map(|about| about.vocab), described, &progress)?;
        if let Some(documents) = described.and_then(|shard| shard.documents_blake3.as_deref()) {
            check_documents(&args.dir, index, documents)?;
        }
        if let Some(first) = twins.insert(hash, index) {
            return Err(Failure::damaged(format!(
                "{} holds the same tokens as shard {first}; remove the folder and prepare it anew",
                shard.path().display()
            )));
        }
        ids.extend_from_slice(shard.ids());
    }
    progress.finish_and_clear();
    ids.sort_unstable();
    let report = Report {
        shards: dataset.shards().len(),
        samples: dataset.samples(),
        hashes_known: about.is_some(),
        repeated_samples: ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64,
    };
    if !report.hashes_known {
        eprintln!("there is no dataset.json: hashes and vocabulary could not be compared");
    }
    if args.json {
        return stdout::print_json(&report);
    }
    let Report { shards, samples, repeated_samples, .. } = report;
    stdout::print(|out| {
        writeln!(out, "whole       {shards} shard(s), {samples} samples")?;
        writeln!(out, "repeated    {repeated_samples} samples")
    })
}

/// Ids, vocabulary and hash of one shard; returns the hash of its tokens.
fn check_shard(
    shard: &Shard,
    vocab: Option<u32>,
    described: Option<&ShardDescription>,
    progress: &ProgressBar,
) -> Result<String, Failure> {
    let path = shard.path().display();
    let mut hash = blake3::Hasher::new();
    for sample in 0..shard.samples() {
        let tokens = shard.sample(sample)?;
        shard.verify(sample)?;
        hash.update(bytemuck::cast_slice(tokens));
        let beyond = |token: &&u32| vocab.is_some_and(|vocab| **token >= vocab);
        if let Some(token) = tokens.iter().find(beyond) {
            return Err(Failure::damaged(format!(
                "{path}: token {token} in sample {sample} is beyond the vocabulary of {}; remove \
                 the folder and prepare it anew",
                vocab.unwrap_or_default()
            )));
        }
        progress.inc(1);
    }
    let found = hash.finalize().to_hex().to_string();
    match described {
        Some(described) if described.tokens_blake3 != found => Err(Failure::damaged(format!(
            "{path} hashes to {found} where dataset.json says {}; copy or prepare it again",
            described.tokens_blake3
        ))),
        _ => Ok(found),
    }
}

/// The starts of documents: those recorded, ascending, and within the shard.
fn check_documents(dir: &Path, index: u32, recorded: &str) -> Result<(), Failure> {
    let path = documents_path(dir, index);
    let starts = NpyArray::<u64>::open(&path)?;
    let starts = starts.values();
    let found = blake3::hash(bytemuck::cast_slice(starts)).to_hex().to_string();
    if found == recorded && starts.is_sorted() {
        return Ok(());
    }
    Err(Failure::damaged(format!(
        "{} hashes to {found} where dataset.json says {recorded}; copy or prepare it again",
        path.display()
    )))
}
