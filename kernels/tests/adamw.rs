//! AdamW against f64: 1e-6 of the largest value after five steps, and the bf16 copy is the rounded
//! parameter, exactly.

mod oracle;

use kernels::adamw::*;
use kernels::simt::{Buffer, Emulation, Launch};
use oracle::{assert_close, emulations, random, run, to_bf16, wide};

const LR: f64 = 0.01;
const BETAS: [f64; 2] = [0.9, 0.95];
const DECAY: f64 = 0.1;
const EPS: f64 = 1e-8;
const GRAD_SCALE: f32 = 0.5;
const STEPS: i32 = 5;

struct State {
    params: Buffer<f32>,
    rounded: Buffer<kernels::simt::Bf16>,
    m: Buffer<f32>,
    v: Buffer<f32>,
}

fn step(state: &State, grads: &[f32], number: i32, emulation: &Emulation) {
    let grads = Buffer::from(grads);
    let len = grads.len() as u64;
    let kernel = adamw_f32 {
        params: state.params.arg(),
        rounded: state.rounded.arg(),
        grads: grads.arg(),
        m: state.m.arg(),
        v: state.v.arg(),
        len,
        decay: (1.0 - LR * DECAY) as f32,
        beta1: BETAS[0] as f32,
        rest1: (1.0 - BETAS[0]) as f32,
        beta2: BETAS[1] as f32,
        rest2: (1.0 - BETAS[1]) as f32,
        step_size: (LR / (1.0 - BETAS[0].powi(number))) as f32,
        root_correction: (1.0 / (1.0 - BETAS[1].powi(number)).sqrt()) as f32,
        eps: EPS as f32,
        grad_scale: GRAD_SCALE,
    };
    run(Launch::new(len.div_ceil(SHARE.into()) as u32, THREADS, 0), &kernel, emulation);
}

#[test]
fn five_steps_follow_f64_and_the_copy_is_rounded() {
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
            let zero = || Buffer::from(&vec![0.0_f32; len]);
            let (params, rounded) = (Buffer::from(&start), Buffer::unset(len));
            let state = State { params, rounded, m: zero(), v: zero() };
            for number in 1..=STEPS {
                step(&state, &random(len, number as u64 + 1), number, &emulation);
            }
            let params = state.params.to_vec();
            assert_close("params", &params, &p, 1e-6);
            assert_close("m", &state.m.to_vec(), &m, 1e-6);
            assert_close("v", &state.v.to_vec(), &v, 1e-6);
            assert_eq!(state.rounded.to_vec(), to_bf16(&params));
        }
    }
}
