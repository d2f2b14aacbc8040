//! From what was judged in a window to scores, and from scores to who counts and who is paid.
//!
//! A window's contributions are measured while the next window goes on, and nobody waits for it: if
//! the next window is judged before all are measured, the others are not. What was found is kept
//! and published as a signed judgement, from which anybody can compute the same scores.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bucket::{Bytes, ObjectKey};
use gauntlet::rules::{ASSIGNED_PROBES, MEASURED_STEP, RANDOM_PROBES};
use gauntlet::{Book, Secret, Terms, assigned_probes, oversized, random_probes};
use model::LossMeter;
use runtime::Device;
use runtime::dataset::Dataset;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use wire::{
    Digest, Document, Evidence, Hotkey, Judgement, Place, Rejected, Rejection, SignedJudgement,
    Standing, StateRoot, Uid, Window, protocol,
};

use super::archive::Archive;
use super::ballot::Ballot;
use super::case::{Case, Entry, Found, Samples, Turn};
use super::equivocation::look_again;
use super::judge::{Judged, Sound};
use super::originals::Originals;
use crate::failure::Failure;
use crate::node::{Node, Replica};
use crate::train::assignment;

/// How a validator scores.
pub(crate) struct Scoring {
    /// What it keeps.
    pub(crate) archive: Box<dyn Archive>,
    /// Whether it measures beside the windows, or at once, where time stands still meanwhile.
    pub(crate) is_aside: bool,
}

/// The book as it is kept, and the judgement that it includes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    book: Book,
    last: Option<(Window, Digest)>,
}

/// Scores a validator's windows.
pub(super) struct Referee {
    snapshot: Snapshot,
    secret: Secret,
    scoring: Scoring,
    meter: Arc<Mutex<LossMeter>>,
    samples: Arc<Samples>,
    originals: Originals,
    running: Option<Running>,
    ballot: Ballot,
}

/// A window that is being measured.
struct Running {
    case: Arc<Case>,
    stop: Arc<AtomicBool>,
    found: Finding,
}

enum Finding {
    Made(Found),
    Awaited(JoinHandle<Found>),
}

impl Referee {
    /// The referee of `node`, with what an earlier life of it left in the archive.
    pub(super) fn new(
        node: &Node,
        dataset: Arc<Dataset>,
        device: &Device,
        scoring: Scoring,
    ) -> Result<Self, Failure> {
        let run = &node.run;
        let meter = LossMeter::new(device, &run.model, &run.outer, MEASURED_STEP)?
            .with_document_masks(run.documents.masks);
        let terms = Terms { burn_uid: node.burn_uid(), ..Terms::default() };
        let snapshot = recall(scoring.archive.as_ref(), terms)?;
        // Nobody else can sign this, and whoever has the key can again.
        let secret = blake3::hash(&node.keypair.sign(b"the secret of this validator's samples").0);
        Ok(Self {
            snapshot,
            secret: Secret::new(*secret.as_bytes()),
            scoring,
            meter: Arc::new(Mutex::new(meter)),
            samples: Arc::new(Samples::new(run, dataset)),
            originals: Originals::default(),
            running: None,
            ballot: Ballot::new(),
        })
    }

    /// Takes out of `judged` what is copied or oversized, and whatever there is no room for; the
    /// case that is to be measured.
    pub(super) fn sift(
        &mut self,
        node: &Node,
        judged: &mut Judged,
        (window, parent_root): (Window, StateRoot),
    ) -> Result<Case, Failure> {
        let copies = self.originals.copies(&judged.accepted, &node.shape, &self.secret, window)?;
        judged.reject(|sound| copies.get(&sound.uid).cloned());
        let norms = judged.accepted.iter().map(|sound| (sound.uid, sound.body.whole_norm()));
        let oversized = oversized(&norms.collect::<Vec<_>>());
        judged.reject(|sound| oversized.get(&sound.uid).cloned());
        let sound: Vec<(Uid, Hotkey)> =
            judged.accepted.iter().map(|sound| (sound.uid, sound.hotkey)).collect();
        let mut entries: Vec<Entry> = judged.accepted.iter().map(Entry::from).collect();
        let selection = self.snapshot.book.select(&sound, &self.secret, window);
        let left_out = |uid| selection.left_out.iter().find(|left: &&Rejected| left.uid == uid);
        judged.reject(|sound| left_out(sound.uid).map(|left| left.reason.clone()));
        for Rejected { uid, reason } in &judged.rejected {
            match entries.iter_mut().find(|entry| entry.uid == *uid) {
                Some(entry) => entry.rejection = Some(reason.clone()),
                None => entries.extend(Entry::refused(node, *uid, reason)),
            }
        }
        entries.sort_by_key(|entry| entry.uid);
        let random =
            random_probes(&self.secret, window, self.samples.dataset.samples(), RANDOM_PROBES);
        let turns = self.turns(node, &entries, &sound, window)?;
        Ok(Case { window, parent_root, entries, random, turns })
    }

    /// The contributions of `uids` are what counts of `window`.
    pub(super) fn count(&mut self, window: Window, uids: &BTreeSet<Uid>) {
        self.originals.count(window, uids);
    }

    /// Peers that are away or barred.
    pub(super) fn gone(&self) -> BTreeSet<Uid> {
        let standings = self.snapshot.book.standings().into_iter();
        let is_gone = |standing: &Standing| matches!(standing.place, Place::Away | Place::Barred);
        standings.filter(is_gone).map(|standing| standing.uid).collect()
    }

    /// Who is measured, and on which of their own samples.
    fn turns(
        &self,
        node: &Node,
        entries: &[Entry],
        sound: &[(Uid, Hotkey)],
        window: Window,
    ) -> Result<Vec<Turn>, Failure> {
        let (book, secret) = (&self.snapshot.book, &self.secret);
        let order = book.to_measure(sound, sound.len(), secret, window);
        let turn = |uid: Uid| -> Result<Turn, Failure> {
            let entry = entries.iter().position(|entry| entry.uid == uid).expect("it is sound");
            let trained = assignment(&node.run, &self.samples.dataset, uid, window)?;
            let (trained, hotkey) = (trained.samples(), entries[entry].hotkey);
            let count = trained.len() as u64;
            let places = assigned_probes(secret, window, hotkey, count, ASSIGNED_PROBES);
            let mut assigned: Vec<u64> =
                places.into_iter().map(|place| trained[place as usize]).collect();
            assigned.sort_unstable();
            Ok(Turn { entry, assigned })
        };
        order.into_iter().map(turn).collect()
    }

    /// Begins to measure `case`, whose contributions were trained from `parent`. What is left of
    /// the case before it is not measured any more.
    pub(super) async fn begin(
        &mut self,
        node: &mut Node,
        case: Case,
        parent: &Replica,
    ) -> Result<(), Failure> {
        if let Some(running) = &self.running {
            running.stop.store(true, Ordering::Relaxed);
        }
        self.absorb(node).await?;
        let params = parent.read();
        lock(&self.meter).take(params.as_host().expect("replicas live on the CPU"));
        drop(params);
        let (case, stop) = (Arc::new(case), Arc::new(AtomicBool::new(false)));
        let work = {
            let (meter, samples) = (Arc::clone(&self.meter), Arc::clone(&self.samples));
            let (case, stop) = (Arc::clone(&case), Arc::clone(&stop));
            move || case.measure(&mut lock(&meter), &*samples, &stop)
        };
        let found = match self.scoring.is_aside {
            true => Finding::Awaited(tokio::task::spawn_blocking(work)),
            false => Finding::Made(work()),
        };
        self.running = Some(Running { case, stop, found });
        Ok(())
    }

    /// The window turned out to be another one than this validator judged: what was measured is
    /// about nothing.
    pub(super) fn forget(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Takes in what was measured, if that is done, and votes, if that is due.
    pub(super) async fn look(&mut self, node: &mut Node) -> Result<(), Failure> {
        let is_done = self.running.as_ref().is_some_and(|running| match &running.found {
            Finding::Made(_) => true,
            Finding::Awaited(task) => task.is_finished(),
        });
        if is_done {
            self.absorb(node).await?;
        }
        self.ballot.cast(node, &self.snapshot.book);
        Ok(())
    }

    /// Waits for what is being measured and takes it in.
    pub(super) async fn absorb(&mut self, node: &mut Node) -> Result<(), Failure> {
        let Some(Running { case, found, .. }) = self.running.take() else { return Ok(()) };
        let found = match found {
            Finding::Made(found) => found,
            Finding::Awaited(task) => {
                task.await.map_err(|error| Failure::ours(format!("measuring failed: {error}")))?
            }
        };
        let window = case.window.0 + 1;
        for trouble in &found.troubles {
            node.voice.say(&format!("window {window}: {trouble}"));
        }
        if found.measured < case.turns.len() && found.troubles.is_empty() {
            let (measured, of) = (found.measured, case.turns.len());
            node.voice.say(&format!(
                "window {window}: there was time to measure {measured} of {of} peers"
            ));
        }
        let mut evidence = found.evidence;
        look_again(node, &case, &mut evidence).await;
        self.conclude(node, evidence).await?;
        self.ballot.scored(case.window);
        self.ballot.cast(node, &self.snapshot.book);
        Ok(())
    }

    /// Takes in the evidence, and keeps and publishes the judgement.
    async fn conclude(&mut self, node: &mut Node, evidence: Evidence) -> Result<(), Failure> {
        let window = evidence.window;
        if self.snapshot.book.window().is_some_and(|last| last >= window) {
            return Ok(());
        }
        let standings = self.snapshot.book.advance(&evidence);
        let judgement = Judgement {
            version: protocol::JUDGEMENT_VERSION,
            run: node.run_id,
            validator: node.keypair.hotkey(),
            previous: self.snapshot.last,
            evidence,
            standings,
        };
        let hash = judgement.hash();
        let text = SignedJudgement::sign(judgement, &node.keypair)?.to_bytes();
        self.scoring.archive.keep_judgement(window, &text)?;
        self.snapshot.last = Some((window, hash));
        let book = serde_json::to_vec(&self.snapshot).expect("a book is plain data");
        self.scoring.archive.keep_book(&book)?;
        let (run, hotkey) = (node.run_id, node.keypair.hotkey());
        let key = ObjectKey::Judgement { run, window, hotkey };
        let deadline = node.head();
        node.put_until(&key, Bytes::from(text), deadline).await?;
        Ok(())
    }
}

impl From<&Sound> for Entry {
    fn from(sound: &Sound) -> Self {
        Self {
            uid: sound.uid,
            hotkey: sound.hotkey,
            object: Some(sound.object.hash),
            rejection: None,
            body: Some(sound.body.clone()),
            modified_ms: sound.modified_ms,
        }
    }
}

impl Entry {
    /// A peer whose contribution is at fault; none if its seat is gone.
    fn refused(node: &Node, uid: Uid, reason: &Rejection) -> Option<Self> {
        let hotkey = node.directory.seat(uid)?.hotkey;
        let (object, rejection, body) = (None, Some(reason.clone()), None);
        Some(Self { uid, hotkey, object, rejection, body, modified_ms: 0 })
    }
}

/// The book of an earlier life, with every judgement that it does not include yet.
fn recall(archive: &dyn Archive, terms: Terms) -> Result<Snapshot, Failure> {
    let empty = || Snapshot { book: Book::new(terms), last: None };
    let kept = archive.book()?.and_then(|text| serde_json::from_slice(&text).ok());
    let mut snapshot: Snapshot = kept.unwrap_or_else(empty);
    let next = snapshot.book.window().map_or(Window(0), Window::next);
    for text in archive.judgements(next)? {
        let judgement = SignedJudgement::parse(&text)
            .map_err(|error| Failure::damaged(format!("a kept {error}")))?
            .into_document();
        snapshot.last = Some((judgement.evidence.window, judgement.hash()));
        replay(&mut snapshot.book, &judgement)?;
    }
    Ok(snapshot)
}

/// Takes in the evidence of `judgement`, which must lead to its standings.
pub(crate) fn replay(book: &mut Book, judgement: &Judgement) -> Result<(), Failure> {
    let window = judgement.evidence.window.0 + 1;
    match book.advance(&judgement.evidence) == judgement.standings {
        true => Ok(()),
        false => Err(Failure::damaged(format!(
            "the judgement on window {window} does not follow from its evidence and those before; \
             it was made by other rules, or one is missing"
        ))),
    }
}

fn lock(meter: &Mutex<LossMeter>) -> std::sync::MutexGuard<'_, LossMeter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use wire::{Keypair, PeerEvidence, RunId};

    use super::super::archive::MemoryArchive;
    use super::*;

    fn evidence(window: u64) -> Evidence {
        let peer = |uid: u16| PeerEvidence {
            uid: Uid(uid),
            hotkey: Hotkey([uid as u8; 32]),
            object: None,
            // One of the two is away in every third window.
            rejection: (uid == 2 && window.is_multiple_of(3)).then_some(Rejection::Missing {}),
            effect: None,
        };
        Evidence {
            window: Window(window),
            parent_root: StateRoot([0; 32]),
            random: Vec::new(),
            peers: vec![peer(1), peer(2)],
        }
    }

    /// Judgements on the first `windows` windows, kept with the book after `booked` of them.
    fn archive(windows: u64, booked: u64) -> (MemoryArchive, Book) {
        let (key, archive) = (Keypair::from_seed([1; 32]), MemoryArchive::default());
        let mut snapshot = Snapshot { book: Book::new(Terms::default()), last: None };
        for window in 0..windows {
            let evidence = evidence(window);
            let standings = snapshot.book.advance(&evidence);
            let (version, run) = (protocol::JUDGEMENT_VERSION, RunId([3; 32]));
            let (validator, previous) = (key.hotkey(), snapshot.last);
            let judgement = Judgement { version, run, validator, previous, evidence, standings };
            snapshot.last = Some((Window(window), judgement.hash()));
            let text = SignedJudgement::sign(judgement, &key).unwrap().to_bytes();
            archive.keep_judgement(Window(window), &text).unwrap();
            if window + 1 == booked {
                archive.keep_book(&serde_json::to_vec(&snapshot).unwrap()).unwrap();
            }
        }
        (archive, snapshot.book)
    }

    #[test]
    fn whoever_is_killed_before_the_book_is_kept_goes_on_with_the_same_one() {
        for booked in [0, 1, 6, 7] {
            let (archive, whole) = archive(7, booked);
            let found = recall(&archive, Terms::default()).unwrap();
            assert_eq!(found.book, whole, "the book was kept after {booked} windows");
            assert_eq!(found.last.map(|(window, _)| window), Some(Window(6)));
        }
    }

    #[test]
    fn a_book_that_does_not_read_is_made_anew_from_all_judgements() {
        let (archive, whole) = archive(5, 5);
        archive.keep_book(b"{\"book\":").unwrap();
        assert_eq!(recall(&archive, Terms::default()).unwrap().book, whole);
    }

    #[test]
    fn a_judgement_that_does_not_follow_from_its_evidence_is_refused() {
        let (archive, _) = archive(3, 0);
        let text = &archive.judgements(Window(1)).unwrap()[0];
        let mut judgement = SignedJudgement::parse(text).unwrap().into_document();
        judgement.standings[0].mu += 1.0;
        let text = SignedJudgement::sign(judgement, &Keypair::from_seed([1; 32])).unwrap();
        archive.keep_judgement(Window(1), &text.to_bytes()).unwrap();
        let refused = recall(&archive, Terms::default()).err().expect("it was changed");
        assert!(refused.message.contains("window 2 does not follow"), "{}", refused.message);
    }
}
