//! One AdamW step (Loshchilov and Hutter 2019) in the order of operations, and with the roundings,
//! of `runtime/src/cpu/adamw.rs`: both give the same bits. A thread has four values.
//!
//! Parameters are kept as f32 in two halves of 16 bits, of which the upper is the nearest bf16,
//! which matrix products read; or as bf16 alone, rounded up or down at random. `control` says how
//! the gradient is scaled, and whether there is a step at all.

use crate::simt::*;

/// Threads of a block.
pub const THREADS: u32 = 256;

/// Values of a block.
pub const SHARE: u32 = THREADS * 4;

/// Constants of a step.
#[derive(Clone, Copy)]
struct Rates {
    decay: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    step_size: f32,
    root_correction: f32,
    eps: f32,
}

impl Rates {
    /// A value and its moments after the step.
    #[inline(always)]
    fn apply(self, p: f32, g: f32, m: f32, v: f32) -> (f32, f32, f32) {
        let m = fma(self.beta1, m, self.rest1 * g);
        let v = fma(self.beta2, v, self.rest2 * g * g);
        let denominator = fma(sqrt(v), self.root_correction, self.eps);
        (fma(p, self.decay, -(self.step_size * m / denominator)), m, v)
    }
}

/// Gradients, moments and what is done with them.
#[derive(Clone, Copy)]
struct Step {
    grads: Global<f32>,
    m: Global<f32>,
    v: Global<f32>,
    control: Global<f32>,
    len: u64,
    rates: Rates,
}

/// How parameters are kept.
trait Kept: Copy {
    fn ld(self, at: usize) -> f32;
    fn st(self, at: usize, value: f32);
    /// Four from `at` on, a multiple of 4.
    fn ld4(self, at: usize) -> [f32; 4];
    fn st4(self, at: usize, values: [f32; 4]);
}

/// Goes through this thread's values, four at once where there are four.
#[inline(always)]
fn each_four(len: u64, four: impl Fn(usize), one: impl Fn(usize)) {
    let at = block_idx() as u64 * SHARE as u64 + thread_idx() as u64 * 4;
    if at + 4 <= len {
        return four(at as usize);
    }
    let mut i = at;
    while i < len {
        one(i as usize);
        i += 1;
    }
}

impl Step {
    /// Updates this thread's values.
    #[inline(always)]
    fn run<K: Kept>(self, params: K) {
        let Self { grads, m, v, control, len, rates } = self;
        if control.ld(1) != 0.0 {
            return;
        }
        let scale = control.ld(0);
        let four = |at: usize| {
            let (mut p, g) = (params.ld4(at), grads.ld4(at));
            let (mut first, mut second) = (m.ld4(at), v.ld4(at));
            unroll!(i in 4 {
                (p[i], first[i], second[i]) =
                    rates.apply(p[i], g[i] * scale, first[i], second[i]);
            });
            params.st4(at, p);
            m.st4(at, first);
            v.st4(at, second);
        };
        let one = |at: usize| {
            let g = grads.ld(at) * scale;
            let (p, first, second) = rates.apply(params.ld(at), g, m.ld(at), v.ld(at));
            params.st(at, p);
            m.st(at, first);
            v.st(at, second);
        };
        each_four(len, four, one);
    }
}

/// f32 in two halves: `bits = (high << 16) + low`, low being signed, so that high is the nearest
/// bf16, of two equally near ones that with the larger magnitude.
#[derive(Clone, Copy)]
struct Split {
    high: Global<Bf16>,
    low: Global<u16>,
}

#[inline(always)]
fn join(high: Bf16, low: u16) -> f32 {
    f32::from_bits(((high.0 as u32) << 16).wrapping_add(low as i16 as u32))
}

#[inline(always)]
fn split(value: f32) -> (Bf16, u16) {
    let bits = value.to_bits();
    (Bf16((bits.wrapping_add(0x8000) >> 16) as u16), bits as u16)
}

impl Kept for Split {
    #[inline(always)]
    fn ld(self, at: usize) -> f32 {
        join(self.high.ld(at), self.low.ld(at))
    }

    #[inline(always)]
    fn st(self, at: usize, value: f32) {
        let (high, low) = split(value);
        self.high.st(at, high);
        self.low.st(at, low);
    }

    #[inline(always)]
    fn ld4(self, at: usize) -> [f32; 4] {
        let (high, low) = (self.high.ld4(at), self.low.ld4(at));
        let mut values = [0.0; 4];
        unroll!(i in 4 { values[i] = join(high[i], low[i]); });
        values
    }

    #[inline(always)]
    fn st4(self, at: usize, values: [f32; 4]) {
        let (mut high, mut low) = ([Bf16(0); 4], [0; 4]);
        unroll!(i in 4 { (high[i], low[i]) = split(values[i]); });
        self.high.st4(at, high);
        self.low.st4(at, low);
    }
}

/// bf16 alone. A value between two of them becomes the upper with the probability of its distance
/// from the lower, decided by 16 bits that depend on `key`, `step` and the value's place alone.
#[derive(Clone, Copy)]
struct Stochastic {
    values: Global<Bf16>,
    key: u64,
    step: u64,
}

impl Stochastic {
    /// Random words for the four values from `at` on.
    #[inline(always)]
    fn words(self, at: usize) -> [u32; 4] {
        let four = at as u64 / 4;
        let counter =
            [four as u32, (four >> 32) as u32, self.step as u32, (self.step >> 32) as u32];
        philox4x32_10(counter, [self.key as u32, (self.key >> 32) as u32])
    }
}

#[inline(always)]
fn round_at_random(value: f32, word: u32) -> Bf16 {
    let bits = value.to_bits();
    // What is infinite or no number stays so.
    let up = if bits & 0x7f80_0000 == 0x7f80_0000 { 0 } else { word & 0xffff };
    Bf16((bits.wrapping_add(up) >> 16) as u16)
}

impl Kept for Stochastic {
    #[inline(always)]
    fn ld(self, at: usize) -> f32 {
        self.values.ld(at).to_f32()
    }

    #[inline(always)]
    fn st(self, at: usize, value: f32) {
        let [a, b, c, d] = self.words(at);
        let [even, odd] = if at & 2 == 0 { [a, b] } else { [c, d] };
        let word = if at & 1 == 0 { even } else { odd };
        self.values.st(at, round_at_random(value, word));
    }

    #[inline(always)]
    fn ld4(self, at: usize) -> [f32; 4] {
        self.values.ld4(at).map(Bf16::to_f32)
    }

    #[inline(always)]
    fn st4(self, at: usize, values: [f32; 4]) {
        let words = self.words(at);
        let mut rounded = [Bf16(0); 4];
        unroll!(i in 4 { rounded[i] = round_at_random(values[i], words[i]); });
        self.values.st4(at, rounded);
    }
}

kernel! {
    /// `m = beta1 m + rest1 g; v = beta2 v + rest2 g^2;
    /// p = decay p - step_size m / (root_correction sqrt(v) + eps)`, g being
    /// `control[0] * grads[i]`, unless `control[1]` is not 0; p is kept in two halves.
    pub fn adamw_split(
        high: Global<Bf16>, low: Global<u16>, grads: Global<f32>, m: Global<f32>, v: Global<f32>,
        control: Global<f32>, len: u64, decay: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32,
        step_size: f32, root_correction: f32, eps: f32,
    ) {
        let rates = Rates { decay, beta1, rest1, beta2, rest2, step_size, root_correction, eps };
        Step { grads, m, v, control, len, rates }.run(Split { high, low });
    }

    /// [`adamw_split`] of parameters in bf16 alone, rounded at random by `key` and `step`.
    pub fn adamw_stochastic(
        params: Global<Bf16>, grads: Global<f32>, m: Global<f32>, v: Global<f32>,
        control: Global<f32>, len: u64, decay: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32,
        step_size: f32, root_correction: f32, eps: f32, key: u64, step: u64,
    ) {
        let rates = Rates { decay, beta1, rest1, beta2, rest2, step_size, root_correction, eps };
        let params = Stochastic { values: params, key, step };
        Step { grads, m, v, control, len, rates }.run(params);
    }

    /// `high[i]`, `low[i]`: the halves of `x[i]`, which may start anywhere. A thread per value.
    pub fn split_f32(x: Global<f32>, high: Global<Bf16>, low: Global<u16>, len: u64) {
        let i = block_idx() as u64 * block_dim() as u64 + thread_idx() as u64;
        if i < len {
            Split { high, low }.st(i as usize, x.ld(i as usize));
        }
    }

    /// `y[i]`: the f32 of the halves, which may start anywhere. A thread per value.
    pub fn join_f32(high: Global<Bf16>, low: Global<u16>, y: Global<f32>, len: u64) {
        let i = block_idx() as u64 * block_dim() as u64 + thread_idx() as u64;
        if i < len {
            y.st(i as usize, Split { high, low }.ld(i as usize));
        }
    }
}
