//! Tests of whole inner steps and of what survives them, on models small enough to check value by
//! value. One program, so that it links once.

mod answers;
mod bf16;
mod checkpoint;
mod gpu;
mod gradients;
mod loss_meter;
mod non_finite;
mod oracle;
mod tensor_parallel;
mod threads;
mod tiny;
mod trajectory;
mod window;
