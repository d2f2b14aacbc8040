//! N01: objects up and down, in parts and ranges, through the bucket as a node uses it: signed and
//! with checksums up, hashed, compared and into the spool down. Beside it a plain client on the same server
//! that does nothing with the bytes, and links of a known rate.

use std::time::Instant;

use bucket::Bytes;

use super::Bench;
use super::storage::Storage;
use crate::BenchError;
use crate::ceilings::Work;
use crate::loopback::Link;
use crate::noise::Noise;
use crate::row::{Rate, Row};
use crate::timing::Times;

/// Bytes of one object: a twentieth of a payload of the 72B model.
const OBJECT_BYTES: usize = 71 << 20;
/// What the bucket cuts such an upload into, and how many of them it sends at once.
const PART_BYTES: usize = 16 << 20;
const PARTS_AT_ONCE: usize = 4;
const GBIT_BYTES_PER_S: f64 = 1e9 / 8.0;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (objects, bytes) = if bench.quick { (2, 66 << 20) } else { (8, OBJECT_BYTES) };
    let mut storage = Storage::start(bench.device.threads())?;
    let body = random(bytes);
    for number in 0..objects {
        storage.add([&[number as u8][..], &body[1..]])?;
    }
    let mut rows = vec![download(bench, &storage)?, upload(bench, &storage, &body)?];
    let gigabits: &[f64] = if bench.quick { &[5.0] } else { &[1.0, 5.0] };
    for &gigabits in gigabits {
        let rate = Some(gigabits * GBIT_BYTES_PER_S);
        storage.server.set(Link { up_bytes_per_s: rate, down_bytes_per_s: rate });
        let shape = |bytes: f64| format!("{:.0} MB, {gigabits} Gb/s", bytes / 1e6);
        let bytes = storage.bytes() as f64;
        let seconds = seconds(1, || storage.fetch_all())?;
        let row = Row::new("N01", "download", shape(bytes), &seconds, Rate::Bytes(bytes));
        rows.push(row.floor_ms(1e3 * bytes / (gigabits * GBIT_BYTES_PER_S)));
        let bytes = body.len() as f64;
        let seconds = self::seconds(1, || storage.put(&body))?;
        let row = Row::new("N01", "upload", shape(bytes), &seconds, Rate::Bytes(bytes));
        rows.push(row.floor_ms(1e3 * bytes / (gigabits * GBIT_BYTES_PER_S)));
    }
    let equal = storage.holds(&body);
    Ok(rows.into_iter().map(|row| row.dtype("u8").bit_equal(equal)).collect())
}

fn download(bench: &Bench, storage: &Storage) -> Result<Row, BenchError> {
    let samples = bench.samples.clamp(1, 6);
    let (mut ours, mut peer_s) = (Vec::new(), f64::INFINITY);
    storage.fetch_all()?;
    let (cpu, served) = (crate::machine::process_cpu_s(), storage.server.cpu_s());
    let (mut peer_cpu, mut wall_s) = (0.0, 0.0);
    for _ in 0..samples {
        let since = Instant::now();
        storage.fetch_all()?;
        ours.push(since.elapsed().as_secs_f64());
        wall_s += since.elapsed().as_secs_f64();
        // The peer between our samples, so that a busy minute hits both alike.
        let before = crate::machine::process_cpu_s() - storage.server.cpu_s();
        peer_s = peer_s.min(storage.plain_fetch_s()?);
        peer_cpu += crate::machine::process_cpu_s() - storage.server.cpu_s() - before;
    }
    let all = crate::machine::process_cpu_s() - cpu - (storage.server.cpu_s() - served);
    let bytes = storage.bytes() as f64;
    let gigabits = bytes * 8.0 * samples as f64 / 1e9;
    let shape = format!("{} of {:.0} MB", storage.objects.len(), bytes / 1e6);
    let work = Work { hashed_bytes: bytes, copied_bytes: 2.0 * bytes, ..Work::default() };
    let mut row = Row::new("N01", "download", shape, &Times::new(ours), Rate::Bytes(bytes))
        .floor(&bench.ceilings, &work)
        .also("cores", (all - peer_cpu) / wall_s)
        .also("cores_per_5_gbit_s", (all - peer_cpu) / (gigabits / 5.0));
    row.peer(1e3 * peer_s);
    Ok(row)
}

fn upload(bench: &Bench, storage: &Storage, body: &Bytes) -> Result<Row, BenchError> {
    let samples = bench.samples.clamp(1, 6);
    let (mut ours, mut peer_s) = (Vec::new(), f64::INFINITY);
    storage.put(body)?;
    for _ in 0..samples {
        let since = Instant::now();
        storage.put(body)?;
        ours.push(since.elapsed().as_secs_f64());
        peer_s = peer_s.min(storage.plain_put_s(body, PART_BYTES, PARTS_AT_ONCE)?);
    }
    let bytes = body.len() as f64;
    let shape = format!("{:.0} MB", bytes / 1e6);
    let work = Work { copied_bytes: 2.0 * bytes, ..Work::default() };
    let mut row = Row::new("N01", "upload", shape, &Times::new(ours), Rate::Bytes(bytes))
        .floor(&bench.ceilings, &work);
    row.peer(1e3 * peer_s);
    Ok(row)
}

/// Times `samples` calls.
fn seconds(
    samples: usize,
    mut work: impl FnMut() -> Result<(), BenchError>,
) -> Result<Times, BenchError> {
    let mut sample = |_| {
        let since = Instant::now();
        work().map(|()| since.elapsed().as_secs_f64())
    };
    Ok(Times::new((0..samples).map(&mut sample).collect::<Result<_, _>>()?))
}

fn random(bytes: usize) -> Bytes {
    let mut noise = Noise::new(9);
    let words = (0..bytes.div_ceil(8)).flat_map(|_| noise.next().to_le_bytes());
    words.take(bytes).collect::<Vec<_>>().into()
}
