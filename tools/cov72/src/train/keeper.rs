//! Who keeps what a miner leaves behind: the run folder of a process, or a memory in a simulation.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{CheckpointStore, Snapshot, StepReport};
use wire::{Layout, RunId, Window, WindowRecord};

use super::folder::RunFolder;
use super::journal::{Journal, Steps};
use super::progress::Screen;
use crate::failure::Failure;
use crate::node::Voice;

/// Keeps a miner's state and records, and shows what it does.
pub(crate) trait Keeper {
    /// Who hears what the miner says.
    fn voice(&self) -> Arc<dyn Voice>;

    /// Reads the newest state into `into`; whether there was one.
    fn load(&mut self, into: &mut Snapshot) -> Result<bool, Failure>;

    /// The miner goes on from window `window`: records of later ones count no longer.
    fn go_on_from(&mut self, window: u64) -> Result<(), Failure>;

    /// Keeps a state, perhaps in the background.
    fn save(&mut self, snapshot: Snapshot) -> Result<(), Failure>;

    /// A window begins.
    fn window(&mut self, window: Window);

    /// An inner step is done.
    fn step(&mut self, report: &StepReport);

    /// How long the inner steps of a window take beyond computing them. Virtual time stands still
    /// while a node computes, so a simulation says here how long that would have been.
    fn training_time(&mut self) -> Duration {
        Duration::ZERO
    }

    /// A window is done.
    fn window_done(&mut self, record: WindowRecord, steps: Steps) -> Result<(), Failure>;

    /// Waits for what is being kept in the background.
    fn finish(&mut self) -> Result<(), Failure>;
}

/// A process's keeper: run folder, journal, checkpoints and screen.
pub(crate) struct Desk {
    pub(super) folder: RunFolder,
    pub(super) journal: Journal,
    screen: Arc<Screen>,
    checkpoints: CheckpointStore,
    run_id: RunId,
    /// The newest checkpoint that was loaded or written.
    newest: Option<PathBuf>,
}

impl Desk {
    /// Opens the folder's checkpoints.
    pub(super) fn open(
        folder: RunFolder,
        screen: Arc<Screen>,
        run_id: RunId,
        layout: &Layout,
    ) -> Result<Self, Failure> {
        let checkpoints = CheckpointStore::open(&folder.path("checkpoints"), layout.clone())?;
        let journal = Journal { windows: Vec::new(), steps: Vec::new() };
        Ok(Self { folder, journal, screen, checkpoints, run_id, newest: None })
    }

    /// The newest checkpoint, if any was loaded or written.
    pub(super) fn newest_checkpoint(&self) -> Option<PathBuf> {
        self.newest.clone()
    }

    /// The terminal.
    pub(super) fn screen(&self) -> &Screen {
        &self.screen
    }
}

impl Keeper for Desk {
    fn voice(&self) -> Arc<dyn Voice> {
        Arc::clone(&self.screen) as _
    }

    /// Takes the newest whole checkpoint, saying so for each that had to be passed over.
    fn load(&mut self, into: &mut Snapshot) -> Result<bool, Failure> {
        let (saved, damaged) = self.checkpoints.load(into)?;
        for checkpoint in &damaged {
            let path = checkpoint.path.display();
            self.screen.say(&format!("{path} is damaged: {}", checkpoint.reason));
        }
        match saved {
            Some(saved) if saved.progress.run_id != self.run_id => Err(Failure::damaged(format!(
                "{} belongs to run {}, this folder to run {}; put its own checkpoints back",
                saved.path.display(),
                saved.progress.run_id,
                self.run_id
            ))),
            Some(saved) => {
                let from = saved.path.display();
                self.screen.say(&format!("going on from {from}"));
                self.newest = Some(saved.path);
                Ok(true)
            }
            None if !damaged.is_empty() => Err(Failure::damaged(format!(
                "no checkpoint under {} is whole; restore one from a backup, or start anew with \
                 another --dir",
                self.folder.path("checkpoints").display()
            ))),
            None => Ok(false),
        }
    }

    fn go_on_from(&mut self, window: u64) -> Result<(), Failure> {
        self.journal = Journal::open(&self.folder, window)?;
        Ok(())
    }

    fn save(&mut self, snapshot: Snapshot) -> Result<(), Failure> {
        Ok(self.checkpoints.save(snapshot)?)
    }

    fn window(&mut self, window: Window) {
        self.screen.window(window.0);
    }

    fn step(&mut self, report: &StepReport) {
        self.screen.step(report);
    }

    fn window_done(&mut self, record: WindowRecord, steps: Steps) -> Result<(), Failure> {
        self.screen.window_done(&record);
        self.journal.add(&self.folder, record, steps)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if let Some(path) = self.checkpoints.finish()? {
            self.newest = Some(path.to_path_buf());
        }
        Ok(())
    }
}
