//! G18: whole vectors from the host's memory to the GPU's and back, through pinned pieces.

use std::time::Instant;

use runtime::Buffer;

use super::{GpuBench, by};
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row, same_bits};
use crate::timing::Times;

pub(super) fn rows(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let len: usize = bench.size(1 << 30, 1 << 12);
    let drawn = Noise::new(1).vec(len.min(4 << 20), 1.0);
    let values: Vec<f32> = drawn.iter().copied().cycle().take(len).collect();
    let mut back = vec![0.0; len];
    let mut buffer: Buffer<f32> = bench.device.alloc(len);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..bench.size(5, 2) {
        let clock = Instant::now();
        buffer.write(&values);
        bench.device.synchronise()?;
        up.push(clock.elapsed().as_secs_f64());
        let clock = Instant::now();
        buffer.read(&mut back);
        down.push(clock.elapsed().as_secs_f64());
    }
    let (bytes, equal) = (4.0 * len as f64, same_bits(&values, &back));
    let row = |name: &str, seconds: Vec<f64>| {
        Row::new("G18", name, by(&[len]), &Times::new(seconds), Rate::Bytes(bytes))
            .bit_equal(equal)
            .called("transfer")
    };
    Ok(vec![row("host to device", up), row("device to host", down)])
}
