//! N02: from a manifest's list to the next shared parameters: 20 payloads fetched, hashed, decoded
//! and applied, as a node does it, with the memory and the processor time that this takes.
//!
//! A payload of 71 MB is that of 3.6 Gi parameters, whose 14 GB are not what is measured here: it
//! is read as many bodies of 64 Mi parameters, one behind the other, all applied to one vector.

use std::sync::Arc;
use std::time::Instant;

use bucket::Spooled;
use futures::{StreamExt, TryStreamExt};
use model::sparseloco::{Aggregation, CheckedBody, OuterStep};
use wire::{BodyShape, IndexCodec, Layout, PartFault, Shape, Uid};

use super::storage::Storage;
use super::{Bench, bytes};
use crate::BenchError;
use crate::ceilings::Work;
use crate::loopback::Link;
use crate::machine;
use crate::noise::Noise;
use crate::row::{Rate, Row, same_bits};
use crate::timing::Times;

const K: usize = 64;
/// Payloads that are decoded at once, as in a node.
const CHECKS_AT_ONCE: usize = 2;
const GBIT_BYTES_PER_S: f64 = 1e9 / 8.0;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let gather = Gather::new(bench)?;
    let mut shared = Noise::new(3).vec(gather.layout.params(), 0.02);
    let start = shared.clone();
    // Memory first: whatever the peer leaves behind would hide some of it.
    let first = gather.run(&mut shared)?;
    let once = std::mem::replace(&mut shared, start);
    let mut runs = vec![gather.run(&mut shared)?];
    let bit_equal = same_bits(&once, &shared);
    drop(once);
    let mut peer_s = f64::INFINITY;
    for _ in 0..if bench.quick { 1 } else { 3 } {
        peer_s = peer_s.min(gather.storage.plain_fetch_s()?);
        runs.push(gather.run(&mut shared)?);
    }
    let seconds = runs.iter().map(|run| run.wall_s).collect();
    let fastest = runs.iter().min_by(|a, b| a.wall_s.total_cmp(&b.wall_s)).expect("some runs");
    let mut row = gather.row(bench, "", &Times::new(seconds), fastest, first.above_bytes);
    row.peer(1e3 * peer_s);
    let mut rows = vec![row.floor(&bench.ceilings, &gather.work())];
    let gigabits: &[f64] = if bench.quick { &[0.5] } else { &[1.0, 5.0] };
    for gigabits in gigabits {
        let rate = gigabits * GBIT_BYTES_PER_S;
        gather.storage.set(Link { down_bytes_per_s: Some(rate), ..Link::default() });
        let run = gather.run(&mut shared)?;
        let (times, name) = (Times::new(vec![run.wall_s]), format!(", {gigabits} Gb/s"));
        let link_ms = 1e3 * gather.storage.bytes() as f64 / rate;
        let floor_ms = link_ms.max(bench.ceilings.floor_ms(&gather.work()));
        rows.push(gather.row(bench, &name, &times, &run, run.above_bytes).floor_ms(floor_ms));
    }
    Ok(rows.into_iter().map(|row| row.bit_equal(bit_equal)).collect())
}

/// What one gather took.
struct Run {
    wall_s: f64,
    /// Until all payloads had arrived, checked.
    fetch_s: f64,
    cpu_s: f64,
    /// Most memory beyond what there was before.
    above_bytes: usize,
}

struct Gather {
    storage: Storage,
    device: runtime::Device,
    layout: Layout,
    shape: Arc<BodyShape>,
    /// Bodies behind one another in a payload.
    bodies: u64,
    outer: OuterStep,
}

impl Gather {
    fn new(bench: &Bench) -> Result<Self, BenchError> {
        let (peers, bodies, matrices, side) =
            if bench.quick { (4, 3, 2, 512) } else { (20, 54, 4, 4_096) };
        let matrix = |i| (format!("layers.{i}.weight"), Shape::Matrix(side, side));
        let layout = Layout::new((0..matrices).map(matrix)).expect("distinct matrices");
        let shape = BodyShape::new(&layout, K, IndexCodec::EliasFano);
        let mut noise = Noise::new(1);
        let body = |noise: &mut Noise| {
            let mut body = Vec::with_capacity(shape.body_bytes() as usize);
            for section in shape.sections() {
                IndexCodec::EliasFano.encode(&bytes::random(*section, noise), &mut body);
            }
            body
        };
        let pool: Vec<_> = (0..bodies).map(|_| body(&mut noise)).collect();
        let mut storage = Storage::start(bench.device.threads())?;
        for peer in 0..peers {
            // The same bodies in another order: of each matrix every peer sends something else.
            let payload: Vec<_> = (0..bodies).map(|at| &pool[(at + peer) % bodies][..]).collect();
            storage.add(&payload)?;
        }
        let outer = OuterStep { alpha: 1.0, rule: Aggregation::Contributors };
        let (device, bodies, shape) = (bench.device.clone(), bodies as u64, Arc::new(shape));
        Ok(Self { storage, device, layout, shape, bodies, outer })
    }

    fn run(&self, shared: &mut [f32]) -> Result<Run, BenchError> {
        machine::restart_peak();
        let baseline = machine::resident_bytes().unwrap_or(0);
        let cpu = self.storage.cpu_s();
        let since = Instant::now();
        let payloads = self.storage.runtime.block_on(self.fetch())?;
        let fetch_s = since.elapsed().as_secs_f64();
        for body in 0..self.bodies as usize {
            let round: Vec<_> = payloads
                .iter()
                .enumerate()
                .map(|(uid, bodies)| (Uid(uid as u16), bodies[body].clone()))
                .collect();
            let Self { outer, device, layout, shape, .. } = self;
            outer.apply_bodies(device, layout, shape, (&mut *shared).into(), &round)?;
        }
        let wall_s = since.elapsed().as_secs_f64();
        let cpu_s = self.storage.cpu_s() - cpu;
        let above_bytes = model::peak_memory().unwrap_or(0).saturating_sub(baseline);
        Ok(Run { wall_s, fetch_s, cpu_s, above_bytes })
    }

    /// Every payload's bodies, checked, by ascending uid.
    async fn fetch(&self) -> Result<Vec<Vec<CheckedBody<Spooled>>>, BenchError> {
        let objects = self.storage.objects.clone();
        let fetched = bucket::fetch_all(&self.storage.spool, objects, Storage::deadline());
        let checked = fetched.map(|(at, object)| async move {
            let (shape, bodies) = (Arc::clone(&self.shape), self.bodies);
            let check = move |object: Spooled| {
                let at = (0..bodies).map(|body| body * shape.body_bytes());
                at.map(|at| CheckedBody::check(&shape, object.clone(), at)).collect()
            };
            let checked: Result<Vec<_>, PartFault> = object?.examine(check).await;
            let checked = checked.map_err(|fault| BenchError::Rejected(fault.to_string()))?;
            Ok::<_, BenchError>((at, checked))
        });
        let mut payloads: Vec<_> = checked.buffer_unordered(CHECKS_AT_ONCE).try_collect().await?;
        payloads.sort_by_key(|(at, _)| *at);
        Ok(payloads.into_iter().map(|(_, bodies)| bodies).collect())
    }

    fn row(&self, bench: &Bench, name: &str, times: &Times, run: &Run, above: usize) -> Row {
        let (objects, bytes) = (self.storage.objects.len(), self.storage.bytes() as f64);
        let shape = format!("{objects} of {:.1} MB{name}", bytes / objects as f64 / 1e6);
        let cores = bench.device.threads() as f64;
        Row::new("N02", "fetch, check, decode, apply", shape, times, Rate::Bytes(bytes))
            .also("cpu_percent", 100.0 * run.cpu_s / run.wall_s / cores)
            .also("above_baseline_mib", above as f64 / f64::from(1 << 20))
            .also("fetch_and_check_s", run.fetch_s)
            .also("apply_s", run.wall_s - run.fetch_s)
    }

    fn work(&self) -> Work {
        let (bytes, params) = (self.storage.bytes() as f64, self.layout.params() as f64);
        Work {
            hashed_bytes: bytes,
            // Written to the spool, and read to be checked and to be applied.
            copied_bytes: 2.0 * bytes,
            read_bytes: 2.0 * bytes,
            updated_bytes: 8.0 * params * self.bodies as f64,
            ..Work::default()
        }
    }
}
