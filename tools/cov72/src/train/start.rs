//! How a miner of this process starts: alone with a chain of its own, or in a network.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use runtime::Device;
use runtime::dataset::Dataset;
use wire::{Genesis, Keypair, Layout, RunDescription, SignedRun};

use super::alone::Alone;
use super::folder::RunFolder;
use super::identity;
use super::keeper::Desk;
use super::learner::{Hands, Learner};
use super::network::Network;
use super::peer::Peer;
use super::progress::Screen;
use super::rounds::Rounds;
use crate::config::Config;
use crate::failure::Failure;
use crate::node::{FirstParams, setup};

/// What a miner is made of.
pub(super) struct Start<'a> {
    pub(super) config: &'a Config,
    pub(super) folder: RunFolder,
    pub(super) dataset: Dataset,
    /// The GPU that trains, if one does.
    pub(super) gpu: Option<Device>,
    pub(super) screen: Arc<Screen>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Start<'_> {
    /// A miner whose own contribution is the round.
    pub(super) fn alone(self) -> Result<Peer<Desk>, Failure> {
        let Self { config, folder, dataset, gpu, screen, stop } = self;
        let keypair = folder.keypair()?;
        let layout = model::layout_of(&config.model)?;
        if !folder.holds_a_run() {
            folder.keep_config(config)?;
        }
        // The model that a run began with may be gone by now, and is big.
        let held = folder.holds_a_run().then(|| folder.run()).transpose()?;
        let held = held.map(SignedRun::into_document);
        let known = held.filter(|run| run.genesis == Genesis::Given).map(|run| run.genesis_root);
        let wanted = identity::describe(config, &dataset, keypair.hotkey(), known)?;
        let run = agree_on_run(&folder, wanted, &keypair)?;
        folder.keep_config(config)?;
        let learner = Learner::new(&run, &layout, dataset, hands(config, gpu))?;
        let voice = Arc::clone(&screen) as _;
        let alone = Alone::open_folder(&folder, &run, &layout, keypair, stop, voice)?;
        let desk = Desk::open(folder, screen, run.id(), &layout)?;
        let first = FirstParams::of(&run, &config.node.genesis);
        Peer::start(run, &first, &layout, learner, Rounds::Alone(Box::new(alone)), desk)
    }

    /// A miner of the network that the configuration names.
    pub(super) async fn in_network(self, run: RunDescription) -> Result<Peer<Desk>, Failure> {
        let Self { config, folder, dataset, gpu, screen, stop } = self;
        identity::agree_with_network(&run, config, &dataset)?;
        let layout: Layout = model::layout_of(&run.model)?;
        let (keypair, voice) = (folder.key_in_network(config)?, Arc::clone(&screen) as _);
        let attack = config.plot()?.map(|plot| plot.attack(keypair.hotkey()));
        let node = setup::join(config, &run, &layout, keypair, voice, stop).await?;
        let learner = Learner::new(&run, &layout, dataset, hands(config, gpu))?;
        let desk = Desk::open(folder, screen, run.id(), &layout)?;
        let rounds = Rounds::Network(Box::new(Network::new(node)));
        let first = FirstParams::of(&run, &config.node.genesis);
        Ok(Peer::start(run, &first, &layout, learner, rounds, desk)?.cheating(attack))
    }
}

fn hands(config: &Config, gpu: Option<Device>) -> Hands {
    Hands {
        gpu,
        tp: config.node.tp,
        threads: config.threads(),
        compute: config.node.compute,
        micro_batch_samples: config.node.micro_batch_samples,
        recompute_layers: config.node.recompute_layers,
        record: config.node.record,
        reading: config.node.reading,
    }
}

/// The run of a folder: `wanted` when the folder is new, else the one it holds, if they agree.
fn agree_on_run(
    folder: &RunFolder,
    wanted: RunDescription,
    keypair: &Keypair,
) -> Result<RunDescription, Failure> {
    if !folder.holds_a_run() {
        let signed = SignedRun::sign(wanted, keypair)?;
        folder.keep_run(&signed)?;
        return Ok(signed.into_document());
    }
    let held = folder.run()?.into_document();
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
