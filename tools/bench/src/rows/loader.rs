//! D01: the dataset loader: random samples of 2,048 tokens, memory-mapped, checked against the
//! vocabulary and shifted into targets. Warm: the shard was written a moment ago.

use std::path::Path;

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
    let mut noise = Noise::new(1);
    let batches: Vec<Vec<u64>> =
        (0..64).map(|_| (0..BATCH).map(|_| noise.next() % samples).collect()).collect();
    let rules = BatchRules {
        seq_len: SAMPLE_TOKENS,
        vocab: VOCAB,
        targets: Targets::Text { eos: Some(0) },
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
    Ok(vec![row.floor(&bench.ceilings, &work).bit_equal(equal).dtype("u32")])
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
