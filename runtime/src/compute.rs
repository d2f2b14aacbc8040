//! In which precision the factors of matrix products are read. Everything else is f32 always:
//! parameters, moments, activations, sums, norms, softmax, loss and optimizers; attention too, for
//! its products are a twentieth of a step's and read keys and values where they lie.

use serde::{Deserialize, Serialize};

/// Precision of the factors of matrix products in linear layers and in the head.
///
/// This choice is one node's own: peers need not agree on it, for only the outer step, which has no
/// such products, must give all of them the same bits.
///
/// With `Bf16` each factor is rounded to bf16 (to nearest, ties to even; NaN stays NaN) when it is
/// read; products of two such values are exact in f32, and sums are f32. The result has the same
/// bits on every run and on any number of threads of one machine, but **not on every machine**:
/// where there is AVX512-BF16 its instruction adds pairs of products in an order of its own and
/// takes denormals for zero; elsewhere values are widened and added as with `F32`. Both stay within
/// the rounding of an f32 sum of each other. With `F32` all machines agree in every bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// Factors as they are.
    #[default]
    F32,
    /// Factors rounded to bf16.
    Bf16,
}

impl Compute {
    /// What it is called in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Compute::F32 => "f32",
            Compute::Bf16 => "bf16",
        }
    }

    /// Whether this machine has instructions for it; without, `Bf16` gives its numerics at the
    /// speed of `F32`.
    pub fn is_native(self) -> bool {
        self == Compute::F32 || crate::cpu::matmul::has_bf16()
    }

    /// Keeps the calling thread's vector units as busy as a matrix product could, reading no
    /// memory, and returns how many operations that was, a multiply-add being two: timed, it is a
    /// ceiling.
    pub fn operations_in_registers(self, rounds: usize) -> usize {
        match self {
            Compute::F32 => crate::cpu::peak::f32_operations(rounds),
            Compute::Bf16 => crate::cpu::matmul::bf16_operations(rounds),
        }
    }
}

impl std::str::FromStr for Compute {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Compute::F32, Compute::Bf16];
        let found = known.into_iter().find(|compute| compute.name() == name);
        found.ok_or_else(|| "choose f32 or bf16".to_string())
    }
}
