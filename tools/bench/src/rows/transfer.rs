//! N01: objects up and down, in parts and ranges, through the bucket as a node uses it: signed and
//! with checksums up, hashed, compared and into the spool down. Beside it a plain client on the
//! same server, which does nothing with the bytes, and links of a known rate.

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
    let (threads, body) = (bench.device.threads(), random(bytes));
    let fill = |storage: &mut Storage| {
        (0..objects).try_for_each(|number| storage.add(&[&[number as u8], &body[1..]]))
    };
    let mut storage = Storage::start(threads)?;
    fill(&mut storage)?;
    let mut rows = both_ways(bench, &storage, &body, "loopback")?.to_vec();
    let gigabits: &[f64] = if bench.quick { &[5.0] } else { &[1.0, 5.0] };
    for &gigabits in gigabits {
        let rate = gigabits * GBIT_BYTES_PER_S;
        storage.set(Link { up_bytes_per_s: Some(rate), down_bytes_per_s: Some(rate) });
        let row = |name, bytes: f64, seconds| {
            let (shape, times) =
                (format!("{:.0} MB, {gigabits} Gb/s", bytes / 1e6), Times::new(vec![seconds]));
            let row = Row::new("N01", name, shape, &times, Rate::Bytes(bytes));
            row.floor_ms(1e3 * bytes / rate)
        };
        let down_s = seconds(|| storage.fetch_all())?;
        rows.push(row("download", storage.bytes() as f64, down_s));
        rows.push(row("upload", body.len() as f64, seconds(|| storage.put(&body))?));
    }
    storage.set(Link::default());
    let mut equal = storage.holds(&body)?;
    drop(storage);
    match Storage::on_s3(threads)? {
        None => eprintln!("N01 on s3s-fs is left out: run eval \"$(ci/s3 FOLDER)\" first"),
        Some(mut storage) => {
            fill(&mut storage)?;
            rows.extend(both_ways(bench, &storage, &body, "s3s-fs")?);
            equal &= storage.holds(&body)?;
        }
    }
    Ok(rows.into_iter().map(|row| row.dtype("u8").bit_equal(equal)).collect())
}

/// As fast as it goes, beside the plain client.
fn both_ways(
    bench: &Bench,
    storage: &Storage,
    body: &Bytes,
    server: &str,
) -> Result<[Row; 2], BenchError> {
    let samples = bench.samples.clamp(1, 6);
    let bytes = storage.bytes() as f64;
    storage.fetch_all()?;
    let (mut ours, mut peer_s, mut cpu_s) = (Vec::new(), f64::INFINITY, 0.0);
    for _ in 0..samples {
        let cpu = storage.cpu_s();
        ours.push(seconds(|| storage.fetch_all())?);
        cpu_s += storage.cpu_s() - cpu;
        // The peer between our samples, so that a busy minute hits both alike.
        peer_s = peer_s.min(storage.plain_fetch_s()?);
    }
    let ours = Times::new(ours);
    let gigabits = bytes * 8.0 * samples as f64 / 1e9;
    let shape = format!("{} of {:.0} MB, {server}", storage.objects.len(), body.len() as f64 / 1e6);
    let work = Work { hashed_bytes: bytes, copied_bytes: 2.0 * bytes, ..Work::default() };
    let mut down = Row::new("N01", "download", shape, &ours, Rate::Bytes(bytes))
        .floor(&bench.ceilings, &work)
        .also("cores_per_5_gbit_s", cpu_s / (gigabits / 5.0));
    down.peer(1e3 * peer_s);

    storage.put(body)?;
    let (mut ours, mut peer_s) = (Vec::new(), None);
    for _ in 0..samples {
        ours.push(seconds(|| storage.put(body))?);
        let seconds = storage.plain_put_s(body, PART_BYTES, PARTS_AT_ONCE)?;
        peer_s = seconds.map(|seconds| seconds.min(peer_s.unwrap_or(f64::INFINITY)));
    }
    let bytes = body.len() as f64;
    let shape = format!("{:.0} MB, {server}", bytes / 1e6);
    let work = Work { copied_bytes: 2.0 * bytes, ..Work::default() };
    let mut up = Row::new("N01", "upload", shape, &Times::new(ours), Rate::Bytes(bytes))
        .floor(&bench.ceilings, &work);
    if let Some(peer_s) = peer_s {
        up.peer(1e3 * peer_s);
    }
    Ok([down, up])
}

/// Seconds of one call.
fn seconds(work: impl FnOnce() -> Result<(), BenchError>) -> Result<f64, BenchError> {
    let since = Instant::now();
    work().map(|()| since.elapsed().as_secs_f64())
}

fn random(bytes: usize) -> Bytes {
    let mut noise = Noise::new(9);
    let words = (0..bytes.div_ceil(8)).flat_map(|_| noise.next().to_le_bytes());
    words.take(bytes).collect::<Vec<_>>().into()
}
