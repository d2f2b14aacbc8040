//! `cov72 sim`: a whole network in one thread, under a virtual clock, with everything that can go
//! wrong drawn from a seed.
//!
//! The nodes are those of `train` and `validate`; only chain, buckets, clock and disks are of this
//! process's memory. The same seed gives the same history, byte for byte.

mod actor;
mod clock;
mod director;
mod draw;
mod forger;
mod gallery;
mod history;
mod liar;
mod line;
mod memory;
mod quick_chain;
mod report;
mod script;
mod stage;
#[cfg(test)]
mod troubles;
mod watch;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bucket::FaultPlan;
use clap::{Args, ValueEnum};
use tokio::task::LocalSet;

use crate::attack::{self, AttackBy};
use crate::failure::Failure;
use crate::stdout;
use director::Director;
use report::Report;
use script::{Kind, Script};
use stage::{Scale, Stage, Subject};

const EXAMPLES: &str = "\
Examples:
  cov72 sim --seed 7                                      six nodes, and what seed 7 holds for them
  cov72 sim --peers 40 --validators 3 --windows 200       a larger network, for longer
  cov72 sim --seeds 0..300                                many seeds; ends with 1 if one fails
  cov72 sim --seed 7 --only kill --history history.txt    one kind of trouble, told in full
  cov72 sim --peers 6 --windows 30 --attack lazy@4 --attack sign-flip@5
  cov72 sim --gallery --peers 12 --windows 60 --seeds 0..3   all attacks in turn, and a table
  cov72 sim --seeds 0..300 --validators 3 --only forge    a validator signs what it did not make";

/// Play a whole network in virtual time, with faults drawn from a seed
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimArgs {
    /// Miners
    #[arg(long, default_value_t = 4, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=200))]
    peers: u64,
    /// Validators
    #[arg(long, default_value_t = 2, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=50))]
    validators: u64,
    /// Windows
    #[arg(long, default_value_t = 12, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    windows: u64,
    /// Decides everything that is random
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Play all these seeds instead, from the first up to but not the last
    #[arg(long, value_name = "A..B", conflicts_with_all = ["seed", "history"])]
    seeds: Option<Seeds>,
    /// Let only this befall the network; may be given several times
    #[arg(long, value_enum, value_name = "KIND")]
    only: Vec<Kind>,
    /// Let PEER, counted from 0, cheat in this way, and nothing else befall the network but --only
    #[arg(long, value_name = "KIND@PEER")]
    attack: Vec<AttackBy>,
    /// Let every kind of attacker in turn join --peers honest ones, for each seed; prints a table
    #[arg(long, conflicts_with_all = ["attack", "history", "json", "only", "faults"])]
    gallery: bool,
    /// Plan of storage faults, in place of those that the seed brings
    #[arg(long, value_name = "FILE.toml")]
    faults: Option<PathBuf>,
    /// Write all that happened to this file
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Print the result as JSON: one object, or one per seed and line
    #[arg(long)]
    json: bool,
}

/// Several seeds.
#[derive(Clone, Debug)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ends = text.split_once("..").and_then(|(first, end)| {
            let range = first.parse().ok()?..end.parse().ok()?;
            (!range.is_empty()).then_some(range)
        });
        ends.map(Seeds)
            .ok_or_else(|| "write it as 0..100, with the end above the start".to_string())
    }
}

impl SimArgs {
    fn scale(&self) -> Scale {
        let (peers, validators) = (self.peers as usize, self.validators as usize);
        let subject = match self.attack.is_empty() {
            true => Subject::Nothing,
            false => Subject::against(self.attack.iter().map(|attack| attack.kind)),
        };
        Scale { peers, validators, windows: self.windows, subject }
    }

    fn kinds(&self) -> Vec<Kind> {
        match self.only.is_empty() {
            true if self.attack.is_empty() => Kind::value_variants().to_vec(),
            _ => self.only.clone(),
        }
    }

    /// Refuses kinds that need more validators than there are.
    fn check(&self) -> Result<(), Failure> {
        match self.only.iter().find(|kind| self.scale().validators < kind.validators_min()) {
            Some(kind) => {
                let (name, least) = (name(*kind), kind.validators_min());
                Err(Failure::usage(format!(
                    "--only {name} needs honest validators with most of the stake; use \
                     --validators {least} or more"
                )))
            }
            None => Ok(()),
        }?;
        match self.attack.iter().find(|attack| u64::from(attack.peer) >= self.peers) {
            Some(attack) => Err(Failure::usage(format!(
                "--attack {}@{}: peers are numbered 0 to {}",
                attack.kind.name(),
                attack.peer,
                self.peers - 1
            ))),
            None => Ok(()),
        }
    }

    fn setting(&self) -> Result<Setting, Failure> {
        let first = self.validators as usize;
        let attack = |attack: &AttackBy| (first + usize::from(attack.peer), attack.kind);
        Ok(Setting {
            scale: self.scale(),
            kinds: self.kinds(),
            faults: self.fault_plan()?,
            attacks: self.attack.iter().map(attack).collect(),
        })
    }

    fn fault_plan(&self) -> Result<Option<FaultPlan>, Failure> {
        let Some(path) = &self.faults else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
        let plan = FaultPlan::parse(&text);
        plan.map(Some).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }

    /// What to type to see `seed` again.
    fn replay(&self, seed: u64) -> String {
        let mut text = format!(
            "cov72 sim --peers {} --validators {} --windows {} --seed {seed}",
            self.peers, self.validators, self.windows
        );
        if let Some(path) = &self.faults {
            text.push_str(&format!(" --faults {}", path.display()));
        }
        for attack in &self.attack {
            text.push_str(&format!(" --attack {}@{}", attack.kind.name(), attack.peer));
        }
        for kind in &self.only {
            text.push_str(&format!(" --only {}", name(*kind)));
        }
        text
    }
}

/// What a kind is called on the command line.
fn name(kind: Kind) -> String {
    kind.to_possible_value().expect("every kind has a name").get_name().to_string()
}

/// Runs the command.
pub(crate) fn run(args: &SimArgs) -> Result<(), Failure> {
    args.check()?;
    let dir = tempfile::tempdir()
        .map_err(|error| Failure::io("make a folder in", &std::env::temp_dir(), &error))?;
    let data = dir.path().join("data");
    stage::write_corpus(&data, args.gallery || args.scale().subject != Subject::Nothing)?;
    if args.gallery {
        let seeds = args.seeds.as_ref().map_or(args.seed..args.seed + 1, |seeds| seeds.0.clone());
        return gallery::run(args.scale(), seeds, &data);
    }
    let failed = match &args.seeds {
        Some(seeds) => play_all(args, seeds.0.clone(), &data)?,
        None => {
            let report = play(args, args.seed, &data)?;
            show(args, &report)?;
            u64::from(!report.agree)
        }
    };
    match failed {
        0 => Ok(()),
        1 => Err(Failure::ours("the network did not hold together; see above")),
        some => Err(Failure::ours(format!("{some} seeds did not hold together; see above"))),
    }
}

fn show(args: &SimArgs, report: &Report) -> Result<(), Failure> {
    if args.json {
        return stdout::print_json(report);
    }
    stdout::print(|out| out.write_all(report.text().as_bytes()))
}

/// What a simulation is made of, beside its seed.
#[derive(Clone, Debug)]
struct Setting {
    scale: Scale,
    kinds: Vec<Kind>,
    faults: Option<FaultPlan>,
    /// Who cheats, by the number of the node.
    attacks: Vec<(usize, attack::Kind)>,
}

/// A simulation that is over.
struct Played {
    stage: Arc<Stage>,
    director: Rc<Director>,
    /// How long it took by the virtual clock, which stands for nothing once the runtime is left.
    virtual_s: f64,
}

/// Plays one seed from beginning to end.
fn perform(setting: &Setting, seed: u64, data: &Path) -> Result<Played, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| Failure::ours(format!("cannot start a runtime: {error}")))?;
    LocalSet::new().block_on(&runtime, async {
        let Setting { scale, kinds, faults, attacks } = setting;
        let script = Script::new(seed, *scale, kinds);
        let faults = faults.clone().or_else(|| script.storage.clone());
        let stage = Stage::new(seed, *scale, data, faults, &script.forgeries, attacks)?;
        let stage = Arc::new(stage);
        stage.history.add("sim", &format!("{script:?}"));
        let director = Director::new(&stage, &script);
        Rc::clone(&director).play(script).await;
        let virtual_s = stage.clock.since_ms() as f64 / 1e3;
        Ok(Played { stage, director, virtual_s })
    })
}

fn play(args: &SimArgs, seed: u64, data: &Path) -> Result<Report, Failure> {
    let Played { stage, director, virtual_s } = perform(&args.setting()?, seed, data)?;
    let events = stage.history.events();
    if let Some(path) = &args.history {
        std::fs::write(path, events.lines.concat())
            .map_err(|error| Failure::io("write", path, &error))?;
    }
    let (crooks, lives) = (director.crooks(), director.lives());
    Report::new(&stage, &events, &crooks, &lives, virtual_s, args.replay(seed))
}

/// Plays many seeds on all cores, each in a thread of its own; how many failed.
fn play_all(args: &SimArgs, seeds: Range<u64>, data: &Path) -> Result<u64, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(0));
    let count = (seeds.end - seeds.start) as usize;
    let work = || -> Result<(), Failure> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return Ok(());
            }
            let report = play(args, seeds.start + at as u64, data)?;
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            if args.json {
                stdout::print_json(&report)?;
            }
            if !report.agree {
                *failed += 1;
                eprint!("{}", report.verdict());
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(Failure::ours("a simulation panicked")))
        })
    })?;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !args.json {
        stdout::print(|out| writeln!(out, "{count} seeds played, {failed} failed"))?;
    }
    Ok(failed)
}
