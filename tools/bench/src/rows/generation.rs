//! E01: text from a model with its keys and values kept: reading a prompt, and writing token after
//! token, of one sequence and of four side by side. The floor of writing is reading all parameters
//! once per pass; of reading a prompt, two operations per parameter and token.

use std::sync::Arc;

use model::generate::{Decoder, Extend, Wanted};
use model::{initial_params, layout_of, preset};

use super::Bench;
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row, same_bits};
use crate::timing::Times;

const CONFIGS: [&str; 3] = ["m12", "s15", "150m"];
/// Tokens of a prompt, after which text is written.
const PROMPT: usize = 128;
const BATCHES: [usize; 2] = [1, 4];

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let configs = if bench.quick { &CONFIGS[..1] } else { &CONFIGS[..] };
    let mut rows = Vec::new();
    for config in configs {
        rows.extend(of_model(bench, config)?);
    }
    Ok(rows)
}

fn of_model(bench: &Bench, config: &str) -> Result<Vec<Row>, BenchError> {
    let spec = preset(config).expect("a preset of the bench's own list").model;
    let mut params = vec![0.0; layout_of(&spec)?.params()];
    initial_params(&spec, 0, &mut params)?;
    // All matrices are read for every token but the embedding's, unless it is the head too.
    let embedding = if spec.tied { 0 } else { spec.vocab * spec.d_model };
    let read = params.len() - embedding;
    let params = Arc::new(params);
    let samples = bench.samples;
    let positions = PROMPT + samples + 2;
    let tokens = Noise::new(1).indices(PROMPT, spec.vocab as u32);
    let slots = BATCHES[BATCHES.len() - 1];
    let mut decoder = Decoder::new(&bench.device, &spec, Arc::clone(&params), slots, positions)?;
    let mut logits = [(); 2].map(|()| vec![0.0; spec.vocab]);
    let times = Times::of(samples, |call| {
        decoder.truncate(0, 0);
        decoder.next(0, &tokens, &mut logits[call % 2]);
    });
    let work = Work { flops: 2.0 * (read * PROMPT) as f64, ..Work::default() };
    let rate = Rate::Tokens(PROMPT as f64);
    let mut rows = vec![
        Row::new("E01", format!("{config} prompt"), format!("B1 S{PROMPT}"), &times, rate)
            .floor(&bench.ceilings, &work)
            .bit_equal(same_bits(&logits[0], &logits[1])),
    ];
    for slot in 1..slots {
        decoder.fork(0, slot);
    }
    for batch in BATCHES {
        let work: Vec<Extend<'_>> =
            (0..batch).map(|slot| Extend { slot, tokens: &tokens[slot..=slot] }).collect();
        let equal = same_bits(&written(&mut decoder, &work), &written(&mut decoder, &work));
        let times = Times::of(samples, |_| decoder.extend(&work, Wanted::Last, &mut |_, _| ()));
        let bytes = (size_of::<f32>() * read) as f64;
        let work = Work { read_bytes: bytes, ..Work::default() };
        let (scenario, shape) = (format!("{config} writing"), format!("B{batch} S{PROMPT}"));
        let row = Row::new("E01", scenario, shape, &times, Rate::Tokens(batch as f64));
        let row = row.floor(&bench.ceilings, &work).bit_equal(equal);
        rows.push(row.also("read_gb_per_s", bytes / times.min_ms() / 1e6));
    }
    Ok(rows)
}

/// Logits, `[batch][vocab]`, of one token behind the prompt of each sequence, which then holds it.
fn written(decoder: &mut Decoder, work: &[Extend<'_>]) -> Vec<f32> {
    let mut logits = Vec::new();
    work.iter().for_each(|extend| decoder.truncate(extend.slot, PROMPT));
    decoder.extend(work, Wanted::Last, &mut |_, row| logits.extend_from_slice(row));
    logits
}
