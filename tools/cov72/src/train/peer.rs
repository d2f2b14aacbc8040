//! One miner's window, start to finish: train, compress, put, gather, outer step, checkpoint.
//!
//! The peer judges nothing: on one machine its own contribution is the round, read back from the
//! bucket and checked like a stranger's.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use model::sparseloco::{Compressor, OuterStep};
use model::{CheckpointStore, Progress, Snapshot, Stop, Trainer, initial_params};
use runtime::Buffer;
use runtime::dataset::{Assignment, BatchRules, Dataset};
use wire::{
    Layout, Role, RunDescription, SampleDigest, StateRoot, StateTree, Uid, Window, WindowRecord,
};

use super::exchange::{Exchange, Sent};
use super::folder::RunFolder;
use super::identity;
use super::journal::{Journal, Steps};
use super::progress::{Screen, human_bytes};
use super::samples::WindowSamples;
use crate::config::Config;
use crate::failure::Failure;

/// A miner with everything it holds between windows.
pub(super) struct Peer {
    run: RunDescription,
    folder: RunFolder,
    screen: Screen,
    journal: Journal,
    dataset: Dataset,
    rules: BatchRules,
    micro_batch_samples: usize,
    layout: Layout,
    trainer: Trainer,
    compressor: Compressor,
    outer: OuterStep,
    exchange: Exchange,
    checkpoints: CheckpointStore,
    /// Shared parameters, residual, moments and the place in the run.
    state: Snapshot,
}

/// Where a run ended.
pub(super) struct End {
    pub(super) state_root: StateRoot,
    pub(super) checkpoint: PathBuf,
}

impl Peer {
    /// A peer at the start of a run, or where its newest whole checkpoint left it.
    pub(super) fn start(
        config: &Config,
        folder: RunFolder,
        dataset: Dataset,
        screen: Screen,
    ) -> Result<Self, Failure> {
        let keypair = folder.keypair()?;
        let layout = model::layout_of(&config.model)?;
        let sequences = config.micro_batch_sequences();
        let trainer = Trainer::new(&config.model, config.node.tp, config.threads(), sequences)?
            .with_compute(config.node.compute);
        let vector = || Arc::new(RwLock::new(trainer.device().alloc::<f32>(layout.params())));
        let (shared, residual, moments) = (vector(), vector(), trainer.moments());
        let mut genesis = write(&shared);
        let values = genesis.as_host_mut().expect("genesis is drawn on the CPU");
        initial_params(&config.model, config.seed, values)?;
        let genesis_root = StateTree::of_params(&layout, values).root();
        drop(genesis);
        if !folder.holds_a_run() {
            folder.keep_config(config)?;
        }
        let wanted = identity::describe(config, &dataset, keypair.hotkey(), genesis_root);
        let run = agree_on_run(&folder, wanted, &keypair)?;

        let progress = Progress {
            run_id: run.id(),
            windows: 0,
            inner_steps: 0,
            samples: 0,
            state_root: genesis_root,
        };
        let state = Snapshot { shared, residual, moments, progress };
        let checkpoints = CheckpointStore::open(&folder.path("checkpoints"), layout.clone())?;
        let eos = dataset.description().and_then(|description| description.eos);
        let seq_len = run.model.seq_len;
        let mut peer = Self {
            rules: BatchRules { seq_len, vocab: run.model.vocab as u32, eos },
            micro_batch_samples: config.node.micro_batch_samples,
            compressor: Compressor::new(
                trainer.device(),
                &layout,
                run.outer.k,
                run.outer.beta as f32,
                run.outer.quantiser,
            ),
            outer: OuterStep::from(&run.outer),
            exchange: Exchange::open(&folder, &run, &layout, keypair)?,
            journal: Journal { windows: Vec::new(), steps: Vec::new() },
            run,
            folder,
            screen,
            dataset,
            layout,
            trainer,
            checkpoints,
            state,
        };
        peer.resume()?;
        peer.folder.keep_config(config)?;
        Ok(peer)
    }

    /// Takes the newest whole checkpoint, saying so for each that had to be passed over.
    fn resume(&mut self) -> Result<(), Failure> {
        let (saved, damaged) = self.checkpoints.load(&mut self.state)?;
        for checkpoint in &damaged {
            let path = checkpoint.path.display();
            self.screen.say(&format!("{path} is damaged: {}", checkpoint.reason));
        }
        match saved {
            Some(saved) if saved.progress.run_id != self.run.id() => {
                return Err(Failure::damaged(format!(
                    "{} belongs to run {}, this folder to run {}; put its own checkpoints back",
                    saved.path.display(),
                    saved.progress.run_id,
                    self.run.id()
                )));
            }
            Some(saved) => {
                self.confirm_root()?;
                let from = saved.path.display();
                self.screen.say(&format!("going on from {from}"));
                self.trainer.load_moments(&self.state.moments);
            }
            None if !damaged.is_empty() => {
                return Err(Failure::damaged(format!(
                    "no checkpoint under {} is whole; restore one from a backup, or start anew \
                     with another --dir",
                    self.folder.path("checkpoints").display()
                )));
            }
            None => {}
        }
        self.journal = Journal::open(&self.folder, self.state.progress.windows)?;
        Ok(())
    }

    /// Checks that the shared parameters have the root that the checkpoint claims.
    fn confirm_root(&self) -> Result<(), Failure> {
        let found = self.root();
        let claimed = self.state.progress.state_root;
        if found == claimed {
            return Ok(());
        }
        Err(Failure::damaged(format!(
            "the checkpoint's parameters have root {found}, it claims {claimed}; restore one \
             from a backup"
        )))
    }

    /// Trains until `windows` are done, or until asked to stop.
    pub(super) fn run(&mut self, windows: u64, stop: &AtomicBool) -> Result<(), Failure> {
        while self.state.progress.windows < windows {
            if self.window(stop)? == Stop::Asked {
                self.checkpoints.finish()?;
                self.screen.close();
                let (window, dir) = (self.state.progress.windows, self.folder.dir().display());
                return Err(Failure::interrupted(format!(
                    "stopped in window {}; it starts over with: cov72 train --resume --dir {dir}",
                    window + 1
                )));
            }
        }
        Ok(())
    }

    /// One window, start to finish.
    fn window(&mut self, stop: &AtomicBool) -> Result<Stop, Failure> {
        let window = Window(self.state.progress.windows);
        let parent_root = self.state.progress.state_root;
        let uid = self.exchange.uid();
        let mut record = WindowRecord::new(self.run.id(), window, uid, Role::Miner, parent_root);
        self.screen.window(window.0);

        let clock = Instant::now();
        let assignment = self.assignment(uid, window)?;
        let Some(steps) = self.train(&assignment, stop, &mut record)? else {
            return Ok(Stop::Asked);
        };
        record.phases.train_s = clock.elapsed().as_secs_f64();

        let sent = self.send(&assignment, &mut record)?;
        self.apply_round(&sent, &mut record)?;

        let clock = Instant::now();
        record.root = self.root();
        record.phases.root_s = clock.elapsed().as_secs_f64();
        self.advance(&mut record)?;
        self.screen.window_done(&record);
        self.journal.add(&self.folder, record, steps)?;
        Ok(Stop::Done)
    }

    fn assignment(&self, uid: Uid, window: Window) -> Result<Assignment, Failure> {
        let pool = self.run.inner.steps * self.run.inner.batch_samples;
        Ok(Assignment::new(u64::from(uid.0), window.0, self.dataset.samples(), pool)?)
    }

    /// H inner steps from the shared parameters; `None` if asked to stop.
    fn train(
        &mut self,
        assignment: &Assignment,
        stop: &AtomicBool,
        record: &mut WindowRecord,
    ) -> Result<Option<Steps>, Failure> {
        let Self { trainer, screen, dataset, .. } = self;
        let source = WindowSamples {
            dataset,
            assignment,
            rules: self.rules,
            batch_samples: self.run.inner.batch_samples as usize,
            micro_batch_samples: self.micro_batch_samples,
        };
        let mut steps = Steps::new(record.window.0);
        trainer.load_params(&read(&self.state.shared));
        let end = trainer.run(
            &source,
            &self.run.inner,
            self.state.progress.inner_steps,
            self.run.inner.steps as u32,
            stop,
            &mut |report| {
                screen.step(&report);
                steps.add(&report);
            },
        );
        let end = end.map_err(|error| Failure::from(error).within(record.window))?;
        if end == Stop::Asked {
            return Ok(None);
        }
        record.inner_steps = self.run.inner.steps;
        record.tokens = (assignment.samples().len() * wire::protocol::SAMPLE_TOKENS) as u64;
        record.loss_first = steps.loss_nats.first().copied();
        record.loss_last = steps.loss_nats.last().copied();
        Ok(Some(steps))
    }

    /// Compresses the pseudo-gradient, puts it, and only then commits the new residual.
    fn send(
        &mut self,
        assignment: &Assignment,
        record: &mut WindowRecord,
    ) -> Result<Sent, Failure> {
        let clock = Instant::now();
        self.screen.phase("compressing");
        let samples = assignment.samples();
        let digest = SampleDigest(self.dataset.digest(samples)?);
        let (local, scratch) = self.trainer.params_and_scratch();
        let shared = read(&self.state.shared);
        let residual = read(&self.state.residual);
        let update = self.compressor.compress(
            shared.view(),
            local.view(),
            residual.view(),
            scratch.view_mut(),
        )?;
        drop((shared, residual));
        let sent =
            self.exchange.encode(record.window, record.parent_root, samples.len(), digest, update);
        record.phases.compress_s = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        self.screen.phase(&format!("putting {}", human_bytes(sent.object.len() as u64)));
        self.exchange.put(record.window, &sent)?;
        record.up_bytes = sent.object.len() as u64;
        std::mem::swap(scratch, &mut *write(&self.state.residual));
        record.phases.put_s = clock.elapsed().as_secs_f64();
        Ok(sent)
    }

    /// Gathers what counts in this round and takes the outer step with it.
    fn apply_round(&mut self, sent: &Sent, record: &mut WindowRecord) -> Result<(), Failure> {
        self.screen.phase("gathering");
        let gathered = self.exchange.gather(sent, record)?;
        let clock = Instant::now();
        self.screen.phase("outer step");
        let round: Vec<_> = gathered.iter().map(|(uid, update)| (*uid, &update[..])).collect();
        let mut shared = write(&self.state.shared);
        let device = self.trainer.device();
        let report = self.outer.apply(device, &self.layout, shared.view_mut(), &round)?;
        drop(shared);
        for rejected in &record.rejected {
            self.screen.say(&format!("uid {} does not count: {}", rejected.uid, rejected.reason));
        }
        for skipped in &report.skipped {
            let name = &self.layout.tensors()[skipped.tensor].name;
            self.screen.say(&format!("{name} is left as it was: the step is not finite"));
        }
        record.accepted = report.uids;
        record.phases.outer_s = clock.elapsed().as_secs_f64();
        Ok(())
    }

    /// The window is done: checkpoint, and let the chain go on.
    fn advance(&mut self, record: &mut WindowRecord) -> Result<(), Failure> {
        let progress = &mut self.state.progress;
        progress.windows += 1;
        progress.inner_steps += record.inner_steps;
        progress.samples += record.tokens / wire::protocol::SAMPLE_TOKENS as u64;
        progress.state_root = record.root;
        let clock = Instant::now();
        self.state.moments = self.trainer.moments();
        self.checkpoints.save(self.state.clone())?;
        record.phases.checkpoint_s = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        self.exchange.close_window(record.window)?;
        record.phases.wait_s = clock.elapsed().as_secs_f64();
        Ok(())
    }

    fn root(&self) -> StateRoot {
        let shared = read(&self.state.shared);
        let values = shared.as_host().expect("roots are computed on the CPU");
        self.trainer.device().install(|| StateTree::of_params(&self.layout, values).root())
    }

    /// Nats per token that the corpus has by construction, where that is known.
    pub(super) fn entropy(&self) -> Option<f64> {
        self.dataset.description()?.entropy_nats_per_token
    }

    /// Waits for the last checkpoint and lets everything else go.
    pub(super) fn close(mut self) -> Result<(RunFolder, Journal, End), Failure> {
        self.screen.phase("waiting for the checkpoint");
        let newest = self.checkpoints.finish()?.map(std::path::Path::to_path_buf);
        let state_root = self.state.progress.state_root;
        let name = format!("checkpoints/window-{:08}", self.state.progress.windows);
        let checkpoint = newest.unwrap_or_else(|| self.folder.path(&name));
        self.screen.close();
        Ok((self.folder, self.journal, End { state_root, checkpoint }))
    }
}

fn read(vector: &RwLock<Buffer<f32>>) -> RwLockReadGuard<'_, Buffer<f32>> {
    vector.read().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a checkpoint that still reads the vector.
fn write(vector: &RwLock<Buffer<f32>>) -> RwLockWriteGuard<'_, Buffer<f32>> {
    vector.write().unwrap_or_else(PoisonError::into_inner)
}

/// The run of a folder: `wanted` when the folder is new, else the one it holds, if they agree.
fn agree_on_run(
    folder: &RunFolder,
    wanted: RunDescription,
    keypair: &wire::Keypair,
) -> Result<RunDescription, Failure> {
    if !folder.holds_a_run() {
        let signed = wire::SignedRun::sign(wanted, keypair)?;
        folder.keep_run(&signed)?;
        return Ok(signed.run().clone());
    }
    let held = folder.run()?.run().clone();
    match identity::difference(&held, &wanted) {
        None => Ok(held),
        Some(found) => Err(Failure::usage(format!(
            "{} = {} contradicts the run in {}, where it is {}; leave it out to go on, or use \
             another --dir",
            found.key,
            found.right,
            folder.dir().display(),
            found.left
        ))),
    }
}
