//! One simulated node: its key, its disk, and the task that it runs as while it lives.
//!
//! Aborting the task is kill -9: it ends at whatever it waits for, and nothing of it is left but
//! disk, bucket and chain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bucket::{Bucket, BucketError, FaultPlan, Spool};
use runtime::dataset::loader::Reading;
use tokio::task::JoinHandle;
use wire::{Keypair, StateRoot};

use super::liar::Liar;
use super::line::{Crook, Line};
use super::memory::{Disk, Memory, Speed};
use super::stage::{self, CHECKPOINT_EVERY, NETUID, PACE, Stage};
use super::watch::{Liars, Watcher};
use crate::failure::Failure;
use crate::node::{Node, Parts, Replica};
use crate::train::{Hands, Learner, Network, Peer, Rounds};
use crate::validate::{Scoring, Validator};

/// How a life ended by itself.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// After so many windows, in this state.
    Done { windows: u64, root: StateRoot },
    /// By leaving.
    Left,
    /// By a failure.
    Failed(String),
}

/// One node.
pub(super) struct Actor {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) liar: Option<Arc<Liar>>,
    keypair: Keypair,
    disk: Arc<Mutex<Disk>>,
    /// Asks the present life to stop.
    stop: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
    /// Set when a life ends by itself.
    end: Arc<Mutex<Option<End>>>,
    /// Who listens to the present life.
    watcher: Option<Arc<Watcher>>,
    pub(super) lives: u32,
    /// Whether it is gone for good.
    pub(super) gone: bool,
}

impl Actor {
    /// A node that was never started.
    pub(super) fn new(stage: &Stage, index: usize, liar: Option<Arc<Liar>>) -> Self {
        Self {
            index,
            name: stage.name(index),
            liar,
            keypair: stage::keypair(stage.seed, index),
            disk: Arc::default(),
            stop: Arc::default(),
            task: None,
            end: Arc::default(),
            watcher: None,
            lives: 0,
            gone: false,
        }
    }

    /// Whether it puts what its node makes.
    pub(super) fn is_honest(&self, stage: &Stage) -> bool {
        self.liar.is_none() && !stage.forgers.contains_key(&self.index)
    }

    /// Starts the node, if it does not run and is not gone.
    pub(super) fn start(&mut self, stage: &Arc<Stage>, liars: &Arc<Liars>) {
        if self.gone || self.task.is_some() {
            return;
        }
        self.lives += 1;
        stage.history.add(&self.name, &format!("starts, life {}", self.lives));
        let life = Life {
            stage: Arc::clone(stage),
            index: self.index,
            keypair: self.keypair.clone(),
            liar: self.liar.clone(),
            disk: Arc::clone(&self.disk),
            stop: Arc::default(),
            watcher: Arc::new(Watcher::new(
                stage.history.clone(),
                (self.index, self.name.clone()),
                self.is_honest(stage),
                stage.faults.is_some() || !stage.plots.is_empty(),
                Arc::clone(liars),
            )),
            lives: self.lives,
            liars: Arc::clone(liars),
        };
        self.stop = Arc::clone(&life.stop);
        self.watcher = Some(Arc::clone(&life.watcher));
        self.end = Arc::default();
        let end = Arc::clone(&self.end);
        self.task = Some(tokio::task::spawn_local(async move {
            let name = life.watcher.name.clone();
            let history = life.watcher.history.clone();
            let ended = match life.run().await {
                Ok(end) => end,
                Err(failure) if failure.is_interrupt() => End::Left,
                Err(failure) => End::Failed(failure.message),
            };
            history.add(&name, &format!("ends: {ended:?}"));
            *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        }));
    }

    /// Kills the node, if it runs; with `loses_newest` before its last state was on its disk. It is
    /// dead once the task is.
    pub(super) fn kill(&mut self, stage: &Stage, loses_newest: bool) -> Option<JoinHandle<()>> {
        let task = self.task.take_if(|task| !task.is_finished())?;
        stage.history.add(&self.name, "is killed");
        self.watcher = None;
        task.abort();
        if loses_newest {
            self.disk.lock().unwrap_or_else(PoisonError::into_inner).lose_newest();
        }
        Some(task)
    }

    /// Asks the node to leave for good.
    pub(super) fn leave(&mut self, stage: &Stage) {
        if self.task.as_ref().is_some_and(|task| !task.is_finished()) {
            stage.history.add(&self.name, "is asked to leave");
            self.stop.store(true, Ordering::Relaxed);
            self.gone = true;
        }
    }

    /// Flips a bit of the node's parameters once its present window is done.
    pub(super) fn flip(&mut self, share: f64, bit: u32) {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).flip = Some((share, bit));
    }

    /// Whether the present life has ended, or there is none.
    pub(super) fn has_ended(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// How the last life ended: by itself, or not at all if it panicked or was killed.
    pub(super) async fn end(&mut self) -> Option<End> {
        if let Some(task) = self.task.take_if(|task| task.is_finished())
            && let Err(error) = task.await
            && error.is_panic()
        {
            return Some(End::Failed("it panicked".to_string()));
        }
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A tensor with a flipped bit that this life has not noticed.
    pub(super) fn unmended(&self) -> Option<String> {
        self.watcher.as_ref()?.unmended()
    }
}

/// The bucket at the end of a line, with the faults of the plan.
fn bucket_over(line: Line, seed: u64, faults: Option<FaultPlan>) -> Bucket {
    let seed = seed ^ (line.number() << 32);
    let bucket = Bucket::over(Arc::new(line));
    let pace = bucket::Pace { jitter_seed: seed, ..bucket.pace() };
    let bucket = bucket.with_pace(pace);
    match faults {
        Some(plan) => bucket.with_faults(plan, seed),
        None => bucket,
    }
}

/// What one life of a node consists of.
struct Life {
    stage: Arc<Stage>,
    index: usize,
    keypair: Keypair,
    liar: Option<Arc<Liar>>,
    disk: Arc<Mutex<Disk>>,
    stop: Arc<AtomicBool>,
    watcher: Arc<Watcher>,
    lives: u32,
    liars: Arc<Liars>,
}

impl Life {
    async fn run(self) -> Result<End, Failure> {
        let node = Node::join(self.parts()).await?;
        if let Some(liar) = &self.liar {
            let mut liars = self.liars.lock().unwrap_or_else(PoisonError::into_inner);
            liars.retain(|(uid, ..)| *uid != node.uid);
            let victim = self.stage.chain().uid_of(NETUID, liar.victim.1)?;
            liars.push((node.uid, liar.lie, victim));
        }
        match self.stage.judges(self.index) {
            true => self.judge(node).await,
            false => self.mine(node).await,
        }
    }

    fn parts(&self) -> Parts {
        let (net, index, nodes) = (Arc::clone(&self.stage.net), self.index, self.stage.net.nodes());
        let forger = self.stage.forgers.get(&index).cloned().map(Crook::Forger);
        let own = Line::own(&net, index, self.liar.clone().map(Crook::Liar).or(forger));
        let (seed, faults) = (self.stage.seed, self.stage.faults.clone());
        let own = bucket_over(own, seed, faults.clone());
        let opener = move |place: &str| {
            let owner = place.strip_prefix("sim:").and_then(|owner| owner.parse().ok());
            match owner.filter(|owner| *owner < nodes) {
                Some(owner) => Ok(bucket_over(Line::new(&net, index, owner), seed, faults.clone())),
                None => Err(BucketError::Scheme { scheme: place.to_string() }),
            }
        };
        Parts {
            run: self.stage.run.clone(),
            first: self.stage.first_params(),
            layout: self.stage.layout.clone(),
            keypair: self.keypair.clone(),
            netuid: NETUID,
            chain: self.stage.chain(),
            bucket: own,
            place: format!("sim:{index}"),
            opener: Arc::new(opener),
            spool: Spool::new(&self.stage.data),
            pace: PACE,
            voice: Arc::clone(&self.watcher) as _,
            stop: Arc::clone(&self.stop),
        }
    }

    async fn judge(self, node: Node) -> Result<End, Failure> {
        let stage = &self.stage;
        let first = stage.first_params();
        let replica = Replica::genesis(&stage.device, &stage.layout, &stage.run, &first)?;
        let watcher = Arc::clone(&self.watcher);
        let on_record = Box::new(move |record| {
            watcher.record(record);
            Ok(())
        });
        let dataset = stage.dataset()?;
        let archive = Box::new(stage.archives[self.index].clone());
        let scoring = Scoring { archive, is_aside: false };
        let mut validator =
            Validator::new(node, replica, dataset, CHECKPOINT_EVERY, scoring, on_record)?;
        if let Some(window) = stage.history.last_recorded(self.index) {
            validator.node.trail.skip_to(window.next());
        }
        validator.run(stage.scale.windows).await?;
        let (window, root) = validator.state();
        Ok(End::Done { windows: window.0, root })
    }

    async fn mine(self, node: Node) -> Result<End, Failure> {
        let stage = Arc::clone(&self.stage);
        let compute = runtime::Compute::F32;
        let hands = Hands {
            gpu: None,
            tp: 1,
            threads: 1,
            compute,
            micro_batch_samples: 1,
            recompute_layers: 0,
            record: false,
            // Hundreds of peers in one process: no ring for each.
            reading: Reading::Pread,
        };
        let learner = Learner::new(&stage.run, &stage.layout, stage.dataset()?, hands)?;
        let keeper = Memory {
            disk: self.disk,
            watcher: self.watcher,
            stage: Arc::clone(&stage),
            speed: Speed::new(stage.seed, self.index, self.lives),
        };
        let rounds = Rounds::Network(Box::new(Network::new(node)));
        let plot = stage.plots.get(&self.index);
        let attack = plot.map(|plot| plot.attack(self.keypair.hotkey()));
        let peer = Peer::start(
            stage.run.clone(),
            &stage.first_params(),
            &stage.layout,
            learner,
            rounds,
            keeper,
        )?;
        let mut peer = peer.cheating(attack);
        match peer.run(stage.scale.windows).await? {
            model::Stop::Asked => Ok(End::Left),
            model::Stop::Done => Ok(End::Done { windows: peer.windows(), root: peer.root() }),
        }
    }
}
