//! Causal attention against f64 of the rounded values: 2^-8 of the largest for what is kept in
//! bf16, twice that for gradients, which are made of the rounded output; 1e-5 for the log-sum-exp.

mod oracle;

use kernels::plain_attention::*;
use kernels::simt::{Bf16, Buffer, Emulation, Launch};
use oracle::{assert_close, dot, emulations, from_bf16, random, run, to_bf16, wide};

const BF16: f64 = 1.0 / 256.0;

#[derive(Clone, Copy)]
struct Case {
    batch: usize,
    seq: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// One token; tiny heads in groups; fewer and more partners than lanes; the widest head.
const CASES: [Case; 4] = [
    Case { batch: 1, seq: 1, heads: 1, kv_heads: 1, head_dim: 2 },
    Case { batch: 2, seq: 9, heads: 4, kv_heads: 2, head_dim: 4 },
    Case { batch: 1, seq: 71, heads: 3, kv_heads: 1, head_dim: 33 },
    Case { batch: 1, seq: 40, heads: 1, kv_heads: 1, head_dim: 256 },
];

impl Case {
    fn row(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    fn tokens(&self) -> usize {
        self.batch * self.seq
    }

    fn out_len(&self) -> usize {
        self.tokens() * self.heads * self.head_dim
    }

    fn scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }
}

/// out, lse and, given out as it was rounded, the gradient of `dot(out, dout)`.
fn oracle(c: &Case, qkv: &[f64], rounded: &[f64], dout: &[f64]) -> [Vec<f64>; 3] {
    let (hd, group) = (c.head_dim, c.heads / c.kv_heads);
    let mut out = vec![0.0; c.out_len()];
    let mut lse = vec![0.0; c.batch * c.heads * c.seq];
    let mut dqkv = vec![0.0; qkv.len()];
    for b in 0..c.batch {
        let at = |token: usize, head: usize| (b * c.seq + token) * c.row() + head * hd;
        for head in 0..c.heads {
            let (kh, vh) = (c.heads + head / group, c.heads + c.kv_heads + head / group);
            for query in 0..c.seq {
                let q = at(query, head);
                let o = ((b * c.seq + query) * c.heads + head) * hd;
                let scores: Vec<f64> = (0..=query)
                    .map(|key| dot(&qkv[q..][..hd], &qkv[at(key, kh)..][..hd]) * c.scale())
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
                lse[(b * c.heads + head) * c.seq + query] = largest + total.ln();
                let mean = dot(&dout[o..][..hd], &rounded[o..][..hd]);
                for (key, score) in scores.iter().enumerate() {
                    let weight = (score - largest).exp() / total;
                    let (k, v) = (at(key, kh), at(key, vh));
                    let slope = weight * (dot(&dout[o..][..hd], &qkv[v..][..hd]) - mean);
                    for i in 0..hd {
                        out[o + i] += weight * qkv[v + i];
                        dqkv[v + i] += weight * dout[o + i];
                        dqkv[q + i] += slope * qkv[k + i] * c.scale();
                        dqkv[k + i] += slope * qkv[q + i] * c.scale();
                    }
                }
            }
        }
    }
    [out, lse, dqkv]
}

struct Results {
    out: Vec<Bf16>,
    lse: Vec<f32>,
    dqkv: Vec<f32>,
}

fn attend(c: &Case, qkv: &[Bf16], dout: &[Bf16], emulation: &Emulation) -> Results {
    let [seq, heads, kv_heads, head_dim] =
        [c.seq, c.heads, c.kv_heads, c.head_dim].map(|n| n as u32);
    let scale = c.scale() as f32;
    let grid = |heads: u32| Launch::grid([seq.div_ceil(ROWS), heads, c.batch as u32], THREADS, 0);
    let (qkv_in, dout_in) = (Buffer::from(qkv), Buffer::from(dout));
    let (out, dqkv) = (Buffer::unset(c.out_len()), Buffer::unset(qkv.len()));
    let lse = Buffer::unset(c.batch * c.heads * c.seq);
    let (qkv, dout) = (qkv_in.arg(), dout_in.arg());
    let (o, l, d) = (out.arg(), lse.arg(), dqkv.arg());
    let forward =
        plain_attention_forward { qkv, out: o, lse: l, seq, heads, kv_heads, head_dim, scale };
    run(grid(heads), &forward, emulation);
    let (out_again, lse_again) = (out.arg(), lse.arg());
    let queries = plain_attention_backward_queries {
        qkv,
        out: out_again,
        dout,
        lse: lse_again,
        dqkv: d,
        seq,
        heads,
        kv_heads,
        head_dim,
        scale,
    };
    run(grid(heads), &queries, emulation);
    let keys = plain_attention_backward_keys {
        qkv,
        out: out_again,
        dout,
        lse: lse_again,
        dqkv: d,
        seq,
        heads,
        kv_heads,
        head_dim,
        scale,
    };
    run(grid(kv_heads), &keys, emulation);
    Results { out: out.to_vec(), lse: lse.to_vec(), dqkv: from_bf16(&dqkv.to_vec()) }
}

#[test]
fn outputs_and_gradients_agree_with_f64() {
    for c in CASES {
        let spread: Vec<f32> = random(c.tokens() * c.row(), 1).iter().map(|x| 2.0 * x).collect();
        let (qkv, dout) = (to_bf16(&spread), to_bf16(&random(c.out_len(), 2)));
        for emulation in emulations() {
            let got = attend(&c, &qkv, &dout, &emulation);
            let wide = |values: &[Bf16]| wide(&from_bf16(values));
            let [out, lse, dqkv] = oracle(&c, &wide(&qkv), &wide(&got.out), &wide(&dout));
            assert_close("out", &from_bf16(&got.out), &out, BF16);
            assert_close("lse", &got.lse, &lse, 1e-5);
            assert_close("dqkv", &got.dqkv, &dqkv, 2.0 * BF16);
        }
    }
}

#[test]
fn scores_beyond_exp_leave_finite_outputs() {
    let c = Case { batch: 1, seq: 50, heads: 2, kv_heads: 1, head_dim: 8 };
    let spread: Vec<f32> = random(c.tokens() * c.row(), 3).iter().map(|x| 300.0 * x).collect();
    let (qkv, dout) = (to_bf16(&spread), to_bf16(&random(c.out_len(), 4)));
    let got = attend(&c, &qkv, &dout, &Emulation::default());
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    assert!(finite(&from_bf16(&got.out)) && finite(&got.lse) && finite(&got.dqkv));
}
