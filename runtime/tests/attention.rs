//! Attention against the full [seq, seq] softmax in f64, and its analytic gradient.
//! Tolerances relative to the largest value: 2e-6 forward; 2e-5 backward, where scores are
//! recomputed and two sums over up to 70 keys and queries follow.

mod oracle;

use oracle::{assert_close, bits, central_differences, device, devices, dot, random, wide};
use runtime::Device;
use runtime::ops::attention::{self, Shape};

const fn shape(batch: usize, seq: usize, heads: usize, kv_heads: usize, head_dim: usize) -> Shape {
    Shape { batch, seq, heads, kv_heads, head_dim }
}

/// One query; less, just and more than a tile of queries; groups; head sizes that are no multiple
/// of a vector.
const SHAPES: [Shape; 7] = [
    shape(1, 1, 1, 1, 2),
    shape(2, 5, 2, 1, 6),
    shape(1, 32, 2, 2, 16),
    shape(2, 33, 4, 2, 20),
    shape(1, 70, 3, 1, 64),
    shape(3, 47, 2, 2, 32),
    shape(1, 65, 6, 2, 36),
];

/// Output and log-sum-exp in f64.
fn forward_f64(s: Shape, qkv: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (row, hd) = (s.qkv_row(), s.head_dim);
    let (mut out, mut lse) = (vec![0.0; s.tokens() * s.out_row()], vec![0.0; s.lse_len()]);
    let at = |b: usize, t: usize, column: usize| {
        let first = (b * s.seq + t) * row + column * hd;
        first..first + hd
    };
    for (b, h) in (0..s.batch).flat_map(|b| (0..s.heads).map(move |h| (b, h))) {
        let kv = s.heads + h / (s.heads / s.kv_heads);
        for i in 0..s.seq {
            let q = &qkv[at(b, i, h)];
            let scores: Vec<f64> =
                (0..=i).map(|j| dot(q, &qkv[at(b, j, kv)]) / (hd as f64).sqrt()).collect();
            let sum = scores.iter().map(|s| s.exp()).sum::<f64>();
            lse[(b * s.heads + h) * s.seq + i] = sum.ln();
            let first = (b * s.seq + i) * s.out_row() + h * hd;
            for (j, score) in scores.iter().enumerate() {
                let v = &qkv[at(b, j, kv + s.kv_heads)];
                for (out, v) in out[first..first + hd].iter_mut().zip(v) {
                    *out += score.exp() / sum * v;
                }
            }
        }
    }
    (out, lse)
}

fn forward(dev: &Device, s: Shape, qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
    forward_from(dev, s, None, qkv)
}

fn forward_from(
    dev: &Device,
    s: Shape,
    first_keys: Option<&[u32]>,
    qkv: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let first_keys = first_keys.map(Into::into);
    let mut out = vec![f32::NAN; s.tokens() * s.out_row()];
    let mut lse = vec![f32::NAN; s.lse_len()];
    attention::forward(
        dev,
        s,
        first_keys,
        qkv.into(),
        (&mut out[..]).into(),
        (&mut lse[..]).into(),
    );
    (out, lse)
}

fn backward(dev: &Device, s: Shape, qkv: &[f32], dout: &[f32]) -> Vec<f32> {
    backward_from(dev, s, None, qkv, dout)
}

fn backward_from(
    dev: &Device,
    s: Shape,
    first_keys: Option<&[u32]>,
    qkv: &[f32],
    dout: &[f32],
) -> Vec<f32> {
    let (out, lse) = forward_from(dev, s, first_keys, qkv);
    let first_keys = first_keys.map(Into::into);
    let mut dqkv = vec![f32::NAN; qkv.len()];
    let (out, lse) = (&out[..], &lse[..]);
    let to = (&mut dqkv[..]).into();
    attention::backward(dev, s, first_keys, qkv.into(), out.into(), dout.into(), lse.into(), to);
    dqkv
}

#[test]
fn output_and_log_sum_exp_are_those_of_the_full_softmax() {
    for s in SHAPES {
        let qkv: Vec<f32> = random(s.tokens() * s.qkv_row(), 1).iter().map(|x| 2.0 * x).collect();
        let (out, lse) = forward(&device(), s, &qkv);
        let (want_out, want_lse) = forward_f64(s, &wide(&qkv));
        assert_close(&format!("out {s:?}"), &out, &want_out, 2e-6);
        assert_close(&format!("lse {s:?}"), &lse, &want_lse, 2e-6);
    }
}

#[test]
fn gradient_is_the_analytic_one() {
    for s in SHAPES {
        let qkv: Vec<f32> = random(s.tokens() * s.qkv_row(), 2).iter().map(|x| 2.0 * x).collect();
        let dout = random(s.tokens() * s.out_row(), 3);
        let got = backward(&device(), s, &qkv, &dout);
        let want = gradient_f64(s, &wide(&qkv), &wide(&dout));
        assert_close(&format!("dqkv {s:?}"), &got, &want, 2e-5);
    }
}

/// Analytic gradient in f64; its own test holds it against central differences.
fn gradient_f64(s: Shape, qkv: &[f64], dout: &[f64]) -> Vec<f64> {
    let (row, hd, scale) = (s.qkv_row(), s.head_dim, 1.0 / (s.head_dim as f64).sqrt());
    let (out, lse) = forward_f64(s, qkv);
    let mut d = vec![0.0; qkv.len()];
    for (b, h) in (0..s.batch).flat_map(|b| (0..s.heads).map(move |h| (b, h))) {
        let kv = s.heads + h / (s.heads / s.kv_heads);
        let at = |t: usize, column: usize| (b * s.seq + t) * row + column * hd;
        for i in 0..s.seq {
            let o = (b * s.seq + i) * s.out_row() + h * hd;
            let (dout, out) = (&dout[o..o + hd], &out[o..o + hd]);
            let delta = dot(dout, out);
            for j in 0..=i {
                let (q, k, v) = (at(i, h), at(j, kv), at(j, kv + s.kv_heads));
                let score = dot(&qkv[q..q + hd], &qkv[k..k + hd]) * scale;
                let p = (score - lse[(b * s.heads + h) * s.seq + i]).exp();
                let ds = p * (dot(dout, &qkv[v..v + hd]) - delta) * scale;
                for c in 0..hd {
                    d[v + c] += p * dout[c];
                    d[q + c] += ds * qkv[k + c];
                    d[k + c] += ds * qkv[q + c];
                }
            }
        }
    }
    d
}

#[test]
fn the_analytic_oracle_agrees_with_central_differences() {
    let s = shape(2, 5, 4, 2, 3);
    let (qkv, dout) =
        (wide(&random(s.tokens() * s.qkv_row(), 4)), wide(&random(s.tokens() * s.out_row(), 5)));
    let want = central_differences(&qkv, |qkv| dot(&forward_f64(s, qkv).0, &dout));
    for (got, want) in gradient_f64(s, &qkv, &dout).iter().zip(want) {
        assert!((got - want).abs() < 1e-8, "{got} against {want}");
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for s in SHAPES {
        let (qkv, dout) =
            (random(s.tokens() * s.qkv_row(), 6), random(s.tokens() * s.out_row(), 7));
        let mut runs = devices().into_iter().map(|dev| {
            let (out, lse) = forward(&dev, s, &qkv);
            (bits(&out), bits(&lse), bits(&backward(&dev, s, &qkv, &dout)))
        });
        let first = runs.next().expect("one thread");
        assert!(runs.all(|run| run == first), "{s:?}");
    }
}

#[test]
fn a_later_token_changes_nothing_before_it() {
    let s = shape(1, 40, 2, 1, 8);
    let mut qkv = random(s.tokens() * s.qkv_row(), 8);
    let (before, _) = forward(&device(), s, &qkv);
    qkv[35 * s.qkv_row()..].fill(50.0);
    let (after, _) = forward(&device(), s, &qkv);
    assert_eq!(bits(&before[..35 * s.out_row()]), bits(&after[..35 * s.out_row()]));
}

/// Lengths of documents, over and over: one token, within a tile of queries, over several tiles.
const DOCUMENTS: [usize; 5] = [3, 1, 40, 20, 7];

/// Rows of `s` in documents, as ranges of all its tokens, and the first key of each token.
fn documents(s: Shape) -> (Vec<std::ops::Range<usize>>, Vec<u32>) {
    let (mut ranges, mut first_keys) = (Vec::new(), Vec::new());
    let mut lengths = DOCUMENTS.iter().cycle();
    for row in (0..s.tokens()).step_by(s.seq) {
        let mut place = 0;
        while place < s.seq {
            let end = s.seq.min(place + lengths.next().unwrap());
            ranges.push(row + place..row + end);
            first_keys.extend(std::iter::repeat_n(place as u32, end - place));
            place = end;
        }
    }
    (ranges, first_keys)
}

#[test]
fn documents_kept_apart_are_what_they_are_alone() {
    for s in SHAPES {
        let qkv: Vec<f32> = random(s.tokens() * s.qkv_row(), 9).iter().map(|x| 2.0 * x).collect();
        let dout = random(s.tokens() * s.out_row(), 10);
        let (ranges, first_keys) = documents(s);
        let (out, _) = forward_from(&device(), s, Some(&first_keys), &qkv);
        let gradient = backward_from(&device(), s, Some(&first_keys), &qkv, &dout);
        for range in ranges {
            let alone = shape(1, range.len(), s.heads, s.kv_heads, s.head_dim);
            let of = |row: usize| range.start * row..range.end * row;
            let (ours, theirs) = (of(s.qkv_row()), of(s.out_row()));
            let (qkv, dout) = (wide(&qkv[ours.clone()]), wide(&dout[theirs.clone()]));
            let about = format!("tokens {range:?} of {s:?}");
            assert_close(&about, &out[theirs], &forward_f64(alone, &qkv).0, 2e-6);
            assert_close(&about, &gradient[ours], &gradient_f64(alone, &qkv, &dout), 2e-5);
        }
    }
}

#[test]
fn one_document_to_a_row_has_the_bits_of_undivided_rows() {
    for s in SHAPES {
        let (qkv, dout) =
            (random(s.tokens() * s.qkv_row(), 11), random(s.tokens() * s.out_row(), 12));
        let whole = vec![0; s.tokens()];
        let [one, other] = [None, Some(&whole[..])].map(|first_keys| {
            let (out, lse) = forward_from(&device(), s, first_keys, &qkv);
            let gradient = backward_from(&device(), s, first_keys, &qkv, &dout);
            [out, lse, gradient].map(|values| bits(&values))
        });
        assert_eq!(one, other, "{s:?}");
    }
}
