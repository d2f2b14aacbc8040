//! `cov72 train`: one miner through real windows, over a real bucket and a real chain.

mod args;
mod chart;
mod exchange;
mod folder;
mod identity;
mod journal;
mod peer;
mod progress;
mod samples;
mod summary;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{MemoryPlan, available_memory, peak_memory};
use runtime::dataset::{Dataset, synth};

use crate::config::Config;
use crate::failure::Failure;
use folder::RunFolder;
use peer::Peer;
use progress::{Screen, human, human_bytes};
use summary::{Facts, Summary};

pub(crate) use args::TrainArgs;

/// Samples of the built-in corpus.
const CORPUS_SAMPLES: u64 = 2_048;
/// Seed of the built-in corpus: it is the same for every seed of a run.
const CORPUS_SEED: u64 = 72;

/// Runs the command.
pub(crate) fn run(args: &TrainArgs) -> Result<(), Failure> {
    let stop = stop_on_interrupt()?;
    let config = args.resolve()?;
    let plan = memory_plan(&config)?;
    let folder = RunFolder::claim(&config.dir())?;
    if folder.holds_a_run() && !args.resume {
        let dir = folder.dir().display();
        return Err(Failure::precondition(format!(
            "{dir} holds a run already; go on with it by --resume, or train elsewhere with --dir"
        )));
    }
    let dataset = dataset(&config, &folder)?;
    let screen = Screen::new(
        config.windows,
        config.inner.steps,
        config.inner.batch_samples * wire::protocol::SAMPLE_TOKENS as u64,
    );
    greet(&screen, &config, &plan, &dataset, &folder);
    let mut peer = Peer::start(&config, folder, dataset, screen)?;
    peer.run(config.windows, &stop)?;
    report(args, &config, &plan, peer)
}

/// A flag that the first Ctrl-C sets; the second one ends the process.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
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
fn memory_plan(config: &Config) -> Result<MemoryPlan, Failure> {
    let plan = MemoryPlan::new(&config.model, config.node.tp, config.micro_batch_sequences())?;
    match available_memory() {
        Some(has) if has < plan.total() => Err(Failure::precondition(format!(
            "preset {} needs {} of memory, this machine has {} free; use a smaller --preset (there \
             are {})",
            config.preset,
            human_bytes(plan.total() as u64),
            human_bytes(has as u64),
            model::preset_names().collect::<Vec<_>>().join(", ")
        ))),
        _ => Ok(plan),
    }
}

/// The shards to train on: those asked for, or the built-in corpus, made on first use.
fn dataset(config: &Config, folder: &RunFolder) -> Result<Dataset, Failure> {
    let data = &config.node.data;
    let dataset = if data.as_os_str().is_empty() {
        synth::ensure(&folder.path("data"), CORPUS_SEED, CORPUS_SAMPLES)?
    } else {
        Dataset::open(data)?
    };
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
    screen.say(&format!(
        "{}: {} parameters, {} samples of {} tokens, {} windows of {} inner steps, {} of memory, \
         in {}",
        config.name,
        human(plan.params as f64),
        dataset.samples(),
        wire::protocol::SAMPLE_TOKENS,
        config.windows,
        config.inner.steps,
        human_bytes(plan.total() as u64),
        folder.dir().display()
    ));
    if !config.node.compute.is_native() {
        screen.say(
            "this processor has no AVX512-BF16: bf16 rounds as it should, but is no faster than f32",
        );
    }
}

fn report(args: &TrainArgs, config: &Config, plan: &MemoryPlan, peer: Peer) -> Result<(), Failure> {
    let entropy = peer.entropy();
    let (folder, journal, end) = peer.close()?;
    let picture = chart::svg(&config.name, &journal, entropy).map_err(Failure::ours)?;
    folder.replace("loss.svg", picture.as_bytes())?;
    let facts = Facts {
        preset: config.preset.clone(),
        params: plan.params,
        entropy,
        state_root: end.state_root,
        checkpoint: end.checkpoint,
    };
    let summary = Summary::new(facts, &journal);
    let resume = resume_line(folder.dir(), config.windows);
    let picture = folder.path("loss.svg").display().to_string();
    eprintln!("{}", summary.text(&config.name, &resume, &picture));
    if args.verbose {
        eprintln!("{}", summary::details(&journal, plan, peak_memory()));
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
