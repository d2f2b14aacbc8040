//! Everything that wants a GPU, in one go and in the order that matters: the tests of kernels and
//! operations on the device, a memory checker where there is one, then the rows, each in a process
//! of its own, so that what fails leaves the rest whole. Ends with one JSON and one table.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use runtime::Device;
use serde::Serialize;
use serde_json::Value;

use super::SCENARIOS;
use crate::BenchError;

/// What `bench gpu` is told.
#[derive(clap::Args, Clone, Debug)]
pub struct GpuArgs {
    /// Folder of test programs, each of which is run.
    #[arg(long, value_name = "FOLDER")]
    pub tests: Option<PathBuf>,
    /// Folder for gpu.json, gpu.txt and the logs.
    #[arg(long, value_name = "FOLDER", default_value = "gpu-report")]
    pub out: PathBuf,
    /// The GPU, as cuda or cuda:1; for a test of this command, emulated.
    #[arg(long, default_value = "cuda")]
    pub device: String,
    /// Timings of peers, as gpu_peers.py prints them.
    #[arg(long, value_name = "FILE")]
    pub peers: Option<PathBuf>,
    /// Rows to measure; all when not given.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub filter: Vec<String>,
    /// Few samples of small shapes.
    #[arg(long)]
    pub quick: bool,
    /// Most seconds of one test program, and of one row.
    #[arg(long, default_value_t = 300)]
    pub seconds_max: u64,
}

/// What a test program said.
#[derive(Clone, Debug, Serialize)]
struct Check {
    name: String,
    passed: u64,
    failed: u64,
    /// Whether it ended well, by its exit code and in time.
    ok: bool,
    seconds: f64,
    log: PathBuf,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Report {
    taken_unix_s: u64,
    gpu: Option<Value>,
    /// Why there was nothing to check, where there was not.
    refused: Option<String>,
    checks: Vec<Check>,
    sanitizer: Vec<Check>,
    rows: Vec<Value>,
    /// Rows that could not be taken, and why.
    failed_rows: Vec<(String, String)>,
}

/// Runs everything and returns the table.
///
/// # Errors
/// No GPU, or something failed; the report is written all the same.
pub(crate) fn run(args: &GpuArgs) -> Result<String, BenchError> {
    let file = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| BenchError::File { action, path, source }
    };
    std::fs::create_dir_all(&args.out).map_err(file("make", &args.out))?;
    let taken = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut report = Report {
        taken_unix_s: taken.map_or(0, |since| since.as_secs()),
        gpu: None,
        refused: None,
        checks: Vec::new(),
        sanitizer: Vec::new(),
        rows: Vec::new(),
        failed_rows: Vec::new(),
    };
    let opened = crate::open(&args.device);
    if let Err(error) = &opened {
        report.refused = Some(error.to_string());
        write(args, &report, "")?;
    }
    if let Device::Gpu(gpu) = opened? {
        let facts = gpu.facts();
        eprintln!("{}, {} bytes free of {}", facts.name, facts.free_bytes, facts.memory_bytes);
    }
    let programs = args.tests.as_deref().map(programs).transpose()?.unwrap_or_default();
    for program in &programs {
        report.checks.push(check(args, test(program), &name_of(program))?);
    }
    report.sanitizer = sanitize(args, &programs)?;
    rows(args, &mut report)?;
    let text = text(&report);
    write(args, &report, &text)?;
    let bad = report.checks.iter().chain(&report.sanitizer).filter(|check| !check.ok).count();
    match bad + report.failed_rows.len() {
        0 => Ok(text),
        count => Err(BenchError::Checks { count, text }),
    }
}

fn write(args: &GpuArgs, report: &Report, text: &str) -> Result<(), BenchError> {
    let json = serde_json::to_string_pretty(report).expect("plain numbers and strings");
    for (name, content) in [("gpu.json", json + "\n"), ("gpu.txt", text.to_string())] {
        let path = args.out.join(name);
        std::fs::write(&path, content).map_err(|source| BenchError::File {
            action: "write",
            path,
            source,
        })?;
    }
    Ok(())
}

/// The files of a folder that can be run, by name.
fn programs(folder: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let unreadable =
        |source| BenchError::File { action: "read", path: folder.to_path_buf(), source };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut programs = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(unreadable)?;
    programs.retain(|path| path.is_file());
    programs.sort();
    Ok(programs)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Of the program with the kernels' tests, those that run on a device; no barrier can be left out
/// there.
const KERNEL_TESTS: [&str; 3] = ["on_device", "--skip", "every_barrier"];

/// How a test program is run.
fn test(program: &Path) -> Command {
    let mut command = Command::new(program);
    if name_of(program) == "kernels" {
        command.args(KERNEL_TESTS);
    }
    command
}

/// Runs a test program and keeps what it says.
fn check(args: &GpuArgs, command: Command, name: &str) -> Result<Check, BenchError> {
    eprintln!("checking {name}");
    let log = args.out.join(format!("{name}.log"));
    let clock = Instant::now();
    let (ok, said) = finish(command, Duration::from_secs(args.seconds_max));
    let seconds = clock.elapsed().as_secs_f64();
    std::fs::write(&log, &said).map_err(|source| BenchError::File {
        action: "write",
        path: log.clone(),
        source,
    })?;
    let counted = |what: &str| -> u64 {
        let lines = said.lines().filter(|line| line.starts_with("test result:"));
        lines.filter_map(|line| number_before(line, what)).sum()
    };
    let (passed, failed) = (counted("passed"), counted("failed"));
    Ok(Check { name: name.to_string(), passed, failed, ok, seconds, log })
}

/// The number before a word in a line of numbers and words.
fn number_before(line: &str, word: &str) -> Option<u64> {
    let words: Vec<&str> = line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|found| *found == word)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

/// Runs a program to its end or until its time is over: whether it ended well, and all it said.
fn finish(mut command: Command, within: Duration) -> (bool, String) {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match piped.spawn() {
        Ok(child) => child,
        Err(error) => return (false, format!("does not start: {error}\n")),
    };
    let listen = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = from.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        })
    };
    let out = listen(Box::new(child.stdout.take().expect("piped")));
    let err = listen(Box::new(child.stderr.take().expect("piped")));
    let end = Instant::now() + within;
    let (ok, late) = loop {
        match child.try_wait() {
            Ok(Some(status)) => break (status.success(), ""),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                break (false, "stopped: its time was over\n");
            }
        }
    };
    let said = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    (ok, said(out) + &said(err) + late)
}

/// The test programs again, under NVIDIA's checker, where it is installed.
fn sanitize(args: &GpuArgs, programs: &[PathBuf]) -> Result<Vec<Check>, BenchError> {
    let Some(checker) = checker() else {
        eprintln!("no compute-sanitizer on this machine: memory and races are not checked by it");
        return Ok(Vec::new());
    };
    let mut checks = Vec::new();
    for program in programs.iter().filter(|program| name_of(program) == "kernels") {
        for tool in ["memcheck", "racecheck"] {
            let mut command = Command::new(&checker);
            command.args(["--tool", tool, "--error-exitcode", "9"]).arg(program);
            command.args(KERNEL_TESTS);
            checks.push(check(args, command, &format!("{tool}-{}", name_of(program)))?);
        }
    }
    Ok(checks)
}

/// `compute-sanitizer` of the path, or where CUDA installs it.
fn checker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/local/cuda/bin")]);
    folders.map(|folder| folder.join("compute-sanitizer")).find(|file| file.is_file())
}

/// Takes every row in a process of its own.
fn rows(args: &GpuArgs, report: &mut Report) -> Result<(), BenchError> {
    let own = std::env::current_exe().map_err(|source| BenchError::temporary("find", source))?;
    let wanted = |id: &str| args.filter.is_empty() || args.filter.iter().any(|other| other == id);
    for scenario in SCENARIOS.iter().filter(|scenario| wanted(scenario.id)) {
        eprintln!("measuring {}: {}", scenario.id, scenario.what);
        let mut command = Command::new(&own);
        if name_of(&own).starts_with("cov72") {
            command.arg("bench");
        }
        command.args(["--json", "--device", &args.device, "--filter", scenario.id]);
        if args.quick {
            command.arg("--quick");
        }
        if let Some(peers) = &args.peers {
            command.arg("--peers").arg(peers);
        }
        let (ok, said) = finish(command, Duration::from_secs(args.seconds_max));
        let json = said.find('{').zip(said.rfind('}')).map(|(from, to)| &said[from..=to]);
        match json.filter(|_| ok).and_then(|json| serde_json::from_str::<Value>(json).ok()) {
            Some(mut table) => {
                report.gpu.get_or_insert_with(|| table["gpu"].take());
                report
                    .rows
                    .extend(table["rows"].as_array_mut().map(std::mem::take).unwrap_or_default());
            }
            None => {
                let last = said.lines().rev().find(|line| !line.trim().is_empty());
                let why = last.unwrap_or("it said nothing").to_string();
                report.failed_rows.push((scenario.id.to_string(), why));
            }
        }
    }
    Ok(())
}

/// For people.
fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    if let Some(gpu) = &report.gpu {
        lines.push(format!("{gpu}"));
    }
    for check in report.checks.iter().chain(&report.sanitizer) {
        let Check { name, passed, failed, ok, seconds, log } = check;
        let verdict = if *ok { "ok" } else { "FAILED" };
        let log = log.display();
        lines.push(format!(
            "{name}: {verdict}, {passed} passed, {failed} failed, {seconds:.1} s, {log}"
        ));
    }
    lines.push(String::new());
    let columns = [
        "id",
        "scenario",
        "shape",
        "median_ms",
        "min_ms",
        "rate",
        "rate_unit",
        "floor_ms",
        "ceiling_percent",
        "peer_ms",
        "peer_ratio",
        "f64_error",
        "bit_equal",
        "peak_bytes",
    ];
    let cell = |value: &Value| match value {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => short(number.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    };
    let mut cells = vec![columns.map(str::to_string)];
    cells.extend(report.rows.iter().map(|row| columns.map(|column| cell(&row[column]))));
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in &cells {
        let padded = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        lines.push(padded.collect::<Vec<_>>().join("  ").trim_end().to_string());
    }
    for (id, why) in &report.failed_rows {
        lines.push(format!("{id} could not be taken: {why}"));
    }
    lines.join("\n") + "\n"
}

fn short(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:.1e}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_program_says_is_counted() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(number_before(line, "passed"), Some(12));
        assert_eq!(number_before(line, "failed"), Some(3));
        assert_eq!(number_before("nothing", "failed"), None);
    }

    #[test]
    fn a_program_that_takes_too_long_is_stopped_and_one_that_does_not_start_is_said() {
        let mut sleeping = Command::new("sleep");
        sleeping.arg("60");
        let (ok, said) = finish(sleeping, Duration::from_millis(50));
        assert!(!ok && said.contains("its time was over"), "{said}");
        let (ok, said) = finish(Command::new("/no/such/program"), Duration::from_secs(1));
        assert!(!ok && said.contains("does not start"), "{said}");
    }
}
