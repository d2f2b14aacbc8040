//! Attention in f64, and how far from it a kernel may be.

use kernels::attention::Shape;
use kernels::simt::Bf16;

/// Sums, and for each how far from it a kernel may be.
///
/// A kernel rounds one factor of each term to bf16, which moves the sum by at most 2^-8 of the
/// terms' magnitudes, and then the sum itself, again by at most 2^-8. f32 sums and exponents come
/// on top; 2^-16 covers them at these sizes. Below the smallest normal f32 all counts as zero.
#[derive(Clone, Default)]
pub(crate) struct Sums {
    pub(crate) values: Vec<f64>,
    allowed: Vec<f64>,
}

impl Sums {
    fn zeros(len: usize) -> Self {
        Self { values: vec![0.0; len], allowed: vec![1e-37; len] }
    }

    /// `self[at + i] += factor * row[i]`, where the kernel's factor may be off by `doubt` before it
    /// is rounded.
    fn add(&mut self, at: usize, factor: f64, doubt: f64, row: &[f64]) {
        let relative = 2_f64.powi(-7) + 2_f64.powi(-16);
        let sums = self.values[at..].iter_mut().zip(&mut self.allowed[at..]);
        for ((value, allowed), term) in sums.zip(row) {
            *value += factor * term;
            *allowed += (relative * factor.abs() + doubt) * term.abs();
        }
    }

    #[track_caller]
    pub(crate) fn assert_close(&self, what: &str, got: &[Bf16]) {
        assert_eq!(got.len(), self.values.len(), "{what}: lengths");
        for (i, got) in got.iter().enumerate() {
            let (want, got, allowed) = (self.values[i], f64::from(got.to_f32()), self.allowed[i]);
            let error = (got - want).abs();
            assert!(error <= allowed, "{what}[{i}]: got {got}, want {want}, allowed {allowed:e}");
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// bf16 values in f64.
pub(crate) fn wide(values: &[Bf16]) -> Vec<f64> {
    values.iter().map(|value| f64::from(value.to_f32())).collect()
}

/// Values of a packed row.
pub(crate) fn row_len(shape: &Shape) -> usize {
    ((shape.heads + 2 * shape.kv_heads) * shape.head_dim) as usize
}

/// Tokens of all sequences.
pub(crate) fn tokens(shape: &Shape) -> usize {
    (shape.batch * shape.seq) as usize
}

/// Values of a row of the output.
pub(crate) fn out_len(shape: &Shape) -> usize {
    (shape.heads * shape.head_dim) as usize
}

/// The first values of a query, and of the key and the value that serve its head at a token.
struct Places {
    q: usize,
    out: usize,
    per_query: usize,
    batch: usize,
    kv_head: usize,
}

/// Calls `each` for every query of every head.
fn each_query(shape: &Shape, mut each: impl FnMut(usize, Places)) {
    let size = |n: u32| n as usize;
    let (seq, heads, hd) = (size(shape.seq), size(shape.heads), size(shape.head_dim));
    for batch in 0..size(shape.batch) {
        for head in 0..heads {
            for position in 0..seq {
                let token = batch * seq + position;
                let places = Places {
                    q: token * row_len(shape) + head * hd,
                    out: (token * heads + head) * hd,
                    per_query: (batch * heads + head) * seq + position,
                    batch,
                    kv_head: head / (heads / size(shape.kv_heads)),
                };
                each(position, places);
            }
        }
    }
}

/// First values of the key and the value of a token.
fn key_value(shape: &Shape, places: &Places, position: usize) -> [usize; 2] {
    let hd = shape.head_dim as usize;
    let token = places.batch * shape.seq as usize + position;
    let key = token * row_len(shape) + (shape.heads as usize + places.kv_head) * hd;
    [key, key + shape.kv_heads as usize * hd]
}

/// Weights of the keys up to `position`, and the log-sum-exp.
fn weights(shape: &Shape, qkv: &[f64], places: &Places, position: usize) -> (Vec<f64>, f64) {
    let hd = shape.head_dim as usize;
    let q = &qkv[places.q..places.q + hd];
    let scores: Vec<f64> = (0..=position)
        .map(|key| {
            let [k, _] = key_value(shape, places, key);
            dot(q, &qkv[k..k + hd]) / (hd as f64).sqrt()
        })
        .collect();
    let peak = scores.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
    let lse = peak + scores.iter().map(|score| (score - peak).exp()).sum::<f64>().ln();
    (scores.iter().map(|score| (score - lse).exp()).collect(), lse)
}

/// The output and the log-sum-exp.
pub(crate) fn forward(shape: &Shape, qkv: &[f64]) -> (Sums, Vec<f64>) {
    let hd = shape.head_dim as usize;
    let mut out = Sums::zeros(tokens(shape) * out_len(shape));
    let mut all_lse = vec![0.0; tokens(shape) * shape.heads as usize];
    each_query(shape, |position, places| {
        let (weights, lse) = weights(shape, qkv, &places, position);
        all_lse[places.per_query] = lse;
        for (key, weight) in weights.into_iter().enumerate() {
            let [_, v] = key_value(shape, &places, key);
            out.add(places.out, weight, 0.0, &qkv[v..v + hd]);
        }
    });
    (out, all_lse)
}

/// What the backward pass starts from.
pub(crate) struct Given<'a> {
    pub(crate) qkv: &'a [f64],
    pub(crate) out: &'a [f64],
    pub(crate) dout: &'a [f64],
}

/// The gradient of packed rows, and delta. `out` is taken as it is given, rounded as it may be.
pub(crate) fn backward(shape: &Shape, given: &Given<'_>) -> (Sums, Vec<f64>) {
    let hd = shape.head_dim as usize;
    let scale = 1.0 / (hd as f64).sqrt();
    let Given { qkv, out, dout } = *given;
    let mut dqkv = Sums::zeros(qkv.len());
    let mut all_delta = vec![0.0; tokens(shape) * shape.heads as usize];
    each_query(shape, |position, places| {
        let dout = &dout[places.out..places.out + hd];
        let delta = dot(dout, &out[places.out..places.out + hd]);
        all_delta[places.per_query] = delta;
        let (weights, _) = weights(shape, qkv, &places, position);
        let magnitude = |a: &[f64]| dout.iter().zip(a).map(|(a, b)| (a * b).abs()).sum::<f64>();
        let delta_magnitude = magnitude(&out[places.out..places.out + hd]);
        for (key, weight) in weights.into_iter().enumerate() {
            let [k, v] = key_value(shape, &places, key);
            let (k_row, v_row) = (&qkv[k..k + hd], &qkv[v..v + hd]);
            let gradient = weight * scale * (dot(dout, v_row) - delta);
            // Two f32 sums that may cancel.
            let doubt = 2_f64.powi(-20) * weight * scale * (magnitude(v_row) + delta_magnitude);
            dqkv.add(v, weight, 0.0, dout);
            dqkv.add(k, gradient, doubt, &qkv[places.q..places.q + hd]);
            dqkv.add(places.q, gradient, doubt, k_row);
        }
    });
    (dqkv, all_delta)
}
