//! Manifests and merged updates: what reads back, and what a stranger cannot slip in.

use proptest::prelude::*;
use wire::{
    Accepted, BlockNumber, BodyShape, Content, Digest, DocumentError, IndexCodec, Keypair, Layout,
    Manifest, Merged, MergedClaims, MergedFault, Rejected, Rejection, RunId, Shape, SignedManifest,
    SparseTensor, StateRoot, StateTree, Uid, Window, merged_bytes, merged_head, merged_head_bytes,
};

const LAYOUT: Digest = Digest([5; 32]);

fn validator() -> Keypair {
    Keypair::from_seed([3; 32])
}

fn manifest() -> Manifest {
    let tensor_roots = vec![Digest([1; 32]), Digest([2; 32])];
    let root = StateTree { layout: LAYOUT, tensor_roots: tensor_roots.clone() }.root();
    let object = Content::of(b"an object");
    Manifest {
        version: 1,
        run: RunId([7; 32]),
        window: Window(9),
        validator: validator().hotkey(),
        previous: None,
        first_block: BlockNumber(100),
        close_block: BlockNumber(110),
        parent_root: StateRoot([8; 32]),
        accepted: vec![Accepted { uid: Uid(1), object }, Accepted { uid: Uid(4), object }],
        rejected: vec![Rejected { uid: Uid(2), reason: Rejection::Missing {} }],
        merged: Some(object),
        root,
        tensor_roots,
        checkpoint: Some((Window(5), Digest([6; 32]))),
    }
}

#[test]
fn a_manifest_reads_back_and_proves_its_root() {
    let signed = SignedManifest::sign(manifest(), &validator()).unwrap();
    let read = SignedManifest::parse(&signed.to_bytes()).unwrap();
    assert_eq!(read.document(), &manifest());
    assert!(read.document().state(LAYOUT).is_some());
    assert!(read.document().state(Digest([4; 32])).is_none());
    assert!(read.document().accepts(Uid(4)) && !read.document().accepts(Uid(2)));
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused_by_key() {
    type Change = fn(&mut Manifest);
    let broken: [(Change, &str); 9] = [
        (|m| m.accepted.swap(0, 1), "accepted"),
        (|m| m.accepted[1].uid = Uid(1), "accepted"),
        (|m| m.rejected[0].uid = Uid(4), "rejected"),
        (|m| m.rejected.push(m.rejected[0].clone()), "rejected"),
        (|m| m.previous = Some(m.reference()), "previous"),
        (|m| m.close_block = BlockNumber(99), "close_block"),
        (|m| m.merged = None, "merged"),
        (|m| (m.accepted.clear(), m.merged = None).1, "root"),
        (|m| m.checkpoint = Some((Window(10), Digest([6; 32]))), "checkpoint"),
    ];
    for (change, expected) in broken {
        let mut manifest = manifest();
        change(&mut manifest);
        match SignedManifest::sign(manifest, &validator()) {
            Err(DocumentError::Value { key, .. }) => assert_eq!(key, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn a_changed_manifest_is_no_longer_signed() {
    let text = SignedManifest::sign(manifest(), &validator()).unwrap().to_bytes();
    let text = String::from_utf8(text).unwrap().replace("\"uid\": 1,", "\"uid\": 0,");
    let read = SignedManifest::parse(text.as_bytes());
    assert!(matches!(read, Err(DocumentError::Signature { .. })), "{read:?}");
}

fn shape() -> BodyShape {
    let tensors = [("w", Shape::Matrix(128, 64)), ("norm", Shape::Vector(6))];
    let tensors = tensors.map(|(name, shape)| (name.to_string(), shape));
    BodyShape::new(&Layout::new(tensors).unwrap(), 8, IndexCodec::EliasFano)
}

fn body(shape: &BodyShape) -> Vec<u8> {
    let mut body = Vec::new();
    let sections = shape.sections().iter();
    sections.for_each(|s| shape.index_codec().encode(&SparseTensor::zero(*s), &mut body));
    body
}

fn claims() -> MergedClaims {
    let (run, parent_root) = (RunId([1; 32]), StateRoot([2; 32]));
    MergedClaims { run, window: Window(3), parent_root }
}

fn merged(shape: &BodyShape) -> Vec<u8> {
    let body = body(shape);
    [merged_head(&claims(), shape, &[Uid(2), Uid(9)]), body.clone(), body].concat()
}

fn parse(object: &[u8]) -> Result<Merged, MergedFault> {
    Merged::parse(object, object.len() as u64, &claims(), &shape())
}

#[test]
fn the_head_of_a_merged_update_says_whose_bodies_follow_and_where() {
    let shape = shape();
    let object = merged(&shape);
    assert_eq!(object.len() as u64, merged_bytes(&shape, 2));
    let read = parse(&object).unwrap();
    assert_eq!(read.uids(), [Uid(2), Uid(9)]);
    for peer in 0..2 {
        let place = read.body(peer);
        assert_eq!(object[place.start as usize..place.end as usize], body(&shape));
    }
    let head = &object[..merged_head_bytes(2) as usize];
    let bytes = object.len() as u64;
    assert_eq!(Merged::parse(head, bytes, &claims(), &shape), Ok(read));
    let cut = Merged::parse(&head[1..], bytes, &claims(), &shape);
    assert!(matches!(cut, Err(MergedFault::Magic { .. })), "{cut:?}");
    let cut = Merged::parse(&head[..head.len() - 1], bytes, &claims(), &shape);
    assert!(matches!(cut, Err(MergedFault::Length { .. })), "{cut:?}");
}

#[test]
fn a_merged_update_for_something_else_is_refused_by_reason() {
    let shape = shape();
    let fault = |place: usize, value: u8| {
        let mut object = merged(&shape);
        object[place] = value;
        parse(&object).unwrap_err()
    };
    assert!(matches!(fault(0, 0), MergedFault::Magic { .. }));
    assert!(matches!(fault(8, 2), MergedFault::Magic { .. }));
    assert!(matches!(fault(11, 255), MergedFault::Length { uids: 65_282, .. }));
    assert_eq!(fault(12, 1), MergedFault::Other { what: "reserved word" });
    assert_eq!(fault(16, 9), MergedFault::Other { what: "run" });
    assert_eq!(fault(48, 9), MergedFault::Other { what: "window" });
    assert_eq!(fault(56, shape.layout().0[0] ^ 1), MergedFault::Other { what: "layout" });
    assert_eq!(fault(88, 9), MergedFault::Other { what: "parent state" });
    assert_eq!(fault(122, 2), MergedFault::Order);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(text: Vec<u8>, cut in 0usize..400) {
        let shape = shape();
        let _ = SignedManifest::parse(&text);
        let mut object = merged(&shape);
        object.truncate(cut.min(object.len()));
        object.extend_from_slice(&text);
        let _ = parse(&object);
    }
}
