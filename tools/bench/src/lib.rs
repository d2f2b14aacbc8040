//! Measured, floor, ratio: how fast each part is, against what this machine can do.
//!
//! Ceilings (`ceilings`) are measured in the same process as the rows (`rows`, one file per thing
//! measured), so that a percentage means something on any machine. `learning` asks the other
//! question: what compression costs in loss.

mod ceilings;
mod error;
mod kept;
pub mod learning;
mod loopback;
mod machine;
mod noise;
mod peer;
mod row;
mod rows;
mod table;
mod timing;

use std::path::PathBuf;

use runtime::Device;

use ceilings::Ceilings;
pub use error::BenchError;
use machine::Machine;
use peer::{PeerProcess, PeerTimes};
use rows::Bench;
use table::Table;

/// Measures cov72 on this machine.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "bench", after_help = rows::HELP)]
pub struct Cli {
    /// What to do instead of the table.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The table's options.
    #[command(flatten)]
    pub table: TableArgs,
}

/// Studies beside the table.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Validation loss and bytes sent of AdamW, DiLoCo and SparseLoCo.
    Learning(learning::LearningArgs),
}

/// What to measure, and how to print it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TableArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Rows to measure, as C03,C07; all when not given.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub filter: Vec<String>,
    /// Few samples of small shapes: whether it works, not how fast it is.
    #[arg(long)]
    pub quick: bool,
    /// Threads; all cores when not given.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Keep the run as tools/bench/runs/NAME.json.
    #[arg(long, value_name = "NAME")]
    pub keep: Option<String>,
    /// Peer timings: CSV, JSON lines, or a kept run.
    #[arg(long, value_name = "FILE")]
    pub peer: Option<PathBuf>,
    /// Python that has the peer's libraries; with --peer-script, rows C03 and C04 run the peer
    /// between two halves of their own samples.
    #[arg(long, value_name = "PATH", requires = "peer_script")]
    pub peer_python: Option<PathBuf>,
    /// Training step of the peer: takes --cfg, --dtype, --compile, --threads, prints JSON lines
    /// with best_ms and med_ms.
    #[arg(long, value_name = "PATH", requires = "peer_python")]
    pub peer_script: Option<PathBuf>,
}

/// Does what the command line says and returns what to print.
///
/// # Errors
/// An option names something that is not there, or a measurement fails.
pub fn run(cli: &Cli) -> Result<String, BenchError> {
    match &cli.command {
        Some(Command::Learning(args)) => learning::run(args),
        None => measure(&cli.table),
    }
}

fn measure(args: &TableArgs) -> Result<String, BenchError> {
    let scenarios = rows::chosen(&args.filter)?;
    let peers = args.peer.as_deref().map(PeerTimes::read).transpose()?.unwrap_or_default();
    let process = args.peer_python.clone().zip(args.peer_script.clone());
    let threads = machine::threads(args.threads);
    let device = Device::cpu(threads)?;
    eprintln!("measuring the ceilings of {threads} threads");
    let bench = Bench {
        ceilings: Ceilings::measure(&device, args.quick),
        samples: if args.quick { 3 } else { 20 },
        quick: args.quick,
        peer: process.map(|(python, script)| PeerProcess { python, script, threads }),
        device,
    };
    let mut rows = Vec::new();
    for scenario in scenarios {
        eprintln!("measuring {}: {}", scenario.id, scenario.what);
        machine::restart_peak();
        rows.extend((scenario.measure)(&bench)?);
    }
    for row in &mut rows {
        row.meet(&peers);
    }
    let (machine, ceilings) = (Machine::this(), bench.ceilings);
    let table = Table { machine, threads, quick: args.quick, ceilings, rows };
    if let Some(name) = &args.keep {
        kept::write(name, &table.json())?;
    }
    Ok(if args.json { table.json() + "\n" } else { table.text() })
}
