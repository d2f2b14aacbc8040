//! C05: causal attention, forward and backward, on packed rows of queries, keys and values.

use runtime::Device;
use runtime::ops::attention::{self, Shape};

use super::{Bench, Rotation, written};
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row, relative_error, same_bits};

/// Output `[tokens, out_row]` and log-sum-exp of a forward pass.
struct Passed {
    out: Vec<f32>,
    lse: Vec<f32>,
}

/// The operation on one set of data.
#[derive(Clone, Copy)]
struct Attention<'a> {
    device: &'a Device,
    shape: Shape,
}

impl Attention<'_> {
    fn no_pass(&self) -> Passed {
        let (tokens, row) = (self.shape.tokens(), self.shape.out_row());
        Passed { out: written(tokens * row), lse: written(self.shape.lse_len()) }
    }

    fn forward(&self, qkv: &[f32], passed: &mut Passed) {
        let Passed { out, lse } = passed;
        let (out, lse) = ((&mut out[..]).into(), (&mut lse[..]).into());
        attention::forward(self.device, self.shape, None, qkv.into(), out, lse);
    }

    fn backward(&self, qkv: &[f32], passed: &Passed, dout: &[f32], dqkv: &mut [f32]) {
        let (out, lse) = (passed.out[..].into(), passed.lse[..].into());
        let (qkv, dout, dqkv) = (qkv.into(), dout.into(), dqkv.into());
        attention::backward(self.device, self.shape, None, qkv, out, dout, lse, dqkv);
    }

    /// The first head of the first sequence, `[seq, head_dim]`, of rows of `width` values in which
    /// it begins at `first`.
    fn head(&self, rows: &[f32], width: usize, first: usize) -> Vec<f32> {
        let head = |row: &[f32]| row[first..first + self.shape.head_dim].to_vec();
        rows.chunks(width).take(self.shape.seq).flat_map(head).collect()
    }
}

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (batch, seq) = if bench.quick { (2, 64) } else { (8, 256) };
    let shape = Shape { batch, seq, heads: 6, kv_heads: 6, head_dim: 64 };
    let op = Attention { device: &bench.device, shape };
    let (qkv_len, out_len) = (shape.tokens() * shape.qkv_row(), shape.tokens() * shape.out_row());
    let rotation = Rotation::over(size_of::<f32>() * (2 * qkv_len + 2 * out_len));
    let mut noise = Noise::new(1);
    let qkv = rotation.sets(|| noise.vec(qkv_len, 1.0));
    let dout = rotation.sets(|| noise.vec(out_len, 1.0));
    let mut passed = rotation.sets(|| op.no_pass());
    let mut grads = rotation.sets(|| written(qkv_len));
    let mut again = op.no_pass();
    op.forward(&qkv[0], &mut again);
    qkv.iter().zip(&mut passed).for_each(|(qkv, passed)| op.forward(qkv, passed));
    let [mut once, mut twice] = [(); 2].map(|()| vec![0.0; qkv_len]);
    op.backward(&qkv[0], &again, &dout[0], &mut once);
    op.backward(&qkv[0], &again, &dout[0], &mut twice);
    let forward = bench.times(|call| {
        let at = rotation.at(call);
        op.forward(&qkv[at], &mut passed[at]);
    });
    let backward = bench.times(|call| {
        let at = rotation.at(call);
        op.backward(&qkv[at], &passed[at], &dout[at], &mut grads[at]);
    });
    let reference = reference(shape, &qkv[0], &dout[0]);
    let row = |scenario, times, flops| {
        let shape = format!("{batch}x{}x{seq}x{}", shape.heads, shape.head_dim);
        let work = Work { flops, ..Work::default() };
        Row::new("C05", scenario, shape, times, Rate::Flops(flops)).floor(&bench.ceilings, &work)
    };
    // Two products forward, five backward; half of the scores are masked.
    let flops = 2.0 * (batch * shape.heads * seq * seq * shape.head_dim) as f64;
    let out = op.head(&again.out, shape.out_row(), 0);
    let dk = op.head(&once, shape.qkv_row(), shape.heads * shape.head_dim);
    Ok(vec![
        row("attention forward", &forward, flops)
            .f64_error(relative_error(&out, &reference.out))
            .bit_equal(same_bits(&passed[0].out, &again.out)),
        row("attention backward", &backward, 2.5 * flops)
            .f64_error(relative_error(&dk, &reference.dk))
            .bit_equal(same_bits(&once, &twice)),
    ])
}

/// Output and gradient of the keys of the first head of the first sequence, `[seq, head_dim]`.
struct Reference {
    out: Vec<f64>,
    dk: Vec<f64>,
}

fn reference(shape: Shape, qkv: &[f32], dout: &[f32]) -> Reference {
    let (seq, dim) = (shape.seq, shape.head_dim);
    let part = |rows: &[f32], width: usize, row: usize, first: usize| -> Vec<f64> {
        let first = row * width + first;
        rows[first..first + dim].iter().map(|&x| f64::from(x)).collect()
    };
    let of = |row, part_at: usize| part(qkv, shape.qkv_row(), row, part_at * shape.heads * dim);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (dim as f64).powf(-0.5);
    let (mut out, mut dk) = (vec![0.0; seq * dim], vec![0.0; seq * dim]);
    for row in 0..seq {
        let (q, dout) = (of(row, 0), part(dout, shape.out_row(), row, 0));
        let exps: Vec<f64> = (0..=row).map(|key| (scale * dot(&q, &of(key, 1))).exp()).collect();
        let sum: f64 = exps.iter().sum();
        let values: Vec<Vec<f64>> = (0..=row).map(|key| of(key, 2)).collect();
        for (exp, value) in exps.iter().zip(&values) {
            for i in 0..dim {
                out[row * dim + i] += exp / sum * value[i];
            }
        }
        let mean = dot(&out[row * dim..(row + 1) * dim], &dout);
        for (key, (exp, value)) in exps.iter().zip(&values).enumerate() {
            let dscore = exp / sum * (dot(&dout, value) - mean) * scale;
            for i in 0..dim {
                dk[key * dim + i] += dscore * q[i];
            }
        }
    }
    Reference { out, dk }
}
