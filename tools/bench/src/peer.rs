//! Timings of other programs for the same work: from a file, or from a process run beside ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use runtime::Compute;
use serde::Deserialize;

use crate::BenchError;
use crate::row::Row;

/// Fastest times of peers, by row.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerTimes(Vec<PeerTime>);

/// The columns of a file of peers on a GPU, one line for each of their ways to do a thing.
const GPU_COLUMNS: &str = "name,shape,impl,ms,rate,unit";

/// One line of a peer's file. Absent parts match every row.
#[derive(Clone, Debug, Deserialize)]
struct PeerTime {
    /// The row, or what peers on a GPU call it.
    id: String,
    scenario: Option<String>,
    /// How a peer on a GPU does it.
    #[serde(default)]
    way: String,
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
    /// JSON lines, a run kept earlier, or CSV of peers on a GPU, `name,shape,impl,ms,rate,unit`,
    /// with or without a header; what failed there has `ERR` for its time.
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
        let is_head = |line: &str| ["id,scenario,shape,ms", GPU_COLUMNS].contains(&line.trim());
        let lines = lines.filter(|(_, line)| !is_head(line) && !line.starts_with('#'));
        let lines = lines.filter(|(_, line)| !line.contains(",ERR,"));
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

    /// The fastest peer's time for a row.
    pub(crate) fn find(&self, row: &Row) -> Option<f64> {
        let given =
            |cell: &Option<String>, own: &str| cell.as_deref().is_none_or(|cell| cell == own);
        let matches = |time: &&PeerTime| {
            let (name, way) = row.peer_name.split_once(':').unwrap_or((row.peer_name, ""));
            let by_peer = !name.is_empty() && time.id == name && time.way.contains(way);
            let named = time.id == row.id || by_peer;
            named && given(&time.scenario, &row.scenario) && given(&time.shape, &row.shape)
        };
        self.0.iter().filter(matches).map(|time| time.ms).min_by(f64::total_cmp)
    }
}

fn csv(line: &str) -> Result<PeerTime, String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    let (id, scenario, way, shape, ms) = match cells[..] {
        [id, scenario, shape, ms] => (id, scenario, "", shape, ms),
        [name, shape, way, ms, _, _] => (name, "", way, shape, ms),
        _ => {
            let count = cells.len();
            return Err(format!(
                "{count} cells, not 4 of id,scenario,shape,ms or 6 of {GPU_COLUMNS}"
            ));
        }
    };
    let ms = ms.parse().map_err(|_| format!("{ms:?} is no number of milliseconds"))?;
    let given = |cell: &str| (!cell.is_empty()).then(|| cell.to_owned());
    let (id, way) = (id.to_owned(), way.to_owned());
    Ok(PeerTime { id, scenario: given(scenario), way, shape: given(shape), ms })
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
    use crate::row::Rate;
    use crate::timing::Times;

    #[test]
    fn csv_json_lines_and_kept_runs_are_the_same_to_a_row() {
        let forms = [
            "id,scenario,shape,ms\nC03,m1,,126.5\n",
            r#"{"id": "C03", "scenario": "m1", "ms": 126.5}"#,
            r#"{"rows": [{"id": "C03", "scenario": "m1", "shape": "B8", "min_ms": 126.5}]}"#,
        ];
        for form in forms {
            let peers = PeerTimes::parse(form).unwrap();
            assert_eq!(peers.find(&row("C03", "m1", "B8")), Some(126.5), "{form}");
            assert_eq!(peers.find(&row("C03", "m12", "B8")), None, "{form}");
        }
    }

    fn row(id: &'static str, scenario: &str, shape: &str) -> Row {
        Row::new(id, scenario, shape, &Times::new(vec![0.1]), Rate::Bytes(1.0))
    }

    #[test]
    fn the_fastest_of_several_peers_on_a_gpu_counts_and_failed_ones_do_not() {
        let text = "attn.fwd,8x64x8x2048x128,sdpa_cudnn,0.9000,610.8,TFLOP/s\n\
                    # liger peak extra 12 MiB\n\
                    attn.fwd,8x64x8x2048x128,sdpa_flash2,1.2000,458.1,TFLOP/s\n\
                    attn.fwd,8x64x8x2048x128,flex_triton,ERR,RuntimeError: 'no, really',\n";
        let peers = PeerTimes::parse(text).unwrap();
        let found = row("G04", "attention forward", "8x64x8x2048x128").called("attn.fwd");
        assert_eq!(peers.find(&found), Some(0.9));
        assert_eq!(peers.find(&row("G04", "attention forward", "1x1")), None);
    }

    #[test]
    fn a_line_that_is_no_timing_is_named() {
        let (line, reason) = PeerTimes::parse("id,scenario,shape,ms\nC03,m1,,fast").unwrap_err();
        assert_eq!(line, 2);
        assert!(reason.contains("fast"), "{reason}");
    }
}
