//! Round trips over arbitrary shapes, hostile bytes, and the sizes that the formats promise.

use proptest::prelude::*;

use super::*;
use crate::Shape;

const CODECS: [IndexCodec; 2] = [IndexCodec::Packed12, IndexCodec::EliasFano];

fn any_shape() -> impl Strategy<Value = SparseShape> {
    let shape = prop_oneof![
        (1usize..300).prop_map(Shape::Vector),
        (1usize..200, 1usize..200).prop_map(|(rows, cols)| Shape::Matrix(rows, cols)),
        Just(Shape::Matrix(128, 64)),
    ];
    (shape, prop_oneof![1usize..100, Just(64), Just(5000)])
        .prop_map(|(shape, k)| SparseShape::new(shape.tiling(), k))
}

/// A well-formed update, decided by `seed`.
fn update(shape: SparseShape, mut seed: u64) -> SparseTensor {
    let mut draw = move |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    let mut indices = Vec::new();
    let mut codes = vec![0; shape.code_bytes()];
    for chunk in 0..shape.chunks() {
        // Selection sampling (Knuth, algorithm S): k of n in order, each set equally likely.
        let mut wanted = shape.k();
        for index in 0..shape.chunk_len() {
            if draw(shape.chunk_len() - index) < wanted {
                indices.push(index as u16);
                wanted -= 1;
            }
        }
        for i in 0..shape.k() {
            codes[chunk * shape.chunk_code_bytes() + i / 4] |= (draw(4) as u8) << (i % 4 * 2);
        }
    }
    SparseTensor::new(shape, [-1.5, -0.5, 0.25, 2.0], indices, codes).unwrap()
}

fn encoded(codec: IndexCodec, tensor: &SparseTensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(tensor, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(shape in any_shape(), seed: u64) {
        let tensor = update(shape, seed);
        for codec in CODECS {
            let bytes = encoded(codec, &tensor);
            prop_assert_eq!(bytes.len(), codec.section_bytes(shape));
            prop_assert_eq!(codec.decode(shape, &bytes).unwrap(), tensor.clone());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_are_the_one_encoding(
        shape in any_shape(), seed: u64, noise in prop::collection::vec(any::<(u16, u8)>(), 0..6),
    ) {
        for codec in CODECS {
            let mut bytes = encoded(codec, &update(shape, seed));
            for (at, flip) in &noise {
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= flip;
            }
            if let Ok(tensor) = codec.decode(shape, &bytes) {
                prop_assert_eq!(encoded(codec, &tensor), bytes);
            }
        }
    }

    #[test]
    fn pure_noise_of_the_right_length_never_panics(shape in any_shape(), seed: u64) {
        for codec in CODECS {
            let mut state = seed;
            let noise: Vec<u8> = (0..codec.section_bytes(shape))
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            if let Ok(tensor) = codec.decode(shape, &noise) {
                prop_assert_eq!(encoded(codec, &tensor), noise);
            }
        }
    }

    #[test]
    fn truncated_and_extended_sections_are_refused(shape in any_shape(), cut in 1usize..40) {
        for codec in CODECS {
            let mut bytes = encoded(codec, &update(shape, 1));
            let expected = bytes.len();
            let found = expected.saturating_sub(cut);
            let fault = codec.decode(shape, &bytes[..found]).unwrap_err();
            prop_assert_eq!(fault, SectionFault::Length { expected, found });
            bytes.resize(expected + cut, 0);
            let fault = codec.decode(shape, &bytes).unwrap_err();
            prop_assert_eq!(fault, SectionFault::Length { expected, found: expected + cut });
        }
    }
}

#[test]
fn sixty_four_of_4096_beat_fp32_by_146_and_by_over_200() {
    let shape = SparseShape::new(Shape::Matrix(8192, 8192).tiling(), 64);
    let dense_bytes = 8192 * 8192 * 4;
    let ratio = |codec: IndexCodec| {
        dense_bytes as f64 / (codec.section_bytes(shape) - CODEBOOK_BYTES) as f64
    };
    assert!((ratio(IndexCodec::Packed12) - 146.2857).abs() < 1e-3);
    assert!((ratio(IndexCodec::EliasFano) - 204.8).abs() < 1e-9);
}

#[test]
fn every_fault_of_indices_is_told_apart() {
    let shape = SparseShape::new(Shape::Matrix(3, 20).tiling(), 4);
    assert_eq!((shape.chunks(), shape.chunk_len(), shape.k()), (1, 60, 4));
    let with = |indices: [u16; 4]| {
        let mut bytes = vec![0; IndexCodec::Packed12.section_bytes(shape)];
        packed12::encode(&indices, &mut bytes[CODEBOOK_BYTES..][..6]);
        IndexCodec::Packed12.decode(shape, &bytes).map(|_| ())
    };
    assert_eq!(with([0, 1, 2, 59]), Ok(()));
    assert_eq!(
        with([0, 1, 2, 60]),
        Err(SectionFault::IndexOutOfRange { chunk: 0, index: 60, chunk_len: 60 })
    );
    assert_eq!(with([0, 2, 2, 3]), Err(SectionFault::NotAscending { chunk: 0 }));
    assert_eq!(with([0, 3, 2, 4]), Err(SectionFault::NotAscending { chunk: 0 }));
}

#[test]
fn elias_fano_reaches_range_and_order_faults_too() {
    // n = 60, k = 4: l = 3, 12 low bits in 2 bytes, 7 + 4 high bits in 2 bytes.
    let shape = SparseShape::new(Shape::Matrix(3, 20).tiling(), 4);
    let with = |low: u16, high: u16| {
        let mut bytes = vec![0; CODEBOOK_BYTES];
        bytes.extend(low.to_le_bytes());
        bytes.extend(high.to_le_bytes());
        bytes.push(0);
        IndexCodec::EliasFano.decode(shape, &bytes).map(|tensor| tensor.indices().to_vec())
    };
    assert_eq!(with(0b011_010_001_000, 0b100_0000_0111), Ok(vec![0, 1, 2, 59]));
    let fault = with(0b111_010_001_000, 0b100_0000_0111).unwrap_err();
    assert_eq!(fault, SectionFault::IndexOutOfRange { chunk: 0, index: 63, chunk_len: 60 });
    let fault = with(0b011_001_001_000, 0b100_0000_0111).unwrap_err();
    assert_eq!(fault, SectionFault::NotAscending { chunk: 0 });
}

#[test]
fn codebooks_that_are_not_finite_and_padded_codes_are_refused() {
    let shape = SparseShape::new(Shape::Matrix(3, 20).tiling(), 6);
    let tensor = update(shape, 3);
    for codec in CODECS {
        let mut bytes = encoded(codec, &tensor);
        *bytes.last_mut().unwrap() |= 0x10;
        let fault = codec.decode(shape, &bytes).unwrap_err();
        assert_eq!(fault, SectionFault::Padding { chunk: 0, part: "codes" });
        let mut bytes = encoded(codec, &tensor);
        bytes[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(codec.decode(shape, &bytes), Err(SectionFault::Codebook { entry: 2 }));
    }
}

#[test]
fn the_zero_update_is_well_formed_and_survives_the_wire() {
    for shape in [Shape::Matrix(128, 352), Shape::Vector(27), Shape::Matrix(97, 101)] {
        let shape = SparseShape::new(shape.tiling(), 64);
        let zero = SparseTensor::zero(shape);
        for codec in CODECS {
            assert_eq!(codec.decode(shape, &encoded(codec, &zero)).unwrap(), zero);
        }
    }
}
