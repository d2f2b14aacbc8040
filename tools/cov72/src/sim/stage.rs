//! What all nodes of a simulation share: the run of a very small model, its data, the chain, the
//! network between them, and the history that they write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bucket::FaultPlan;
use chain::{Blocks, Chain, DevChain, DevChainOptions};
use runtime::Device;
use runtime::dataset::{Dataset, DatasetWriter, Provenance, SAMPLE_TOKENS};
use wire::{BlockNumber, Keypair, Layout, ModelSpec, Netuid, RunDescription, Uid, Windows};

use super::clock::VirtualClock;
use super::draw::{self, Draw};
use super::forger::{Forger, Forgery};
use super::history::History;
use super::line::Net;
use super::quick_chain::QuickChain;
use crate::attack::{Kind, Plot};
use crate::config::Config;
use crate::failure::Failure;
use crate::node::{FirstParams, Pace};
use crate::train::describe;
use crate::validate::MemoryArchive;

/// The only subnet.
pub(super) const NETUID: Netuid = Netuid(72);
/// How long windows may last, in blocks of [`BLOCK_MS`].
pub(super) const WINDOWS: Windows =
    Windows { first_block: BlockNumber(8), blocks_per_window: 40, judge_blocks: 8 };
/// Virtual milliseconds between two blocks.
pub(super) const BLOCK_MS: u64 = 1_000;
/// How often nodes look, and how long they wait for an answer.
pub(super) const PACE: Pace =
    Pace { poll: Duration::from_millis(700), request: Duration::from_secs(5) };
/// Windows between two checkpoints that a validator publishes.
pub(super) const CHECKPOINT_EVERY: u64 = 3;

/// Tokens in the vocabulary.
const VOCAB: usize = 32;
/// Share of tokens that follow a sample's own rule, where there is something to learn.
const OWN_SHARE: f64 = 0.4;
/// Inner steps of a window in which there is something to learn.
const LESSON_STEPS: u64 = 5;
/// Samples of the corpus.
const SAMPLES: usize = 1_024;

/// How large a simulation is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) peers: usize,
    pub(super) validators: usize,
    pub(super) windows: u64,
    pub(super) subject: Subject,
}

/// What there is to learn, with the model that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// Nothing much: one step a window.
    Nothing,
    /// Something, so that it can be told who learned it.
    Lesson,
    /// The same, with a model that keeps enough values to tell copies from work of one's own.
    Copies,
}

impl Subject {
    /// What validators need to tell those who cheat like this from the others.
    pub(super) fn against(attacks: impl IntoIterator<Item = Kind>) -> Self {
        let copies = attacks.into_iter().any(Kind::is_of_copies);
        if copies { Self::Copies } else { Self::Lesson }
    }

    /// The smallest model that does. Copies are looked for among at least
    /// [`gauntlet::rules::COPY_VALUES_MIN`] values; with as many of narrower layers, honest peers
    /// keep so many of the same that some are taken for copycats.
    fn model(self) -> ModelSpec {
        let (layers, d_model) = match self {
            Self::Nothing | Self::Lesson => (1, 16),
            Self::Copies => (4, 32),
        };
        ModelSpec {
            layers,
            d_model,
            heads: 2,
            kv_heads: 1,
            ffn: 2 * d_model,
            vocab: VOCAB,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            seq_len: 16,
            tied: true,
        }
    }
}

/// What all nodes share.
pub(super) struct Stage {
    pub(super) seed: u64,
    pub(super) scale: Scale,
    pub(super) run: RunDescription,
    pub(super) layout: Layout,
    pub(super) data: PathBuf,
    pub(super) device: Device,
    pub(super) chain: Arc<QuickChain>,
    pub(super) net: Arc<Net>,
    pub(super) history: History,
    pub(super) clock: VirtualClock,
    /// What storages do wrong.
    pub(super) faults: Option<FaultPlan>,
    /// Validators that forge, by their number.
    pub(super) forgers: BTreeMap<usize, Arc<Forger>>,
    /// Peers that cheat in what they train on and send, by their number.
    pub(super) plots: BTreeMap<usize, Plot>,
    /// What each validator keeps of its judgements.
    pub(super) archives: Vec<MemoryArchive>,
}

impl Stage {
    /// An empty stage; inside a runtime whose time is virtual.
    pub(super) fn new(
        seed: u64,
        scale: Scale,
        data: &Path,
        faults: Option<FaultPlan>,
        forgeries: &[(usize, Forgery)],
        attacks: &[(usize, Kind)],
    ) -> Result<Self, Failure> {
        let clock = VirtualClock::new();
        let options =
            DevChainOptions { blocks: Blocks::EveryMs(BLOCK_MS), ..DevChainOptions::default() };
        let chain = DevChain::in_memory(options, Arc::new(clock))?;
        for (index, stake_rao) in stakes_rao(seed, scale, forgeries).into_iter().enumerate() {
            chain.set_stake(keypair(seed, index).hotkey(), stake_rao)?;
        }
        let device = Device::cpu(1).map_err(model::ModelError::from)?;
        let (run, layout) = describe_run(seed, scale.subject, data)?;
        let forger = |&(index, forgery): &(usize, Forgery)| {
            let draw = Draw::new(seed, &format!("forger {index}"));
            let forger = Forger::new(forgery, keypair(seed, index), layout.hash(), draw);
            (index, Arc::new(forger))
        };
        let forgers: BTreeMap<_, _> = forgeries.iter().map(forger).collect();
        Ok(Self {
            seed,
            scale,
            run,
            layout,
            data: data.to_path_buf(),
            device,
            chain: Arc::new(QuickChain::new(chain, forgers.values().cloned().collect())),
            net: Arc::new(Net::new(scale.validators + scale.peers, seed, clock)),
            history: History::new(clock),
            clock,
            faults,
            forgers,
            plots: plots(seed, attacks),
            archives: (0..scale.validators).map(|_| MemoryArchive::default()).collect(),
        })
    }

    /// What the run starts from: parameters drawn from its seed.
    pub(super) fn first_params(&self) -> FirstParams {
        FirstParams::of(&self.run, Path::new(""))
    }

    /// Whether node `index` is a validator; the first ones are.
    pub(super) fn judges(&self, index: usize) -> bool {
        index < self.scale.validators
    }

    /// What node `index` is called: `v0` for a validator, `p3` for a peer.
    pub(super) fn name(&self, index: usize) -> String {
        match self.judges(index) {
            true => format!("v{index}"),
            false => format!("p{}", index - self.scale.validators),
        }
    }

    /// The data.
    pub(super) fn dataset(&self) -> Result<Dataset, Failure> {
        Ok(Dataset::open(&self.data)?)
    }

    /// How the peer on seat `uid` cheats, if it does.
    pub(super) fn attack_of(&self, uid: Uid) -> Option<Kind> {
        let is_on = |index: &usize| {
            let hotkey = keypair(self.seed, *index).hotkey();
            self.chain.uid_of(NETUID, hotkey).is_ok_and(|of| of == Some(uid))
        };
        self.plots.iter().find(|(index, _)| is_on(index)).map(|(_, plot)| plot.kind)
    }

    /// The chain as nodes see it.
    pub(super) fn chain(&self) -> Arc<dyn Chain> {
        Arc::clone(&self.chain) as _
    }
}

/// The stake behind each validator. All forgers together have at most 0.9 of what the others have,
/// and one alone mostly more than any of them.
fn stakes_rao(seed: u64, scale: Scale, forgeries: &[(usize, Forgery)]) -> Vec<u64> {
    let mut draw = Draw::new(seed, "stakes");
    let mut stakes: Vec<u64> =
        (0..scale.validators).map(|_| draw.between(10, 100) * 1_000_000_000).collect();
    let forges = |index: usize| forgeries.iter().any(|(of, _)| *of == index);
    let honest: u64 = (0..stakes.len()).filter(|i| !forges(*i)).map(|i| stakes[i]).sum();
    for index in (0..stakes.len()).filter(|index| forges(*index)) {
        let share = draw.between(50, 90);
        stakes[index] = honest / 100 * share / forgeries.len() as u64;
    }
    stakes
}

/// What those who cheat know of each other.
fn plots(seed: u64, attacks: &[(usize, Kind)]) -> BTreeMap<usize, Plot> {
    let plot = |&(index, kind): &(usize, Kind)| {
        let allies = attacks.iter().filter(|(_, other)| *other == kind && kind.peers() > 1);
        let allies = allies.map(|(ally, _)| keypair(seed, *ally).hotkey()).collect();
        (index, Plot { kind, allies })
    };
    attacks.iter().map(plot).collect()
}

/// The key of node `index`.
pub(super) fn keypair(seed: u64, index: usize) -> Keypair {
    Keypair::from_seed(draw::bytes(seed, &format!("key {index}")))
}

/// Writes the corpus: text in which each token says something about the next one, by a rule for
/// all samples, or where there is something to learn, in part by one that each sample has alone.
pub(super) fn write_corpus(dir: &Path, is_lesson: bool) -> Result<(), Failure> {
    let mut draw = Draw::new(0, "corpus");
    let mut writer = DatasetWriter::create(dir, (SAMPLES * SAMPLE_TOKENS) as u64)?;
    let (mut token, mut tokens) = (0, Vec::with_capacity(SAMPLES * SAMPLE_TOKENS));
    for _ in 0..SAMPLES {
        let own: Vec<u32> = (0..VOCAB).map(|_| draw.between(0, VOCAB as u64 - 1) as u32).collect();
        for _ in 0..SAMPLE_TOKENS {
            token = match is_lesson && draw.chance(OWN_SHARE) {
                true => own[token as usize],
                false => (token * 5 + draw.between(1, 3) as u32) % VOCAB as u32,
            };
            tokens.push(token);
        }
    }
    writer.push(&tokens)?;
    writer.finish(Provenance {
        tokenizer: "byte".to_string(),
        vocab: VOCAB as u32,
        eos: None,
        entropy_nats_per_token: (!is_lesson).then(|| 3f64.ln()),
        seed: Some(0),
        source: "cov72 simulation".to_string(),
        conversations: None,
    })?;
    Ok(())
}

fn describe_run(
    seed: u64,
    subject: Subject,
    data: &Path,
) -> Result<(RunDescription, Layout), Failure> {
    let mut config = Config::named("nano")?;
    config.name = "simulation".to_string();
    config.seed = seed;
    config.model = subject.model();
    config.inner.steps = 1;
    config.inner.batch_samples = 1;
    if subject != Subject::Nothing {
        config.inner.steps = LESSON_STEPS;
    }
    let layout = model::layout_of(&config.model)?;
    let owner = Keypair::from_seed(draw::bytes(seed, "owner"));
    let dataset = Dataset::open(data)?;
    let run = describe(&config, &dataset, owner.hotkey(), None)?;
    Ok((RunDescription { windows: WINDOWS, ..run }, layout))
}

#[cfg(test)]
mod tests {
    use gauntlet::rules::COPY_VALUES_MIN;
    use model::{layout_of, preset};
    use wire::BodyShape;

    use super::*;

    #[test]
    fn only_where_copies_are_looked_for_is_the_model_large_enough_for_it() {
        let outer = preset("nano").unwrap().outer;
        let values = |subject: Subject| -> usize {
            let layout = layout_of(&subject.model()).unwrap();
            let shape = BodyShape::new(&layout, outer.k, outer.index_codec);
            shape.sections().iter().map(|section| section.values()).sum()
        };
        assert!(values(Subject::Copies) >= COPY_VALUES_MIN);
        assert!(values(Subject::Lesson) < COPY_VALUES_MIN);
        assert_eq!(Subject::against([Kind::Lazy, Kind::OnOff]), Subject::Lesson);
        for kind in [Kind::Copycat, Kind::CopycatPerturbed, Kind::Collude, Kind::Sybil] {
            assert_eq!(Subject::against([Kind::Lazy, kind]), Subject::Copies);
        }
    }
}
