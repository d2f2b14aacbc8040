//! SwiGLU (Shazeer 2020): `y = silu(gate) * up`, `silu(x) = x s(x)`, `s(x) = 1 / (1 + e^-x)`. Rows
//! of `gate_up[t, 2f]` are the f gates, then the f ups; f is a multiple of 8. A thread of `rows`
//! has eight values of y.

use crate::activation::Activation;
use crate::rows;
use crate::simt::*;

/// `1 / (1 + e^-x)`; 0 where e^-x overflows.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    rcp(1.0 + exp2(x * -core::f32::consts::LOG2_E))
}

kernel! {
    /// `y[t, f]` from `gate_up[t, 2f]`.
    pub fn swiglu_forward_bf16(gate_up: Global<Bf16>, y: Global<Bf16>, f: u32) {
        let (row, column) = rows::place();
        if column < f {
            let y_at = row * f as usize + column as usize;
            let gate_at = y_at + row * f as usize;
            let up_at = gate_at + f as usize;
            let (gate, mut up) = (Bf16::ld8(gate_up, gate_at), Bf16::ld8(gate_up, up_at));
            unroll!(i in 8 { up[i] *= gate[i] * sigmoid(gate[i]); });
            Bf16::st8(y, y_at, up);
        }
    }

    /// Replaces `gate_up[t, 2f]` by its gradient, from `dy[t, f]`:
    /// `dgate = dy up s (1 + gate (1 - s))`, `dup = dy gate s`.
    pub fn swiglu_backward_bf16(gate_up: Global<Bf16>, dy: Global<Bf16>, f: u32) {
        let (row, column) = rows::place();
        if column < f {
            let dy_at = row * f as usize + column as usize;
            let gate_at = dy_at + row * f as usize;
            let up_at = gate_at + f as usize;
            let (mut gate, mut up) = (Bf16::ld8(gate_up, gate_at), Bf16::ld8(gate_up, up_at));
            let slope = Bf16::ld8(dy, dy_at);
            unroll!(i in 8 {
                let (x, s) = (gate[i], sigmoid(gate[i]));
                gate[i] = slope[i] * up[i] * s * (1.0 + x * (1.0 - s));
                up[i] = slope[i] * x * s;
            });
            Bf16::st8(gate_up, gate_at, gate);
            Bf16::st8(gate_up, up_at, up);
        }
    }
}
