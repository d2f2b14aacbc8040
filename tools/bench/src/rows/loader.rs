//! D01: the dataset loader: random samples of 2,048 tokens, checked against the vocabulary and
//! shifted into targets, straight from the mapping and through the three ways of reading ahead,
//! which check each sample's hash, too. Warm: the shard was written a moment ago.

use std::path::Path;
use std::time::Duration;

use runtime::dataset::loader::{Loader, LoaderOptions, Reading};
use runtime::dataset::{BatchRules, Dataset, DatasetWriter, Provenance, SAMPLE_TOKENS, Targets};

use super::Bench;
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row};

const VOCAB: u32 = 32_000;
/// Samples in one batch.
const BATCH: usize = 64;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let samples: u64 = if bench.quick { 128 } else { 16_384 };
    let folder = tempfile::tempdir().map_err(|source| BenchError::File {
        action: "make a folder in",
        path: std::env::temp_dir(),
        source,
    })?;
    write(folder.path(), samples)?;
    let dataset = Dataset::open(folder.path())?;
    for (_, shard) in dataset.shards() {
        // What may be written to is not mapped.
        let failed = |source| BenchError::File {
            action: "make read-only",
            path: shard.path().to_path_buf(),
            source,
        };
        let mut permissions = std::fs::metadata(shard.path()).map_err(failed)?.permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(shard.path(), permissions).map_err(failed)?;
    }
    let mut noise = Noise::new(1);
    let batches: Vec<Vec<u64>> =
        (0..64).map(|_| (0..BATCH).map(|_| noise.next() % samples).collect()).collect();
    let rules = BatchRules {
        seq_len: SAMPLE_TOKENS,
        vocab: VOCAB,
        targets: Targets::Text { eos: Some(0) },
        document_masks: false,
    };
    let fill = |batch: usize, [inputs, targets]: &mut [Vec<u32>; 2]| {
        dataset.fill_batch(&batches[batch % batches.len()], rules, inputs, targets)
    };
    let [mut once, mut again] = [(); 2].map(|()| [(); 2].map(|()| vec![0; BATCH * SAMPLE_TOKENS]));
    fill(0, &mut once)?;
    fill(0, &mut again)?;
    let equal = once == again;
    let mut failed = None;
    let times = bench.times(|call| failed = fill(call, &mut again).err());
    failed.map_or(Ok(()), Err)?;
    let tokens = (BATCH * SAMPLE_TOKENS) as f64;
    // Tokens are read once and written as inputs and as targets.
    let work = Work { copied_bytes: 12.0 * tokens, ..Work::default() };
    let shape = format!("{BATCH} samples of {samples}, one thread");
    let row = Row::new("D01", "dataset loader", shape, &times, Rate::Tokens(tokens));
    let mut rows = vec![row.floor(&bench.ceilings, &work).bit_equal(equal).dtype("u32")];
    for (name, reading) in [
        ("loader ahead, io_uring", Reading::Ring),
        ("loader ahead, pread", Reading::Pread),
        ("loader ahead, mapped", Reading::Mapped),
    ] {
        rows.push(ahead(bench, &dataset, &batches.concat(), name, reading)?);
    }
    Ok(rows)
}

/// One window through a loader, from its start to its last sample.
fn ahead(
    bench: &Bench,
    dataset: &Dataset,
    order: &[u64],
    name: &'static str,
    reading: Reading,
) -> Result<Row, BenchError> {
    let rules = BatchRules {
        seq_len: SAMPLE_TOKENS,
        vocab: VOCAB,
        targets: Targets::Text { eos: Some(0) },
        document_masks: false,
    };
    let [mut inputs, mut targets] = [(); 2].map(|()| vec![0; SAMPLE_TOKENS]);
    let (mut direct, mut waited, mut equal) = (vec![0; SAMPLE_TOKENS], 0, true);
    let mut window = |compares: bool| {
        let options = LoaderOptions { reading, ..LoaderOptions::default() };
        let loader = Loader::start(dataset, order, options)?;
        for (position, sample) in order.iter().enumerate() {
            equal &= loader.take(position, &mut inputs).map_err(BenchError::Loader)?;
            dataset.fill_targets(&[*sample], rules, &inputs, &mut targets)?;
            if compares {
                let (shard, within) = dataset.locate(*sample)?;
                direct.copy_from_slice(shard.sample(within)?);
                equal &= direct == inputs;
            }
        }
        waited = loader.report().waited;
        Ok::<_, BenchError>(())
    };
    window(true)?;
    let mut failed = None;
    let times = bench.times(|_| failed = window(false).err().or(failed.take()));
    failed.map_or(Ok(()), Err)?;
    let stalls = stalls(dataset, &order[..order.len().min(64)], reading)?;
    let tokens = (order.len() * SAMPLE_TOKENS) as f64;
    // Read from the page cache, handed over, and copied out: each written once.
    let work = Work { copied_bytes: 20.0 * tokens, ..Work::default() };
    let shape = format!("{} samples, one taker", order.len());
    let row = Row::new("D01", name, shape, &times, Rate::Tokens(tokens));
    let row = row.floor(&bench.ceilings, &work).bit_equal(equal).dtype("u32");
    let row = row.also("waited_percent", 100.0 * waited as f64 / order.len() as f64);
    Ok(row.also("stalls_at_100k_token_per_s", stalls as f64))
}

/// Samples that were not there when a taker of 100,000 tokens a second asked for them. The first,
/// which nobody can be ahead of, does not count.
fn stalls(dataset: &Dataset, order: &[u64], reading: Reading) -> Result<u64, BenchError> {
    let pause = Duration::from_secs_f64(SAMPLE_TOKENS as f64 / 100e3);
    let loader = Loader::start(dataset, order, LoaderOptions { reading, ..Default::default() })?;
    let mut tokens = vec![0; SAMPLE_TOKENS];
    loader.take(0, &mut tokens).map_err(BenchError::Loader)?;
    let first = loader.report().waited;
    for position in 1..order.len() {
        std::thread::sleep(pause);
        loader.take(position, &mut tokens).map_err(BenchError::Loader)?;
    }
    Ok(loader.report().waited - first)
}

/// A shard of random tokens.
fn write(folder: &Path, samples: u64) -> Result<(), BenchError> {
    let mut writer = DatasetWriter::create(folder, samples * SAMPLE_TOKENS as u64)?;
    let mut noise = Noise::new(2);
    for _ in 0..samples {
        writer.push(&noise.indices(SAMPLE_TOKENS, VOCAB))?;
    }
    writer.finish(Provenance {
        tokenizer: "byte".into(),
        vocab: VOCAB,
        eos: Some(0),
        entropy_nats_per_token: None,
        seed: Some(2),
        source: "noise of the bench".into(),
        conversations: None,
    })?;
    Ok(())
}
