//! Any bytes at all as a merged update. What reads must be what its parts merge to, bit for bit.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wire::{
    BodyShape, IndexCodec, Layout, Merged, MergedClaims, Part, RunId, Shape, StateRoot, Window,
    merged_head,
};

static SHAPES: LazyLock<[BodyShape; 2]> = LazyLock::new(|| {
    let tensors = [("w", Shape::Matrix(8, 6)), ("norm", Shape::Vector(6))];
    let named = tensors.map(|(name, shape)| (name.to_string(), shape));
    let layout = Layout::new(named).expect("a layout");
    [IndexCodec::Packed12, IndexCodec::EliasFano].map(|codec| BodyShape::new(&layout, 4, codec))
});

const CLAIMS: MergedClaims = MergedClaims {
    run: RunId([0x11; 32]),
    window: Window(7),
    parent_root: StateRoot([0x22; 32]),
};

/// The object with the fixed fields that it must have, so that the fuzzer gets behind them.
fn fitted(object: &[u8], shape: &BodyShape) -> Vec<u8> {
    let mut fitted = merged_head(&CLAIMS, shape, &[]);
    let count = object.len().saturating_sub(1) as u64 / (2 + shape.body_bytes());
    fitted[10..12].copy_from_slice(&(count as u16).to_le_bytes());
    fitted.extend_from_slice(object.get(1..).unwrap_or_default());
    fitted
}

fn check(object: &[u8], shape: &BodyShape) {
    let bytes = object.len() as u64;
    let Ok(merged) = Merged::parse(object, bytes, &CLAIMS, shape) else { return };
    let mut again = merged_head(&CLAIMS, shape, merged.uids());
    let mut part = Part::default();
    for peer in 0..merged.uids().len() {
        for (section, sparse) in shape.sections().iter().enumerate() {
            let at = merged.body(peer).start;
            let whole = 0..sparse.bands();
            let Ok(tensor) = part.read(shape, object, at, section, whole) else { return };
            shape.index_codec().encode(tensor, &mut again);
        }
    }
    assert_eq!(again, object);
}

fuzz_target!(|object: &[u8]| {
    for shape in &*SHAPES {
        check(object, shape);
        check(&fitted(object, shape), shape);
    }
});
