//! The contribution's bytes: round trips, the kept example of FORMAT.md, and hostile objects.

use proptest::prelude::*;
use wire::contribution::{HEADER_BYTES, SIGNED_BYTES, encode};
use wire::{
    BodyShape, Claims, Contribution, Digest, Expected, Header, IndexCodec, Keypair, Layout,
    Rejection, RunId, SampleDigest, Shape, SparseTensor, StateRoot, Uid, Window,
};

const K: usize = 4;
const BODY_HASH_AT: usize = 200;

fn layout() -> Layout {
    let tensors =
        [("w", Shape::Matrix(8, 6)), ("norm", Shape::Vector(6)), ("one", Shape::Vector(1))];
    Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape))).unwrap()
}

fn keypair() -> Keypair {
    Keypair::from_seed([42; 32])
}

fn body_shape(codec: IndexCodec) -> BodyShape {
    BodyShape::new(&layout(), K, codec)
}

fn claims() -> Claims {
    Claims {
        run: RunId([0x11; 32]),
        window: Window(0x0102_0304_0506_0708),
        uid: Uid(0x2143),
        layout: layout().hash(),
        parent_root: StateRoot([0x22; 32]),
        sample_digest: SampleDigest([0x33; 16]),
        sample_count: 90,
        tokens: 184_320,
        k: K as u32,
        index_codec: IndexCodec::Packed12,
    }
}

fn expected(shape: &BodyShape) -> Expected<'_> {
    Expected {
        run: claims().run,
        window: claims().window,
        uid: claims().uid,
        hotkey: keypair().hotkey(),
        parent_root: claims().parent_root,
        samples: 1..=100,
        shape,
    }
}

/// One chunk each: `[8, 6]` and `[6]` keep 4 values, a chunk of one value keeps that.
fn tensors() -> Vec<SparseTensor> {
    let shape = body_shape(IndexCodec::Packed12);
    let parts = [(vec![1, 7, 20, 47], 0xe4), (vec![0, 2, 3, 5], 0x1b), (vec![0], 0x02)];
    let tensor = |(shape, (indices, codes)): (_, (_, u8))| {
        SparseTensor::new(shape, [-1.5, -0.5, 0.5, 1.5], indices, vec![codes]).unwrap()
    };
    shape.sections().iter().copied().zip(parts).map(tensor).collect()
}

fn object() -> Vec<u8> {
    encode(&claims(), &tensors(), &keypair())
}

fn read(object: &[u8], expected: &Expected<'_>) -> Result<Contribution, Rejection> {
    let verified = Header::parse(object)?.verify(expected)?;
    verified.body(&object[HEADER_BYTES..])?.decode()
}

fn read_plain(object: &[u8]) -> Result<(), Rejection> {
    read(object, &expected(&body_shape(IndexCodec::Packed12))).map(drop)
}

/// Rewrites a body and signs it again, as a peer that wants to harm would.
fn resigned(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut object = object();
    let mut body = object.split_off(HEADER_BYTES);
    change(&mut body);
    object[192..200].copy_from_slice(&(body.len() as u64).to_le_bytes());
    object[BODY_HASH_AT..SIGNED_BYTES].copy_from_slice(blake3::hash(&body).as_bytes());
    let signature = keypair().sign(&object[..SIGNED_BYTES]);
    object[SIGNED_BYTES..].copy_from_slice(&signature.0);
    [object, body].concat()
}

/// The same with a change to the header.
fn resigned_header(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut object = object();
    change(&mut object[..SIGNED_BYTES]);
    let signature = keypair().sign(&object[..SIGNED_BYTES]);
    object[SIGNED_BYTES..HEADER_BYTES].copy_from_slice(&signature.0);
    object
}

/// The example that FORMAT.md gives.
fn golden() -> Vec<u8> {
    let page = include_str!("../FORMAT.md");
    let (_, example) = page.split_once("```hex\n").unwrap();
    unhex(example.split_once("```").unwrap().0)
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn the_kept_contribution_is_what_is_written_and_what_is_read() {
    let golden = golden();
    assert_eq!(hex(&object()), hex(&golden));
    let shape = body_shape(IndexCodec::Packed12);
    let contribution = read(&golden, &expected(&shape)).unwrap();
    assert_eq!(contribution.header.claims, claims());
    assert_eq!(contribution.tensors, tensors());
}

#[test]
fn every_field_of_the_kept_contribution_lies_where_the_format_says() {
    let golden = golden();
    let at = |range: std::ops::Range<usize>| &golden[range];
    assert_eq!(at(0..8), b"COV72CTB");
    assert_eq!(at(8..10), [1, 0]);
    assert_eq!(at(10..12), [0x43, 0x21]);
    assert_eq!(at(12..16), [3, 0, 0, 0]);
    assert_eq!(at(16..48), [0x11; 32]);
    assert_eq!(at(48..56), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(at(56..88), keypair().hotkey().0);
    assert_eq!(at(88..120), layout().hash().0);
    assert_eq!(at(120..152), [0x22; 32]);
    assert_eq!(at(152..168), [0x33; 16]);
    assert_eq!(at(168..176), 90_u64.to_le_bytes());
    assert_eq!(at(176..184), 184_320_u64.to_le_bytes());
    assert_eq!(at(184..188), [4, 0, 0, 0]);
    assert_eq!(at(188..192), [1, 0, 0, 0]);
    let body = &golden[296..];
    assert_eq!(at(192..200), (body.len() as u64).to_le_bytes());
    assert_eq!(at(200..232), *blake3::hash(body).as_bytes());
    let signature = wire::Signature(golden[232..296].try_into().unwrap());
    assert!(wire::verify(keypair().hotkey(), at(0..232), &signature));

    let codebook = [-1.5_f32, -0.5, 0.5, 1.5].map(f32::to_le_bytes).concat();
    assert_eq!(body[..16], codebook);
    assert_eq!(body[16..22], [0x01, 0x70, 0x00, 0x14, 0xf0, 0x02]);
    assert_eq!(body[22..23], [0xe4]);
    assert_eq!(body[23..39], codebook);
    assert_eq!(body[39..45], [0x00, 0x20, 0x00, 0x03, 0x50, 0x00]);
    assert_eq!(body[45..46], [0x1b]);
    assert_eq!(body[46..62], codebook);
    assert_eq!(body[62..65], [0, 0, 0]);
    assert_eq!(body[65..66], [0x02]);
    assert_eq!(body.len(), 66);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_object_cut_anywhere_is_rejected() {
    let object = object();
    for len in 0..object.len() {
        let code = read_plain(&object[..len]).unwrap_err().code();
        let expected = match len {
            0..8 => "wrong_magic",
            8..HEADER_BYTES => "truncated_header",
            _ => "truncated_body",
        };
        assert_eq!(code, expected, "cut at {len}");
    }
    let longer = [&object[..], &[0]].concat();
    assert_eq!(read_plain(&longer).unwrap_err().code(), "truncated_body");
}

#[test]
fn any_flipped_bit_is_rejected() {
    let object = object();
    for bit in 0..8 * object.len() {
        let mut flipped = object.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let rejection = read_plain(&flipped).unwrap_err();
        if bit >= 8 * HEADER_BYTES {
            assert_eq!(rejection.code(), "body_hash", "bit {bit}");
        }
    }
}

#[test]
fn each_claim_has_its_own_rejection() {
    let cases: [(usize, &str); 13] = [
        (0, "wrong_magic"),
        (8, "unknown_version"),
        (10, "other_uid"),
        (12, "section_count"),
        (16, "other_run"),
        (48, "other_window"),
        (56, "other_hotkey"),
        (88, "other_layout"),
        (120, "other_parent"),
        (184, "other_k"),
        (188, "unknown_codec"),
        (189, "reserved_bytes"),
        (192, "body_length"),
    ];
    for (place, code) in cases {
        let object = resigned_header(|header| header[place] ^= 0x40);
        assert_eq!(read_plain(&object).unwrap_err().code(), code, "byte {place}");
    }
    let with = |place: usize, value: u64| {
        let change =
            |header: &mut [u8]| header[place..place + 8].copy_from_slice(&value.to_le_bytes());
        read_plain(&resigned_header(change)).map_err(|rejection| rejection.code())
    };
    assert_eq!(with(168, 0), Err("sample_count"));
    assert_eq!(with(168, 101), Err("sample_count"));
    assert_eq!(with(176, 90 * 2048 + 1), Err("token_count"));
    assert_eq!(with(176, 90 * 2048), Ok(()));
    let other_codec = resigned_header(|header| header[188] = 2);
    assert_eq!(read_plain(&other_codec).unwrap_err().code(), "other_codec");
}

#[test]
fn a_header_signed_by_another_is_rejected() {
    let thief = Keypair::from_seed([43; 32]);
    let mut object = object();
    let signature = thief.sign(&object[..SIGNED_BYTES]);
    object[SIGNED_BYTES..HEADER_BYTES].copy_from_slice(&signature.0);
    assert_eq!(read_plain(&object).unwrap_err().code(), "bad_signature");
}

#[test]
fn samples_that_were_not_assigned_are_rejected() {
    let header = Header::parse(&object()).unwrap();
    assert_eq!(header.verify_samples(SampleDigest([0x33; 16])), Ok(()));
    let rejection = header.verify_samples(SampleDigest([0x34; 16])).unwrap_err();
    assert_eq!(rejection.code(), "sample_digest");
}

#[test]
fn lengths_that_do_not_fit_the_layout_are_rejected_before_anything_is_allocated() {
    let longer = resigned(|body| body.push(0));
    assert_eq!(read_plain(&longer).unwrap_err().code(), "body_length");
    let huge = resigned_header(|header| header[192..200].fill(0xff));
    assert_eq!(read_plain(&huge).unwrap_err().code(), "body_length");
    let many = resigned_header(|header| header[12..16].fill(0xff));
    assert_eq!(read_plain(&many).unwrap_err().code(), "section_count");
}

#[test]
fn a_signed_body_that_is_no_update_is_rejected_by_section() {
    let with = |place: usize, bytes: &[u8]| {
        let change = |body: &mut Vec<u8>| body[place..place + bytes.len()].copy_from_slice(bytes);
        read_plain(&resigned(change))
    };
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let rejection = with(23 + 8, &value.to_le_bytes()).unwrap_err();
        assert_eq!(rejection, Rejection::Codebook { section: 1, entry: 2 });
    }
    let subnormal = with(23 + 8, &1_u32.to_le_bytes());
    assert_eq!(subnormal, Ok(()));
    let beyond = with(19, &[0x14, 0x00, 0x03]).unwrap_err();
    let (found, chunk_len) = (48, 48);
    assert_eq!(beyond, Rejection::IndexRange { section: 0, chunk: 0, found, chunk_len });
    let twice = with(16, &[0x07, 0x70, 0x00]).unwrap_err();
    assert_eq!(twice, Rejection::IndexOrder { section: 0, chunk: 0 });
    let padding = with(65, &[0x06]).unwrap_err();
    assert_eq!(padding, Rejection::Padding { section: 2, chunk: 0 });
    let index_padding = with(64, &[0x01]).unwrap_err();
    assert_eq!(index_padding, Rejection::Padding { section: 2, chunk: 0 });
}

#[test]
fn of_several_faults_the_first_section_is_named_whatever_the_threads_do() {
    let object = resigned(|body| body.fill(0xff));
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let rejection = pool.install(|| read_plain(&object)).unwrap_err();
        assert_eq!(rejection, Rejection::Codebook { section: 0, entry: 0 });
    }
}

#[test]
fn a_section_decodes_without_the_others() {
    let object = resigned(|body| body[..16].fill(0xff));
    let shape = body_shape(IndexCodec::Packed12);
    let verified = Header::parse(&object).unwrap().verify(&expected(&shape)).unwrap();
    let body = verified.body(&object[HEADER_BYTES..]).unwrap();
    assert_eq!(body.tensor(0).unwrap_err().code(), "codebook");
    assert_eq!(body.tensor(1).unwrap(), tensors()[1]);
    assert_eq!(body.tensor(2).unwrap(), tensors()[2]);
}

#[test]
fn foreign_objects_are_told_apart_and_quoted_harmlessly() {
    let zip = [&b"PK\x03\x04\x1b[2J"[..], &[0; 500]].concat();
    match read_plain(&zip).unwrap_err() {
        Rejection::WrongMagic { found } => assert_eq!(found.as_str(), "PK\\u{3}\\u{4}\\u{1b}[2J"),
        other => panic!("{other}"),
    }
}

#[test]
fn every_code_is_on_the_page_of_the_format() {
    let page = include_str!("../FORMAT.md");
    for code in Rejection::CODES {
        assert!(page.contains(&format!("`{code}`")), "{code}");
    }
}

#[test]
fn codes_are_unique_and_survive_json_with_their_values() {
    let mut codes = Rejection::CODES.to_vec();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Rejection::CODES.len());
    let (found, expected) = (RunId([1; 32]), RunId([2; 32]));
    let hash = Digest([3; 32]);
    for rejection in [
        Rejection::OtherRun { found, expected },
        Rejection::OtherBody { found: hash, claimed: hash },
        Rejection::Codebook { section: 1, entry: 2 },
        Rejection::Missing {},
    ] {
        let text = serde_json::to_string(&rejection).unwrap();
        assert!(text.contains(&format!("\"code\":\"{}\"", rejection.code())), "{text}");
        assert_eq!(serde_json::from_str::<Rejection>(&text).unwrap(), rejection);
        assert!(!rejection.to_string().contains('\n'));
    }
}

#[test]
fn the_length_of_an_object_is_known_before_it_is_fetched() {
    for codec in [IndexCodec::Packed12, IndexCodec::EliasFano] {
        let claims = Claims { index_codec: codec, ..claims() };
        let object = encode(&claims, &tensors(), &keypair());
        assert_eq!(body_shape(codec).object_bytes(), object.len() as u64);
    }
    let large = [("w".to_string(), Shape::Matrix(262_144, 8_192))];
    let large = BodyShape::new(&Layout::new(large).unwrap(), 64, IndexCodec::Packed12);
    let values = 262_144 * 8_192 / 64;
    assert_eq!(large.object_bytes(), HEADER_BYTES as u64 + 16 + values * 3 / 2 + values / 4);
}

/// A valid update of `layout`, drawn from `draw`.
fn drawn(shape: &BodyShape, mut draw: impl FnMut() -> u32) -> Vec<SparseTensor> {
    let of = |shape: &wire::SparseShape| {
        let mut indices = Vec::new();
        for _ in 0..shape.chunks() {
            let mut kept: Vec<u16> = (0..shape.chunk_len() as u16).collect();
            while kept.len() > shape.k() {
                kept.remove(draw() as usize % kept.len());
            }
            indices.extend(kept);
        }
        let used = (shape.k() - 1) % 4 * 2 + 2;
        let mut codes: Vec<u8> = (0..shape.code_bytes()).map(|_| draw() as u8).collect();
        for chunk in codes.chunks_mut(shape.chunk_code_bytes()) {
            *chunk.last_mut().unwrap() &= (0xff_u16 >> (8 - used)) as u8;
        }
        let codebook = std::array::from_fn(|_| draw() as f32 - 0.5 * u32::MAX as f32);
        SparseTensor::new(*shape, codebook, indices, codes).unwrap()
    };
    shape.sections().iter().map(of).collect()
}

fn codecs() -> impl Strategy<Value = IndexCodec> {
    prop_oneof![Just(IndexCodec::Packed12), Just(IndexCodec::EliasFano)]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        extents in proptest::collection::vec((1_usize..200, 0_usize..100), 1..5),
        k in 1_usize..100, codec in codecs(), draws: [u32; 7], seed: [u8; 32], window: u64,
        uid: u16,
    ) {
        let shape_of = |(rows, cols)| match cols {
            0 => Shape::Vector(rows),
            cols => Shape::Matrix(rows, cols),
        };
        let named = |(i, extent)| (format!("t{i}"), shape_of(extent));
        let layout = Layout::new(extents.into_iter().enumerate().map(named)).unwrap();
        let shape = BodyShape::new(&layout, k, codec);
        let mut step = 0_u32;
        let tensors = drawn(&shape, || {
            step += 1;
            (draws[step as usize % 7] ^ step).wrapping_mul(2_654_435_761)
        });
        let (window, uid, index_codec, k) = (Window(window), Uid(uid), codec, k as u32);
        let claims = Claims { window, uid, layout: layout.hash(), k, index_codec, ..claims() };
        let key = Keypair::from_seed(seed);
        let object = encode(&claims, &tensors, &key);
        prop_assert_eq!(&object, &encode(&claims, &tensors, &key));
        prop_assert_eq!(object.len() as u64, shape.object_bytes());
        let expected = Expected { window, uid, hotkey: key.hotkey(), ..expected(&shape) };
        let contribution = read(&object, &expected).unwrap();
        prop_assert_eq!(contribution.header.claims, claims);
        prop_assert_eq!(contribution.tensors, tensors);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, signed: bool) {
        let object = if signed { resigned(|body| *body = bytes) } else { bytes };
        let _ = read_plain(&object);
    }

    #[test]
    fn a_signed_body_reads_as_the_one_update_that_it_encodes_or_not_at_all(
        bytes in proptest::collection::vec(any::<u8>(), 66), codec in codecs(), finite: bool,
    ) {
        let shape = body_shape(codec);
        let mut body = bytes[..shape.body_bytes() as usize].to_vec();
        if finite {
            (0..3).for_each(|section| body[shape.section_range(section)][..16].fill(0x3f));
        }
        let claims = Claims { index_codec: codec, ..claims() };
        let mut object = encode(&claims, &tensors(), &keypair());
        object.truncate(HEADER_BYTES);
        object[BODY_HASH_AT..SIGNED_BYTES].copy_from_slice(blake3::hash(&body).as_bytes());
        let signature = keypair().sign(&object[..SIGNED_BYTES]);
        object[SIGNED_BYTES..].copy_from_slice(&signature.0);
        object.extend(&body);
        if let Ok(contribution) = read(&object, &expected(&shape)) {
            prop_assert_eq!(encode(&claims, &contribution.tensors, &keypair()), object);
        }
    }
}
