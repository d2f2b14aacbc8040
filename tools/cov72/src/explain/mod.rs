//! `cov72 explain`: what a validator found out about one peer in one window, and what followed from
//! it; with `--replay` measured again on this machine.

mod replay;

use std::path::PathBuf;

use bucket::{Limits, ObjectKey};
use clap::Args;
use serde::Serialize;
use wire::protocol::JUDGEMENT_BYTES_MAX;
use wire::{
    Hotkey, Judgement, Loss, LossScore, Netuid, PeerEvidence, RunDescription, SignedJudgement,
    Standing, StateRoot, Uid, Window,
};

use crate::config::Config;
use crate::failure::Failure;
use crate::localnet::standings::name;
use crate::node::{Directory, setup};
use crate::stdout;
use crate::validate::FolderArchive;
use replay::Replay;

const EXAMPLES: &str = "\
Examples:
  cov72 explain --config net/judge/run.toml --window 12 --uid 3            by this node's judgement
  cov72 explain --config net/alice/run.toml --window 12 --uid 3 --replay   and measured again here
  cov72 explain --config net/alice/run.toml --window 12 --uid 3 --json     one object on stdout";

/// Show the evidence behind a peer's score, signed by the validator
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// Configuration of a node of the network
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// The window, counted from 1
    #[arg(long, value_name = "W", value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
    /// The peer
    #[arg(long, value_name = "U")]
    uid: u16,
    /// Whose judgement [default: this node's own, else that of the most stake that has one]
    #[arg(long, value_name = "HOTKEY")]
    validator: Option<Hotkey>,
    /// Measure the losses again, on this machine; the node of --config must not run meanwhile
    #[arg(long)]
    replay: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// The contract of `explain --json`: other tools rely on these keys.
#[derive(Debug, Serialize)]
struct Explained {
    /// Counted from 1.
    window: u64,
    validator: Hotkey,
    parent_root: StateRoot,
    evidence: PeerEvidence,
    standing: Option<Standing>,
    replay: Option<Replay>,
}

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let Some((config, run)) = Config::of_network(&args.config)? else {
        return Err(Failure::usage(format!(
            "{} names no network; give the run.toml of one of its nodes",
            args.config.display()
        )));
    };
    let judgement = find(args, &config, &run)?;
    let uid = Uid(args.uid);
    let Some(evidence) = judgement.evidence_of(uid) else {
        let seen = judgement.evidence.peers.iter().map(|peer| peer.uid.to_string());
        return Err(Failure::usage(format!(
            "the judgement on window {} says nothing about uid {uid}; it is about {}",
            args.window,
            seen.collect::<Vec<_>>().join(", ")
        )));
    };
    let replay = match args.replay {
        true => Some(replay::replay(&config, &run, &judgement, evidence)?),
        false => None,
    };
    let explained = Explained {
        window: args.window,
        validator: judgement.validator,
        parent_root: judgement.evidence.parent_root,
        evidence: evidence.clone(),
        standing: judgement.standing_of(uid).cloned(),
        replay,
    };
    match args.json {
        true => stdout::print_json(&explained)?,
        false => stdout::print(|out| out.write_all(text(&judgement, &explained).as_bytes()))?,
    }
    match explained.replay {
        Some(replay) if !replay.agrees => Err(Failure::ours(format!(
            "measured again, losses differ by up to {} nats, more than the {} that machines may; \
             the evidence is not what this contribution does",
            replay.difference_nats_max, replay.tolerance_nats
        ))),
        _ => Ok(()),
    }
}

/// The judgement that was asked for, its signature checked.
fn find(args: &ExplainArgs, config: &Config, run: &RunDescription) -> Result<Judgement, Failure> {
    let window = Window(args.window - 1);
    let is_wanted = |judgement: &Judgement| {
        judgement.run == run.id()
            && judgement.evidence.window == window
            && args.validator.is_none_or(|validator| validator == judgement.validator)
    };
    if let Some(text) = FolderArchive::of(&config.dir()).judgement(window)? {
        let kept = SignedJudgement::parse(&text)
            .map_err(|error| Failure::damaged(format!("the kept {error}")))?;
        if is_wanted(kept.document()) {
            return Ok(kept.into_document());
        }
    }
    let published = setup::block_on(published(config, run, window))?;
    published.into_iter().find(is_wanted).ok_or_else(|| {
        Failure::precondition(format!(
            "nobody has a judgement on window {}; validators judge a window while the next one \
             goes on, and none in which they were away",
            args.window
        ))
    })
}

/// What validators published about `window`, the one with the most stake first.
async fn published(
    config: &Config,
    run: &RunDescription,
    window: Window,
) -> Result<Vec<Judgement>, Failure> {
    let (chain, netuid) = (config.open_chain()?, Netuid(config.network.netuid));
    let opener = |place: &str| bucket::Bucket::open_public(&place.parse()?);
    let mut directory = Directory::new(std::sync::Arc::new(opener));
    directory.update(&chain.metagraph(netuid)?, chain.commitments(netuid)?);
    let hotkeys: Vec<_> = directory.validators().iter().map(|seat| seat.hotkey).collect();
    let bytes_max = JUDGEMENT_BYTES_MAX as u64;
    let limits = Limits { bytes_max, timeout: setup::REQUEST };
    let mut judgements = Vec::new();
    for hotkey in hotkeys {
        let Some(bucket) = directory.bucket(hotkey) else { continue };
        let key = ObjectKey::Judgement { run: run.id(), window, hotkey };
        let Ok(text) = bucket.get(&key, limits).await else { continue };
        let Ok(signed) = SignedJudgement::parse(&text) else { continue };
        judgements.extend(Some(signed.into_document()).filter(|of| of.validator == hotkey));
    }
    Ok(judgements)
}

fn text(judgement: &Judgement, explained: &Explained) -> String {
    let Explained { window, validator, parent_root, evidence, standing, replay } = explained;
    let mut text = format!(
        "uid {} ({}) in window {window}, judged and signed by {validator}\n\
         measured at state {parent_root}\n",
        evidence.uid, evidence.hotkey
    );
    let mut say = |line: String| text.extend([line.as_str(), "\n"]);
    match &evidence.rejection {
        Some(reason) => say(format!("it does not count: {} ({reason})", reason.code())),
        None => say("it counts".to_string()),
    }
    if let Some(effect) = &evidence.effect {
        say(format!(
            "{:<9} {:>9} {:>7} {:>12} {:>12}",
            "sample", "of", "tokens", "before", "after"
        ));
        let nats = |loss: Loss| loss.nats().map_or("none".to_string(), |nats| format!("{nats:.6}"));
        let mut row = |sample, of, tokens, before, after| {
            let (before, after) = (nats(before), nats(after));
            say(format!("{sample:<9} {of:>9} {tokens:>7} {before:>12} {after:>12}"));
        };
        for pair in &effect.assigned {
            row(pair.sample, "assigned", pair.tokens, pair.before, pair.after);
        }
        for (probe, after) in judgement.evidence.random.iter().zip(&effect.random_after) {
            row(probe.sample, "random", probe.tokens, probe.before, *after);
        }
    } else {
        say("it was not measured in this window".to_string());
    }
    if let Some(standing) = standing {
        let score = |score: Option<LossScore>| match score {
            Some(LossScore { mean, error: Some(error) }) => format!("{mean:+.6} ± {error:.6}"),
            Some(LossScore { mean, error: None }) => format!("{mean:+.6}"),
            None => "none".to_string(),
        };
        let measured = if evidence.effect.is_some() { "" } else { " (of an earlier window)" };
        say(format!(
            "loss score{measured}: {} on assigned, {} on random samples",
            score(standing.assigned),
            score(standing.random)
        ));
        say(format!(
            "rating {:.2} ± {:.2}, proof {:+.3}, effort {:.3}: score {:.4}, place {}, weight \
             {:.2} %",
            standing.mu,
            standing.sigma,
            standing.proof,
            standing.effort,
            standing.score,
            format!("{:?}", standing.place).to_lowercase(),
            100.0 * standing.weight
        ));
        let rules: Vec<_> = standing.penalties.iter().map(|penalty| name(*penalty)).collect();
        let rules = if rules.is_empty() { "none".to_string() } else { rules.join(", ") };
        say(format!("penalties in this window: {rules}"));
    }
    if let Some(replay) = replay {
        say(replay.text());
    }
    text
}
