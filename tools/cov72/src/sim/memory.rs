//! What a simulated miner keeps: its last two states, in memory that outlives its kills.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Moments, Progress, Snapshot, StepReport};
use wire::{Window, WindowRecord};

use super::draw::Draw;
use super::stage::Stage;
use super::watch::Watcher;
use crate::failure::Failure;
use crate::node::{Voice, read, write};
use crate::train::{Keeper, Steps};

/// A state, with memory of its own.
#[derive(Clone)]
struct State {
    shared: Vec<f32>,
    residual: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    progress: Progress,
}

/// The disk of one miner.
#[derive(Default)]
pub(super) struct Disk {
    /// The newest states, the last one at the end; at most two.
    states: Vec<State>,
    /// Which parameter to flip a bit of when the next window is done, as a share of all, and which
    /// bit.
    pub(super) flip: Option<(f64, u32)>,
}

impl Disk {
    /// What was written last is lost, as if it had been killed before.
    pub(super) fn lose_newest(&mut self) {
        if self.states.len() > 1 {
            self.states.pop();
        }
    }
}

/// A keeper on such a disk.
pub(super) struct Memory {
    pub(super) disk: Arc<Mutex<Disk>>,
    pub(super) watcher: Arc<Watcher>,
    pub(super) stage: Arc<Stage>,
    pub(super) speed: Speed,
}

/// How fast one miner trains.
pub(super) struct Speed {
    draw: Draw,
    usual_ms: u64,
}

impl Speed {
    /// A speed that differs from node to node; `life` counts its starts.
    pub(super) fn new(seed: u64, index: usize, life: u32) -> Self {
        let usual_ms = Draw::new(seed, &format!("speed {index}")).between(4_000, 14_000);
        Self { draw: Draw::new(seed, &format!("time {index} {life}")), usual_ms }
    }

    fn next(&mut self) -> Duration {
        const LATE_SHARE: f64 = 0.03;
        let most_ms = if self.draw.chance(LATE_SHARE) { 45_000 } else { 2_000 };
        Duration::from_millis(self.usual_ms + self.draw.between(0, most_ms))
    }
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn flip_a_bit(&self, snapshot: &Snapshot, (share, bit): (f64, u32)) {
        let mut shared = write(&snapshot.shared);
        let values = shared.as_host_mut().expect("replicas live on the CPU");
        let place = (share * values.len() as f64) as usize;
        values[place] = f32::from_bits(values[place].to_bits() ^ (1 << bit));
        let tensors = self.stage.layout.tensors();
        let tensor = tensors.iter().find(|tensor| tensor.range().contains(&place));
        self.watcher.flipped(&tensor.expect("a tensor of the layout").name);
    }
}

impl Keeper for Memory {
    fn voice(&self) -> Arc<dyn Voice> {
        Arc::clone(&self.watcher) as _
    }

    fn load(&mut self, into: &mut Snapshot) -> Result<bool, Failure> {
        let disk = lock(&self.disk);
        let Some(state) = disk.states.last() else { return Ok(false) };
        write(&into.shared).write(&state.shared);
        write(&into.residual).write(&state.residual);
        let mut moments = into.moments.write().unwrap_or_else(PoisonError::into_inner);
        moments.first.write(&state.first);
        moments.second.write(&state.second);
        into.progress = state.progress.clone();
        Ok(true)
    }

    fn go_on_from(&mut self, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn save(&mut self, snapshot: Snapshot) -> Result<(), Failure> {
        let copy = |vector| read(vector).as_host().expect("on the CPU").to_vec();
        let moments = snapshot.moments.read().unwrap_or_else(PoisonError::into_inner);
        let Moments { first, second } = &*moments;
        let state = State {
            shared: copy(&snapshot.shared),
            residual: copy(&snapshot.residual),
            first: first.as_host().expect("on the CPU").to_vec(),
            second: second.as_host().expect("on the CPU").to_vec(),
            progress: snapshot.progress.clone(),
        };
        drop(moments);
        let mut disk = lock(&self.disk);
        if disk.states.len() > 1 {
            disk.states.remove(0);
        }
        disk.states.push(state);
        if let Some(flip) = disk.flip.take() {
            self.flip_a_bit(&snapshot, flip);
        }
        Ok(())
    }

    fn window(&mut self, _: Window) {}

    fn step(&mut self, _: &StepReport) {}

    fn training_time(&mut self) -> Duration {
        self.speed.next()
    }

    fn window_done(&mut self, record: WindowRecord, _: Steps) -> Result<(), Failure> {
        self.watcher.record(record);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
