//! G14, G15 and G17: whole training steps of large models, and one layer of 72B as a model of its
//! own. Launched one by one, and played from a recording.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use model::{BatchSource, MemoryPlan, MicroBatch, Trainer, initial_params, layout_of};
use runtime::Storage;
use wire::{Inner, ModelSpec};

use super::{GpuBench, GpuWork};
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row, same_bits};
use crate::timing::Times;

/// A model, its micro-batches, and what peers call it.
struct Case {
    name: &'static str,
    model: ModelSpec,
    sequences: usize,
    micro_batches: usize,
    recomputed_layers: usize,
    peer_shape: &'static str,
}

fn llama(
    layers: usize,
    d_model: usize,
    [heads, kv_heads]: [usize; 2],
    ffn: usize,
    vocab: usize,
) -> ModelSpec {
    ModelSpec {
        layers,
        d_model,
        heads,
        kv_heads,
        ffn,
        vocab,
        rope_theta: 500_000.0,
        norm_eps: 1e-5,
        seq_len: 2048,
        tied: true,
    }
}

fn case(
    name: &'static str,
    model: ModelSpec,
    sequences: usize,
    micro_batches: usize,
    peer_shape: &'static str,
) -> Case {
    Case { name, model, sequences, micro_batches, recomputed_layers: 0, peer_shape }
}

pub(super) fn one_b(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    if bench.quick {
        return quick(bench, "G14");
    }
    let small = llama(16, 2048, [16, 8], 8192, 32_000);
    let large = llama(16, 2048, [16, 8], 8192, 262_208);
    let cases = [
        case("1B-32k", small, 8, 2, "1B_32k_B8xS2048xG2"),
        case("1B-262k", large, 4, 2, "1B_262k_B4xS2048xG2"),
    ];
    rows(bench, "G14", &cases)
}

pub(super) fn others(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    if bench.quick {
        return Ok(Vec::new());
    }
    let narrow = llama(16, 2048, [32, 8], 8192, 128_256);
    let three = llama(28, 3072, [24, 8], 8192, 128_256);
    let cases = [
        case("1.24B, heads of 64", narrow, 4, 2, ""),
        case("3B-128k", three, 4, 2, "3B_128k_B4xS2048xG2"),
    ];
    rows(bench, "G15", &cases)
}

pub(super) fn layer(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    if bench.quick {
        return Ok(Vec::new());
    }
    // The vocabulary is as small as kernels take, so that the layer is all there is.
    let one = llama(1, 8192, [64, 8], 28_672, 64);
    rows(bench, "G17", &[case("one layer of 72B", one, 1, 1, "")])
}

fn quick(bench: &GpuBench, id: &'static str) -> Result<Vec<Row>, BenchError> {
    let model = ModelSpec { seq_len: 8, ..llama(2, 16, [2, 1], 24, 32) };
    rows(bench, id, &[case("tiny", model, 2, 2, "")])
}

fn rows(bench: &GpuBench, id: &'static str, cases: &[Case]) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for case in cases {
        let micro = MicroBatch {
            recomputed_layers: case.recomputed_layers,
            ..MicroBatch::from(case.sequences)
        };
        let needs = MemoryPlan::new(&case.model, 1, micro, Storage::Gpu)?.gpu();
        let has = bench.gpu.facts().free_bytes;
        if needs as u64 > has {
            let (needs, has) = (needs as f64 / 1e9, has as f64 / 1e9);
            eprintln!("{id} {}: left out, needs {needs:.1} GB, the GPU has {has:.1}", case.name);
            continue;
        }
        for recorded in [false, true] {
            rows.push(row(bench, id, case, micro, recorded)?);
        }
    }
    Ok(rows)
}

fn row(
    bench: &GpuBench,
    id: &'static str,
    case: &Case,
    micro: MicroBatch,
    recorded: bool,
) -> Result<Row, BenchError> {
    let gpu_error = runtime::RuntimeError::from;
    bench.gpu.peak_bytes(true).map_err(gpu_error)?;
    let mut params = vec![0.0; layout_of(&case.model)?.params()];
    initial_params(&case.model, 0, &mut params)?;
    let mut runs = [(); 2].map(|()| None);
    let steps = bench.size(12, 3);
    for run in &mut runs {
        *run = Some(train(bench, case, micro, recorded, &params, steps)?);
    }
    let [first, second] = runs.map(|run| run.expect("both were run"));
    let peak = bench.gpu.peak_bytes(true).map_err(gpu_error)?;
    let ModelSpec { layers, heads, seq_len, d_model, .. } = case.model;
    let tokens = (case.sequences * seq_len * case.micro_batches) as f64;
    let of_params = 6.0 * params.len() as f64 * tokens;
    let scores = (layers * heads * (d_model / heads) * seq_len) as f64 * tokens;
    let (causal, full) = (of_params + 6.0 * scores, of_params + 12.0 * scores);
    let times = Times::new([first.seconds.clone(), second.seconds].concat());
    let seconds = times.min_ms() / 1e3;
    let name = if recorded { format!("{}, recorded", case.name) } else { case.name.to_string() };
    let shape = match case.peer_shape {
        "" => format!("B{}xS{seq_len}xG{}", case.sequences, case.micro_batches),
        shape => shape.to_string(),
    };
    let percent = |flops: f64| 100.0 * flops / seconds / bench.ceilings.gemm_flop_per_s;
    Ok(Row::new(id, name, shape, &times, Rate::Tokens(tokens))
        .dtype("bf16")
        .floor_ms(bench.ceilings.floor_ms(GpuWork { flops: causal, bytes: 0.0 }))
        .bit_equal(same_bits(&first.losses, &second.losses))
        .peak(peak as usize)
        .called("step")
        .also("percent_of_gemm_causal", percent(causal))
        .also("percent_of_gemm_full", percent(full)))
}

/// One run.
struct Run {
    losses: Vec<f32>,
    /// Of each step but the first ones.
    seconds: Vec<f64>,
}

fn train(
    bench: &GpuBench,
    case: &Case,
    micro: MicroBatch,
    recorded: bool,
    params: &[f32],
    steps: u32,
) -> Result<Run, BenchError> {
    /// Steps that plan, load and record.
    const WARM: usize = 1;
    let threads = bench.host.threads();
    let mut trainer = Trainer::on_gpu(&case.model, bench.device.clone(), 1, threads, micro)?;
    if recorded {
        trainer = trainer.with_recording();
    }
    let mut whole = trainer.device().alloc(params.len());
    whole.write(params);
    trainer.load_params(&whole);
    let (vocab, tokens) = (case.model.vocab as u32, case.sequences * case.model.seq_len);
    let mut noise = Noise::new(1);
    let [tokens, targets] = [(); 2].map(|()| noise.indices(tokens, vocab));
    let source = Random { tokens, targets, micro_batches: case.micro_batches };
    let inner: Inner = model::preset("1b").expect("a preset of ours").inner;
    let (mut losses, mut ends) = (Vec::new(), Vec::new());
    let mut note = |report: model::StepReport| {
        losses.push(report.loss as f32);
        ends.push(Instant::now());
    };
    trainer.run(&source, &inner, 100, steps, &AtomicBool::new(false), &mut note)?;
    let seconds = ends[WARM..].windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    Ok(Run { losses, seconds })
}

/// The same random tokens in every micro-batch.
struct Random {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    micro_batches: usize,
}

impl BatchSource for Random {
    fn micro_batches(&self) -> usize {
        self.micro_batches
    }

    fn fill(
        &self,
        _step: u32,
        _micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        tokens.copy_from_slice(&self.tokens);
        targets.copy_from_slice(&self.targets);
        Ok(())
    }
}
