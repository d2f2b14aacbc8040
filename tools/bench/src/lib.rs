//! Measured, floor, ratio: how fast each part is, against what this machine can do.
//!
//! Ceilings (`ceilings`) are measured in the same process as the rows (`rows`, one file per thing
//! measured), so that a percentage means something on any machine. `learning` asks the other
//! question: what compression costs in loss.

mod ceilings;
mod error;
mod gpu;
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
use gpu::GpuBench;
pub use gpu::check::GpuArgs;
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
    /// All checks and rows of a GPU, with one JSON and one table at the end.
    Gpu(GpuArgs),
}

/// What to measure, and how to print it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TableArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// What to measure: cpu, cuda, cuda:1, or emulated, which shows whether rows of a GPU work; a
    /// GPU when not given and there is one.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Rows to measure, as C03,C07; all of the device when not given.
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
    /// Peer timings: CSV, JSON lines, or a kept run; --peers is the same.
    #[arg(long, value_name = "FILE", alias = "peers")]
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
        Some(Command::Gpu(args)) => gpu::check::run(args),
        None => measure(&cli.table),
    }
}

/// The GPU of that name.
fn open(name: &str) -> Result<Device, BenchError> {
    let ordinal = match name {
        "emulated" => return Ok(Device::emulated()?),
        "cuda" => Some(0),
        other => other.strip_prefix("cuda:").and_then(|rest| rest.parse().ok()),
    };
    let unknown = || BenchError::UnknownDevice(name.to_string());
    Ok(Device::cuda(ordinal.ok_or_else(unknown)?)?)
}

/// The GPU to measure, if rows of one are asked for.
fn gpu_at_hand(args: &TableArgs) -> Result<Option<Device>, BenchError> {
    match args.device.as_deref() {
        Some("cpu") => Ok(None),
        Some(name) => open(name).map(Some),
        None if args.filter.iter().any(|id| gpu::knows(id)) => open("cuda").map(Some),
        None if !args.filter.is_empty() => Ok(None),
        None => Ok(Device::cuda(0).inspect_err(|why| eprintln!("rows of the CPU: {why}")).ok()),
    }
}

fn measure(args: &TableArgs) -> Result<String, BenchError> {
    let scenarios = rows::chosen(&args.filter)?;
    let peers = args.peer.as_deref().map(PeerTimes::read).transpose()?.unwrap_or_default();
    let threads = machine::threads(args.threads);
    let gpu = gpu_at_hand(args)?;
    // Without a filter the rows are those of one device.
    let on_cpu = !scenarios.is_empty() && (gpu.is_none() || !args.filter.is_empty());
    let mut table = Table {
        machine: Machine::this(),
        threads,
        quick: args.quick,
        ceilings: None,
        gpu: None,
        rows: Vec::new(),
    };
    if on_cpu {
        measure_cpu(args, &scenarios, threads, &mut table)?;
    }
    if let Some(device) = gpu {
        measure_gpu(args, device, threads, &mut table)?;
    }
    for row in &mut table.rows {
        row.meet(&peers);
    }
    if let Some(name) = &args.keep {
        kept::write(name, &table.json())?;
    }
    Ok(if args.json { table.json() + "\n" } else { table.text() })
}

fn samples(args: &TableArgs) -> usize {
    if args.quick { 3 } else { 20 }
}

fn measure_cpu(
    args: &TableArgs,
    scenarios: &[&rows::Scenario],
    threads: usize,
    table: &mut Table,
) -> Result<(), BenchError> {
    let process = args.peer_python.clone().zip(args.peer_script.clone());
    let device = Device::cpu(threads)?;
    eprintln!("measuring the ceilings of {threads} threads");
    let bench = Bench {
        ceilings: Ceilings::measure(&device, args.quick),
        samples: samples(args),
        quick: args.quick,
        peer: process.map(|(python, script)| PeerProcess { python, script, threads }),
        device,
    };
    table.ceilings = Some(bench.ceilings);
    for scenario in scenarios {
        eprintln!("measuring {}: {}", scenario.id, scenario.what);
        machine::restart_peak();
        table.rows.extend((scenario.measure)(&bench)?);
    }
    Ok(())
}

fn measure_gpu(
    args: &TableArgs,
    device: Device,
    threads: usize,
    table: &mut Table,
) -> Result<(), BenchError> {
    eprintln!("measuring the ceilings of {device:?}");
    let bench = GpuBench::new(device, Device::cpu(threads)?, samples(args), args.quick)?;
    table.gpu = Some(bench.machine());
    for scenario in gpu::chosen(&args.filter) {
        eprintln!("measuring {}: {}", scenario.id, scenario.what);
        table.rows.extend((scenario.measure)(&bench)?);
    }
    Ok(())
}
