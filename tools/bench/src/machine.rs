//! The machine that numbers were taken on: they mean nothing without it.

use std::fs;

use serde::Serialize;

/// What is known of this machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Name of the processor, as the operating system has it.
    pub(crate) cpu: String,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    /// Operating system and architecture.
    pub(crate) platform: String,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        Self { cpu: cpu().unwrap_or_else(|| "unknown".into()), cores: threads(None), platform }
    }
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    // Virtual machines hide the model's number in the name but not in the fields.
    let family = value("cpu family").zip(value("model\t"));
    let family = family.map(|(family, model)| format!(" (family {family} model {model})"));
    Some(value("model name")? + &family.unwrap_or_default())
}

/// `asked` threads, or as many as there are cores.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.filter(|&asked| asked > 0).unwrap_or_else(cores)
}

/// Starts the count of the process's peak memory again, where the system can.
pub(crate) fn restart_peak() {
    // Where this is not possible peaks are those since the start, which is no less true.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Processor time of this thread; 0 where the system does not tell.
pub(crate) fn thread_cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Processor seconds of all threads of this process, those that ended too; 0 where the system does
/// not tell.
pub(crate) fn process_cpu_s() -> f64 {
    // Linux counts in hundredths of a second, whatever its own clock.
    const TICKS_PER_S: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold spaces; times of user and system are fields 14 and 15.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}

/// Memory of this process now.
pub(crate) fn resident_bytes() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
