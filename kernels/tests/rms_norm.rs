//! RMS normalisation against f64. In f32 the tolerance is 1e-6 of the largest value, and 3e-6 for
//! gains, which are sums over tokens; in bf16 it is 2^-8, half a unit in the last place of the
//! largest value, and as much again for a sum that is rounded twice.

mod oracle;

use kernels::activation::Activation;
use kernels::rms_norm::*;
use kernels::simt::{Bf16, Buffer, Emulation, Global, Launch};
use oracle::{assert_close, bits, dot, emulations, from_bf16, random, run, to_bf16, wide};

const EPS: f32 = 1e-5;
/// (t, d): one token, fewer and more tokens than blocks, rows of one piece, of a partial warp's
/// worth, of many warps.
const SIZES: [(usize, usize); 6] = [(1, 8), (3, 24), (40, 520), (300, 64), (7, 2048), (2, 8_192)];
const BF16: f64 = 1.0 / 256.0;

struct Oracle {
    y: Vec<f64>,
    rstd: Vec<f64>,
    dx: Vec<f64>,
    dw: Vec<f64>,
}

/// y and rstd, and the gradients of `dot(y, dy)`, with ones added to them.
fn oracle(x: &[f64], w: &[f64], dy: &[f64]) -> Oracle {
    let d = w.len();
    let mut o = Oracle { y: vec![], rstd: vec![], dx: vec![], dw: vec![1.0; d] };
    for (x, dy) in x.chunks_exact(d).zip(dy.chunks_exact(d)) {
        let r = 1.0 / (dot(x, x) / d as f64 + f64::from(EPS)).sqrt();
        let g: Vec<f64> = dy.iter().zip(w).map(|(dy, w)| dy * w).collect();
        let projection = dot(&g, x) * r * r / d as f64;
        o.rstd.push(r);
        for i in 0..d {
            o.y.push(x[i] * r * w[i]);
            o.dx.push(1.0 + r * (g[i] - x[i] * projection));
            o.dw[i] += dy[i] * x[i] * r;
        }
    }
    o
}

fn launch(tokens: usize, d: usize) -> Launch {
    Launch::new(tokens as u32, threads(d as u32), SHARED_BYTES)
}

#[test]
fn rows_are_scaled_to_unit_mean_square_times_the_gains() {
    for (t, d) in SIZES {
        let (x, w) = (random(t * d, 1), random(d, 2));
        let want = oracle(&wide(&x), &wide(&w), &vec![0.0; t * d]);
        for emulation in emulations() {
            let (x, w) = (Buffer::from(&x), Buffer::from(&w));
            let (y, rstd) = (Buffer::unset(t * d), Buffer::unset(t));
            let (d32, eps) = (d as u32, EPS);
            let kernel = rms_norm_forward_f32 {
                x: x.arg(),
                w: w.arg(),
                y: y.arg(),
                rstd: rstd.arg(),
                d: d32,
                eps,
            };
            run(launch(t, d), &kernel, &emulation);
            assert_close("y", &y.to_vec(), &want.y, 1e-6);
            assert_close("rstd", &rstd.to_vec(), &want.rstd, 1e-6);
        }
    }
}

#[test]
fn with_a_residual_it_is_the_sum_and_its_norm() {
    let (t, d) = (37, 136);
    let (x, delta, w) = (random(t * d, 3), random(t * d, 4), random(d, 5));
    let sum: Vec<f32> = x.iter().zip(&delta).map(|(x, delta)| x + delta).collect();
    let want = oracle(&wide(&sum), &wide(&w), &vec![0.0; t * d]);
    let (x, delta, w) = (Buffer::from(&x), Buffer::from(&delta), Buffer::from(&w));
    let (got, y, rstd) = (Buffer::unset(t * d), Buffer::unset(t * d), Buffer::unset(t));
    let kernel = rms_norm_forward_residual_f32 {
        x: x.arg(),
        delta: delta.arg(),
        w: w.arg(),
        sum: got.arg(),
        y: y.arg(),
        rstd: rstd.arg(),
        d: d as u32,
        eps: EPS,
    };
    run(launch(t, d), &kernel, &Emulation::default());
    assert_eq!(bits(&got.to_vec()), bits(&sum));
    assert_close("y", &y.to_vec(), &want.y, 1e-6);
}

#[test]
fn in_bf16_only_what_is_stored_is_rounded() {
    let (t, d) = (9, 1032);
    let (x, delta) = (to_bf16(&random(t * d, 6)), to_bf16(&random(t * d, 7)));
    let w = to_bf16(&random(d, 8));
    let sum: Vec<f64> =
        x.iter().zip(&delta).map(|(a, b)| f64::from(a.to_f32()) + f64::from(b.to_f32())).collect();
    let want = oracle(&sum, &wide(&from_bf16(&w)), &vec![0.0; t * d]);
    let (x, delta, w) = (Buffer::from(&x), Buffer::from(&delta), Buffer::from(&w));
    let (got, y, rstd) = (Buffer::unset(t * d), Buffer::unset(t * d), Buffer::unset(t));
    let kernel = rms_norm_forward_residual_bf16 {
        x: x.arg(),
        delta: delta.arg(),
        w: w.arg(),
        sum: got.arg(),
        y: y.arg(),
        rstd: rstd.arg(),
        d: d as u32,
        eps: EPS,
    };
    run(launch(t, d), &kernel, &Emulation::default());
    assert_close("sum", &from_bf16(&got.to_vec()), &sum, BF16);
    assert_close("y", &from_bf16(&y.to_vec()), &want.y, BF16);
    assert_close("rstd", &rstd.to_vec(), &want.rstd, 1e-6);
}

/// dx and dw, from ones, of the two backward kernels in a type.
fn backward<T: Activation>(
    [dy, x, w, ones]: [&[T]; 4],
    rstd: &[f32],
    emulation: &Emulation,
    rows: impl Fn([Global<T>; 4], [Global<f32>; 2], Launch, u32, u32),
) -> (Vec<T>, Vec<f32>) {
    let (t, d) = (rstd.len() as u32, w.len() as u32);
    let parts = t.min(PARTS);
    let [dy, x, w, dx] = [dy, x, w, ones].map(|values| Buffer::from(values));
    let (rstd, partials) = (Buffer::from(rstd), Buffer::unset((parts * d) as usize));
    let dw = Buffer::from(&vec![1.0_f32; d as usize]);
    let arguments = [dy.arg(), x.arg(), w.arg(), dx.arg()];
    let launch = Launch::new(parts, threads(d), SHARED_BYTES);
    rows(arguments, [rstd.arg(), partials.arg()], launch, t, d);
    let gains = rms_norm_backward_gains { partials: partials.arg(), dw: dw.arg(), parts, d };
    run(Launch::new(d.div_ceil(128), 128, 0), &gains, emulation);
    (dx.to_vec(), dw.to_vec())
}

#[test]
fn gradients_are_added_and_agree_with_f64() {
    for (t, d) in SIZES {
        let (x, w, dy) = (random(t * d, 9), random(d, 10), random(t * d, 11));
        let want = oracle(&wide(&x), &wide(&w), &wide(&dy));
        let rstd: Vec<f32> = want.rstd.iter().map(|r| *r as f32).collect();
        for emulation in emulations() {
            let ones = vec![1.0; t * d];
            let (dx, dw) = backward(
                [&dy, &x, &w, &ones],
                &rstd,
                &emulation,
                |[dy, x, w, dx], [rstd, partials], launch, tokens, d| {
                    let kernel = rms_norm_backward_f32 { dy, x, w, rstd, dx, partials, tokens, d };
                    run(launch, &kernel, &emulation);
                },
            );
            assert_close("dx", &dx, &want.dx, 1e-6);
            assert_close("dw", &dw, &want.dw, 3e-6);
        }
    }
}

#[test]
fn in_bf16_gradients_agree_with_f64_of_the_rounded_values() {
    let (t, d) = (19, 264);
    let [x, dy] = [12, 13].map(|seed| to_bf16(&random(t * d, seed)));
    let (w, ones) = (to_bf16(&random(d, 14)), to_bf16(&vec![1.0; t * d]));
    let wide = |values: &[Bf16]| wide(&from_bf16(values));
    let want = oracle(&wide(&x), &wide(&w), &wide(&dy));
    let rstd: Vec<f32> = want.rstd.iter().map(|r| *r as f32).collect();
    let (dx, dw) = backward(
        [&dy, &x, &w, &ones],
        &rstd,
        &Emulation::default(),
        |[dy, x, w, dx], [rstd, partials], launch, tokens, d| {
            let kernel = rms_norm_backward_bf16 { dy, x, w, rstd, dx, partials, tokens, d };
            run(launch, &kernel, &Emulation::default());
        },
    );
    assert_close("dx", &from_bf16(&dx), &want.dx, BF16);
    assert_close("dw", &dw, &want.dw, 3e-6);
}

#[test]
fn every_barrier_is_needed() {
    let (t, d) = (270, 1024);
    let (x, w) = (Buffer::from(&random(t * d, 15)), Buffer::from(&random(d, 16)));
    let rstd = Buffer::from(&vec![1.0_f32; t]);
    let (dx, partials) = (Buffer::from(&vec![0.0_f32; t * d]), Buffer::unset(264 * d));
    let kernel = rms_norm_backward_f32 {
        dy: x.arg(),
        x: x.arg(),
        w: w.arg(),
        rstd: rstd.arg(),
        dx: dx.arg(),
        partials: partials.arg(),
        tokens: t as u32,
        d: d as u32,
    };
    let launch = Launch::new(PARTS, threads(d as u32), SHARED_BYTES);
    let sites = run(launch, &kernel, &Emulation::default()).sync_sites;
    assert_eq!(sites.len(), 1, "{sites:?}");
    for site in sites {
        let without = Emulation { without: Some(site), ..Emulation::default() };
        let outcome = kernels::simt::emulate(&launch, &kernel, &without);
        assert!(outcome.is_err(), "nobody noticed that {site} was missing");
    }
}
