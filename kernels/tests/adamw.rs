//! AdamW against f64: 1e-6 of the largest value after five steps, for parameters in two halves, of
//! which the upper is the nearest bf16; parameters that are rounded at random are either neighbour
//! of what f64 says, as often as they should.

mod oracle;

use kernels::adamw::*;
use kernels::simt::{Bf16, Buffer, Emulation, Launch};
use oracle::{assert_close, bits, emulations, from_bf16, random, run, wide};

const LR: f64 = 0.01;
const BETAS: [f64; 2] = [0.9, 0.95];
const DECAY: f64 = 0.1;
const EPS: f64 = 1e-8;
const GRAD_SCALE: f32 = 0.5;
const STEPS: i32 = 5;

/// How parameters are kept.
enum Params {
    Split(Buffer<Bf16>, Buffer<u16>),
    Stochastic(Buffer<Bf16>),
}

struct State {
    params: Params,
    m: Buffer<f32>,
    v: Buffer<f32>,
    control: Buffer<f32>,
}

impl State {
    fn new(params: Params, len: usize) -> Self {
        let zero = || Buffer::from(&vec![0.0_f32; len]);
        Self { params, m: zero(), v: zero(), control: Buffer::from(&[GRAD_SCALE, 0.0, 0.0]) }
    }

    fn step(&self, grads: &[f32], number: i32, emulation: &Emulation) {
        let held = Buffer::from(grads);
        let len = grads.len() as u64;
        let launch = launch(grads.len(), SHARE);
        macro_rules! step {
            ($kernel:ident { $($own:ident: $value:expr),* }) => {
                run(launch, &$kernel {
                    $($own: $value,)*
                    grads: held.arg(),
                    m: self.m.arg(),
                    v: self.v.arg(),
                    control: self.control.arg(),
                    len,
                    decay: (1.0 - LR * DECAY) as f32,
                    beta1: BETAS[0] as f32,
                    rest1: (1.0 - BETAS[0]) as f32,
                    beta2: BETAS[1] as f32,
                    rest2: (1.0 - BETAS[1]) as f32,
                    step_size: (LR / (1.0 - BETAS[0].powi(number))) as f32,
                    root_correction: (1.0 / (1.0 - BETAS[1].powi(number)).sqrt()) as f32,
                    eps: EPS as f32,
                }, emulation)
            };
        }
        match &self.params {
            Params::Split(high, low) => step!(adamw_split { high: high.arg(), low: low.arg() }),
            Params::Stochastic(params) => {
                step!(adamw_stochastic { params: params.arg(), key: 72, step: number as u64 })
            }
        };
    }
}

fn launch(len: usize, share: u32) -> Launch {
    Launch::new(len.div_ceil(share as usize) as u32, THREADS, 0)
}

/// The halves of `values`.
fn split(values: &[f32], emulation: &Emulation) -> Params {
    let len = values.len();
    let (x, high, low) = (Buffer::from(values), Buffer::unset(len), Buffer::unset(len));
    let kernel = split_f32 { x: x.arg(), high: high.arg(), low: low.arg(), len: len as u64 };
    run(launch(len, THREADS), &kernel, emulation);
    Params::Split(high, low)
}

/// The values of halves.
fn joined(params: &Params, emulation: &Emulation) -> Vec<f32> {
    let Params::Split(high, low) = params else { unreachable!() };
    let len = high.len();
    let y = Buffer::unset(len);
    let kernel = join_f32 { high: high.arg(), low: low.arg(), y: y.arg(), len: len as u64 };
    run(launch(len, THREADS), &kernel, emulation);
    y.to_vec()
}

#[test]
fn five_steps_follow_f64() {
    for len in [1, 6, 1024, 3001] {
        let start = random(len, 1);
        let (mut p, mut m, mut v) = (wide(&start), vec![0.0; len], vec![0.0; len]);
        for number in 1..=STEPS {
            let grads = wide(&random(len, number as u64 + 1));
            let corrections = BETAS.map(|beta| 1.0 - beta.powi(number));
            for i in 0..len {
                let g = grads[i] * f64::from(GRAD_SCALE);
                m[i] = BETAS[0] * m[i] + (1.0 - BETAS[0]) * g;
                v[i] = BETAS[1] * v[i] + (1.0 - BETAS[1]) * g * g;
                let root = (v[i] / corrections[1]).sqrt() + EPS;
                p[i] = p[i] * (1.0 - LR * DECAY) - LR * m[i] / corrections[0] / root;
            }
        }
        for emulation in emulations() {
            let state = State::new(split(&start, &emulation), len);
            for number in 1..=STEPS {
                state.step(&random(len, number as u64 + 1), number, &emulation);
            }
            let params = joined(&state.params, &emulation);
            assert_close("params", &params, &p, 1e-6);
            assert_close("m", &state.m.to_vec(), &m, 1e-6);
            assert_close("v", &state.v.to_vec(), &v, 1e-6);
        }
    }
}

#[test]
fn two_halves_are_the_value_to_the_bit_and_the_upper_is_the_nearest_bf16() {
    let mut values = random(1000, 8);
    let ties = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -1.0 - 1.0 / 256.0];
    let ends = [0.0, -0.0, f32::MIN_POSITIVE / 4.0, f32::INFINITY, f32::NEG_INFINITY, 1.5e38];
    values.extend(ties.iter().chain(&ends));
    let emulation = Emulation::default();
    let halves = split(&values, &emulation);
    assert_eq!(bits(&joined(&halves, &emulation)), bits(&values));
    let Params::Split(high, _) = halves else { unreachable!() };
    for (value, high) in values.iter().zip(high.to_vec()) {
        let nearest = Bf16::from_f32(*value);
        let is_tie = value.to_bits() & 0xffff == 0x8000;
        assert!(high == nearest || is_tie && high.0 == nearest.0 + 1, "{value}: {high:?}");
    }
}

#[test]
fn a_step_that_is_held_back_changes_nothing() {
    let start = random(1030, 1);
    let emulation = Emulation::default();
    let mut state = State::new(split(&start, &emulation), start.len());
    state.control = Buffer::from(&[f32::NAN, 1.0, 1.0]);
    state.step(&random(start.len(), 2), 1, &emulation);
    assert_eq!(bits(&joined(&state.params, &emulation)), bits(&start));
    assert_eq!(state.m.to_vec(), vec![0.0; start.len()]);
}

#[test]
fn rounding_at_random_takes_a_neighbour_and_is_right_on_average() {
    let (len, start) = (40_003, 1.0_f32);
    let grads = vec![1.0; len];
    let emulation = Emulation::default();
    let stepped = |emulation: &Emulation| {
        let state = State::new(Params::Stochastic(Buffer::from(&vec![Bf16(0x3f80); len])), len);
        state.step(&grads, 1, emulation);
        let Params::Stochastic(params) = &state.params else { unreachable!() };
        params.to_vec()
    };
    let found = stepped(&emulation);
    for emulation in emulations() {
        assert!(stepped(&emulation) == found, "by place alone");
    }
    // The first step is lr long, and the decay of 1.0 a tenth of that.
    let want = f64::from(start) * (1.0 - LR * DECAY) - LR;
    let [below, above] = [0x3f7d, 0x3f7e].map(|bits| Bf16(bits).to_f32());
    assert!(f64::from(below) < want && want < f64::from(above));
    let values = from_bf16(&found);
    assert!(values.iter().all(|value| [below, above].contains(value)));
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / len as f64;
    // Six times the deviation of a mean of so many draws, each half a gap at most.
    let gap = f64::from(above - below);
    assert!((mean - want).abs() < 6.0 * gap / 2.0 / (len as f64).sqrt(), "{mean} for {want}");
}
