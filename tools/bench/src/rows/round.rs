//! R02: the exchange of one round at 72B over links of known rates: one payload up, those of all
//! others down. Played on the loopback server, smaller and faster by known factors, through the
//! code that a node runs, beside what bytes over rates say.
//!
//! R03: how large payloads are.

use std::time::Instant;

use bucket::Bytes;
use model::{layout_of, preset};
use wire::contribution::{HEADER_BYTES, SIGNED_BYTES, encode};
use wire::{
    BodyShape, Claims, IndexCodec, Keypair, Layout, RunId, SampleDigest, SparseTensor, StateRoot,
    Uid, Window,
};

use super::Bench;
use super::storage::Storage;
use crate::BenchError;
use crate::ceilings::Work;
use crate::loopback::Link;
use crate::row::{Rate, Row};
use crate::timing::Times;

const K: usize = 64;
/// Inner steps of a round: 30 of 40 s, as the published run has them.
const COMPUTE_S: f64 = 1_200.0;
const MBIT: f64 = 1e6 / 8.0;
/// Name, and bytes a second up and down.
const LINKS: [(&str, f64, f64); 3] = [
    ("110/500 Mb/s", 110.0 * MBIT, 500.0 * MBIT),
    ("1 Gb/s", 1_000.0 * MBIT, 1_000.0 * MBIT),
    ("110/500 MB/s", 110e6, 500e6),
];
const PEERS: [usize; 3] = [8, 20, 64];

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (peers, local_s, local_bytes): (&[usize], f64, usize) =
        if bench.quick { (&PEERS[..1], 0.4, 16 << 20) } else { (&PEERS, 2.0, 128 << 20) };
    let payload = payload_bytes("72b", IndexCodec::EliasFano)? as f64;
    let mut rows = Vec::new();
    for &peers in peers {
        let mut storage = Storage::start(bench.device.threads())?;
        let body = Bytes::from(vec![1; local_bytes / (peers - 1)]);
        for peer in 1..peers {
            storage.add(&[&[peer as u8], &body[1..]])?;
        }
        for link in LINKS {
            rows.push(exchange(&storage, &body, link, payload, local_s)?);
        }
    }
    Ok(rows)
}

fn exchange(
    storage: &Storage,
    body: &Bytes,
    (name, up, down): (&str, f64, f64),
    payload: f64,
    local_s: f64,
) -> Result<Row, BenchError> {
    let others = storage.objects.len() as f64;
    let (up_s, down_s) = (payload / up, others * payload / down);
    // So many times faster goes time here, with payloads so many times smaller.
    let (faster, smaller) = ((up_s + down_s) / local_s, payload / body.len() as f64);
    let local = |rate: f64| Some(rate * faster / smaller);
    storage.set(Link { up_bytes_per_s: local(up), down_bytes_per_s: local(down) });
    let since = Instant::now();
    storage.put(body)?;
    let up_took_s = since.elapsed().as_secs_f64();
    storage.fetch_all()?;
    let took_s = since.elapsed().as_secs_f64();
    let utilisation = |exchange_s: f64| 100.0 * COMPUTE_S / (COMPUTE_S + exchange_s);
    let shape = format!("{} peers, {name}", others + 1.0);
    let bytes = body.len() as f64 * (others + 1.0);
    let row = Row::new("R02", "72B round", shape, &Times::new(vec![took_s]), Rate::Bytes(bytes))
        .floor_ms(1e3 * local_s)
        .dtype("u8")
        // Fetching fails on anything else than what was stored.
        .bit_equal(storage.holds(body)?)
        .also("up_s", up_took_s * faster)
        .also("down_s", (took_s - up_took_s) * faster)
        .also("utilisation_percent", utilisation(took_s * faster))
        .also("formula_percent", utilisation(up_s + down_s));
    Ok(row)
}

pub(super) fn sizes(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let model = if bench.quick { "m1" } else { "s15" };
    [IndexCodec::EliasFano, IndexCodec::Packed12]
        .map(|codec| size(bench, model, codec))
        .into_iter()
        .collect()
}

fn size(bench: &Bench, model: &str, codec: IndexCodec) -> Result<Row, BenchError> {
    let (layout, large) = (layout_named(model)?, layout_named("72b")?);
    let shape = BodyShape::new(&large, K, codec);
    let values: usize = shape.sections().iter().map(|section| section.values()).sum();
    let payload = shape.object_bytes() as f64;
    let shape = BodyShape::new(&layout, K, codec);
    let update: Vec<_> = shape.sections().iter().map(|s| SparseTensor::zero(*s)).collect();
    let keypair = Keypair::from_seed([1; 32]);
    let claims = Claims {
        run: RunId([0; 32]),
        window: Window(0),
        uid: Uid(0),
        layout: shape.layout(),
        parent_root: StateRoot([0; 32]),
        sample_digest: SampleDigest([0; 16]),
        sample_count: 1,
        tokens: 2_048,
        k: shape.k(),
        index_codec: codec,
    };
    let object = encode(&claims, &update, &keypair);
    // Signatures have randomness of their own.
    let again = encode(&claims, &update, &keypair);
    let equal = object[..SIGNED_BYTES] == again[..SIGNED_BYTES]
        && object[HEADER_BYTES..] == again[HEADER_BYTES..];
    let times = bench.times(|_| drop(std::hint::black_box(encode(&claims, &update, &keypair))));
    let bytes = object.len() as f64;
    let work = Work { hashed_bytes: bytes, copied_bytes: 2.0 * bytes, ..Work::default() };
    let name = format!("encode and sign, {codec:?}");
    let row = Row::new("R03", name, format!("{model}, k {K}"), &times, Rate::Bytes(bytes));
    Ok(row
        .floor(&bench.ceilings, &work)
        .dtype("u8")
        .bit_equal(equal && object.len() as u64 == shape.object_bytes())
        .also("bits_per_value", 8.0 * payload / values as f64)
        .also("gb_at_72b", payload / 1e9)
        .also("times_smaller_than_f32", 4.0 * large.params() as f64 / payload))
}

fn layout_named(model: &str) -> Result<Layout, BenchError> {
    Ok(layout_of(&preset(model).expect("a preset of the bench's own list").model)?)
}

fn payload_bytes(model: &str, codec: IndexCodec) -> Result<u64, BenchError> {
    Ok(BodyShape::new(&layout_named(model)?, K, codec).object_bytes())
}
