//! One miner's window, start to finish: train, compress, put, end the round, settle, checkpoint.
//!
//! The peer judges nothing. Where its rounds come from is the affair of [`Rounds`]: alone, its own
//! contribution is the round; in a network, the counted manifest says what is.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use model::{Progress, Snapshot, StepReport, Stop};
use runtime::Buffer;
use runtime::dataset::Assignment;
use tokio::time::Instant;
use wire::{
    Layout, Objective, Role, RunDescription, SparseTensor, StateRoot, Uid, Window, WindowRecord,
    protocol,
};

use super::journal::Steps;
use super::keeper::Keeper;
use super::learner::Learner;
use super::progress::human_bytes;
use super::rounds::{Rounds, Sent};
use super::samples::Lesson;
use crate::attack::{Attack, Outlook};
use crate::failure::Failure;
use crate::node::{FirstParams, Replica, Voice};

/// A miner with everything it holds between windows.
pub(crate) struct Peer<K> {
    run: RunDescription,
    learner: Learner,
    replica: Replica,
    rounds: Rounds,
    pub(super) keeper: K,
    voice: Arc<dyn Voice>,
    /// How it cheats, if it is told to.
    attack: Option<Box<dyn Attack>>,
    /// Shared parameters, residual, moments and the place in the run.
    state: Snapshot,
    /// What recording the last window took; no record can hold its own.
    recording: Duration,
}

impl<K: Keeper + Send> Peer<K> {
    /// A peer at the start of a run, or where its newest whole checkpoint left it.
    pub(crate) fn start(
        run: RunDescription,
        first: &FirstParams,
        layout: &Layout,
        learner: Learner,
        mut rounds: Rounds,
        mut keeper: K,
    ) -> Result<Self, Failure> {
        let vector = || Arc::new(RwLock::new(learner.device().alloc::<f32>(layout.params())));
        let mut state = Snapshot {
            shared: vector(),
            residual: vector(),
            moments: learner.moments()?,
            progress: Progress {
                run_id: run.id(),
                windows: 0,
                inner_steps: 0,
                samples: 0,
                state_root: run.genesis_root,
            },
        };
        let resumed = keeper.load(&mut state)?;
        let mut replica = Replica::new(learner.device(), layout, &run, Arc::clone(&state.shared))
            .mirrored(learner.mirror());
        if !resumed {
            replica.begin(first, run.genesis_root)?;
        }
        keeper.go_on_from(state.progress.windows)?;
        rounds.resume(state.progress.windows);
        let voice = keeper.voice();
        let recording = Duration::ZERO;
        let attack = None;
        let mut peer =
            Self { run, learner, replica, rounds, keeper, voice, attack, state, recording };
        peer.confirm_root()?;
        peer.learner.load_moments(&peer.state.moments);
        Ok(peer)
    }

    /// The same peer, cheating.
    pub(crate) fn cheating(self, attack: Option<Box<dyn Attack>>) -> Self {
        Self { attack, ..self }
    }

    /// Checks that the shared parameters have the root that they must.
    fn confirm_root(&self) -> Result<(), Failure> {
        let (found, claimed) = (self.replica.root(), self.state.progress.state_root);
        if found == claimed {
            return Ok(());
        }
        Err(Failure::damaged(format!(
            "the checkpoint's parameters have root {found}, it claims {claimed}; restore one from \
             a backup"
        )))
    }

    /// Trains until `windows` are done, or until asked to stop.
    pub(crate) async fn run(&mut self, windows: u64) -> Result<Stop, Failure> {
        while self.state.progress.windows < windows {
            let opened = self.rounds.open(&mut self.replica).await;
            let window = match opened {
                Err(failure) if failure.is_interrupt() => return self.stopped(),
                opened => opened?,
            };
            self.state.progress.windows = window.0;
            self.record_passed()?;
            if window.0 >= windows {
                break;
            }
            match self.window(window).await {
                Err(failure) if failure.is_interrupt() => return self.stopped(),
                Ok(Stop::Asked) => return self.stopped(),
                done => done?,
            };
        }
        self.record_passed()?;
        self.voice.doing("waiting for the checkpoint");
        self.keeper.finish()?;
        Ok(Stop::Done)
    }

    /// Records the windows that passed without a contribution of this miner.
    fn record_passed(&mut self) -> Result<(), Failure> {
        for record in self.rounds.take_records() {
            let steps = Steps::new(record.window.0);
            self.keeper.window_done(record, steps)?;
        }
        Ok(())
    }

    fn stopped(&mut self) -> Result<Stop, Failure> {
        self.keeper.finish()?;
        Ok(Stop::Asked)
    }

    /// One window, start to finish.
    async fn window(&mut self, window: Window) -> Result<Stop, Failure> {
        let (uid, parent_root) = (self.rounds.uid(), self.replica.root());
        let mut record = WindowRecord::new(self.run.id(), window, uid, Role::Miner, parent_root);
        let begun = Instant::now();
        self.keeper.window(window);

        let assignment = self.learner.assignment(uid, window)?;
        let parent = match &mut self.attack {
            Some(attack) => attack.parent(&self.state.shared, self.learner.device()),
            None => Arc::clone(&self.state.shared),
        };
        let steps = match self.train(&assignment, &parent, &mut record) {
            Ok(Some(steps)) => steps,
            Ok(None) => return Ok(Stop::Asked),
            Err(failure) => return self.sit_out(failure).await,
        };
        let more = self.keeper.training_time();
        if !more.is_zero() {
            tokio::time::sleep(more).await;
        }

        let taken = match self.attack.as_ref().and_then(|attack| attack.theft(window)) {
            Some(theft) => self.rounds.steal(theft).await?,
            None => None,
        };
        let (sent, second) = self.compress(&assignment, &parent, taken, &mut record)?;
        let is_late = self.attack.as_ref().is_some_and(|attack| attack.is_late());
        let clock = Instant::now();
        self.voice.doing(&format!("putting {}", human_bytes(sent.object.len() as u64)));
        if !is_late && self.rounds.put(&sent).await? {
            record.up_bytes = sent.object.len() as u64;
        }
        record.phases.put_s = clock.elapsed().as_secs_f64();

        let closed = self.rounds.close(&mut self.replica, &sent, &mut record).await?;
        if let Some(after) = second.as_ref().or(Some(&sent).filter(|_| is_late)) {
            self.rounds.put(after).await?;
        }
        self.learner.settle(&self.state.residual, closed.counted)?;
        record.root = self.replica.root();
        self.save(&mut record)?;
        self.rounds.next(window).await?;
        let took_s = (begun.elapsed() + self.recording).as_secs_f64();
        record.phases.other_s = (took_s - record.phases.total_s()).max(0.0);
        let clock = Instant::now();
        if !closed.passed_over {
            self.keeper.window_done(record, steps)?;
        }
        self.recording = clock.elapsed();
        Ok(Stop::Done)
    }

    /// Nobody can train from parameters whose bits went wrong in memory. If that is why training
    /// failed, the others' state is taken at the end of the window.
    async fn sit_out(&mut self, failure: Failure) -> Result<Stop, Failure> {
        let changed = self.replica.changed();
        if changed.is_empty() {
            return Err(failure);
        }
        self.voice.say(&format!(
            "{failure}; this node's parameters are no longer what they were: {}; taking them anew",
            self.replica.names(&changed)
        ));
        match self.rounds.sit_out(&mut self.replica).await? {
            true => Ok(Stop::Done),
            false => Err(failure),
        }
    }

    /// H inner steps from the shared parameters; none if asked to stop.
    fn train(
        &mut self,
        assignment: &Assignment,
        parent: &Arc<RwLock<Buffer<f32>>>,
        record: &mut WindowRecord,
    ) -> Result<Option<Steps>, Failure> {
        let clock = Instant::now();
        let Self { learner, keeper, rounds, run, attack, .. } = self;
        let (window, uid) = (record.window, record.uid);
        let lessons = match attack {
            Some(attack) => {
                let lessons_of = &|uid: Uid| -> Result<Vec<Lesson>, Failure> {
                    Ok(learner.lessons(&learner.assignment(uid, window)?))
                };
                attack.lessons(&Outlook { window, uid, lessons_of })?
            }
            None => learner.lessons(assignment),
        };
        let mut steps = Steps::new(record.window.0);
        // In a network all peers are at the same place of the schedule, whenever they joined.
        let first_step = record.window.0 * run.inner.steps;
        let mut targets = 0;
        let mut on_step = |report: StepReport| {
            targets += report.targets as u64;
            keeper.step(&report);
            steps.add(&report);
        };
        let stop = rounds.stop();
        let end = learner.train(parent, &lessons, first_step, stop, &mut on_step);
        if end.map_err(|failure| failure.within(record.window))? == Stop::Asked {
            return Ok(None);
        }
        record.inner_steps = run.inner.steps;
        record.tokens = match run.objective {
            Objective::Pretrain => (assignment.samples().len() * protocol::SAMPLE_TOKENS) as u64,
            Objective::Sft => targets,
        };
        record.loss_first = steps.loss_nats.first().copied();
        record.loss_last = steps.loss_nats.last().copied();
        record.phases.train_s = clock.elapsed().as_secs_f64();
        Ok(Some(steps))
    }

    /// The window's contribution, signed, and a second one if the peer cheats so.
    fn compress(
        &mut self,
        assignment: &Assignment,
        parent: &Arc<RwLock<Buffer<f32>>>,
        taken: Option<Vec<SparseTensor>>,
        record: &mut WindowRecord,
    ) -> Result<(Sent, Option<Sent>), Failure> {
        let clock = Instant::now();
        self.voice.doing("compressing");
        let samples = assignment.samples();
        let digest = self.learner.digest(samples)?;
        let update: &[SparseTensor] = self.learner.compress(parent, &self.state.residual)?;
        let (window, parent_root, tokens) = (record.window, record.parent_root, record.tokens);
        let encode = |update: &[SparseTensor]| {
            self.rounds.encode(window, parent_root, (samples.len(), tokens), digest, update)
        };
        let sent = match &mut self.attack {
            None => (encode(update), None),
            Some(attack) => {
                let update = attack.update(window, update, taken);
                let second = attack.second(&update).map(|second| encode(&second));
                let sent = encode(&update);
                (Sent { object: attack.object(sent.object.clone()), ..sent }, second)
            }
        };
        record.phases.compress_s = clock.elapsed().as_secs_f64();
        Ok(sent)
    }

    /// The window is done: keeps the state.
    fn save(&mut self, record: &mut WindowRecord) -> Result<(), Failure> {
        let progress = &mut self.state.progress;
        progress.windows = record.window.0 + 1;
        progress.inner_steps += record.inner_steps;
        progress.samples += record.inner_steps * self.run.inner.batch_samples;
        progress.state_root = record.root;
        let clock = Instant::now();
        self.state.moments = self.learner.moments()?;
        self.keeper.save(self.state.clone())?;
        record.phases.checkpoint_s = clock.elapsed().as_secs_f64();
        Ok(())
    }

    /// Windows done.
    pub(crate) fn windows(&self) -> u64 {
        self.state.progress.windows
    }

    /// State of the shared parameters.
    pub(crate) fn root(&self) -> StateRoot {
        self.replica.root()
    }

    /// Nats per token that the corpus has by construction, where that is known.
    pub(super) fn entropy(&self) -> Option<f64> {
        self.learner.dataset().description()?.entropy_nats_per_token
    }
}
