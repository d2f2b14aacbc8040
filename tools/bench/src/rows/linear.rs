//! C01, and C02 in bf16: the matrix products of linear layers, `y = x W'` and both gradients,
//! through `ops::linear`.
//!
//! Shapes are `T x n_out x n_in`: tokens, output features, input features.

use runtime::ops::linear;
use runtime::{Compute, Device};

use super::{Bench, Rotation, written};
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row, relative_error, same_bits};

const SHAPES: [[usize; 3]; 6] = [
    [2048, 2048, 2048],
    [2048, 384, 384],
    [2048, 1024, 384],
    [2048, 384, 1024],
    [2048, 4096, 384],
    [384, 384, 2048],
];
/// Rows of a result that are checked against f64.
const CHECKED_ROWS: usize = 16;

/// One of the three products, as `c[m, n] = sum over k of a[m, k] b[k, n]`.
#[derive(Clone, Copy)]
enum Product {
    Forward,
    InputGrad,
    WeightGrad,
}

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    Ok(rows_in(bench, "C01", Compute::F32))
}

pub(super) fn rows_bf16(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    Ok(rows_in(bench, "C02", Compute::Bf16))
}

fn rows_in(bench: &Bench, id: &'static str, compute: Compute) -> Vec<Row> {
    let dev = bench.device.clone().with_compute(compute);
    let shapes = if bench.quick { &SHAPES[1..2] } else { &SHAPES[..] };
    let products = [Product::Forward, Product::InputGrad, Product::WeightGrad];
    let each = shapes.iter().flat_map(|shape| products.map(|product| (shape, product)));
    each.map(|(shape, product)| row(bench, (id, &dev), *shape, product)).collect()
}

fn row(
    bench: &Bench,
    (id, dev): (&'static str, &Device),
    [t, n_out, n_in]: [usize; 3],
    product: Product,
) -> Row {
    let mut noise = Noise::new(1);
    let (name, a_len, b_len, c_len) = match product {
        Product::Forward => ("linear forward", t * n_in, n_out * n_in, t * n_out),
        Product::InputGrad => ("linear input grad", t * n_out, n_out * n_in, t * n_in),
        Product::WeightGrad => ("linear weight grad", t * n_out, t * n_in, n_out * n_in),
    };
    let rotation = Rotation::over(size_of::<f32>() * (a_len + b_len + c_len));
    let sets: Vec<[Vec<f32>; 2]> = rotation.sets(|| [noise.vec(a_len, 1.0), noise.vec(b_len, 1.0)]);
    let mut results = rotation.sets(|| written(c_len));
    let run = |[a, b]: &[Vec<f32>; 2], c: &mut [f32]| match product {
        Product::Forward => linear::forward(dev, a[..].into(), b[..].into(), c.into(), t),
        Product::InputGrad => {
            linear::backward_input(dev, a[..].into(), b[..].into(), c.into(), t, false);
        }
        Product::WeightGrad => {
            linear::backward_weight(dev, a[..].into(), b[..].into(), c.into(), t);
        }
    };
    let times = bench.times(|call| {
        let at = rotation.at(call);
        run(&sets[at], &mut results[at]);
    });
    let [mut once, mut again] = [(); 2].map(|()| vec![0.0; c_len]);
    dev.install(|| run(&sets[0], &mut once));
    dev.install(|| run(&sets[0], &mut again));
    let flops = 2.0 * (t * n_out * n_in) as f64;
    let work = Work::products(dev.compute(), flops);
    Row::new(id, name, format!("{t}x{n_out}x{n_in}"), &times, Rate::Flops(flops))
        .dtype(dev.compute().name())
        .floor(&bench.ceilings, &work)
        .f64_error(error(product, [t, n_out, n_in], &sets[0], &once))
        .bit_equal(same_bits(&once, &again))
}

/// Error of some rows of `c`, spread over it.
fn error(product: Product, [t, n_out, n_in]: [usize; 3], [a, b]: &[Vec<f32>; 2], c: &[f32]) -> f64 {
    let (m, n, k) = match product {
        Product::Forward => (t, n_out, n_in),
        Product::InputGrad => (t, n_in, n_out),
        Product::WeightGrad => (n_out, n_in, t),
    };
    let (mut found, mut reference) = (Vec::new(), Vec::new());
    for row in (0..m).step_by(m.div_ceil(CHECKED_ROWS)) {
        let mut sums = vec![0.0_f64; n];
        for i in 0..k {
            let a = match product {
                Product::WeightGrad => a[i * m + row],
                _ => a[row * k + i],
            };
            for (col, sum) in sums.iter_mut().enumerate() {
                let b = match product {
                    Product::Forward => b[col * k + i],
                    _ => b[i * n + col],
                };
                *sum += f64::from(a) * f64::from(b);
            }
        }
        found.extend_from_slice(&c[row * n..(row + 1) * n]);
        reference.extend(sums);
    }
    relative_error(&found, &reference)
}
