//! Rotary positions against the formula in f64, 5e-7 of the largest value.

mod oracle;

use oracle::{assert_close, bits, device, devices, random, wide};
use runtime::ops::rope::{self, Table};

const THETA: f64 = 10_000.0;

/// `t` rows of `row` values, of which the first `heads` heads turn.
fn rotate_f64(
    x: &[f64],
    row: usize,
    heads: usize,
    head_dim: usize,
    seq: usize,
    sign: f64,
) -> Vec<f64> {
    let mut y = x.to_vec();
    for (r, row) in y.chunks_exact_mut(row).enumerate() {
        for head in row[..heads * head_dim].chunks_exact_mut(head_dim) {
            for i in 0..head_dim / 2 {
                let angle = (r % seq) as f64 * THETA.powf(-2.0 * i as f64 / head_dim as f64);
                let (sin, cos) = (sign * angle).sin_cos();
                let (a, b) = (head[2 * i], head[2 * i + 1]);
                head[2 * i] = a * cos - b * sin;
                head[2 * i + 1] = a * sin + b * cos;
            }
        }
    }
    y
}

#[test]
fn queries_and_keys_turn_and_values_stay() {
    for (batch, seq, heads, row_heads, head_dim) in
        [(1, 1, 1, 1, 2), (2, 5, 3, 4, 6), (3, 33, 6, 9, 64), (1, 300, 2, 3, 20)]
    {
        let (t, row) = (batch * seq, row_heads * head_dim);
        let table = Table::new(&device(), 512, head_dim, THETA);
        let x = random(t * row, 1);
        let mut y = x.clone();
        rope::forward(&device(), &table, (&mut y[..]).into(), t, seq, heads);
        let want = rotate_f64(&wide(&x), row, heads, head_dim, seq, 1.0);
        assert_close("forward", &y, &want, 5e-7);
        let mut dx = x.clone();
        rope::backward(&device(), &table, (&mut dx[..]).into(), t, seq, heads);
        // The gradient of a rotation is the transposed rotation: the same angles, negated.
        let want = rotate_f64(&wide(&x), row, heads, head_dim, seq, -1.0);
        assert_close("backward", &dx, &want, 5e-7);
        rope::backward(&device(), &table, (&mut y[..]).into(), t, seq, heads);
        assert_close("there and back", &y, &wide(&x), 5e-7);
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let mut runs = devices().into_iter().map(|dev| {
        let mut x = random(100 * 96, 2);
        let table = Table::new(&dev, 50, 32, THETA);
        rope::forward(&dev, &table, (&mut x[..]).into(), 100, 50, 2);
        bits(&x)
    });
    let first = runs.next().expect("one thread");
    assert!(runs.all(|run| run == first));
}
