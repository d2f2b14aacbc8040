//! The fused LM head against logits, softmax and gradient in f64; partitions of the vocabulary
//! against the whole. Tolerances relative to the largest value: loss 1e-6, gradients 5e-6; in bf16,
//! where factors are off by up to 2^-9, loss 4e-3 and gradients 2e-2.

mod oracle;

use oracle::{COMPUTES, assert_close, bits, central_differences, device, devices, random, wide};
use runtime::collective::{Collective, Solo, threads};
use runtime::ops::cross_entropy::{self, IGNORE, LossSum, Scratch};
use runtime::{Compute, Device};

/// A small head: t tokens, d values, v rows.
struct Case {
    t: usize,
    d: usize,
    v: usize,
    x: Vec<f32>,
    w: Vec<f32>,
    targets: Vec<u32>,
}

const GRAD_SCALE: f32 = 0.125;

fn case(t: usize, d: usize, v: usize) -> Case {
    let targets = (0..t).map(|i| if i % 5 == 3 { IGNORE } else { (i * 7 % v) as u32 });
    let x = random(t * d, 1).iter().map(|x| x * 3.0).collect();
    Case { t, d, v, x, w: random(v * d, 2), targets: targets.collect() }
}

/// Sum of losses and gradients of x and w in f64.
fn oracle_of(c: &Case, x: &[f64], w: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
    let (mut loss, mut dx, mut dw) = (0.0, vec![0.0; x.len()], vec![0.0; w.len()]);
    for (i, target) in c.targets.iter().enumerate().filter(|(_, t)| **t != IGNORE) {
        let x = &x[i * c.d..][..c.d];
        let logits: Vec<f64> = (0..c.v).map(|j| oracle::dot(x, &w[j * c.d..][..c.d])).collect();
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        loss += sum.ln() - logits[*target as usize];
        for j in 0..c.v {
            let onehot = f64::from(u8::from(j == *target as usize));
            let g = (logits[j].exp() / sum - onehot) * f64::from(GRAD_SCALE);
            for a in 0..c.d {
                dx[i * c.d + a] += g * w[j * c.d + a];
                dw[j * c.d + a] += g * x[a];
            }
        }
    }
    (loss, dx, dw)
}

struct Run {
    loss: LossSum,
    dx: Vec<f32>,
    dw: Vec<f32>,
}

/// Rows `first..first + rows` of the head on one rank.
fn run(dev: &Device, comm: &dyn Collective, c: &Case, first: usize, rows: usize) -> Run {
    let w = &c.w[first * c.d..(first + rows) * c.d];
    let (mut dx, mut dw) = (vec![f32::NAN; c.x.len()], vec![0.0; w.len()]);
    let mut scratch = Scratch::new(dev, c.t, rows);
    let (x, targets, start) = (c.x[..].into(), c.targets[..].into(), first as u32);
    let loss = cross_entropy::forward_backward(
        dev,
        comm,
        x,
        w.into(),
        start,
        targets,
        GRAD_SCALE,
        (&mut dx[..]).into(),
        (&mut dw[..]).into(),
        &mut scratch,
    );
    let only = cross_entropy::forward(dev, comm, x, w.into(), start, targets, &mut scratch);
    assert_eq!(only, loss, "evaluation and training see the same loss");
    Run { loss, dx, dw }
}

#[test]
fn loss_and_gradients_are_those_of_the_full_logits() {
    for (t, d, v) in [(1, 4, 2), (9, 12, 37), (70, 33, 130), (1100, 8, 50)] {
        let c = case(t, d, v);
        let (loss, dx, dw) = oracle_of(&c, &wide(&c.x), &wide(&c.w));
        let tolerances = [(Compute::F32, 1e-6, 5e-6), (Compute::Bf16, 4e-3, 2e-2)];
        for (compute, of_loss, of_gradients) in tolerances {
            let got = run(&device().with_compute(compute), &Solo, &c, 0, v);
            assert_eq!(got.loss.count, c.targets.iter().filter(|t| **t != IGNORE).count());
            assert!((got.loss.sum - loss).abs() <= of_loss * loss, "{} {loss}", got.loss.sum);
            assert_close("dx", &got.dx, &dx, of_gradients);
            assert_close("dw", &got.dw, &dw, of_gradients);
        }
    }
}

#[test]
fn the_analytic_oracle_agrees_with_central_differences() {
    let c = case(6, 5, 7);
    let (x, w) = (wide(&c.x), wide(&c.w));
    let (_, dx, dw) = oracle_of(&c, &x, &w);
    let scale = f64::from(GRAD_SCALE);
    let want_dx = central_differences(&x, |x| oracle_of(&c, x, &w).0 * scale);
    let want_dw = central_differences(&w, |w| oracle_of(&c, &x, w).0 * scale);
    for (got, want) in dx.iter().zip(want_dx).chain(dw.iter().zip(want_dw)) {
        assert!((got - want).abs() < 1e-8, "{got} against {want}");
    }
}

#[test]
fn partitions_of_the_vocabulary_give_the_whole() {
    let c = case(67, 20, 96);
    let whole = run(&device(), &Solo, &c, 0, c.v);
    for ranks in [2, 4] {
        let rows = c.v / ranks;
        let c = &c;
        let parts: Vec<Run> = std::thread::scope(|scope| {
            let start = |comm: threads::ThreadRank| {
                scope.spawn(move || {
                    let dev = Device::cpu(1).expect("a thread");
                    run(&dev, &comm, c, comm.rank() * rows, rows)
                })
            };
            let running: Vec<_> = threads::group(ranks).into_iter().map(start).collect();
            running.into_iter().map(|rank| rank.join().expect("a rank")).collect()
        });
        let dw: Vec<f32> = parts.iter().flat_map(|part| part.dw.clone()).collect();
        assert_close("dw", &dw, &wide(&whole.dw), 2e-6);
        for part in &parts {
            assert_eq!(part.loss.count, whole.loss.count);
            assert!((part.loss.sum / whole.loss.sum - 1.0).abs() < 1e-6);
            assert_close("dx", &part.dx, &wide(&whole.dx), 2e-6);
            assert_eq!(bits(&part.dx), bits(&parts[0].dx), "every rank has the same dx");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let c = case(300, 24, 77);
    for compute in COMPUTES {
        let mut runs = devices().into_iter().map(|dev| {
            let run = run(&dev.with_compute(compute), &Solo, &c, 0, c.v);
            (run.loss.sum.to_bits(), bits(&run.dx), bits(&run.dw))
        });
        let first = runs.next().expect("one thread");
        assert!(runs.all(|run| run == first), "{compute:?}");
    }
}

#[test]
fn large_logits_neither_overflow_nor_lose_the_loss() {
    let mut c = case(4, 2, 3);
    c.x.fill(100.0);
    c.w = vec![10.0, 10.0, -10.0, -10.0, 0.0, 0.0];
    c.targets = vec![0, 1, 2, IGNORE];
    let got = run(&device(), &Solo, &c, 0, c.v);
    assert_eq!(got.loss, LossSum { sum: 6000.0, count: 3 });
    assert!(got.dx.iter().chain(&got.dw).all(|value| value.is_finite()));
}
