//! Any bytes at all as a contribution. What reads must be what its update encodes to, bit for bit;
//! what does not read must not panic or take memory that the layout does not call for.
//!
//! The fuzzer cannot forge a signature, so each input is read twice: as it is, and signed again
//! with our key after its header was made to fit its body.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wire::contribution::{HEADER_BYTES, SIGNED_BYTES, encode};
use wire::{
    BodyShape, Contribution, Expected, Header, IndexCodec, Keypair, Layout, Rejection, RunId,
    Shape, StateRoot, Uid, Window,
};

static KEYPAIR: LazyLock<Keypair> = LazyLock::new(|| Keypair::from_seed([42; 32]));

static SHAPES: LazyLock<[BodyShape; 2]> = LazyLock::new(|| {
    let tensors =
        [("w", Shape::Matrix(8, 6)), ("norm", Shape::Vector(6)), ("one", Shape::Vector(1))];
    let named = tensors.map(|(name, shape)| (name.to_string(), shape));
    let layout = Layout::new(named).expect("a layout");
    [IndexCodec::Packed12, IndexCodec::EliasFano].map(|codec| BodyShape::new(&layout, 4, codec))
});

fn read(object: &[u8], shape: &BodyShape) -> Result<Contribution, Rejection> {
    let expected = Expected {
        run: RunId([0x11; 32]),
        window: Window(0x0102_0304_0506_0708),
        uid: Uid(0x2143),
        hotkey: KEYPAIR.hotkey(),
        parent_root: StateRoot([0x22; 32]),
        samples: 1..=100,
        shape,
    };
    let verified = Header::parse(object)?.verify(&expected)?;
    verified.body(&object[HEADER_BYTES..])?.decode()
}

fn signed_again(object: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = object.split_at_checked(SIGNED_BYTES)?;
    let body = rest.get(HEADER_BYTES - SIGNED_BYTES..)?;
    let mut header = header.to_vec();
    header[192..200].copy_from_slice(&(body.len() as u64).to_le_bytes());
    header[200..].copy_from_slice(blake3::hash(body).as_bytes());
    let signature = KEYPAIR.sign(&header).0;
    Some([&header[..], &signature, body].concat())
}

fn check(object: &[u8]) {
    for shape in &*SHAPES {
        match read(object, shape) {
            Ok(read) => {
                let again = encode(&read.header.claims, &read.tensors, &KEYPAIR);
                assert_eq!(again[..SIGNED_BYTES], object[..SIGNED_BYTES]);
                assert_eq!(again[HEADER_BYTES..], object[HEADER_BYTES..]);
            }
            Err(rejection) => assert!(rejection.to_string().len() < 400),
        }
    }
}

fuzz_target!(|object: &[u8]| {
    check(object);
    if let Some(object) = signed_again(object) {
        check(&object);
    }
});
