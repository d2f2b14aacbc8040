//! Softmax statistics and gradients against f64 of the rounded logits: 1e-6 of the largest for what
//! is kept in f32, 2^-8 for gradients in bf16.

mod oracle;

use kernels::cross_entropy::*;
use kernels::simt::{Bf16, Buffer, Emulation, Launch};
use oracle::{assert_close, emulations, from_bf16, random, run, to_bf16, wide};

const BF16: f64 = 1.0 / 256.0;
const SCALE: f32 = 0.25;

struct Results {
    max: Vec<f32>,
    sum: Vec<f32>,
    target_logit: Vec<f32>,
    gradient: Vec<f32>,
}

/// Both kernels on logits of the vocabulary from `start` on.
fn both(logits: &[Bf16], targets: &[u32], start: u32, emulation: &Emulation) -> Results {
    let (t, v) = (targets.len(), (logits.len() / targets.len()) as u32);
    let (logits, targets) = (Buffer::from(logits), Buffer::from(targets));
    let [max, sum, target_logit] = [(); 3].map(|()| Buffer::unset(t));
    let statistics = softmax_statistics_bf16 {
        logits: logits.arg(),
        targets: targets.arg(),
        max: max.arg(),
        sum: sum.arg(),
        target_logit: target_logit.arg(),
        vocab_start: start,
        v,
    };
    run(Launch::new(t as u32, threads(v), SHARED_BYTES), &statistics, emulation);
    let gradient = softmax_gradient_bf16 {
        logits: logits.arg(),
        targets: targets.arg(),
        max: max.arg(),
        sum: sum.arg(),
        vocab_start: start,
        v,
        scale: SCALE,
    };
    run(Launch::new(t as u32, threads(v), 0), &gradient, emulation);
    let [max, sum, target_logit] = [max, sum, target_logit].map(|values| values.to_vec());
    Results { max, sum, target_logit, gradient: from_bf16(&logits.to_vec()) }
}

#[test]
fn statistics_and_gradients_agree_with_f64() {
    for (t, v, start) in [(1, 8, 0), (5, 40, 100), (70, 264, 7), (3, 9000, 0)] {
        let spread: Vec<f32> = random(t * v, 1).iter().map(|x| 12.0 * x).collect();
        let logits = to_bf16(&spread);
        let targets: Vec<u32> = (0..t as u32)
            .map(|i| match i % 4 {
                3 => IGNORE,
                2 => start + v as u32 + i,
                _ => start + i * 37 % v as u32,
            })
            .collect();
        let (mut max, mut sum, mut target_logit) = (vec![], vec![], vec![]);
        let mut gradient = Vec::new();
        for (row, target) in wide(&from_bf16(&logits)).chunks_exact(v).zip(&targets) {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            let local = target.wrapping_sub(start) as usize;
            max.push(largest);
            sum.push(total);
            target_logit.push(row.get(local).map_or(0.0, |x| x - largest));
            gradient.extend(row.iter().enumerate().map(|(i, x)| match *target {
                IGNORE => 0.0,
                _ => {
                    let onehot = f64::from(u8::from(i == local));
                    ((x - largest).exp() / total - onehot) * f64::from(SCALE)
                }
            }));
        }
        for emulation in emulations() {
            let got = both(&logits, &targets, start, &emulation);
            assert_close("max", &got.max, &max, 0.0);
            assert_close("sum", &got.sum, &sum, 1e-6);
            assert_close("target_logit", &got.target_logit, &target_logit, 1e-6);
            assert_close("gradient", &got.gradient, &gradient, BF16);
        }
    }
}

#[test]
fn logits_beyond_exp_neither_overflow_nor_vanish() {
    let mut row = [f32::NEG_INFINITY; 16];
    row[3] = 3e38;
    row[9] = -3e38;
    let got = both(&to_bf16(&row), &[3], 0, &Emulation::default());
    assert_eq!((got.sum[0], got.target_logit[0]), (1.0, 0.0));
    assert_eq!(got.gradient, [0.0; 16]);
}

#[test]
fn a_logit_that_is_no_number_shows_in_the_sum() {
    let mut row = [0.5; 4096];
    row[2049] = f32::NAN;
    let got = both(&to_bf16(&row), &[0], 0, &Emulation::default());
    assert!(got.sum[0].is_nan());
}

#[test]
fn every_barrier_is_needed() {
    let (t, v) = (2, 2048);
    let (logits, targets) = (Buffer::from(&to_bf16(&random(t * v, 2))), Buffer::from(&[0, 1]));
    let [max, sum, target_logit] = [(); 3].map(|()| Buffer::<f32>::unset(t));
    let kernel = softmax_statistics_bf16 {
        logits: logits.arg(),
        targets: targets.arg(),
        max: max.arg(),
        sum: sum.arg(),
        target_logit: target_logit.arg(),
        vocab_start: 0,
        v: v as u32,
    };
    let launch = Launch::new(t as u32, threads(v as u32), SHARED_BYTES);
    let sites = run(launch, &kernel, &Emulation::default()).sync_sites;
    assert_eq!(sites.len(), 2, "{sites:?}");
    for site in sites {
        let without = Emulation { without: Some(site), ..Emulation::default() };
        let outcome = kernels::simt::emulate(&launch, &kernel, &without);
        assert!(outcome.is_err(), "nobody noticed that {site} was missing");
    }
}

#[test]
fn the_halves_of_a_vocabulary_have_together_what_the_whole_has() {
    let (t, v) = (37, 264);
    let spread: Vec<f32> = random(t * 2 * v, 5).iter().map(|x| 12.0 * x).collect();
    let logits = to_bf16(&spread);
    let targets: Vec<u32> = (0..t as u32).map(|i| i * 61 % (2 * v as u32 + 9)).collect();
    let half = |start: usize| -> Vec<Bf16> {
        logits.chunks(2 * v).flat_map(|row| row[start..start + v].to_vec()).collect()
    };
    for emulation in emulations() {
        let whole = both(&logits, &targets, 0, &emulation);
        let halves = [0, v].map(|start| both(&half(start), &targets, start as u32, &emulation));
        let max: Vec<f32> =
            halves[0].max.iter().zip(&halves[1].max).map(|(a, b)| a.max(*b)).collect();
        assert_eq!(max, whole.max);
        let rebased = std::array::from_fn(|side: usize| {
            let Results { max: own, sum, target_logit, .. } = &halves[side];
            let [own, max, sum, target_logit] =
                [own, &max, sum, target_logit].map(|values| Buffer::from(values));
            let held = Buffer::from(&targets);
            let kernel = softmax_rebase {
                own_max: own.arg(),
                max: max.arg(),
                targets: held.arg(),
                sum: sum.arg(),
                target_logit: target_logit.arg(),
                vocab_start: (side * v) as u32,
                v: v as u32,
                tokens: t as u32,
            };
            run(Launch::new(1, 64, 0), &kernel, &emulation);
            [sum.to_vec(), target_logit.to_vec()]
        });
        let [left, right]: [[Vec<f32>; 2]; 2] = rebased;
        let added =
            |i: usize| -> Vec<f32> { left[i].iter().zip(&right[i]).map(|(a, b)| a + b).collect() };
        assert_close("sum", &added(0), &wide(&whole.sum), 1e-6);
        assert_close("target", &added(1), &wide(&whole.target_logit), 1e-6);
    }
}
