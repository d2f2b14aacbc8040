//! Bodies read part by part: the same values as the whole, from wherever they lie.

use wire::contribution::{HEADER_BYTES, encode};
use wire::{
    BodyShape, Claims, IndexCodec, Keypair, Layout, Part, PartFault, Rejection, RunId,
    SampleDigest, Shape, SparseShape, SparseTensor, StateRoot, Uid, Window,
};

/// Whole tiles, narrow ones, a vector, and a tensor whose chunks hold one value each.
fn shape(codec: IndexCodec) -> BodyShape {
    let shapes =
        [Shape::Matrix(320, 128), Shape::Matrix(96, 44), Shape::Vector(130), Shape::Matrix(67, 71)];
    let tensors = shapes.iter().enumerate().map(|(i, shape)| (format!("t{i}"), *shape));
    BodyShape::new(&Layout::new(tensors).unwrap(), 8, codec)
}

/// Indices and codes that differ from chunk to chunk.
fn update(shape: SparseShape, seed: usize) -> SparseTensor {
    let (len, k) = (shape.chunk_len(), shape.k());
    let indices = (0..shape.chunks()).flat_map(|chunk| {
        let start = (chunk * 7 + seed) % (len + 1 - k);
        (0..k).map(move |i| (start + i) as u16)
    });
    let indices = indices.collect();
    let used = (0..shape.chunk_code_bytes()).map(|byte| {
        let left = (k - byte * 4).min(4);
        (1u16 << (2 * left)) as u8
    });
    let used: Vec<u8> = used.map(|bound| bound.wrapping_sub(1)).collect();
    let codes = (0..shape.code_bytes()).map(|at| (at * 37 + seed) as u8 & used[at % used.len()]);
    SparseTensor::new(shape, [-2.0, -0.5, 0.5, 2.0], indices, codes.collect()).unwrap()
}

fn object(shape: &BodyShape) -> (Vec<SparseTensor>, Vec<u8>) {
    let sections = shape.sections().iter().enumerate();
    let tensors: Vec<_> = sections.map(|(i, section)| update(*section, i)).collect();
    let claims = Claims {
        run: RunId([1; 32]),
        window: Window(2),
        uid: Uid(3),
        layout: shape.layout(),
        parent_root: StateRoot([4; 32]),
        sample_digest: SampleDigest([5; 16]),
        sample_count: 1,
        tokens: 2_048,
        k: shape.k(),
        index_codec: shape.index_codec(),
    };
    let object = encode(&claims, &tensors, &Keypair::from_seed([6; 32]));
    (tensors, object)
}

#[test]
fn parts_put_together_are_the_whole_however_it_is_cut() {
    for codec in [IndexCodec::Packed12, IndexCodec::EliasFano] {
        let shape = shape(codec);
        let (tensors, object) = object(&shape);
        let mut part = Part::default();
        for values in [0, 1, 20, 100, 1_000, usize::MAX] {
            for (section, whole) in tensors.iter().enumerate() {
                let (mut indices, mut codes) = (Vec::new(), Vec::new());
                for bands in whole.shape().cut(values) {
                    let at = HEADER_BYTES as u64;
                    let read = part.read(&shape, &object[..], at, section, bands.clone()).unwrap();
                    assert_eq!(read.codebook(), whole.codebook());
                    let fits = read.shape().values() <= values;
                    assert!(fits || bands.len() == 1 || whole.shape().k() == 1, "{values}");
                    indices.extend_from_slice(read.indices());
                    codes.extend_from_slice(read.codes());
                }
                assert_eq!(indices, whole.indices(), "{codec:?} {section} {values}");
                assert_eq!(codes, whole.codes(), "{codec:?} {section} {values}");
            }
        }
    }
}

#[test]
fn a_part_that_is_not_there_is_our_fault_and_one_that_is_wrong_its_senders() {
    let shape = shape(IndexCodec::EliasFano);
    let (_, mut object) = object(&shape);
    let at = HEADER_BYTES as u64;
    let mut part = Part::default();
    object[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let wrong = part.read(&shape, &object[..], at, 0, 1..2).unwrap_err();
    let PartFault::Rejected(Rejection::Codebook { section: 0, entry: 0 }) = wrong else {
        panic!("{wrong:?}");
    };
    object.pop();
    let last = shape.sections().len() - 1;
    let whole = 0..shape.sections()[last].bands();
    let cut = part.read(&shape, &object[..], at, last, whole).unwrap_err();
    assert!(matches!(cut, PartFault::Unreadable(_)), "{cut:?}");
}
