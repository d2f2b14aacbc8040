//! Timings of other programs for the same work: from a file, or from a process run beside ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use runtime::Compute;
use serde::Deserialize;

use crate::BenchError;

/// Fastest times of a peer, by row.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerTimes(Vec<PeerTime>);

/// One line of a peer's file. Absent parts match every row.
#[derive(Clone, Debug, Deserialize)]
struct PeerTime {
    id: String,
    scenario: Option<String>,
    shape: Option<String>,
    #[serde(alias = "min_ms")]
    ms: f64,
}

/// A run kept earlier, as far as it matters here.
#[derive(Deserialize)]
struct KeptRun {
    rows: Vec<PeerTime>,
}

impl PeerTimes {
    /// Reads CSV with the header `id,scenario,shape,ms` (empty cells match every row), the same as
    /// JSON lines, or a run kept earlier.
    pub(crate) fn read(path: &Path) -> Result<Self, BenchError> {
        let text = std::fs::read_to_string(path).map_err(|source| BenchError::File {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(&text).map_err(|(line, reason)| BenchError::PeerFile {
            path: path.to_path_buf(),
            line,
            reason,
        })
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        if let Ok(run) = serde_json::from_str::<KeptRun>(text) {
            return Ok(Self(run.rows));
        }
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let lines = lines.filter(|(_, line)| line.trim() != "id,scenario,shape,ms");
        let times = lines.map(|(at, line)| {
            let time = if line.trim_start().starts_with('{') {
                serde_json::from_str(line).map_err(|error| error.to_string())
            } else {
                csv(line)
            };
            time.map_err(|reason| (at + 1, reason))
        });
        times.collect::<Result<_, _>>().map(Self)
    }

    /// The peer's time for a row.
    pub(crate) fn find(&self, id: &str, scenario: &str, shape: &str) -> Option<f64> {
        let matches = |time: &&PeerTime| {
            time.id == id
                && time.scenario.as_deref().is_none_or(|given| given == scenario)
                && time.shape.as_deref().is_none_or(|given| given == shape)
        };
        self.0.iter().find(matches).map(|time| time.ms)
    }
}

fn csv(line: &str) -> Result<PeerTime, String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let [id, scenario, shape, ms] = cells[..] else {
        return Err(format!("{} cells, not the 4 of id,scenario,shape,ms", cells.len()));
    };
    let ms = ms.parse().map_err(|_| format!("{ms:?} is no number of milliseconds"))?;
    let given = |cell: &str| (!cell.is_empty()).then(|| cell.to_owned());
    Ok(PeerTime { id: id.into(), scenario: given(scenario), shape: given(shape), ms })
}

/// A peer's training step that can be run here.
#[derive(Clone, Debug)]
pub(crate) struct PeerProcess {
    pub(crate) python: PathBuf,
    pub(crate) script: PathBuf,
    pub(crate) threads: usize,
}

/// The line that it prints.
#[derive(Deserialize)]
struct Printed {
    best_ms: f64,
}

impl PeerProcess {
    /// Fastest step of model `config` in milliseconds.
    pub(crate) fn step_ms(&self, config: &str, compute: Compute) -> Result<f64, BenchError> {
        let dtype = match compute {
            Compute::F32 => "fp32",
            Compute::Bf16 => "bf16",
        };
        let mut command = Command::new(&self.python);
        command.arg(&self.script).args(["--cfg", config, "--dtype", dtype, "--compile", "1"]);
        command.args(["--threads", &self.threads.to_string()]);
        let failed = |reason: String| BenchError::PeerProcess {
            command: format!("{} {}", self.python.display(), self.script.display()),
            reason,
        };
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let printed =
            text.lines().rev().find_map(|line| serde_json::from_str::<Printed>(line).ok());
        printed.map(|printed| printed.best_ms).ok_or_else(|| failed(output.status.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_json_lines_and_kept_runs_are_the_same_to_a_row() {
        let forms = [
            "id,scenario,shape,ms\nC03,m1,,126.5\n",
            r#"{"id": "C03", "scenario": "m1", "ms": 126.5}"#,
            r#"{"rows": [{"id": "C03", "scenario": "m1", "shape": "B8", "min_ms": 126.5}]}"#,
        ];
        for form in forms {
            let peers = PeerTimes::parse(form).unwrap();
            assert_eq!(peers.find("C03", "m1", "B8"), Some(126.5), "{form}");
            assert_eq!(peers.find("C03", "m12", "B8"), None, "{form}");
        }
    }

    #[test]
    fn a_line_that_is_no_timing_is_named() {
        let (line, reason) = PeerTimes::parse("id,scenario,shape,ms\nC03,m1,,fast").unwrap_err();
        assert_eq!(line, 2);
        assert!(reason.contains("fast"), "{reason}");
    }
}
