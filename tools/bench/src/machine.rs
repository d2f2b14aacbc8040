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
