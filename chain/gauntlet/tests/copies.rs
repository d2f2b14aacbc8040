//! Copies of every kind among honest peers that see the same parameters.

use gauntlet::Secret;
use gauntlet::copies::{Candidate, Copied, Copies, Priority, Sketch, Sketcher, find, overlap};
use wire::{BlockNumber, Shape, SparseShape, SparseTensor, Uid, Window};

const K: usize = 64;
const CHUNK: usize = 4096;
const THIS: Window = Window(7);

/// SplitMix64.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Two matrices that tell and a vector that is kept whole.
fn shapes() -> Vec<SparseShape> {
    let shapes = [Shape::Matrix(512, 512), Shape::Vector(512), Shape::Matrix(1024, 256)];
    shapes.map(|shape| SparseShape::new(shape.tiling(), K)).to_vec()
}

/// Sparse updates that keep the `K` largest of each chunk, as `(index, code)`.
type Chunks = Vec<Vec<(u16, u8)>>;

/// What peer `peer` sends in `window`. Of what makes a value large, the share `common` is the same
/// for all.
fn chunks(peer: u64, window: u64, common: f64) -> Chunks {
    let total: usize = shapes().iter().map(|shape| shape.chunks()).sum();
    let mut all = Noise(window);
    let mut own = Noise((peer + 1) << 32 | window);
    let chunk_lens = shapes().into_iter().flat_map(|s| vec![s.chunk_len(); s.chunks()]);
    let chunk = |len: usize| {
        // A product of uniforms has a long tail, like gradients.
        let tail = |noise: &mut Noise| {
            let size = -(noise.unit() + 1e-12).ln();
            if noise.next().is_multiple_of(2) { size * size } else { -size * size }
        };
        let mut values: Vec<(f64, u16)> = (0..len as u16)
            .map(|index| (common * tail(&mut all) + (1.0 - common) * tail(&mut own), index))
            .collect();
        values.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
        values.truncate(K);
        let mut kept: Vec<(u16, u8)> =
            values.into_iter().map(|(value, index)| (index, u8::from(value > 0.0) * 2)).collect();
        kept.sort_unstable();
        kept
    };
    let chunks: Chunks = chunk_lens.map(chunk).collect();
    assert_eq!(chunks.len(), total);
    chunks
}

fn update(chunks: &Chunks) -> Vec<SparseTensor> {
    let mut rest = &chunks[..];
    let tensor = |shape: SparseShape| {
        let (own, behind) = rest.split_at(shape.chunks());
        rest = behind;
        let indices = own.iter().flatten().map(|(index, _)| *index).collect();
        let bytes = own.iter().flat_map(|chunk| {
            chunk
                .chunks(4)
                .map(|four| four.iter().rev().fold(0, |byte, (_, code)| byte << 2 | code))
        });
        SparseTensor::new(shape, [-2e-3, -1e-3, 1e-3, 2e-3], indices, bytes.collect()).unwrap()
    };
    shapes().into_iter().map(tensor).collect()
}

/// `chunks` with the share `changed` of each one's indices replaced by random ones.
fn perturbed(chunks: &Chunks, changed: f64, noise: &mut Noise) -> Chunks {
    let perturb = |chunk: &Vec<(u16, u8)>| {
        if chunk.len() < K || chunk.last().unwrap().0 < K as u16 {
            return chunk.clone();
        }
        let mut kept: Vec<(u16, u8)> =
            chunk.iter().copied().filter(|_| noise.unit() >= changed).collect();
        while kept.len() < K {
            let index = (noise.next() % CHUNK as u64) as u16;
            if kept.iter().all(|(other, _)| *other != index) {
                kept.push((index, (noise.next() % 4) as u8));
            }
        }
        kept.sort_unstable();
        kept
    };
    chunks.iter().map(perturb).collect()
}

/// A contribution: whose, of which window, its claim, what it is.
struct Sent(u16, Window, Priority, Vec<SparseTensor>);

fn arrived(ms: u64) -> Priority {
    Priority::new(None, ms, BlockNumber(0))
}

fn look(current: &[Sent], last: &[Sent], in_full: bool) -> Copies {
    let sketcher = Sketcher::new(&shapes(), &Secret::new([3; 32]), THIS);
    let sketch = |sent: &Sent| sketcher.sketch(&sent.3);
    let [now, before] = [current, last].map(|all| all.iter().map(sketch).collect::<Vec<Sketch>>());
    find(&candidates(current, &now, in_full), &candidates(last, &before, in_full))
}

/// A peer whose contributions are sound and do not count.
const OUTRANKED: u16 = 5;

fn candidates<'a>(all: &'a [Sent], sketches: &'a [Sketch], in_full: bool) -> Vec<Candidate<'a>> {
    let candidate = |(sent, sketch): (&'a Sent, &'a Sketch)| {
        let &Sent(uid, window, priority, ref update) = sent;
        let update = in_full.then_some(&update[..]);
        Candidate { uid: Uid(uid), window, priority, sketch, update, counted: uid != OUTRANKED }
    };
    all.iter().zip(sketches).map(candidate).collect()
}

/// Twelve honest peers, uid 0 to 11, that arrive in the order of their uids.
fn honest(common: f64) -> Vec<Sent> {
    let sent = |uid: u16| {
        let update = update(&chunks(u64::from(uid), THIS.0, common));
        Sent(uid, THIS, arrived(1000 * u64::from(uid)), update)
    };
    (0..12).map(sent).collect()
}

fn only(copies: &Copies) -> Copied {
    assert_eq!(copies.copies.len(), 1, "{copies:?}");
    copies.copies[0]
}

#[test]
fn honest_peers_are_no_copies_however_much_they_share_by_nature() {
    for (common, from, to) in [(0.0, 0.0, 0.03), (0.4, 0.15, 0.4), (0.5, 0.35, 0.6)] {
        let peers = honest(common);
        let natural = overlap(&peers[0].3, &peers[1].3).share();
        assert!((from..to).contains(&natural), "{common}: {natural}");
        let found = look(&peers, &[], false);
        assert!(found.copies.is_empty(), "{common}: {found:?}");
        assert!((found.natural.within - natural).abs() < 0.03, "{common}: {found:?}");
    }
}

#[test]
fn exact_perturbed_and_partial_copies_are_found_where_honest_peers_share_two_fifths() {
    let original = chunks(4, THIS.0, 0.5);
    let mut noise = Noise(99);
    let own = chunks(77, THIS.0, 0.5);
    let half = original.len() / 2;
    let partial = [&original[..half], &own[half..]].concat();
    let kinds = [
        ("exact", original.clone(), 1.0),
        ("60 % changed", perturbed(&original, 0.6, &mut noise), 0.4),
        ("30 % changed", perturbed(&original, 0.3, &mut noise), 0.7),
        ("half of it", partial, 0.5),
    ];
    for (kind, copy, share) in kinds {
        for in_full in [false, true] {
            let mut peers = honest(0.5);
            peers.push(Sent(40, THIS, arrived(50_000), update(&copy)));
            let copies = look(&peers, &[], in_full);
            assert!((0.38..0.48).contains(&copies.natural.within), "{copies:?}");
            let copied = only(&copies);
            assert_eq!((copied.uid, copied.of, copied.window), (Uid(40), Uid(4), THIS), "{kind}");
            assert!((copied.share - share).abs() < 0.07, "{kind}: {copied:?}");
        }
    }
}

#[test]
fn noise_does_not_make_copies_of_honest_peers() {
    let mut peers = honest(0.5);
    for uid in 40..50 {
        let noise = chunks(u64::from(uid), u64::from(uid), 0.0);
        peers.push(Sent(uid, THIS, arrived(0), update(&noise)));
    }
    let found = look(&peers, &[], false);
    assert!(found.copies.is_empty(), "{found:?}");
}

#[test]
fn a_copy_of_the_last_window_is_found_whoever_sends_it() {
    let before = Window(THIS.0 - 1);
    let last: Vec<Sent> = (0..12)
        .map(|uid| Sent(uid, before, arrived(0), update(&chunks(u64::from(uid), before.0, 0.3))))
        .collect();
    for (uid, of) in [(40, 4), (4, 4)] {
        let mut peers = honest(0.3);
        peers.retain(|sent| sent.0 != uid);
        peers.push(Sent(uid, THIS, arrived(0), last[usize::from(of)].3.clone()));
        let copied = only(&look(&peers, &last, true));
        assert_eq!((copied.uid, copied.of, copied.window), (Uid(uid), Uid(of), before));
        assert_eq!(copied.share, 1.0);
    }
}

#[test]
fn what_did_not_count_may_be_sent_again_by_its_peer_and_by_nobody_else() {
    let before = Window(THIS.0 - 1);
    let old = update(&chunks(u64::from(OUTRANKED), before.0, 0.3));
    let last = [Sent(OUTRANKED, before, arrived(0), old.clone())];
    for (uid, copies) in [(OUTRANKED, 0), (40, 1)] {
        let mut peers = honest(0.3);
        peers.retain(|sent| sent.0 != uid);
        peers.push(Sent(uid, THIS, arrived(0), old.clone()));
        let found = look(&peers, &last, true).copies;
        assert_eq!(found.len(), copies, "{found:?}");
        assert!(found.iter().all(|copied| (copied.of, copied.share) == (Uid(OUTRANKED), 1.0)));
    }
}

#[test]
fn many_who_share_one_update_leave_one_original() {
    let mut peers = honest(0.3);
    let shared = update(&chunks(50, THIS.0, 0.3));
    for uid in 40..70 {
        peers.push(Sent(uid, THIS, arrived(u64::from(100 - uid)), shared.clone()));
    }
    // Most pairs are copies now, and they are not taken for nature.
    let found = look(&peers, &[], false);
    assert_eq!(found.copies.len(), 29, "{found:?}");
    assert!(found.copies.iter().all(|copied| copied.of == Uid(69) && copied.share == 1.0));
}

#[test]
fn who_committed_first_is_the_original_whatever_the_storage_says() {
    let mut peers = honest(0.3);
    let committed = Priority::new(Some(BlockNumber(90)), 9000, BlockNumber(0));
    peers[4].2 = committed;
    peers.push(Sent(40, THIS, arrived(0), peers[4].3.clone()));
    assert_eq!(only(&look(&peers, &[], true)).uid, Uid(40));
}

#[test]
fn signs_that_were_turned_are_no_disguise() {
    let flipped: Chunks = chunks(4, THIS.0, 0.3)
        .into_iter()
        .map(|chunk| chunk.into_iter().map(|(index, code)| (index, 3 - code)).collect())
        .collect();
    let mut peers = honest(0.3);
    peers.push(Sent(40, THIS, arrived(50_000), update(&flipped)));
    let copied = only(&look(&peers, &[], true));
    assert_eq!((copied.share, copied.agreement), (1.0, 0.0));
}

#[test]
fn sketches_do_not_show_where_they_look() {
    let update = update(&chunks(1, THIS.0, 0.3));
    let sketch = |secret: u8, window: u64| {
        Sketcher::new(&shapes(), &Secret::new([secret; 32]), Window(window)).sketch(&update)
    };
    let values = sketch(1, 7).values();
    // 8,192 values of which about 4,096 are looked at.
    assert!((3800..4400).contains(&values), "{values}");
    assert_eq!(sketch(1, 7), sketch(1, 7));
    assert_ne!(sketch(1, 7), sketch(1, 8));
    assert_ne!(sketch(1, 7), sketch(2, 7));
}

#[test]
fn nobody_and_nothing_are_no_copies() {
    assert_eq!(look(&[], &[], true), Copies::default());
    let secret = Secret::new([3; 32]);
    let whole = [SparseShape::new(Shape::Vector(64).tiling(), K)];
    let zero = whole.map(SparseTensor::zero);
    let sketch = Sketcher::new(&whole, &secret, THIS).sketch(&zero);
    assert_eq!(sketch.values(), 0);
    let candidate = |uid| Candidate {
        uid: Uid(uid),
        window: THIS,
        priority: arrived(0),
        sketch: &sketch,
        update: Some(&zero),
        counted: true,
    };
    assert!(find(&[candidate(1), candidate(2)], &[]).copies.is_empty());
}
