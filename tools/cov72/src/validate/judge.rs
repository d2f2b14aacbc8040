//! The fast verdict on a window: who delivered in time, and whether what they sent is what it must
//! be. Loss is not measured here; see the Gauntlet.

use std::collections::{BTreeMap, HashMap};

use bucket::{Bucket, BucketError, Fetch, FetchFault, ObjectKey, Sources, Spool, Spooled};
use futures::StreamExt;
use gauntlet::copies::Priority;
use model::sparseloco::CheckedBody;
use runtime::dataset::Dataset;
use tokio::time::Instant;
use wire::contribution::HEADER_BYTES;
use wire::{
    BlockNumber, Content, Digest, Expected, ForeignText, Header, Hotkey, PartFault, ReadAt,
    Rejected, Rejection, SampleDigest, Span, StateRoot, Uid, Window,
};

use super::patience::Patience;
use crate::failure::Failure;
use crate::node::{Node, Pace, Seat};
use crate::train::assignment;

/// Downloads under way at once.
const IN_FLIGHT: usize = 8;

/// A contribution that passed every check.
pub(super) struct Sound {
    pub(super) uid: Uid,
    pub(super) hotkey: Hotkey,
    pub(super) object: Content,
    pub(super) body: CheckedBody<Spooled>,
    pub(super) modified_ms: u64,
    /// Its claim to have been there before others.
    pub(super) priority: Priority,
    body_hash: Digest,
}

/// What a window came to, both by ascending uid.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) accepted: Vec<Sound>,
    pub(super) rejected: Vec<Rejected>,
}

impl Judged {
    /// Refuses what `why` has a reason against.
    pub(super) fn reject(&mut self, why: impl Fn(&Sound) -> Option<Rejection>) {
        for sound in std::mem::take(&mut self.accepted) {
            match why(&sound) {
                Some(reason) => self.rejected.push(Rejected { uid: sound.uid, reason }),
                None => self.accepted.push(sound),
            }
        }
        self.rejected.sort_unstable_by_key(|rejected| rejected.uid);
    }
}

/// What is known of one seat's contribution so far.
enum Progress {
    Awaited,
    Silent,
    Arrived(Box<Sound>),
    /// Refused for what it held, but read only once: a fault of the way here looks the same.
    Doubted(Digest, Rejection),
    Refused(Rejection),
}

/// Waits for the contributions to the window of `span` and judges each as it arrives.
pub(super) async fn judge(
    node: &mut Node,
    dataset: &Dataset,
    parent_root: StateRoot,
    span: Span,
    patience: &mut Patience,
) -> Result<Judged, Failure> {
    let since = Instant::now();
    let mut seats: BTreeMap<Uid, (Hotkey, Progress)> = BTreeMap::new();
    let mut arrivals_s: BTreeMap<Uid, f64> = BTreeMap::new();
    loop {
        take_seats(node, &mut seats);
        let fetched = fetch(node, span, &seats).await;
        for (uid, hotkey, fetched) in fetched {
            let progress = match fetched {
                Fetched::Nothing => Progress::Awaited,
                // What was read once is known, though the second look found nobody in.
                Fetched::Silence if matches!(seats[&uid].1, Progress::Doubted(..)) => continue,
                Fetched::Silence => Progress::Silent,
                Fetched::Refused(reason) => Progress::Refused(reason),
                Fetched::Failed(failure) => return Err(failure),
                Fetched::Object(object, modified_ms) => {
                    arrivals_s.insert(uid, since.elapsed().as_secs_f64());
                    let of = Origin { uid, hotkey, parent_root, modified_ms };
                    let content = object.content().hash;
                    match check(node, dataset, span, &of, object)? {
                        Ok(sound) => Progress::Arrived(Box::new(sound)),
                        Err(reason) => match &seats[&uid].1 {
                            Progress::Doubted(before, _) if *before == content => {
                                Progress::Refused(reason)
                            }
                            _ => Progress::Doubted(content, reason),
                        },
                    }
                }
            };
            seats.insert(uid, (hotkey, progress));
        }
        if node.head() >= span.deadline || is_over(node, patience, &seats, span, since) {
            break;
        }
        node.pause().await?;
    }
    // Objects were read while others were announced: only now does the directory know of them all,
    // and who was first does not depend on when this node looked.
    node.refresh()?;
    for (_, progress) in seats.values_mut() {
        if let Progress::Arrived(sound) = progress {
            sound.priority = priority(node, span.window, sound);
        }
    }
    seats.keys().for_each(|uid| patience.learn(*uid, arrivals_s.get(uid).copied()));
    Ok(verdicts(seats))
}

/// Miners that are new since the last look.
fn take_seats(node: &Node, seats: &mut BTreeMap<Uid, (Hotkey, Progress)>) {
    for seat in node.directory.seats().filter(|seat| !seat.validator) {
        let progress = match &seat.note {
            None => continue,
            Some((_, Ok(_))) => Progress::Awaited,
            Some((_, Err(fault))) => Progress::Refused(Rejection::NoBucket {
                note: ForeignText::new(&fault.to_string()),
            }),
        };
        let known = seats.get(&seat.uid).is_some_and(|(hotkey, _)| *hotkey == seat.hotkey);
        if !known {
            seats.insert(seat.uid, (seat.hotkey, progress));
        }
    }
}

fn is_over(
    node: &Node,
    patience: &Patience,
    seats: &BTreeMap<Uid, (Hotkey, Progress)>,
    span: Span,
    since: Instant,
) -> bool {
    let (mut delivered, mut missing) = (Vec::new(), Vec::new());
    for (uid, (_, progress)) in seats {
        match progress {
            Progress::Arrived(_) | Progress::Refused(_) => delivered.push(*uid),
            // In the first window of a run nobody has a habit, and everybody is expected.
            _ if span.window.0 == 0 || patience.expects(*uid) => missing.push(*uid),
            _ => {}
        }
    }
    let grace_s = 2.0 * node.pace.poll.as_secs_f64();
    patience.is_over(since.elapsed().as_secs_f64(), grace_s, &delivered, &missing)
}

/// What one look into a bucket gave.
enum Fetched {
    Nothing,
    Silence,
    Refused(Rejection),
    /// This machine cannot keep it.
    Failed(Failure),
    /// An object, and when its storage took it.
    Object(Spooled, u64),
}

/// Looks for every contribution that is still awaited, and again at what is doubted.
async fn fetch(
    node: &mut Node,
    span: Span,
    seats: &BTreeMap<Uid, (Hotkey, Progress)>,
) -> Vec<(Uid, Hotkey, Fetched)> {
    let awaited = seats.iter().filter(|(_, (_, progress))| match progress {
        Progress::Awaited | Progress::Silent | Progress::Doubted(..) => true,
        Progress::Arrived(_) | Progress::Refused(_) => false,
    });
    let awaited: Vec<_> = awaited.map(|(uid, (hotkey, _))| (*uid, *hotkey)).collect();
    let mut looks = Vec::new();
    let (pace, bytes) = (node.pace, node.shape.object_bytes());
    for (uid, hotkey) in awaited {
        let key = ObjectKey::contribution(node.run_id, span.window, hotkey);
        let (source, spool) = (node.directory.bucket(hotkey), &node.spool);
        looks.push(async move {
            let fetched = match source {
                Some(source) => look(&source, &key, bytes, pace, spool).await,
                None => Fetched::Silence,
            };
            (uid, hotkey, fetched)
        });
    }
    futures::stream::iter(looks).buffered(IN_FLIGHT).collect().await
}

async fn look(source: &Bucket, key: &ObjectKey, bytes: u64, pace: Pace, spool: &Spool) -> Fetched {
    let info = match tokio::time::timeout(pace.request, source.head(key)).await {
        Ok(Ok(info)) => info,
        Ok(Err(BucketError::NotFound { .. })) => return Fetched::Nothing,
        _ => return Fetched::Silence,
    };
    if info.bytes != bytes {
        let (found, expected) = (info.bytes, bytes);
        return Fetched::Refused(Rejection::ObjectLength { found, expected });
    }
    let request = Fetch { key: *key, bytes, hash: None, sources: Sources::new([source.clone()]) };
    match spool.fetch(&request, Instant::now() + pace.read_time(bytes)).await {
        Ok(object) => Fetched::Object(object, info.modified_ms),
        Err(fault @ FetchFault::Spool { .. }) => Fetched::Failed(Failure::ours(fault)),
        Err(_) => Fetched::Silence,
    }
}

/// Whose object it is, and what it must have started from.
struct Origin {
    uid: Uid,
    hotkey: Hotkey,
    parent_root: StateRoot,
    modified_ms: u64,
}

/// Checks an object in full. The outer error is ours: the data set cannot be read.
fn check(
    node: &Node,
    dataset: &Dataset,
    span: Span,
    of: &Origin,
    object: Spooled,
) -> Result<Result<Sound, Rejection>, Failure> {
    let samples = node.run.inner.steps * node.run.inner.batch_samples;
    let assigned = assignment(&node.run, dataset, of.uid, span.window)?;
    let digest = SampleDigest(dataset.digest(assigned.samples())?);
    if let Some(deadline_ms) = node.block_time_ms(span.deadline)
        && of.modified_ms > deadline_ms
    {
        return Ok(Err(Rejection::Late { late_ms: of.modified_ms - deadline_ms }));
    }
    let sound = || {
        let mut head = [0; HEADER_BYTES];
        object.read_at(0, &mut head)?;
        let header = Header::parse(&head)?;
        let verified = header.verify(&Expected {
            run: node.run_id,
            window: span.window,
            uid: of.uid,
            hotkey: of.hotkey,
            parent_root: of.parent_root,
            samples: samples..=samples,
            shape: &node.shape,
        })?;
        header.verify_samples(digest)?;
        verified.body_at(&object)?;
        let body = CheckedBody::check(&node.shape, object.clone(), HEADER_BYTES as u64)?;
        let (object, modified_ms, body_hash) = (object.content(), of.modified_ms, header.body_hash);
        // What it can claim is known when the window is over.
        let priority = Priority::new(None, modified_ms, BlockNumber(u64::MAX));
        let (uid, hotkey) = (of.uid, of.hotkey);
        Ok(Sound { uid, hotkey, object, body, modified_ms, priority, body_hash })
    };
    match sound() {
        Ok(sound) => Ok(Ok(sound)),
        Err(PartFault::Rejected(reason)) => Ok(Err(reason)),
        Err(PartFault::Unreadable(error)) => {
            Err(Failure::ours(format!("cannot read a contribution that was fetched: {error}")))
        }
    }
}

/// How early the object is: its hash may have been announced on the chain before it was put.
fn priority(node: &Node, window: Window, sound: &Sound) -> Priority {
    let (seat, hash) = (node.directory.seat(sound.uid), sound.object.hash);
    let announced = seat.and_then(Seat::newest);
    let announced = announced.filter(|(of, _)| of.window == window && of.hash == hash);
    let registered = seat.map_or(BlockNumber(u64::MAX), |seat| seat.registered_block);
    Priority::new(announced.map(|(_, block)| block), sound.modified_ms, registered)
}

/// The verdict on every seat. Of equal bodies the one that was first counts.
fn verdicts(seats: BTreeMap<Uid, (Hotkey, Progress)>) -> Judged {
    let mut first: HashMap<Digest, (Priority, Uid)> = HashMap::new();
    for (_, progress) in seats.values() {
        if let Progress::Arrived(sound) = progress {
            let this = (sound.priority, sound.uid);
            let earliest = first.entry(sound.body_hash).or_insert(this);
            *earliest = this.min(*earliest);
        }
    }
    let mut judged = Judged::default();
    for (uid, (_, progress)) in seats {
        let reason = match progress {
            Progress::Awaited => Rejection::Missing {},
            Progress::Silent => Rejection::Unreachable {},
            Progress::Doubted(_, reason) | Progress::Refused(reason) => reason,
            Progress::Arrived(sound) => match first[&sound.body_hash] {
                (_, of) if of != uid => Rejection::Duplicate { of },
                _ => {
                    judged.accepted.push(*sound);
                    continue;
                }
            },
        };
        judged.rejected.push(Rejected { uid, reason });
    }
    judged
}
