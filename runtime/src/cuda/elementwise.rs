//! Whole-buffer streams on a GPU.

use kernels::elementwise::{
    THREADS, add_bf16, add_f32, blocks, fill_bf16, fill_f32, scale_bf16, scale_f32,
};
use kernels::simt::Launch;

use super::{Gpu, Span, Stored, adamw};

fn launch(span: Span<'_>) -> (Launch, u64) {
    (Launch::new(blocks(span.len()), THREADS, 0), span.len() as u64)
}

pub(crate) fn fill(gpu: &Gpu, y: Span<'_>, value: f32) {
    let (launch, len) = launch(y);
    match y.stored() {
        Stored::Bf16 | Stored::Plain if value.to_bits() == 0 => {
            gpu.attempt(|driver| driver.zero(y.address(gpu), y.bytes()));
        }
        Stored::Bf16 => gpu.launch(launch, &fill_bf16 { y: y.bf16(gpu), value, len }),
        _ => gpu.launch(launch, &fill_f32 { y: y.plain(gpu), value, len }),
    }
}

pub(crate) fn copy(gpu: &Gpu, x: Span<'_>, y: Span<'_>) {
    match (x.stored(), y.stored()) {
        (Stored::Plain, Stored::Split) => adamw::split(gpu, x.plain(gpu), y),
        (Stored::Split, Stored::Plain) => adamw::join(gpu, x, y.plain(gpu)),
        (from, to) => {
            assert!(from == to && from != Stored::Split, "{from:?} values copied as {to:?}");
            gpu.attempt(|driver| driver.copy(x.address(gpu), y.address(gpu), y.bytes()));
        }
    }
}

pub(crate) fn add(gpu: &Gpu, x: Span<'_>, y: Span<'_>) {
    let (launch, len) = launch(y);
    match y.stored() {
        Stored::Bf16 => gpu.launch(launch, &add_bf16 { x: x.bf16(gpu), y: y.bf16(gpu), len }),
        _ => gpu.launch(launch, &add_f32 { x: x.plain(gpu), y: y.plain(gpu), len }),
    }
}

pub(crate) fn scale(gpu: &Gpu, y: Span<'_>, factor: f32) {
    let (launch, len) = launch(y);
    match y.stored() {
        Stored::Bf16 => gpu.launch(launch, &scale_bf16 { y: y.bf16(gpu), factor, len }),
        _ => gpu.launch(launch, &scale_f32 { y: y.plain(gpu), factor, len }),
    }
}
