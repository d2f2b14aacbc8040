//! `cov72 sim --gallery`: honest peers with every kind of attacker in turn, and what came of it, as
//! the table of docs/gauntlet.md.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use wire::{Judgement, Penalty, SignedJudgement, Uid, Window};

use super::script::Kind as Trouble;
use super::stage::{Scale, Stage, Subject};
use super::{Setting, perform};
use crate::attack::Kind;
use crate::failure::Failure;
use crate::localnet::standings::name;
use crate::stdout;
use crate::validate::Archive;

/// The window, counted from 1, by which attackers must be known.
const KNOWN_BY: u64 = 30;
/// Last windows whose loss is compared.
const LOSS_WINDOWS: usize = 8;
/// Attackers of the mixed run, each of another kind.
const MIXED: [Kind; 8] = [
    Kind::FreeloaderRandom,
    Kind::CopycatPerturbed,
    Kind::SignFlip,
    Kind::Scaled100,
    Kind::WrongData,
    Kind::Poison,
    Kind::Lazy,
    Kind::OnOff,
];

/// Who joins the honest peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Company {
    /// For the loss of a run with the model that this subject takes.
    Nobody(Subject),
    One(Kind),
    /// [`MIXED`], with churn and storage faults.
    Mixed,
}

impl Company {
    fn joining(self) -> Vec<Kind> {
        match self {
            Self::Nobody(_) => Vec::new(),
            Self::One(kind) => vec![kind; kind.peers()],
            Self::Mixed => MIXED.to_vec(),
        }
    }

    fn subject(self) -> Subject {
        match self {
            Self::Nobody(subject) => subject,
            _ => Subject::against(self.joining()),
        }
    }
}

/// What one simulation came to, by one of its validators.
#[derive(Clone, Debug)]
struct Outcome {
    /// Share of what was paid that honest peers got by [`KNOWN_BY`], and in the end.
    honest_known: f64,
    honest_end: f64,
    /// The largest share of an attacker and the smallest of an honest peer, in the end.
    attacker_max: f64,
    honest_min: f64,
    /// Penalties of honest peers other than for what did not come in time, and for that.
    accused: u64,
    missed: u64,
    /// Honest peers times windows.
    honest_windows: u64,
    loss: f64,
    /// What attackers were penalised for.
    caught: BTreeSet<&'static str>,
    /// Order of honest peers, best first, and everyone who does not count.
    order: Vec<Uid>,
    excluded: BTreeSet<Uid>,
}

/// Plays all of it and prints the table.
pub(super) fn run(scale: Scale, seeds: Range<u64>, data: &Path) -> Result<(), Failure> {
    let one = |kind: &Kind| Company::One(*kind);
    let clean = [Company::Nobody(Subject::Lesson), Company::Nobody(Subject::Copies)];
    let companies = clean.into_iter().chain([Company::Mixed]);
    let companies: Vec<Company> = companies.chain(Kind::value_variants().iter().map(one)).collect();
    let jobs: Vec<(Company, u64)> =
        seeds.flat_map(|seed| companies.iter().map(move |company| (*company, seed))).collect();
    let results = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), Failure> {
        while let Some((company, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = play(scale, *company, *seed, data)?;
            eprintln!("{}", line(*company, *seed, &result[0]));
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.insert((*company, *seed), result);
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(Failure::ours("a simulation panicked")))
        })
    })?;
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    stdout::print(|out| out.write_all(table(&companies, &results).as_bytes()))
}

/// One simulation, as each validator saw it.
fn play(honest: Scale, company: Company, seed: u64, data: &Path) -> Result<Vec<Outcome>, Failure> {
    let joining = company.joining();
    let first = honest.validators + honest.peers;
    let setting = Setting {
        scale: Scale { peers: honest.peers + joining.len(), subject: company.subject(), ..honest },
        kinds: match company {
            Company::Mixed => vec![Trouble::LateJoin, Trouble::Kill, Trouble::Storage],
            _ => Vec::new(),
        },
        faults: None,
        attacks: joining.iter().enumerate().map(|(at, kind)| (first + at, *kind)).collect(),
    };
    let stage = perform(&setting, seed, data)?.stage;
    let archives = stage.archives.iter();
    archives.map(|archive| result(&stage, &archive.judgements(Window(0))?)).collect()
}

fn result(stage: &Stage, texts: &[Vec<u8>]) -> Result<Outcome, Failure> {
    let parse = |text: &Vec<u8>| -> Result<Judgement, Failure> {
        Ok(SignedJudgement::parse(text)?.into_document())
    };
    let judgements = texts.iter().map(parse).collect::<Result<Vec<_>, Failure>>()?;
    let Some(last) = judgements.last() else {
        return Err(Failure::ours("a validator of a simulation judged nothing"));
    };
    let uids: BTreeSet<Uid> = last.standings.iter().map(|standing| standing.uid).collect();
    let crooks: BTreeSet<Uid> =
        uids.iter().copied().filter(|uid| stage.attack_of(*uid).is_some()).collect();
    let honest_share = |judgement: &Judgement| {
        let share = |honest: bool| {
            let all = judgement.standings.iter();
            let chosen = all.filter(|standing| honest != crooks.contains(&standing.uid));
            chosen.map(|standing| standing.weight).sum::<f64>()
        };
        let (honest, crooked) = (share(true), share(false));
        if honest + crooked > 0.0 { honest / (honest + crooked) } else { 0.0 }
    };
    let known = judgements.iter().rev().find(|judgement| judgement.evidence.window.0 < KNOWN_BY);
    let (mut accused, mut missed, mut caught) = (0, 0, BTreeSet::new());
    for standing in judgements.iter().flat_map(|judgement| &judgement.standings) {
        for penalty in &standing.penalties {
            match (crooks.contains(&standing.uid), penalty) {
                (true, penalty) => drop(caught.insert(name(*penalty))),
                (false, Penalty::Missed { .. }) => missed += 1,
                (false, Penalty::Forgotten {} | Penalty::Unreliable {}) => {}
                (false, _) => accused += 1,
            }
        }
    }
    let paid: f64 = last.standings.iter().map(|standing| standing.weight).sum();
    let share = |standing: &wire::Standing| standing.weight / paid.max(f64::MIN_POSITIVE);
    let (dishonest, honest): (Vec<_>, Vec<_>) =
        last.standings.iter().partition(|standing| crooks.contains(&standing.uid));
    let mut order = honest.clone();
    order.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.uid.cmp(&b.uid)));
    let is_out = |standing: &&wire::Standing| {
        matches!(standing.place, wire::Place::Barred | wire::Place::Excluded | wire::Place::Away)
    };
    Ok(Outcome {
        honest_known: known.map_or(0.0, honest_share),
        honest_end: honest_share(last),
        attacker_max: dishonest.iter().map(|standing| share(standing)).fold(0.0, f64::max),
        honest_min: honest.iter().map(|standing| share(standing)).fold(1.0, f64::min),
        accused,
        missed,
        honest_windows: (honest.len() * judgements.len()) as u64,
        loss: loss(&judgements),
        caught,
        order: order.iter().map(|standing| standing.uid).collect(),
        excluded: last.standings.iter().filter(is_out).map(|standing| standing.uid).collect(),
    })
}

/// Mean loss of the shared parameters on the random samples of the last windows, nats per token.
fn loss(judgements: &[Judgement]) -> f64 {
    let last = judgements.iter().rev().take(LOSS_WINDOWS);
    let losses = last.flat_map(|judgement| &judgement.evidence.random);
    let losses: Vec<f64> = losses.filter_map(|probe| probe.before.nats()).collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

fn named(company: Company) -> String {
    match company {
        Company::Nobody(Subject::Copies) => "nobody, larger model".to_string(),
        Company::Nobody(_) => "nobody".to_string(),
        Company::One(kind) => kind.name(),
        Company::Mixed => "eight kinds, churn, faults".to_string(),
    }
}

fn line(company: Company, seed: u64, result: &Outcome) -> String {
    let Outcome { honest_known, honest_end, attacker_max, honest_min, accused, loss, .. } = result;
    format!(
        "{:<28} seed {seed}: honest {honest_known:.3} -> {honest_end:.3}, attacker \
         {attacker_max:.4} against {honest_min:.4}, accused {accused}, loss {loss:.4}",
        named(company)
    )
}

/// Kendall's tau of two orders of the same peers.
fn tau(one: &[Uid], other: &[Uid]) -> f64 {
    let place = |uid: &Uid| other.iter().position(|of| of == uid);
    let places: Vec<usize> = one.iter().filter_map(place).collect();
    let pairs = || (0..places.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let (all, agreed) = (pairs().count(), pairs().filter(|(a, b)| places[*a] < places[*b]).count());
    if all == 0 { 1.0 } else { 2.0 * agreed as f64 / all as f64 - 1.0 }
}

fn table(companies: &[Company], results: &BTreeMap<(Company, u64), Vec<Outcome>>) -> String {
    let mut text = String::from(
        "| joined by | honest share, window 30 | in the end | attacker's largest share | smallest \
         honest share | honest peers accused | late | loss against clean | tau | same exclusions | \
         penalised for |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---|\n",
    );
    for company in companies {
        let of: Vec<(u64, &Vec<Outcome>)> =
            results.iter().filter(|((c, _), _)| c == company).map(|((_, s), r)| (*s, r)).collect();
        let firsts = || of.iter().map(|(_, seen)| &seen[0]);
        let count = of.len().max(1) as f64;
        let mean = |of: &dyn Fn(&Outcome) -> f64| firsts().map(of).sum::<f64>() / count;
        let clean = |(seed, seen): &(u64, &Vec<Outcome>)| {
            let clean = results.get(&(Company::Nobody(company.subject()), *seed))?;
            Some(seen[0].loss / clean[0].loss - 1.0)
        };
        let ratios: Vec<f64> = of.iter().filter_map(clean).collect();
        let caught: BTreeSet<&str> = firsts().flat_map(|of| of.caught.iter().copied()).collect();
        let pairs: Vec<_> = of.iter().filter(|(_, seen)| seen.len() > 1).collect();
        let taus = pairs.iter().map(|(_, seen)| tau(&seen[0].order, &seen[1].order));
        let (tau, same) = match pairs.len() {
            0 => ("-".to_string(), "-".to_string()),
            some => {
                let tau = taus.sum::<f64>() / some as f64;
                let same = pairs.iter().filter(|(_, seen)| seen[0].excluded == seen[1].excluded);
                (format!("{tau:.2}"), format!("{} of {some}", same.count()))
            }
        };
        let share = |of: &dyn Fn(&Outcome) -> u64| {
            let all: u64 = firsts().map(|of| of.honest_windows).sum();
            100.0 * firsts().map(of).sum::<u64>() as f64 / all.max(1) as f64
        };
        text += &format!(
            "| {} | {:.1} % | {:.1} % | {:.2} % | {:.2} % | {:.2} % | {:.1} % | {:+.2} % | {tau} | \
             {same} | {} |\n",
            named(*company),
            100.0 * mean(&|of| of.honest_known),
            100.0 * mean(&|of| of.honest_end),
            100.0 * firsts().map(|of| of.attacker_max).fold(0.0, f64::max),
            100.0 * firsts().map(|of| of.honest_min).fold(1.0, f64::min),
            share(&|of| of.accused),
            share(&|of| of.missed),
            100.0 * ratios.iter().sum::<f64>() / ratios.len().max(1) as f64,
            caught.into_iter().collect::<Vec<_>>().join(", "),
        );
    }
    text
}
