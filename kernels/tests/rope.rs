//! Rotary positions against f64 of the rounded values: 2^-8, half a unit in the last place of bf16
//! for the largest value.

mod oracle;

use kernels::rope::*;
use kernels::rows;
use kernels::simt::{Bf16, Buffer, Emulation};
use oracle::{assert_close, emulations, from_bf16, random, run, to_bf16, wide};

const BF16: f64 = 1.0 / 256.0;

struct Case {
    batch: usize,
    seq: usize,
    heads: usize,
    row_heads: usize,
    head_dim: usize,
}

/// One token; heads smaller than a thread's share; positions that start again; rows of which all
/// turns, or a part.
const CASES: [Case; 4] = [
    Case { batch: 1, seq: 1, heads: 1, row_heads: 1, head_dim: 8 },
    Case { batch: 2, seq: 5, heads: 6, row_heads: 8, head_dim: 4 },
    Case { batch: 3, seq: 33, heads: 6, row_heads: 9, head_dim: 64 },
    Case { batch: 1, seq: 70, heads: 4, row_heads: 4, head_dim: 20 },
];

/// Angles of `seq` positions: cosines, then sines.
fn table(seq: usize, head_dim: usize) -> Vec<f32> {
    let angle = |position: usize, i: usize| {
        position as f64 * 10_000_f64.powf(-2.0 * i as f64 / head_dim as f64)
    };
    (0..seq)
        .flat_map(|position| {
            let cosines = (0..head_dim / 2).map(move |i| angle(position, i).cos() as f32);
            cosines.chain((0..head_dim / 2).map(move |i| angle(position, i).sin() as f32))
        })
        .collect()
}

fn turn(c: &Case, x: &[Bf16], sign: f32, emulation: &Emulation) -> Vec<f32> {
    let (x, cos_sin) = (Buffer::from(x), Buffer::from(&table(c.seq, c.head_dim)));
    let (tokens, turned) = ((c.batch * c.seq) as u32, (c.heads * c.head_dim) as u32);
    let kernel = rope_bf16 {
        qkv: x.arg(),
        cos_sin: cos_sin.arg(),
        row: (c.row_heads * c.head_dim) as u32,
        turned,
        head_dim: c.head_dim as u32,
        seq: c.seq as u32,
        sign,
    };
    run(rows::launch(tokens, turned), &kernel, emulation);
    from_bf16(&x.to_vec())
}

#[test]
fn pairs_turn_by_the_angle_of_their_position_and_the_rest_stays() {
    for (c, sign) in CASES.iter().flat_map(|case| [(case, 1.0), (case, -1.0)]) {
        let row = c.row_heads * c.head_dim;
        let x = to_bf16(&random(c.batch * c.seq * row, 1));
        let (table, mut want) = (table(c.seq, c.head_dim), wide(&from_bf16(&x)));
        for (r, row) in want.chunks_exact_mut(row).enumerate() {
            let angles = &table[r % c.seq * c.head_dim..][..c.head_dim];
            for head in row[..c.heads * c.head_dim].chunks_exact_mut(c.head_dim) {
                for i in 0..c.head_dim / 2 {
                    let cos = f64::from(angles[i]);
                    let sin = f64::from(sign) * f64::from(angles[c.head_dim / 2 + i]);
                    let (a, b) = (head[2 * i], head[2 * i + 1]);
                    (head[2 * i], head[2 * i + 1]) = (a * cos - b * sin, a * sin + b * cos);
                }
            }
        }
        for emulation in emulations() {
            assert_close("turned", &turn(c, &x, sign, &emulation), &want, BF16);
        }
    }
}
