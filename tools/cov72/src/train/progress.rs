//! Live progress on stderr: a bar where it is a terminal, plain lines where it is not.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::StepReport;
use wire::WindowRecord;

use crate::config::WINDOWS_WITHOUT_END;
use crate::node::Voice;

/// A plain line at least this often while a window trains.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// File of the run folder that says what the node is doing.
pub(crate) const DOING: &str = "doing";

/// What the person at the terminal sees of a run.
pub(crate) struct Screen {
    bar: Option<ProgressBar>,
    windows: u64,
    steps: u64,
    /// Tokens of an inner step; none where only answers count.
    tokens_per_step: Option<u64>,
    place: Mutex<Place>,
    /// Where evidence against others is kept and, without a terminal, what the node is doing.
    dir: PathBuf,
}

/// Where the run is.
struct Place {
    window: u64,
    /// Targets of its inner steps so far.
    targets: u64,
    since: Instant,
    spoke: Instant,
}

impl Screen {
    /// A screen for a run of `windows` windows with `steps` inner steps each, of so many tokens if
    /// all of them count.
    pub(crate) fn new(
        windows: u64,
        steps: u64,
        tokens_per_step: Option<u64>,
        dir: PathBuf,
    ) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
            let style = "{prefix} {bar:24} {pos:>3}/{len} {msg}";
            bar.set_style(ProgressStyle::with_template(style).expect("a sound template"));
            bar
        });
        let now = Instant::now();
        let place = Mutex::new(Place { window: 0, targets: 0, since: now, spoke: now });
        Self { bar, windows, steps, tokens_per_step, place, dir }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A window begins.
    pub(super) fn window(&self, window: u64) {
        let now = Instant::now();
        *self.place() = Place { window, targets: 0, since: now, spoke: now };
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("window {:>3}{}", window + 1, self.total()));
            bar.set_position(0);
        }
    }

    /// An inner step is done.
    pub(super) fn step(&self, report: &StepReport) {
        let mut place = self.place();
        let done = u64::from(report.step) + 1;
        place.targets += report.targets as u64;
        let tokens = self.tokens_per_step.map_or(place.targets, |tokens| done * tokens);
        let rate = tokens as f64 / place.since.elapsed().as_secs_f64().max(1e-9);
        let text = format!("loss {:.3}  {} tokens/s", report.loss, human(rate));
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.set_position(done);
            }
            None if place.spoke.elapsed() >= PLAIN_EVERY && done < self.steps => {
                place.spoke = Instant::now();
                let (window, total) = (place.window + 1, self.total());
                eprintln!("window {window}{total}  step {done}/{}  {text}", self.steps);
            }
            None => {}
        }
    }

    /// A window is done; its line stays.
    pub(super) fn window_done(&self, record: &WindowRecord) {
        let loss = |loss: Option<f64>| loss.map_or("-".to_string(), |loss| format!("{loss:.3}"));
        self.say(&format!(
            "window {:>3}{}  loss {} -> {}  sent {}  {} tokens/s",
            record.window.0 + 1,
            self.total(),
            loss(record.loss_first),
            loss(record.loss_last),
            human_bytes(record.up_bytes),
            human(record.tokens as f64 / record.phases.total_s().max(1e-9)),
        ));
    }

    /// A validator's window is done; its line stays.
    pub(crate) fn judged(&self, record: &WindowRecord) {
        let uids: Vec<_> = record.accepted.iter().map(ToString::to_string).collect();
        self.say(&format!(
            "window {:>3}{}  accepted {} ({})  rejected {}  root {}",
            record.window.0 + 1,
            self.total(),
            uids.len(),
            uids.join(" "),
            record.rejected.len(),
            &record.root.to_string()[..12],
        ));
    }

    /// `/20`, where it is known how many windows there will be.
    fn total(&self) -> String {
        match self.windows {
            WINDOWS_WITHOUT_END => String::new(),
            windows => format!("/{windows}"),
        }
    }

    /// The run is over, or stopped.
    pub(crate) fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Voice for Screen {
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn doing(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_string()),
            // For whoever watches the folder; nothing depends on it.
            None => drop(std::fs::write(self.dir.join(DOING), text)),
        }
    }

    fn evidence(&self, first: &[u8], second: &[u8]) {
        let keep = || -> std::io::Result<()> {
            let dir = self.dir.join("evidence");
            std::fs::create_dir_all(&dir)?;
            for object in [first, second] {
                let path = dir.join(format!("{}.json", blake3::hash(object)));
                let mut file = tempfile::NamedTempFile::new_in(&dir)?;
                file.write_all(object)?;
                file.as_file().sync_all()?;
                file.persist(path)?;
            }
            Ok(())
        };
        if let Err(error) = keep() {
            let dir = self.dir.display();
            self.say(&format!("the evidence could not be kept in {dir}: {error}"));
        }
    }
}

/// A number with three digits and a decimal unit: `21.3 k`.
pub(crate) fn human(number: f64) -> String {
    let units = [("", 1.0), (" k", 1e3), (" M", 1e6), (" G", 1e9), (" T", 1e12)];
    let (unit, size) =
        units.into_iter().rev().find(|(_, size)| number >= *size).unwrap_or(units[0]);
    let value = number / size;
    let digits = if unit.is_empty() || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{unit}")
}

/// Bytes with a decimal unit: `20.4 kB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    let text = human(bytes as f64);
    if text.contains(' ') { text + "B" } else { text + " B" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_three_digits_and_a_unit() {
        assert_eq!(human(21_345.0), "21.3 k");
        assert_eq!(human(999.0), "999");
        assert_eq!(human_bytes(20_432), "20.4 kB");
        assert_eq!(human_bytes(12), "12 B");
        assert_eq!(human_bytes(2_000_000_000), "2.00 GB");
    }
}
