//! D02: a checkpoint to the disk itself and back: four vectors of f32 with their hashes, against
//! one file of as many bytes, written, flushed and read the plain way in the same folder.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, RwLock};

use model::{CheckpointStore, Moments, Progress, Snapshot, preset};
use runtime::{Buffer, Device};
use wire::{RunId, StateRoot};

use super::Bench;
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row};
use crate::timing::Times;

/// Shared parameters, residual and two moments.
const VECTORS: usize = 4;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let name = if bench.quick { "nano" } else { "m12" };
    let spec = preset(name).expect("a preset of the bench's own list").model;
    let layout = model::layout_of(&spec)?;
    let bytes = VECTORS * layout.params() * size_of::<f32>();
    let folder = tempfile::tempdir().map_err(|e| BenchError::temporary("make", e))?;
    let mut noise = Noise::new(3);
    let device = Device::cpu(1)?;
    let mut vector = |filled: bool| {
        let mut buffer: Buffer<f32> = device.alloc(layout.params());
        if let Some(values) = buffer.as_host_mut().filter(|_| filled) {
            values.fill_with(|| noise.next() as u32 as f32);
        }
        buffer
    };
    let written = snapshot([(); VECTORS].map(|()| vector(true)));
    let mut read = snapshot([(); VECTORS].map(|()| vector(false)));
    let mut store = CheckpointStore::open(&folder.path().join("checkpoints"), layout)?;
    let (mut failed, mut windows) = (None, 0);
    let write_times = Times::of(bench.samples, |_| {
        windows += 1;
        let progress = Progress { windows, ..written.progress.clone() };
        let saved = store.save(Snapshot { progress, ..share(&written) });
        failed = saved.and_then(|()| store.finish().map(drop)).err().or(failed.take());
    });
    let read_times = Times::of(bench.samples, |_| {
        failed = store.load(&mut read).err().or(failed.take());
    });
    failed.map_or(Ok(()), Err)?;
    let equal = same(&written.shared, &read.shared) && same(&written.residual, &read.residual);
    let (raw_write_ms, raw_read_ms) =
        raw(folder.path(), bytes, bench.samples).map_err(|e| BenchError::temporary("write", e))?;
    let row = |what: &'static str, times: &Times, floor_ms| {
        let shape = format!("{name}, {:.1} MB", bytes as f64 / 1e6);
        let row = Row::new("D02", what, shape, times, Rate::Bytes(bytes as f64));
        row.floor_ms(floor_ms).bit_equal(equal)
    };
    Ok(vec![
        row("checkpoint, to the disk", &write_times, raw_write_ms),
        row("checkpoint, back", &read_times, raw_read_ms),
    ])
}

fn snapshot([shared, residual, first, second]: [Buffer<f32>; VECTORS]) -> Snapshot {
    Snapshot {
        shared: Arc::new(RwLock::new(shared)),
        residual: Arc::new(RwLock::new(residual)),
        moments: Arc::new(RwLock::new(Moments { first, second })),
        progress: Progress {
            run_id: RunId([7; 32]),
            windows: 0,
            inner_steps: 0,
            samples: 0,
            state_root: StateRoot([7; 32]),
        },
    }
}

/// The same vectors again.
fn share(of: &Snapshot) -> Snapshot {
    Snapshot {
        shared: Arc::clone(&of.shared),
        residual: Arc::clone(&of.residual),
        moments: Arc::clone(&of.moments),
        progress: of.progress.clone(),
    }
}

fn same(one: &RwLock<Buffer<f32>>, other: &RwLock<Buffer<f32>>) -> bool {
    let (Ok(one), Ok(other)) = (one.read(), other.read()) else { return false };
    one.as_host() == other.as_host()
}

/// Fastest times of plain writing with a flush, and of plain reading, in milliseconds.
fn raw(folder: &Path, bytes: usize, samples: usize) -> std::io::Result<(f64, f64)> {
    let path = folder.join("raw");
    let mut held = vec![1_u8; bytes];
    let mut done = Ok(());
    let write = Times::of(samples, |_| {
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&held)?;
            file.sync_all()
        };
        done = std::mem::replace(&mut done, Ok(())).and(write());
    });
    let read = Times::of(samples, |_| {
        let mut read = || File::open(&path)?.read_exact(&mut held);
        done = std::mem::replace(&mut done, Ok(())).and(read());
    });
    done?;
    Ok((write.min_ms(), read.min_ms()))
}
