//! A gallery of hostile objects: each is refused by its own reason, in bounded memory and time.
//!
//! What reading an object may allocate is bounded by what a sound one of the run takes, whatever
//! the object claims; an object that is refused by its header costs next to nothing.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wire::contribution::{HEADER_BYTES, SIGNED_BYTES, encode};
use wire::{
    BodyShape, Claims, Expected, Header, IndexCodec, Keypair, Layout, Rejection, RunId,
    SampleDigest, Shape, SparseTensor, StateRoot, Uid, Window,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that reading any object of this run may allocate: its values, and a few sentences.
const ALLOCATED_MAX: usize = 16 << 10;
/// Bytes that refusing an object by its header may allocate.
const ALLOCATED_MAX_BY_HEADER: usize = 4 << 10;

const DIGEST: SampleDigest = SampleDigest([0x33; 16]);

fn shape(codec: IndexCodec) -> BodyShape {
    let tensors = [("w", Shape::Matrix(8, 6)), ("norm", Shape::Vector(6))];
    let layout = Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape))).unwrap();
    BodyShape::new(&layout, 4, codec)
}

fn peer() -> Keypair {
    Keypair::from_seed([42; 32])
}

fn stranger() -> Keypair {
    Keypair::from_seed([43; 32])
}

fn claims(codec: IndexCodec) -> Claims {
    Claims {
        run: RunId([0x11; 32]),
        window: Window(7),
        uid: Uid(5),
        layout: shape(codec).layout(),
        parent_root: StateRoot([0x22; 32]),
        sample_digest: DIGEST,
        sample_count: 90,
        tokens: 184_320,
        k: 4,
        index_codec: codec,
    }
}

/// `w` keeps 4 values of its 48, `norm` 4 of its 6.
fn update(codec: IndexCodec) -> Vec<SparseTensor> {
    let parts = [vec![1, 7, 20, 47], vec![0, 2, 3, 5]];
    let tensor = |(shape, indices): (&wire::SparseShape, _)| {
        SparseTensor::new(*shape, [-1.5, -0.5, 0.5, 1.5], indices, vec![0xe4]).unwrap()
    };
    shape(codec).sections().iter().zip(parts).map(tensor).collect()
}

fn sound(codec: IndexCodec) -> Vec<u8> {
    encode(&claims(codec), &update(codec), &peer())
}

/// Reads an object as a validator does.
fn read(object: &[u8], shape: &BodyShape) -> Result<(), Rejection> {
    let header = Header::parse(object)?;
    let verified = header.verify(&Expected {
        run: RunId([0x11; 32]),
        window: Window(7),
        uid: Uid(5),
        hotkey: peer().hotkey(),
        parent_root: StateRoot([0x22; 32]),
        samples: 90..=90,
        shape,
    })?;
    header.verify_samples(DIGEST)?;
    verified.body(&object[HEADER_BYTES..])?.decode().map(drop)
}

/// A sound object with `bytes` at `place`.
fn with(place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut object = sound(IndexCodec::Packed12);
    object[place..place + bytes.len()].copy_from_slice(bytes);
    object
}

/// The object with its header made to fit its body and signed by `signer`.
fn signed_by(mut object: Vec<u8>, signer: &Keypair) -> Vec<u8> {
    let body = object.split_off(HEADER_BYTES);
    object[192..200].copy_from_slice(&(body.len() as u64).to_le_bytes());
    object[200..SIGNED_BYTES].copy_from_slice(blake3::hash(&body).as_bytes());
    let signature = signer.sign(&object[..SIGNED_BYTES]).0;
    object[SIGNED_BYTES..].copy_from_slice(&signature);
    [object, body].concat()
}

/// A sound object with `bytes` at `place` of its body, signed by the peer itself.
fn with_body(codec: IndexCodec, place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut object = sound(codec);
    let place = HEADER_BYTES + place;
    object[place..place + bytes.len()].copy_from_slice(bytes);
    signed_by(object, &peer())
}

/// A sound object with `claims` changed, signed by the peer itself.
fn claiming(change: impl FnOnce(&mut Claims)) -> Vec<u8> {
    let mut claims = claims(IndexCodec::Packed12);
    change(&mut claims);
    encode(&claims, &update(IndexCodec::Packed12), &peer())
}

/// Packed indices `a` and `b` as three bytes.
fn pair(a: u32, b: u32) -> [u8; 3] {
    let [x, y, z, _] = (a | b << 12).to_le_bytes();
    [x, y, z]
}

type Hostile = (&'static str, Vec<u8>, &'static str);

fn not_contributions() -> Vec<Hostile> {
    let objects: [(&str, &[u8]); 16] = [
        ("nothing", b""),
        ("one zero", b"\0"),
        ("zip", b"PK\x03\x04\x14\0\0\0"),
        ("torch.save", b"PK\x03\x04\0\0\x08\x08archive/data.pkl"),
        ("pickle", b"\x80\x04\x95\x10\0\0\0\0\0\0\0cposix\nsystem\n"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0"),
        ("numpy", b"\x93NUMPY\x01\0v\0"),
        ("safetensors", b"\x08\0\0\0\0\0\0\0{\"a\":{}}"),
        ("ELF", b"\x7fELF\x02\x01\x01\0"),
        ("HTML", b"<!DOCTYPE html><title>503</title>"),
        ("S3 error", b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
        ("run description", b"{\"document\":{\"version\":1}}"),
        ("merged update", b"COV72MRG\x01\0\0\0\0\0\0\0"),
        ("escape sequences", b"\x1b[2J\x1b]0;owned\x07"),
        ("lower case", b"cov72ctb\x01\0"),
        ("all ones", &[0xff; 512]),
    ];
    let name = |(name, bytes): (&'static str, &[u8])| (name, bytes.to_vec(), "wrong_magic");
    objects.map(name).to_vec()
}

fn wrong_headers() -> Vec<Hostile> {
    let cut = |len: usize| sound(IndexCodec::Packed12)[..len].to_vec();
    let max = u64::MAX.to_le_bytes();
    vec![
        ("the magic only", cut(8), "truncated_header"),
        ("cut in the header", cut(100), "truncated_header"),
        ("cut in the signature", cut(HEADER_BYTES - 1), "truncated_header"),
        ("version 0", with(8, &[0, 0]), "unknown_version"),
        ("version 2", with(8, &[2, 0]), "unknown_version"),
        ("version 65,535", with(8, &[255, 255]), "unknown_version"),
        ("codec 0", with(188, &[0]), "unknown_codec"),
        ("codec 255", with(188, &[255]), "unknown_codec"),
        ("first reserved byte", with(189, &[1]), "reserved_bytes"),
        ("last reserved byte", with(191, &[128]), "reserved_bytes"),
        ("another run's", claiming(|c| c.run = RunId([0x12; 32])), "other_run"),
        ("an old window's", claiming(|c| c.window = Window(6)), "other_window"),
        ("a later window's", claiming(|c| c.window = Window(8)), "other_window"),
        ("the last window's", claiming(|c| c.window = Window(u64::MAX)), "other_window"),
        ("another uid's", claiming(|c| c.uid = Uid(6)), "other_uid"),
        ("uid 65,535's", claiming(|c| c.uid = Uid(u16::MAX)), "other_uid"),
        ("another hotkey in place", with(56, &stranger().hotkey().0), "other_hotkey"),
        ("re-signed by another", resigned_by_another(), "other_hotkey"),
        ("another layout's", claiming(|c| c.layout.0[0] ^= 1), "other_layout"),
        ("another state's", claiming(|c| c.parent_root.0[31] ^= 1), "other_parent"),
        ("no state's", claiming(|c| c.parent_root = StateRoot([0; 32])), "other_parent"),
        ("another codec's", sound(IndexCodec::EliasFano), "other_codec"),
        ("k of 0", claiming(|c| c.k = 0), "other_k"),
        ("k of 2^32 - 1", claiming(|c| c.k = u32::MAX), "other_k"),
        ("no samples", claiming(|c| c.sample_count = 0), "sample_count"),
        ("a sample more", claiming(|c| c.sample_count = 91), "sample_count"),
        ("2^64 - 1 samples", claiming(|c| c.sample_count = u64::MAX), "sample_count"),
        ("a token more", claiming(|c| c.tokens += 1), "token_count"),
        ("2^64 - 1 tokens", claiming(|c| c.tokens = u64::MAX), "token_count"),
        ("no sections", with(12, &[0; 4]), "section_count"),
        ("2^32 - 1 sections", with(12, &[255; 4]), "section_count"),
        ("a body of 0 bytes", with(192, &[0; 8]), "body_length"),
        ("a body of 10 GB", with(192, &10_000_000_000u64.to_le_bytes()), "body_length"),
        ("a body of 2^64 - 1 bytes", with(192, &max), "body_length"),
        ("no signature", with(SIGNED_BYTES, &[0; 64]), "bad_signature"),
        ("a flipped signature", with(SIGNED_BYTES + 5, &[0x5a; 2]), "bad_signature"),
        ("right hash, another's signature", signed_as_another(), "bad_signature"),
        ("changed after it was signed", with(152, &[0x34; 16]), "bad_signature"),
        ("other samples", claiming(|c| c.sample_digest.0[0] ^= 1), "sample_digest"),
    ]
}

/// Another peer's bytes under the stranger's own name and signature.
fn resigned_by_another() -> Vec<u8> {
    encode(&claims(IndexCodec::Packed12), &update(IndexCodec::Packed12), &stranger())
}

/// The peer's name and bytes, signed by somebody else.
fn signed_as_another() -> Vec<u8> {
    signed_by(sound(IndexCodec::Packed12), &stranger())
}

fn wrong_bodies() -> Vec<Hostile> {
    use IndexCodec::{EliasFano, Packed12};
    let sound = sound(Packed12);
    let body = sound.len() - HEADER_BYTES;
    let longer = |more: usize| [&sound[..], &vec![0; more]].concat();
    let mut flipped = sound.clone();
    *flipped.last_mut().unwrap() ^= 1;
    // A section is 16 bytes of codebook, 6 of packed indices, 1 of codes; the next follows.
    let (indices, second) = (16, 23);
    let elias_fano = EliasFano.section_bytes(shape(EliasFano).sections()[0]);
    vec![
        ("no body", sound[..HEADER_BYTES].to_vec(), "truncated_body"),
        ("a byte less", sound[..sound.len() - 1].to_vec(), "truncated_body"),
        ("a byte more", longer(1), "truncated_body"),
        ("a body twice", longer(body), "truncated_body"),
        ("a flipped bit", flipped, "body_hash"),
        ("another body", [&sound[..HEADER_BYTES], &vec![7; body]].concat(), "body_hash"),
        ("codebook NaN", with_body(Packed12, 0, &f32::NAN.to_le_bytes()), "codebook"),
        ("codebook infinite", with_body(Packed12, 4, &f32::INFINITY.to_le_bytes()), "codebook"),
        ("second codebook", with_body(Packed12, second + 12, &[0, 0, 128, 255]), "codebook"),
        ("an index of 48 in 48", with_body(Packed12, indices + 3, &pair(20, 48)), "index_range"),
        ("an index of 4,095", with_body(Packed12, indices + 3, &pair(20, 4_095)), "index_range"),
        ("an index of 6 in 6", with_body(Packed12, second + 19, &pair(3, 6)), "index_range"),
        ("an index twice", with_body(Packed12, indices, &pair(7, 7)), "index_order"),
        ("indices that fall", with_body(Packed12, indices, &pair(7, 1)), "index_order"),
        ("zeros as indices", with_body(Packed12, indices, &[0; 6]), "index_order"),
        ("no Elias-Fano bits", with_body(EliasFano, 16, &vec![0; elias_fano - 17]), "index_count"),
        ("all bits set", with_body(EliasFano, 16, &vec![255; elias_fano - 17]), "padding"),
    ]
}

fn gallery() -> Vec<Hostile> {
    [not_contributions(), wrong_headers(), wrong_bodies()].concat()
}

fn shape_for(name: &str) -> BodyShape {
    let elias_fano = ["no Elias-Fano bits", "all bits set"].contains(&name);
    shape(if elias_fano { IndexCodec::EliasFano } else { IndexCodec::Packed12 })
}

#[test]
fn every_hostile_object_ends_as_its_own_rejection_in_bounded_memory() {
    let gallery = gallery();
    assert!(gallery.len() >= 60, "{} objects", gallery.len());
    for codec in [IndexCodec::Packed12, IndexCodec::EliasFano] {
        // Also warms up what is allocated once per process.
        assert_eq!(read(&sound(codec), &shape(codec)), Ok(()));
    }
    for (name, object, code) in gallery {
        let shape = shape_for(name);
        let region = Region::new(ALLOCATOR);
        let rejection = read(&object, &shape).expect_err(name);
        let allocated = region.change().bytes_allocated;
        assert_eq!(rejection.code(), code, "{name}: {rejection}");
        let by_header = !wrong_bodies().iter().any(|(of_body, _, _)| *of_body == name);
        let bound = if by_header { ALLOCATED_MAX_BY_HEADER } else { ALLOCATED_MAX };
        assert!(allocated <= bound, "{name}: {allocated} bytes allocated");
        assert!(rejection.to_string().len() < 400, "{name}: {rejection}");
    }
}
