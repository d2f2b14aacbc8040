//! The evidence measured again: the same contribution on the same parameters and samples, on this
//! machine; and the standings computed again from all judgements that are kept.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gauntlet::rules::MEASURED_STEP;
use gauntlet::{Book, Terms};
use model::LossMeter;
use runtime::Device;
use serde::Serialize;
use wire::{Effect, Evidence, Judgement, Loss, PeerEvidence, RunDescription, SignedJudgement};

use crate::config::Config;
use crate::failure::Failure;
use crate::node::{FirstParams, Replica, Voice, setup};
use crate::train::{RunFolder, agree_with_network, assignment, dataset};
use crate::validate::{Archive, FolderArchive, Samples, effect, replay as follow};

/// Difference that a loss may have on another machine, in nats per token: products are summed in
/// other orders there.
const TOLERANCE_NATS: f64 = 1e-4;

/// What measuring again came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Replay {
    /// Whether losses are the same within the tolerance, and the samples those that were assigned.
    pub(super) agrees: bool,
    pub(super) difference_nats_max: f64,
    pub(super) tolerance_nats: f64,
    losses: usize,
    /// Judgements of the same validator from which its standings were computed again, bit for bit;
    /// none if not all up to this one are kept here.
    history: Option<usize>,
}

impl Replay {
    pub(super) fn text(&self) -> String {
        let Self { agrees, difference_nats_max, tolerance_nats, losses, history } = self;
        let verdict = if *agrees { "agrees" } else { "does NOT agree" };
        let history = history.map_or(String::new(), |judgements| {
            format!("; its standing follows from {judgements} judgements, bit for bit")
        });
        format!(
            "measured again here, it {verdict}: {losses} losses differ by at most \
             {difference_nats_max:.1e} nats, allowed are {tolerance_nats:.0e}{history}"
        )
    }
}

/// Nobody watches.
struct Quiet;

impl Voice for Quiet {
    fn say(&self, text: &str) {
        eprintln!("{text}");
    }

    fn doing(&self, _: &str) {}

    fn evidence(&self, _: &[u8], _: &[u8]) {}
}

/// Measures what `evidence` says again.
pub(super) fn replay(
    config: &Config,
    run: &RunDescription,
    judgement: &Judgement,
    evidence: &PeerEvidence,
) -> Result<Replay, Failure> {
    let window = judgement.evidence.window.0 + 1;
    let (Some(found), Some(object)) = (&evidence.effect, evidence.object) else {
        return Err(Failure::precondition(format!(
            "uid {} was not measured in window {window}, so there is nothing to measure again",
            evidence.uid
        )));
    };
    let folder = RunFolder::claim(&config.dir())?;
    let data = dataset(config, folder.dir())?;
    agree_with_network(run, config, &data)?;
    let layout = model::layout_of(&run.model)?;
    let device = Device::cpu(config.threads()).map_err(model::ModelError::from)?;
    let first = FirstParams::of(run, &config.node.genesis);
    let mut replica = Replica::genesis(&device, &layout, run, &first)?;
    let body = setup::block_on(async {
        let keypair = folder.key_in_network(config)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut node = setup::join(config, run, &layout, keypair, Arc::new(Quiet), stop).await?;
        let (at, root) = (judgement.evidence.window, judgement.evidence.parent_root);
        let gone = |what: &str| {
            Failure::precondition(format!(
                "{what} of window {window} is gone from all buckets; only newer windows can be \
                 measured again"
            ))
        };
        let manifest = node.go_back_to(&mut replica, at, root).await?;
        let manifest = manifest.ok_or_else(|| gone("the state"))?;
        let of = (evidence.uid, evidence.hotkey);
        let body = node.contribution_to(&manifest, of, object).await?;
        body.ok_or_else(|| gone("the contribution"))
    })?;
    let own = assignment(run, &data, evidence.uid, judgement.evidence.window)?;
    let is_own = found.assigned.iter().all(|pair| own.samples().contains(&pair.sample));
    let mut meter = LossMeter::new(&device, &run.model, &run.outer, MEASURED_STEP)?
        .with_document_masks(run.documents.masks);
    meter.take(replica.read().as_host().expect("replicas live on the CPU"));
    let samples = Samples::new(run, Arc::new(data));
    let assigned: Vec<u64> = found.assigned.iter().map(|pair| pair.sample).collect();
    let random: Vec<u64> = judgement.evidence.random.iter().map(|probe| probe.sample).collect();
    let again = effect(&mut meter, &samples, &body, &assigned, &random);
    let again = again.map_err(Failure::damaged)?;
    let (difference, losses) = difference(&judgement.evidence, found, &again);
    Ok(Replay {
        agrees: is_own && difference <= TOLERANCE_NATS,
        difference_nats_max: difference,
        tolerance_nats: TOLERANCE_NATS,
        losses,
        history: history(config, judgement)?,
    })
}

/// The largest difference between two measurements, and how many losses they have.
fn difference(evidence: &Evidence, one: &Effect, other: &Effect) -> (f64, usize) {
    let befores = one.assigned.iter().zip(&other.assigned).map(|(a, b)| (a.before, b.before));
    let afters = one.assigned.iter().zip(&other.assigned).map(|(a, b)| (a.after, b.after));
    let random = one.random_after.iter().copied().zip(other.random_after.iter().copied());
    let pairs: Vec<(Loss, Loss)> = befores.chain(afters).chain(random).collect();
    let apart = |(a, b): &(Loss, Loss)| match (a.nats(), b.nats()) {
        (Some(a), Some(b)) => (a - b).abs(),
        (None, None) => 0.0,
        _ => f64::INFINITY,
    };
    let is_whole = other.assigned.len() == one.assigned.len()
        && other.random_after.len() == evidence.random.len();
    let most = pairs.iter().map(apart).fold(0.0, f64::max);
    (if is_whole { most } else { f64::INFINITY }, pairs.len())
}

/// Computes the standings of all judgements kept in the node's folder again, up to `last`; how many
/// they are, or none if they do not reach from the first one to it.
fn history(config: &Config, last: &Judgement) -> Result<Option<usize>, Failure> {
    let texts = FolderArchive::of(&config.dir()).judgements(wire::Window(0))?;
    let (mut book, mut count) = (Book::new(Terms::default()), 0);
    let mut before = None;
    for text in texts {
        let judgement = SignedJudgement::parse(&text)
            .map_err(|error| Failure::damaged(format!("a kept {error}")))?
            .into_document();
        if judgement.validator != last.validator || judgement.previous != before {
            return Ok(None);
        }
        follow(&mut book, &judgement)?;
        count += 1;
        if judgement == *last {
            return Ok(Some(count));
        }
        before = Some((judgement.evidence.window, wire::Document::hash(&judgement)));
    }
    Ok(None)
}
