//! Where the peers of a network stand in the end, by the judgements that its first validator keeps.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use wire::{LossScore, Penalty, Place, Rejection, Role, SignedJudgement, Uid, Window};

use crate::failure::Failure;
use crate::validate::{Archive, FolderArchive};

/// One peer. The contract of `localnet --json`: other tools rely on these keys.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StandingRow {
    pub(crate) uid: Uid,
    pub(crate) role: Role,
    /// How it attacks, if it was told to.
    pub(crate) attack: Option<String>,
    place: Place,
    /// Loss scores when it was last measured, relative to the loss before.
    score_assigned: Option<f64>,
    score_random: Option<f64>,
    /// Mean of its rating less three deviations.
    pub(crate) rating: f64,
    /// Share of its contributions that started from the shared parameters.
    sync: Option<f64>,
    /// Share of the weights, before what is burned.
    pub(crate) weight: f64,
    /// Everything that cost it something.
    pub(crate) penalties: Vec<PenaltyRow>,
}

/// A rule that cost a peer something.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PenaltyRow {
    /// Counted from 1.
    pub(crate) window: u64,
    #[serde(flatten)]
    pub(crate) penalty: Penalty,
}

/// What the judgements under the run folder `dir` come to; nothing if there are none.
pub(crate) fn standings_in(dir: &Path) -> Result<Vec<StandingRow>, Failure> {
    let texts = FolderArchive::of(dir).judgements(Window(0))?;
    standings(&texts)
}

/// What the judgements `texts`, the oldest first, come to.
pub(crate) fn standings(texts: &[Vec<u8>]) -> Result<Vec<StandingRow>, Failure> {
    let mut penalties: BTreeMap<Uid, Vec<PenaltyRow>> = BTreeMap::new();
    let mut delivered: BTreeMap<Uid, (u64, u64)> = BTreeMap::new();
    let mut newest = Vec::new();
    for text in texts {
        let judgement = SignedJudgement::parse(text)
            .map_err(|error| Failure::damaged(format!("a kept {error}")))?
            .into_document();
        let window = judgement.evidence.window.0 + 1;
        for peer in &judgement.evidence.peers {
            let is_astray = matches!(peer.rejection, Some(Rejection::OtherParent { .. }));
            let (sound, all) = delivered.entry(peer.uid).or_default();
            *sound += u64::from(!peer.is_at_fault());
            *all += u64::from(!peer.is_at_fault() || is_astray);
        }
        for standing in &judgement.standings {
            let rows = standing.penalties.iter();
            let rows = rows.map(|penalty| PenaltyRow { window, penalty: *penalty });
            penalties.entry(standing.uid).or_default().extend(rows);
        }
        newest = judgement.standings;
    }
    let paid: f64 = newest.iter().map(|standing| standing.weight).sum();
    let row = |standing: wire::Standing| {
        let uid = standing.uid;
        let mean = |score: Option<LossScore>| score.map(|score| score.mean);
        let sync = delivered.get(&uid).filter(|(_, all)| *all > 0);
        StandingRow {
            uid,
            role: Role::Miner,
            attack: None,
            place: standing.place,
            score_assigned: mean(standing.assigned),
            score_random: mean(standing.random),
            rating: standing.mu - 3.0 * standing.sigma,
            sync: sync.map(|(sound, all)| *sound as f64 / *all as f64),
            weight: if paid > 0.0 { standing.weight / paid } else { 0.0 },
            penalties: penalties.remove(&uid).unwrap_or_default(),
        }
    };
    Ok(newest.into_iter().map(row).collect())
}

/// The table for a person.
pub(crate) fn table(rows: &[StandingRow]) -> String {
    let mut text = format!(
        "{:>4}  {:<14} {:<9} {:>9} {:>9} {:>7} {:>6} {:>8}  penalties\n",
        "uid", "attack", "place", "assigned", "random", "rating", "sync", "weight"
    );
    for row in rows {
        let score = |score: Option<f64>| {
            score.map_or("-".to_string(), |score| format!("{:+.3} %", 100.0 * score))
        };
        let sync = row.sync.map_or("-".to_string(), |sync| format!("{:.0} %", 100.0 * sync));
        let place = format!("{:?}", row.place).to_lowercase();
        let _ = writeln!(
            text,
            "{:>4}  {:<14} {:<9} {:>9} {:>9} {:>7.1} {:>6} {:>6.1} %  {}",
            row.uid.to_string(),
            row.attack.as_deref().unwrap_or("-"),
            place,
            score(row.score_assigned),
            score(row.score_random),
            row.rating,
            sync,
            100.0 * row.weight,
            summary(&row.penalties),
        );
    }
    text
}

/// Each kind of penalty once, with how often it fell.
fn summary(penalties: &[PenaltyRow]) -> String {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for row in penalties {
        *counts.entry(name(row.penalty)).or_default() += 1;
    }
    let told: Vec<_> = counts.iter().map(|(name, count)| format!("{name} x{count}")).collect();
    if told.is_empty() { "-".to_string() } else { told.join(", ") }
}

/// What a penalty is called, as in judgements.
pub(crate) fn name(penalty: Penalty) -> &'static str {
    match penalty {
        Penalty::NewHotkey {} => "new_hotkey",
        Penalty::Missed { .. } => "missed",
        Penalty::Forgotten {} => "forgotten",
        Penalty::Unreliable {} => "unreliable",
        Penalty::Malformed {} => "malformed",
        Penalty::Diverged {} => "diverged",
        Penalty::Harmful {} => "harmful",
        Penalty::Copied { .. } => "copied",
        Penalty::CopiedAgain {} => "copied_again",
        Penalty::Equivocated {} => "equivocated",
    }
}
