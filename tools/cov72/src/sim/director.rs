//! Plays a script with real nodes, and judges how it ended.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wire::{BodyShape, StateRoot};

use super::actor::{Actor, End};
use super::draw::Draw;
use super::liar::Liar;
use super::script::{Incident, Script, Turn};
use super::stage::{self, BLOCK_MS, Stage, WINDOWS};
use super::watch::Liars;

/// How often the director looks at where the network is.
const LOOK: Duration = Duration::from_millis(500);

/// The nodes of one simulation.
pub(super) struct Director {
    stage: Arc<Stage>,
    actors: Vec<RefCell<Actor>>,
    liars: Arc<Liars>,
}

/// Virtual time after which a window of nothing but waiting is over.
fn window_ms_max() -> u64 {
    (WINDOWS.blocks_per_window + WINDOWS.judge_blocks + 2) * BLOCK_MS
}

impl Director {
    /// Nodes as the script wants them, none of them started.
    pub(super) fn new(stage: &Arc<Stage>, script: &Script) -> Rc<Self> {
        let nodes = script.starts.len();
        let liar = |index: usize| {
            let (_, lie) = script.lies.iter().find(|(of, _)| *of == index)?;
            let outer = &stage.run.outer;
            let shape = BodyShape::new(&stage.layout, outer.k, outer.index_codec);
            let mut draw = Draw::new(stage.seed, &format!("liar {index}"));
            let (peers, validators) = (stage.scale.peers, stage.scale.validators);
            let ahead = draw.between(1, peers.max(2) as u64 - 1) as usize;
            let victim = validators + (index - validators + ahead) % peers;
            let hotkey = stage::keypair(stage.seed, victim).hotkey();
            let keypair = stage::keypair(stage.seed, index);
            Some(Arc::new(Liar::new(*lie, keypair, shape, (victim, hotkey), draw)))
        };
        let actors = (0..nodes).map(|index| RefCell::new(Actor::new(stage, index, liar(index))));
        let liars = Arc::new(Mutex::new(Vec::new()));
        Rc::new(Self { stage: Arc::clone(stage), actors: actors.collect(), liars })
    }

    /// Plays all of it; the nodes have ended then, or were given up.
    pub(super) async fn play(self: Rc<Self>, script: Script) {
        let mut tasks = Vec::new();
        for (index, window) in script.starts.iter().copied().enumerate() {
            let director = Rc::clone(&self);
            tasks.push(tokio::task::spawn_local(async move {
                // Nobody starts at the very same instant as another.
                tokio::time::sleep(Duration::from_millis(37 * index as u64)).await;
                director.wait_for(window).await;
                director.start(index);
            }));
        }
        for (owner, forger) in &self.stage.forgers {
            let (net, chain) = (Arc::clone(&self.stage.net), Arc::clone(&self.stage.chain));
            drop(tokio::task::spawn_local(Arc::clone(forger).publish_seconds(net, *owner, chain)));
        }
        for incident in script.incidents {
            let director = Rc::clone(&self);
            tasks.push(tokio::task::spawn_local(async move { director.turn(incident).await }));
        }
        for task in tasks {
            if task.await.is_err() {
                self.stage.history.violation("sim", "an incident panicked");
            }
        }
        self.wait_for_the_end().await;
        self.judge().await;
    }

    fn start(&self, index: usize) {
        self.actors[index].borrow_mut().start(&self.stage, &self.liars);
    }

    /// Waits until `window` windows are over, or surely would be.
    async fn wait_for(&self, window: u64) {
        let mut looks = (window * window_ms_max()) / LOOK.as_millis() as u64 + 1;
        while self.stage.history.front() < window && looks > 0 {
            tokio::time::sleep(LOOK).await;
            looks -= 1;
        }
    }

    async fn kill(&self, index: usize, loses_newest: bool) {
        let task = self.actors[index].borrow_mut().kill(&self.stage, loses_newest);
        if let Some(task) = task {
            drop(task.await);
        }
    }

    async fn turn(&self, incident: Incident) {
        let Incident { window, offset_ms, turn } = incident;
        self.wait_for(window).await;
        tokio::time::sleep(Duration::from_millis(offset_ms)).await;
        match turn {
            Turn::Leave { node } => self.actors[node].borrow_mut().leave(&self.stage),
            Turn::BitFlip { node, share, bit } => self.actors[node].borrow_mut().flip(share, bit),
            Turn::Stake { node, stake_rao } => {
                let (name, history) = (self.stage.name(node), &self.stage.history);
                history.add(&name, &format!("has {stake_rao} rao of stake from now on"));
                let hotkey = stage::keypair(self.stage.seed, node).hotkey();
                if let Err(error) = self.stage.chain.set_stake(hotkey, stake_rao) {
                    history.violation(&name, &error.to_string());
                }
            }
            Turn::Kill { node, loses_newest, back_after } => {
                self.kill(node, loses_newest).await;
                if let Some(windows) = back_after {
                    self.pass(windows).await;
                    self.start(node);
                }
            }
            Turn::ValidatorsGone { windows } => {
                for node in 0..self.stage.scale.validators {
                    self.kill(node, false).await;
                }
                self.pass(windows).await;
                (0..self.stage.scale.validators).for_each(|node| self.start(node));
            }
            Turn::Split { sides, windows } => {
                self.stage.history.add("net", &format!("splits: {sides:?}"));
                self.stage.net.split(sides);
                self.pass(windows).await;
                self.stage.net.heal();
                self.stage.history.add("net", "is whole again");
            }
        }
    }

    /// Lets so many windows pass, or the time in which they surely would have.
    async fn pass(&self, windows: u64) {
        let until = self.stage.history.front() + windows;
        let mut looks = windows * window_ms_max() / LOOK.as_millis() as u64 + 4;
        while self.stage.history.front() < until && looks > 0 {
            tokio::time::sleep(LOOK).await;
            looks -= 1;
        }
    }

    async fn wait_for_the_end(&self) {
        let windows = self.stage.scale.windows + 20;
        let limit_ms = 2 * windows * window_ms_max();
        while self.stage.clock.since_ms() < limit_ms
            && !self.actors.iter().all(|actor| actor.borrow().has_ended())
        {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Every honest node that lives is done, in the state of all others.
    #[expect(clippy::await_holding_refcell_ref, reason = "nobody else is left")]
    async fn judge(&self) {
        let mut agreed: Option<(String, StateRoot)> = None;
        let history = &self.stage.history;
        for actor in &self.actors {
            let mut actor = actor.borrow_mut();
            let name = actor.name.clone();
            if !actor.has_ended() {
                history.violation(&name, "it hangs");
                drop(actor.kill(&self.stage, false));
                continue;
            }
            match actor.end().await {
                Some(End::Failed(message)) if actor.is_honest(&self.stage) => {
                    history.violation(&name, &format!("it failed: {message}"));
                }
                Some(End::Done { windows, root }) if actor.is_honest(&self.stage) => {
                    if windows < self.stage.scale.windows {
                        history.violation(&name, &format!("it ended after {windows} windows"));
                    }
                    let (by, known) = agreed.get_or_insert_with(|| (name.clone(), root));
                    if *known != root {
                        let what = format!("it ends in state {root}, {by} in {known}");
                        history.violation(&name, &what);
                    }
                }
                _ => {}
            }
            let is_done = matches!(actor.end().await, Some(End::Done { .. }));
            if let Some(tensor) = actor.unmended().filter(|_| is_done) {
                history.violation(&name, &format!("nobody noticed the flipped bit of {tensor}"));
            }
        }
    }

    /// Who lies or forges.
    pub(super) fn crooks(&self) -> Vec<usize> {
        let is_crook = |actor: &&RefCell<Actor>| !actor.borrow().is_honest(&self.stage);
        self.actors.iter().filter(is_crook).map(|actor| actor.borrow().index).collect()
    }

    /// How often each node was started.
    pub(super) fn lives(&self) -> Vec<u32> {
        self.actors.iter().map(|actor| actor.borrow().lives).collect()
    }
}
