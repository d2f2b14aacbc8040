//! The fuzzer's seeds: small files that reach each stage of reading a contribution.
//!
//! With `COV72_WRITE_CORPUS=1` the test writes them; without, it checks that those kept in the
//! repository are still the ones to start from.

use std::path::{Path, PathBuf};

use wire::contribution::{HEADER_BYTES, encode};
use wire::{BodyShape, Header, IndexCodec, Keypair, Layout, Shape, SparseTensor};

fn example() -> Vec<u8> {
    let (_, example) = include_str!("../FORMAT.md").split_once("```hex\n").unwrap();
    let digits = example.split_once("```").unwrap().0;
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let packed = example();
    let tensors =
        [("w", Shape::Matrix(8, 6)), ("norm", Shape::Vector(6)), ("one", Shape::Vector(1))];
    let layout = Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape))).unwrap();
    let shape = BodyShape::new(&layout, 4, IndexCodec::EliasFano);
    let mut claims = Header::parse(&packed).unwrap().claims;
    claims.index_codec = IndexCodec::EliasFano;
    let zero: Vec<_> = shape.sections().iter().copied().map(SparseTensor::zero).collect();
    let elias_fano = encode(&claims, &zero, &Keypair::from_seed([42; 32]));
    let mut codebook = packed.clone();
    codebook[HEADER_BYTES..HEADER_BYTES + 4].fill(0xff);
    vec![
        ("packed", packed.clone()),
        ("elias-fano", elias_fano),
        ("header-only", packed[..HEADER_BYTES].to_vec()),
        ("cut-body", packed[..packed.len() - 1].to_vec()),
        ("codebook", codebook),
        ("magic", packed[..8].to_vec()),
    ]
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/contribution")
}

#[test]
fn the_kept_seeds_are_those_that_reach_each_stage() {
    for (name, bytes) in seeds() {
        let path = corpus().join(name);
        if std::env::var_os("COV72_WRITE_CORPUS").is_some() {
            std::fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{}", path.display());
    }
}

#[test]
fn seeds_of_documents_read_as_such() {
    let manifest = |text: &[u8]| serde_json::from_slice::<wire::Manifest>(text).unwrap();
    for text in [
        &include_bytes!("../fuzz/corpus/manifest/full")[..],
        include_bytes!("../fuzz/corpus/manifest/null-round"),
    ] {
        let manifest = manifest(text);
        assert_eq!(wire::Document::broken_rule(&manifest), None);
    }
    let index = include_bytes!("../fuzz/corpus/checkpoint_index/two-parts");
    let index: wire::CheckpointIndex = serde_json::from_slice(index).unwrap();
    assert_eq!(wire::Document::broken_rule(&index), None);
    let judgement = include_bytes!("../fuzz/corpus/judgement/three-peers");
    let judgement: wire::Judgement = serde_json::from_slice(judgement).unwrap();
    assert_eq!(wire::Document::broken_rule(&judgement), None);
    let signed = include_bytes!("../fuzz/corpus/judgement/signed");
    wire::SignedJudgement::parse(signed).unwrap();
}
