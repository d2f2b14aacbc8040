//! Attention over kept keys and values against attention over whole sequences, which has its own
//! oracle: the same bits, whatever was kept before and beside.

mod oracle;

use oracle::{bits, device, random};
use runtime::ops::attention;
use runtime::ops::cached_attention::{self, PANEL, Segment, Shape};

/// (tokens, heads, kv_heads, head_dim): one head and groups, less and more than a panel, head sizes
/// that are no multiple of a vector, more queries of a group than a tile has rows.
const CASES: [(usize, usize, usize, usize); 5] =
    [(5, 2, 1, 6), (33, 4, 2, 20), (70, 3, 1, 64), (47, 2, 2, 32), (40, 36, 1, 8)];

#[test]
fn any_split_of_a_sequence_attends_with_the_bits_of_the_whole() {
    for (tokens, heads, kv_heads, head_dim) in CASES {
        let whole = attention::Shape { batch: 1, seq: tokens, heads, kv_heads, head_dim };
        let qkv = random(tokens * whole.qkv_row(), 3);
        let mut expected = vec![f32::NAN; tokens * whole.out_row()];
        let mut lse = vec![f32::NAN; whole.lse_len()];
        let dev = device();
        let (out, sums) = ((&mut expected[..]).into(), (&mut lse[..]).into());
        attention::forward(&dev, whole, None, qkv[..].into(), out, sums);
        let capacity = tokens.next_multiple_of(PANEL);
        let shape = Shape { slots: 3, capacity, heads, kv_heads, head_dim };
        for split in [1, tokens / 2, tokens - 1] {
            // What was there before must not matter.
            let [mut keys, mut values] = [(); 2].map(|()| vec![7.0; shape.cache_len()]);
            let mut out = vec![f32::NAN; tokens * whole.out_row()];
            for (first, until) in [(0, split), (split, tokens)] {
                let row = first;
                let segments = [Segment { slot: 1, row, tokens: until - first, first }];
                let (k, v) = ((&mut keys[..]).into(), (&mut values[..]).into());
                cached_attention::keep(&dev, shape, &segments, qkv[..].into(), k, v);
                let (k, v) = (keys[..].into(), values[..].into());
                let to = (&mut out[..]).into();
                cached_attention::forward(&dev, shape, &segments, qkv[..].into(), k, v, to);
            }
            assert_eq!(bits(&out), bits(&expected), "{whole:?} split at {split}");
        }
    }
}

#[test]
#[should_panic(expected = "is outside of")]
fn a_segment_past_the_cache_is_a_mistake() {
    let shape = Shape { slots: 1, capacity: PANEL, heads: 1, kv_heads: 1, head_dim: 2 };
    let qkv = vec![0.0; 2 * shape.qkv_row()];
    let [mut keys, mut values] = [(); 2].map(|()| vec![0.0; shape.cache_len()]);
    let segments = [Segment { slot: 0, row: 0, tokens: 2, first: PANEL - 1 }];
    let (k, v) = ((&mut keys[..]).into(), (&mut values[..]).into());
    cached_attention::keep(&device(), shape, &segments, qkv[..].into(), k, v);
}
