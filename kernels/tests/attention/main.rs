//! Attention against f64, for every kernel, over shapes that fit no tile.

#[path = "../oracle/mod.rs"]
mod oracle;

mod exact;

use std::collections::BTreeMap;
use std::panic::{RefUnwindSafe, catch_unwind};

use exact::{Given, out_len, row_len, tokens, wide};
use kernels::attention::{Shape, delta, forward, gradient_kv, gradient_q, hopper};
use kernels::simt::{Bf16, Buffer, Emulation, Report, Site};
use oracle::{assert_close, bits, emulations, random, run, to_bf16};

/// Batch, tokens, heads, key-value heads: one token; fewer tokens than a tile, a tile, one more,
/// several; one key-value head, as many as query heads, and groups of three.
const SHAPES: [(u32, u32, u32, u32); 6] =
    [(1, 1, 1, 1), (3, 17, 2, 1), (1, 64, 3, 3), (2, 65, 3, 1), (1, 131, 6, 2), (1, 200, 1, 1)];
const HEAD_DIMS: [u32; 3] = [64, 128, 256];

fn shapes() -> impl Iterator<Item = Shape> {
    HEAD_DIMS.into_iter().flat_map(|head_dim| {
        SHAPES.map(|(batch, seq, heads, kv_heads)| Shape { batch, seq, heads, kv_heads, head_dim })
    })
}

/// Packed rows whose scores spread over several units, so that weights are far from even.
fn packed(shape: &Shape, seed: u64) -> Vec<Bf16> {
    let values = random(tokens(shape) * row_len(shape), seed);
    to_bf16(&values.iter().map(|value| 2.0 * value).collect::<Vec<_>>())
}

/// Runs the kernel of a family that has the shape's head_dim.
macro_rules! launch {
    ($family:ident, $shape:expr, $emulation:expr, { $($head_dim:literal: $kernel:ident),* }
     $arguments:tt) => {
        match $shape.head_dim {
            $($head_dim => {
                let kernel = launch!(@ $family, $kernel, $arguments);
                run($family::launch($shape), &kernel, $emulation)
            })*
            other => panic!("no kernel for a head_dim of {other}"),
        }
    };
    (@ $family:ident, $kernel:ident, { $($name:ident $(: $value:expr)?),* }) => {
        $family::$kernel { $($name $(: $value)?),* }
    };
}

/// Output and log-sum-exp of the kernel for mma.sync.
fn forward(shape: &Shape, qkv: &[Bf16], emulation: &Emulation) -> (Vec<Bf16>, Vec<f32>, Report) {
    let qkv = Buffer::from(qkv);
    let out = Buffer::<Bf16>::unset(tokens(shape) * out_len(shape));
    let lse = Buffer::unset(tokens(shape) * shape.heads as usize);
    let Shape { seq, heads, kv_heads, .. } = *shape;
    let report = launch!(forward, shape, emulation, {
        64: attention_forward_64, 128: attention_forward_128, 256: attention_forward_256
    } { qkv: qkv.arg(), out: out.arg(), lse: lse.arg(), seq, heads, kv_heads });
    (out.to_vec(), lse.to_vec(), report)
}

/// [`forward`], by the kernel for Hopper.
fn forward_hopper(
    shape: &Shape,
    qkv: &[Bf16],
    emulation: &Emulation,
) -> (Vec<Bf16>, Vec<f32>, Report) {
    let qkv = Buffer::from(qkv);
    let out = Buffer::<Bf16>::unset(tokens(shape) * out_len(shape));
    let lse = Buffer::unset(tokens(shape) * shape.heads as usize);
    let [q_map, kv_map, out_map] = hopper::maps(shape, qkv.arg(), out.arg());
    let Shape { seq, heads, kv_heads, .. } = *shape;
    let report = launch!(hopper, shape, emulation, {
        64: attention_forward_hopper_64,
        128: attention_forward_hopper_128,
        256: attention_forward_hopper_256
    } { q_map, kv_map, out_map, lse: lse.arg(), seq, heads, kv_heads });
    (out.to_vec(), lse.to_vec(), report)
}

/// A given result of the forward pass, and a gradient for it.
struct Results {
    qkv: Vec<Bf16>,
    out: Vec<Bf16>,
    lse: Vec<f32>,
    dout: Vec<Bf16>,
}

impl Results {
    /// As exact as they can be stored.
    fn exact(shape: &Shape, seed: u64) -> Self {
        let qkv = packed(shape, seed);
        let (out, lse) = exact::forward(shape, &wide(&qkv));
        let narrow = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<_>>();
        let out = to_bf16(&narrow(out.values));
        let dout = to_bf16(&random(out.len(), seed + 1));
        Self { qkv, out, lse: narrow(lse), dout }
    }
}

/// The gradient of packed rows, and delta, by the kernels for mma.sync.
fn backward(
    shape: &Shape,
    given: &Results,
    emulation: &Emulation,
) -> (Vec<Bf16>, Vec<f32>, [Report; 3]) {
    let [qkv, out, dout] =
        [&given.qkv, &given.out, &given.dout].map(|values| Buffer::from(values.as_slice()));
    let lse = Buffer::from(given.lse.as_slice());
    let delta = Buffer::unset(given.lse.len());
    let dqkv = Buffer::<Bf16>::unset(given.qkv.len());
    let Shape { seq, heads, kv_heads, .. } = *shape;
    let deltas = launch!(delta, shape, emulation, {
        64: attention_delta_64, 128: attention_delta_128, 256: attention_delta_256
    } { out: out.arg(), dout: dout.arg(), delta: delta.arg(), seq, heads });
    let by_keys = launch!(gradient_kv, shape, emulation, {
        64: attention_gradient_kv_64, 128: attention_gradient_kv_128, 256: attention_gradient_kv_256
    } {
        qkv: qkv.arg(), dout: dout.arg(), lse: lse.arg(), delta: delta.arg(), dqkv: dqkv.arg(),
        seq, heads, kv_heads
    });
    let by_queries = launch!(gradient_q, shape, emulation, {
        64: attention_gradient_q_64, 128: attention_gradient_q_128, 256: attention_gradient_q_256
    } {
        qkv: qkv.arg(), dout: dout.arg(), lse: lse.arg(), delta: delta.arg(), dqkv: dqkv.arg(),
        seq, heads, kv_heads
    });
    (dqkv.to_vec(), delta.to_vec(), [deltas, by_keys, by_queries])
}

/// The two forward kernels.
type Forward = fn(&Shape, &[Bf16], &Emulation) -> (Vec<Bf16>, Vec<f32>, Report);
const FORWARDS: [Forward; 2] = [forward, forward_hopper];

#[test]
fn outputs_are_means_of_values_by_the_softmax_of_scores() {
    for shape in shapes() {
        let qkv = packed(&shape, 1);
        let (out, lse) = exact::forward(&shape, &wide(&qkv));
        for forward in FORWARDS {
            let (got, got_lse, _) = forward(&shape, &qkv, &Emulation::default());
            out.assert_close(&format!("{shape:?}: out"), &got);
            assert_close("lse", &got_lse, &lse, 1e-6);
        }
    }
}

#[test]
fn gradients_agree_with_f64() {
    for shape in shapes() {
        let given = Results::exact(&shape, 6);
        let [qkv, out, dout] = [&given.qkv, &given.out, &given.dout].map(|values| wide(values));
        let all = Given { qkv: &qkv, out: &out, dout: &dout };
        let (dqkv, delta) = exact::backward(&shape, &all);
        let (got, got_delta, _) = backward(&shape, &given, &Emulation::default());
        assert_close("delta", &got_delta, &delta, 1e-6);
        dqkv.assert_close(&format!("{shape:?}: dqkv"), &got);
    }
}

#[test]
fn two_runs_have_the_same_bits_in_whatever_order_threads_and_copies_come() {
    for head_dim in HEAD_DIMS {
        let shape = Shape { batch: 1, seq: 131, heads: 2, kv_heads: 1, head_dim };
        let given = Results::exact(&shape, 2);
        let results = emulations().map(|emulation| {
            let forwards = FORWARDS.map(|forward| {
                let (out, lse, _) = forward(&shape, &given.qkv, &emulation);
                (out, bits(&lse))
            });
            let (dqkv, delta, _) = backward(&shape, &given, &emulation);
            (forwards, dqkv, bits(&delta))
        });
        assert!(results.iter().all(|result| *result == results[0]), "{shape:?}");
    }
}

#[test]
fn scores_far_from_zero_neither_overflow_nor_vanish() {
    let shape = Shape { batch: 1, seq: 140, heads: 2, kv_heads: 2, head_dim: 64 };
    let values = random(tokens(&shape) * row_len(&shape), 3);
    let qkv = to_bf16(&values.iter().map(|value| 40.0 * value - 30.0).collect::<Vec<_>>());
    let (out, lse) = exact::forward(&shape, &wide(&qkv));
    for forward in FORWARDS {
        let (got, got_lse, _) = forward(&shape, &qkv, &Emulation::default());
        out.assert_close("out", &got);
        assert_close("lse", &got_lse, &lse, 1e-6);
    }
}

#[test]
fn what_is_not_a_number_is_not_hidden_by_the_softmax() {
    let shape = Shape { batch: 2, seq: 150, heads: 1, kv_heads: 1, head_dim: 64 };
    let (mut qkv, token) = (packed(&shape, 4), 140);
    let row = row_len(&shape);
    qkv[token * row..(token + 1) * row].fill(Bf16(0x7fc0));
    for forward in FORWARDS {
        let (got, lse, _) = forward(&shape, &qkv, &Emulation::default());
        for position in token..150 {
            let out = &got[position * 64..(position + 1) * 64];
            assert!(out.iter().all(|value| value.to_f32().is_nan()), "token {position}");
            assert!(lse[position].is_nan(), "token {position}");
        }
        // The sequence that follows, part of which lies in the same tile of keys, is untouched.
        assert!(got[150 * 64..].iter().all(|value| value.to_f32().is_finite()));
    }
}

/// The places where some launches wait, each with whether they fail without it.
fn needed(
    reports: &[Report],
    launches: impl Fn(&Emulation) + RefUnwindSafe,
) -> BTreeMap<Site, bool> {
    let sites = reports.iter().flat_map(|report| &report.sync_sites);
    let fails_without = |site: &Site| {
        let without = Emulation { without: Some(*site), ..Emulation::default() };
        catch_unwind(|| launches(&without)).is_err()
    };
    sites.map(|site| (*site, fails_without(site))).collect()
}

#[test]
fn every_barrier_and_wait_is_needed_for_some_head_dim() {
    let mut sites = BTreeMap::new();
    for head_dim in [64, 256] {
        let shape = Shape { batch: 1, seq: 400, heads: 2, kv_heads: 1, head_dim };
        let given = Results::exact(&shape, 5);
        let of_forward = FORWARDS.map(|forward| {
            let (_, _, report) = forward(&shape, &given.qkv, &Emulation::default());
            needed(&[report], |emulation| {
                forward(&shape, &given.qkv, emulation);
            })
        });
        let (_, _, reports) = backward(&shape, &given, &Emulation::default());
        let of_backward = needed(&reports, |emulation| {
            backward(&shape, &given, emulation);
        });
        for (site, is_needed) in of_forward.into_iter().flatten().chain(of_backward) {
            *sites.entry(site).or_insert(false) |= is_needed;
        }
    }
    let spare: Vec<_> = sites.iter().filter(|(_, is_needed)| !**is_needed).collect();
    assert!(sites.len() > 20 && spare.is_empty(), "{} places, not needed: {spare:?}", sites.len());
}
