//! A decoder against the training path's forward pass, bit for bit, whatever was kept.

use std::sync::Arc;

use runtime::collective::Solo;
use runtime::ops::linear;
use runtime::{Buffer, Device};
use wire::ModelSpec;

use super::{Decoder, Extend, Place, Wanted};
use crate::llama::{Activations, Extents, MicroBatch, Pass};
use crate::params::ParamTable;
use crate::{initial_params, layout_of};

/// [layers, d_model, heads, kv_heads, ffn, vocab, seq_len], tied.
const SHAPES: [([usize; 7], bool); 4] = [
    ([2, 32, 4, 2, 48, 61, 70], false),
    ([1, 36, 3, 3, 20, 17, 33], true),
    ([2, 320, 4, 1, 600, 97, 100], false),
    // More queries per key-value head than a tile has rows.
    ([1, 80, 40, 1, 24, 33, 40], true),
];

fn spec(
    ([layers, d_model, heads, kv_heads, ffn, vocab, seq_len], tied): ([usize; 7], bool),
) -> ModelSpec {
    ModelSpec {
        layers,
        d_model,
        heads,
        kv_heads,
        ffn,
        vocab,
        seq_len,
        tied,
        rope_theta: 1e4,
        norm_eps: 1e-5,
    }
}

struct Subject {
    spec: ModelSpec,
    params: Arc<Vec<f32>>,
    tokens: Vec<u32>,
    /// `[seq_len][vocab]`.
    logits: Vec<Vec<f32>>,
}

impl Subject {
    fn new(spec: ModelSpec) -> Self {
        let layout = layout_of(&spec).unwrap();
        let mut params = vec![0.0; layout.params()];
        initial_params(&spec, 5, &mut params).unwrap();
        // Larger than at the start of training, so that attention looks at few tokens.
        for tensor in layout.tensors().iter().filter(|tensor| tensor.name.contains(".w")) {
            params[tensor.range()].iter_mut().for_each(|value| *value *= 6.0);
        }
        let token = |at: usize| (at * at * 7 + at * 3 + 1) % spec.vocab;
        let tokens: Vec<u32> = (0..spec.seq_len).map(|at| token(at) as u32).collect();
        let device = Device::cpu(2).unwrap();
        let extents = Extents::new(&spec, MicroBatch::from(1), 0, 1);
        let mut acts = Activations::plan(&device, &spec, &extents);
        acts.tokens.write(&tokens);
        let table = ParamTable::new(&spec, &layout);
        let pass = Pass {
            device: &device,
            comm: &Solo,
            table: &table,
            params: params[..].into(),
            extents,
        };
        pass.forward(&mut acts);
        let mut logits: Buffer<f32> = device.alloc(spec.seq_len * spec.vocab);
        let head = params[table.output.clone()].into();
        linear::forward(&device, acts.head_in.view(), head, logits.view_mut(), spec.seq_len);
        let logits = logits.as_host().unwrap().chunks(spec.vocab).map(<[f32]>::to_vec).collect();
        Self { params: Arc::new(params), tokens, logits, spec }
    }

    fn decoder(&self, threads: usize, slots: usize) -> Decoder {
        let device = Device::cpu(threads).unwrap();
        let params = Arc::clone(&self.params);
        Decoder::new(&device, &self.spec, params, slots, self.spec.seq_len).unwrap()
    }

    #[track_caller]
    fn assert_bits(&self, place: Place, logits: &[f32]) {
        let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let expected = &self.logits[place.position];
        assert_eq!(bits(logits), bits(expected), "{:?} at {place:?}", self.spec);
    }

    /// Feeds the tokens from `from` to `to` and compares all logits after them.
    #[track_caller]
    fn feed(&self, decoder: &mut Decoder, slot: usize, from: usize, to: usize) {
        let work = [Extend { slot, tokens: &self.tokens[from..to] }];
        let mut at = from;
        decoder.extend(&work, Wanted::All, &mut |place, logits| {
            assert_eq!(place, Place { slot, position: at });
            self.assert_bits(place, logits);
            at += 1;
        });
        assert_eq!((at, decoder.held(slot)), (to, to));
    }
}

#[test]
fn logits_have_the_bits_of_the_whole_forward_pass_however_the_tokens_are_split() {
    for shape in SHAPES {
        let subject = Subject::new(spec(shape));
        let all = subject.spec.seq_len;
        for threads in [1, 3] {
            for piece in [1, 3, 8, 32, all] {
                let mut decoder = subject.decoder(threads, 1);
                for from in (0..all).step_by(piece) {
                    subject.feed(&mut decoder, 0, from, all.min(from + piece));
                }
            }
        }
    }
}

#[test]
fn sequences_side_by_side_do_not_touch_each_other() {
    let subject = Subject::new(spec(SHAPES[0]));
    let mut decoder = subject.decoder(2, 3);
    // Of different lengths, so that the same pass works at different positions.
    decoder.extend(
        &[
            Extend { slot: 2, tokens: &subject.tokens[..9] },
            Extend { slot: 0, tokens: &subject.tokens[..40] },
        ],
        Wanted::None,
        &mut |_, _| panic!("none were wanted"),
    );
    for step in 0..30 {
        let at = [40 + step, step, 9 + step];
        let work = [0, 1, 2].map(|slot| Extend { slot, tokens: &subject.tokens[at[slot]..][..1] });
        let mut seen = Vec::new();
        decoder.extend(&work, Wanted::Last, &mut |place, logits| {
            subject.assert_bits(place, logits);
            seen.push((place.slot, place.position));
        });
        assert_eq!(seen, [(0, at[0]), (1, at[1]), (2, at[2])]);
    }
}

#[test]
fn a_prefix_is_kept_for_several_endings() {
    let subject = Subject::new(spec(SHAPES[2]));
    let mut decoder = subject.decoder(2, 2);
    subject.feed(&mut decoder, 1, 0, 37);
    decoder.fork(1, 0);
    subject.feed(&mut decoder, 0, 37, 60);
    // Another ending first, then back.
    let other: Vec<u32> = (0..20).collect();
    let work = [Extend { slot: 1, tokens: &other }];
    decoder.extend(&work, Wanted::None, &mut |_, _| ());
    decoder.truncate(1, 35);
    subject.feed(&mut decoder, 1, 35, 50);
    subject.feed(&mut decoder, 0, 60, 100);
    decoder.fork(0, 1);
    decoder.truncate(1, 99);
    subject.feed(&mut decoder, 1, 99, 100);
}

#[test]
fn prompts_longer_than_one_pass_go_through_in_pieces() {
    let long = spec(([1, 32, 4, 2, 40, 19, 600], false));
    let subject = Subject::new(long);
    let mut decoder = subject.decoder(2, 2);
    let work = [0, 1].map(|slot| Extend { slot, tokens: &subject.tokens[..300 + 250 * slot] });
    let mut seen = Vec::new();
    decoder.extend(&work, Wanted::Last, &mut |place, logits| {
        subject.assert_bits(place, logits);
        seen.push((place.slot, place.position));
    });
    assert_eq!(seen, [(0, 299), (1, 549)]);
    subject.feed(&mut decoder, 0, 300, 600);
}
