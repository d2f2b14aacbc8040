//! `cov72 train`: one miner through real windows, over a real bucket and a real chain.

mod alone;
mod args;
mod chart;
mod folder;
mod identity;
mod journal;
mod keeper;
mod learner;
mod network;
mod objective;
mod peer;
mod progress;
mod rounds;
mod samples;
mod start;
mod summary;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{MemoryPlan, MicroBatch, Stop, available_memory};
use runtime::dataset::{Dataset, synth};
use runtime::{Device, Storage};
use wire::Objective;

use crate::config::Config;
use crate::failure::Failure;
use crate::node::{Voice, setup};
use keeper::Desk;
use progress::human;
use summary::{Facts, Summary};

pub(crate) use args::TrainArgs;
pub(crate) use folder::{RunFolder, replace_file};
pub(crate) use identity::{agree_with_network, describe};
pub(crate) use journal::{Steps, append_window, last_window};
pub(crate) use keeper::Keeper;
pub(crate) use learner::{Hands, Learner, assignment};
pub(crate) use network::Network;
pub(crate) use objective::{refuse_unasked, rules};
pub(crate) use peer::Peer;
pub(crate) use progress::{DOING, Screen, human_bytes};
pub(crate) use rounds::Rounds;
pub(crate) use samples::Lesson;

/// Samples of the built-in corpus.
const CORPUS_SAMPLES: u64 = 2_048;
/// Seed of the built-in corpus: it is the same for every seed of a run.
const CORPUS_SEED: u64 = 72;

/// Runs the command.
pub(crate) fn run(args: &TrainArgs) -> Result<(), Failure> {
    let stop = stop_on_interrupt()?;
    let (config, run) = args.resolve()?;
    let gpu = config.device()?.open_gpu()?;
    let plan = memory_plan(&config, gpu.as_ref())?;
    let folder = RunFolder::claim(&config.dir())?;
    let in_network = run.is_some();
    if folder.holds_a_run() && !args.resume && !in_network {
        let dir = folder.dir().display();
        return Err(Failure::precondition(format!(
            "{dir} holds a run already; go on with it by --resume, or train elsewhere with --dir"
        )));
    }
    let dataset = dataset(&config, folder.dir())?;
    if !args.resume && !in_network {
        refuse_unasked(&config, args.asked()?.objective, &dataset)?;
    }
    let samples = config.inner.batch_samples;
    let screen = Arc::new(Screen::new(
        config.windows,
        config.inner.steps,
        match config.objective {
            Objective::Pretrain => Some(samples * wire::protocol::SAMPLE_TOKENS as u64),
            Objective::Sft => None,
        },
        folder.dir().to_path_buf(),
    ));
    greet(&screen, &config, &plan, &dataset, &folder);
    let (peer, end) = setup::block_on(async {
        let start = start::Start { config: &config, folder, dataset, gpu, screen, stop };
        let mut peer = match run {
            Some(run) => start.in_network(run).await?,
            None => start.alone()?,
        };
        let end = peer.run(config.windows).await?;
        Ok((peer, end))
    })?;
    peer.keeper.screen().close();
    if end == Stop::Asked {
        let (window, dir) = (peer.windows(), peer.keeper.folder.dir().display());
        return Err(Failure::interrupted(format!(
            "stopped in window {}; it starts over with: cov72 train --resume --dir {dir}",
            window + 1
        )));
    }
    report(args, &config, &plan, peer)
}

/// A flag that the first Ctrl-C sets; the second one ends the process.
pub(crate) fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::ours(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(stop)
}

/// What the run will hold, refused here if the machine does not have it.
fn memory_plan(config: &Config, gpu: Option<&Device>) -> Result<MemoryPlan, Failure> {
    let storage = gpu.map_or(Storage::Host, Device::storage);
    let plan = MemoryPlan::new(&config.model, config.node.tp, config.micro_batch(), storage)?;
    let (on_host, on_gpu) = (plan.host() as u64, plan.gpu() as u64);
    let host_has = available_memory().map_or(u64::MAX, |has| has as u64);
    let gpu_has = match gpu {
        Some(Device::Gpu(gpu)) => gpu.facts().free_bytes,
        _ => u64::MAX,
    };
    let short = [("this machine", on_host, host_has), ("the GPU", on_gpu, gpu_has)];
    match short.into_iter().find(|(_, needs, has)| has < needs) {
        None => Ok(plan),
        Some((whose, needs, has)) => Err(Failure::precondition(format!(
            "preset {} needs {} of memory, {whose} has {} free; {}use a smaller --preset (there \
             are {})",
            config.preset,
            human_bytes(needs),
            human_bytes(has),
            spared(config, storage, has)?,
            model::preset_names().collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// What computing all layers again would need, as advice, where that would fit.
fn spared(config: &Config, storage: Storage, has: u64) -> Result<String, Failure> {
    let layers = config.model.layers;
    let micro = MicroBatch { recomputed_layers: layers, ..config.micro_batch() };
    let plan = MemoryPlan::new(&config.model, config.node.tp, micro, storage)?;
    let needs = if storage == Storage::Gpu { plan.gpu() } else { plan.host() } as u64;
    if config.node.recompute_layers >= layers || needs > has {
        return Ok(String::new());
    }
    let needs = human_bytes(needs);
    Ok(format!(
        "set node.recompute_layers = {layers} ({needs}), fewer node.micro_batch_samples, or "
    ))
}

/// The shards to train on: those asked for, or the built-in corpus, made in `dir` on first use.
pub(crate) fn dataset(config: &Config, dir: &Path) -> Result<Dataset, Failure> {
    let data = &config.node.data;
    if config.objective == Objective::Sft && data.as_os_str().is_empty() {
        return Err(Failure::usage(
            "--objective sft learns answers, and the built-in corpus has none; make conversations \
             into shards by cov72 data chat, and name their folder by --data",
        ));
    }
    let dataset = if data.as_os_str().is_empty() {
        synth::ensure(&dir.join("data"), CORPUS_SEED, CORPUS_SAMPLES)?
    } else {
        Dataset::open(data)?
    };
    let dataset = if config.documents.masks { dataset.with_documents()? } else { dataset };
    let vocab = dataset.description().map_or(0, |description| description.vocab);
    if vocab as usize > config.model.vocab {
        return Err(Failure::precondition(format!(
            "{} was made with a vocabulary of {vocab}, preset {} has {}; prepare the data with a \
             tokenizer of that size, or set model.vocab in a --config",
            dataset.dir().display(),
            config.preset,
            config.model.vocab
        )));
    }
    objective::check_data(config, &dataset)?;
    let needs = config.inner.steps * config.inner.batch_samples;
    if dataset.samples() < needs {
        return Err(Failure::precondition(format!(
            "one window trains on {needs} samples, {} has {}; prepare more text, or use fewer \
             --inner-steps",
            dataset.dir().display(),
            dataset.samples()
        )));
    }
    Ok(dataset)
}

fn greet(
    screen: &Screen,
    config: &Config,
    plan: &MemoryPlan,
    dataset: &Dataset,
    folder: &RunFolder,
) {
    let on_gpu = match plan.gpu() {
        0 => String::new(),
        bytes => format!(", {} on {}", human_bytes(bytes as u64), config.node.device),
    };
    screen.say(&format!(
        "{}: {} parameters, {} samples of {} tokens, {} windows of {} inner steps, {} of \
         memory{on_gpu}, in {}",
        config.name,
        human(plan.params as f64),
        dataset.samples(),
        wire::protocol::SAMPLE_TOKENS,
        config.windows,
        config.inner.steps,
        human_bytes(plan.host() as u64),
        folder.dir().display()
    ));
    if plan.gpu() == 0 && !config.node.compute.is_native() {
        screen.say(
            "this processor has no AVX512-BF16: bf16 rounds as it should, and is as slow as f32",
        );
    }
}

fn report(
    args: &TrainArgs,
    config: &Config,
    plan: &MemoryPlan,
    peer: Peer<Desk>,
) -> Result<(), Failure> {
    let (entropy, state_root) = (peer.entropy(), peer.root());
    let named = format!("checkpoints/window-{:08}", peer.windows());
    let checkpoint = peer.keeper.newest_checkpoint();
    let Desk { folder, journal, .. } = peer.keeper;
    let checkpoint = checkpoint.unwrap_or_else(|| folder.path(&named));
    let picture = chart::svg(&config.name, &journal, entropy).map_err(Failure::ours)?;
    folder.replace("loss.svg", picture.as_bytes())?;
    let facts = Facts {
        preset: config.preset.clone(),
        params: plan.params,
        objective: config.objective,
        entropy,
        state_root,
        checkpoint,
    };
    let summary = Summary::new(facts, &journal);
    let resume = resume_line(folder.dir(), config.windows);
    let picture = folder.path("loss.svg").display().to_string();
    eprintln!("{}", summary.text(&config.name, &resume, &picture));
    if args.verbose {
        eprintln!("{}", summary::details(&journal, plan));
    }
    if args.json {
        let text = serde_json::to_string_pretty(&summary).expect("a summary is plain data");
        println!("{text}");
    }
    Ok(())
}

/// What to type for as many windows again.
fn resume_line(dir: &Path, windows: u64) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "cov72".to_string());
    format!("{program} train --resume --dir {} --windows {}", dir.display(), windows * 2)
}
