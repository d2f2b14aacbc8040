//! What a run leaves behind as it goes: one line per window, and the loss of every inner step.
//!
//! A line is appended when its window is done. A run that resumes from a checkpoint drops the lines
//! of windows it is about to train again, so that each window is there once.

use std::io::Write;

use model::StepReport;
use serde::{Deserialize, Serialize};
use wire::{Window, WindowRecord};

use super::folder::RunFolder;
use crate::failure::Failure;

const WINDOWS: &str = "windows.jsonl";
const STEPS: &str = "steps.jsonl";

/// The inner steps of one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Steps {
    /// The window.
    pub(crate) window: u64,
    /// Mean loss of each inner step, in nats per token.
    pub(crate) loss_nats: Vec<f64>,
    /// Norm of each gradient before the clip.
    pub(crate) grad_norm: Vec<f64>,
    /// Learning rate of each inner step.
    pub(crate) rate: Vec<f64>,
}

impl Steps {
    /// No step yet.
    pub(super) fn new(window: u64) -> Self {
        Self { window, loss_nats: Vec::new(), grad_norm: Vec::new(), rate: Vec::new() }
    }

    /// Adds the next inner step.
    pub(super) fn add(&mut self, report: &StepReport) {
        self.loss_nats.push(report.loss);
        self.grad_norm.push(report.grad_norm);
        self.rate.push(report.rate);
    }
}

/// The records of a run, on disk and in memory.
pub(crate) struct Journal {
    pub(crate) windows: Vec<WindowRecord>,
    pub(crate) steps: Vec<Steps>,
}

impl Journal {
    /// Reads what is there of the first `windows` windows and forgets the rest.
    pub(super) fn open(folder: &RunFolder, windows: u64) -> Result<Self, Failure> {
        let kept = Self {
            windows: read(folder, WINDOWS, |record: &WindowRecord| record.window.0 < windows)?,
            steps: read(folder, STEPS, |steps: &Steps| steps.window < windows)?,
        };
        rewrite(folder, WINDOWS, &kept.windows)?;
        rewrite(folder, STEPS, &kept.steps)?;
        Ok(kept)
    }

    /// Adds a window.
    pub(super) fn add(
        &mut self,
        folder: &RunFolder,
        record: WindowRecord,
        steps: Steps,
    ) -> Result<(), Failure> {
        append_window(folder, &record)?;
        append(folder, STEPS, &steps)?;
        self.windows.push(record);
        self.steps.push(steps);
        Ok(())
    }
}

fn line<T: Serialize>(record: &T) -> String {
    serde_json::to_string(record).expect("a record is plain data") + "\n"
}

/// The records of a file that are whole and wanted; a half-written last line is none.
fn read<T: for<'de> Deserialize<'de>>(
    folder: &RunFolder,
    name: &str,
    wanted: impl Fn(&T) -> bool,
) -> Result<Vec<T>, Failure> {
    let path = folder.path(name);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text =
        std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(wanted).collect())
}

fn rewrite<T: Serialize>(folder: &RunFolder, name: &str, records: &[T]) -> Result<(), Failure> {
    let text: String = records.iter().map(line).collect();
    folder.replace(name, text.as_bytes())
}

/// Appends the record of a window.
pub(crate) fn append_window(folder: &RunFolder, record: &WindowRecord) -> Result<(), Failure> {
    append(folder, WINDOWS, record)
}

/// The newest window that a record was kept of.
pub(crate) fn last_window(folder: &RunFolder) -> Result<Option<Window>, Failure> {
    let records = read(folder, WINDOWS, |_: &WindowRecord| true)?;
    Ok(records.into_iter().map(|record| record.window).max())
}

fn append<T: Serialize>(folder: &RunFolder, name: &str, record: &T) -> Result<(), Failure> {
    let path = folder.path(name);
    std::fs::File::options()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line(record).as_bytes()))
        .map_err(|error| Failure::io("write", &path, &error))
}
