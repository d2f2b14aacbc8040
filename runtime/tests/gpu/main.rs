//! Every operation on a GPU against the CPU, from the same values, already rounded to bf16 where a
//! GPU keeps them so; and the same bits in a second run.
//!
//! The emulator is always one of the GPUs. A real one is tested too where there is one.

#[path = "../oracle/mod.rs"]
mod oracle;

mod attention;
mod both;
mod cross_entropy;
mod failures;
mod layers;
mod linear;
mod optimizer;
mod sparseloco;
