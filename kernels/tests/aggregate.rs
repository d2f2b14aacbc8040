//! Aggregation against sums over all peers, coordinate by coordinate, bit for bit: both rules,
//! every shape of tile, any number of peers, steps that are not finite.

mod oracle;

use kernels::aggregate::*;
use kernels::simt::{Buffer, Emulation, Fault, Launch, Report, emulate};
use kernels::tile::{THREADS, first_non_finite};
use oracle::{bits, emulations, random, run};

/// A matrix, its tiles, and how many values of each a peer sends.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    cols: usize,
    tile_rows: usize,
    tile_cols: usize,
    k: usize,
}

const fn shape(rows: usize, cols: usize, tile_rows: usize, tile_cols: usize, k: usize) -> Shape {
    Shape { rows, cols, tile_rows, tile_cols, k }
}

const SHAPES: [Shape; 8] = [
    shape(128, 192, 64, 64, 64),
    shape(64, 128, 64, 64, 3),
    shape(64, 64, 64, 64, 301),
    shape(64, 64, 64, 64, 4_096),
    shape(64, 88, 64, 44, 64),
    shape(6, 35, 6, 35, 64),
    shape(1, 320, 1, 64, 64),
    shape(7, 11, 1, 1, 1),
];

impl Shape {
    fn chunk_len(self) -> usize {
        self.tile_rows * self.tile_cols
    }

    fn chunks(self) -> usize {
        self.rows * self.cols / self.chunk_len()
    }

    fn is_wide(self) -> bool {
        self.tile_rows == 64 && self.tile_cols == 64
    }
}

/// What all peers sent: `[peers, chunks, k]`, and codes before they are packed.
struct Sent {
    shape: Shape,
    entries: Vec<[f32; 4]>,
    indices: Vec<u16>,
    codes: Vec<u8>,
}

impl Sent {
    /// Half of the indices of a chunk are the same for all peers.
    fn random(shape: Shape, entries: Vec<[f32; 4]>, seed: u64) -> Self {
        let (mut indices, mut codes) = (Vec::new(), Vec::new());
        for row in 0..entries.len() * shape.chunks() {
            let mut order: Vec<u16> = (0..shape.chunk_len() as u16).collect();
            let keys = random(order.len(), seed + row as u64);
            let is_common = |i: u16| i.is_multiple_of(shape.chunk_len() as u16 / 32 + 1);
            order.sort_by(|&a, &b| {
                let key = |i: u16| keys[usize::from(i)] + f32::from(u8::from(is_common(i)));
                key(b).total_cmp(&key(a))
            });
            order.truncate(shape.k);
            order.sort_unstable();
            codes.extend(order.iter().map(|&i| (keys[usize::from(i)] * 1e6) as i32 as u8 & 3));
            indices.extend(order);
        }
        Self { shape, entries, indices, codes }
    }

    /// Four codes to a byte, each chunk from a new byte.
    fn packed(&self) -> Vec<u8> {
        let of_chunk = |codes: &[u8]| -> Vec<u8> {
            let byte = |four: &[u8]| four.iter().rev().fold(0, |byte, code| byte << 2 | code);
            codes.chunks(4).map(byte).collect()
        };
        self.codes.chunks(self.shape.k).flat_map(of_chunk).collect()
    }

    /// The step of each value, `[rows, cols]`.
    fn steps(&self, divisor: u32, alpha: f32) -> Vec<f32> {
        let shape = self.shape;
        let tiles = shape.cols / shape.tile_cols;
        let mut sums = vec![(0.0_f32, 0_u32); shape.rows * shape.cols];
        for (at, (&index, &code)) in self.indices.iter().zip(&self.codes).enumerate() {
            let (peer, chunk) = (at / shape.k / shape.chunks(), at / shape.k % shape.chunks());
            let row = chunk / tiles * shape.tile_rows + usize::from(index) / shape.tile_cols;
            let col = chunk % tiles * shape.tile_cols + usize::from(index) % shape.tile_cols;
            let (sum, count) = &mut sums[row * shape.cols + col];
            *sum += self.entries[peer][usize::from(code)];
            *count += 1;
        }
        let divisor = |count: u32| if divisor > 0 { divisor } else { count.max(1) };
        sums.iter().map(|(sum, count)| alpha * (sum / divisor(*count) as f32)).collect()
    }
}

/// An aggregation's memory.
struct Memory {
    shape: Shape,
    peers: u32,
    indices: Buffer<u16>,
    codes: Buffer<u8>,
    entries: Buffer<f32>,
    shared: Buffer<f32>,
    first_bad: Buffer<u32>,
}

impl Memory {
    fn new(sent: &Sent, shared: &[f32]) -> Self {
        Self {
            shape: sent.shape,
            peers: sent.entries.len() as u32,
            indices: Buffer::from(&sent.indices),
            codes: Buffer::from(&sent.packed()),
            entries: Buffer::from(sent.entries.as_flattened()),
            shared: Buffer::from(shared),
            first_bad: Buffer::from(&[0]),
        }
    }

    fn launch(&self) -> Launch {
        Launch::new(self.shape.chunks() as u32, THREADS, SHARED_BYTES)
    }

    fn any_tiles(&self, divisor: u32, alpha: f32) -> aggregate {
        aggregate {
            shared: self.shared.arg(),
            indices: self.indices.arg(),
            codes: self.codes.arg(),
            entries: self.entries.arg(),
            first_bad: self.first_bad.arg(),
            cols: self.shape.cols as u32,
            tile_rows: self.shape.tile_rows as u32,
            tile_cols: self.shape.tile_cols as u32,
            k: self.shape.k as u32,
            peers: self.peers,
            divisor,
            alpha,
        }
    }

    fn whole_tiles(&self, divisor: u32, alpha: f32) -> aggregate_tiles {
        let any = self.any_tiles(divisor, alpha);
        aggregate_tiles {
            shared: any.shared,
            indices: any.indices,
            codes: any.codes,
            entries: any.entries,
            first_bad: any.first_bad,
            cols: any.cols,
            k: any.k,
            peers: any.peers,
            divisor,
            alpha,
        }
    }

    fn check(&self, divisor: u32, alpha: f32) -> aggregate_check {
        let any = self.any_tiles(divisor, alpha);
        aggregate_check {
            indices: any.indices,
            codes: any.codes,
            entries: any.entries,
            first_bad: any.first_bad,
            cols: any.cols,
            tile_rows: any.tile_rows,
            tile_cols: any.tile_cols,
            k: any.k,
            peers: any.peers,
            divisor,
            alpha,
        }
    }
}

fn entries(peers: usize, seed: u64) -> Vec<[f32; 4]> {
    random(4 * peers, seed).as_chunks::<4>().0.to_vec()
}

#[test]
fn peers_are_summed_in_order_and_the_step_taken() {
    for (shape, peers) in SHAPES.into_iter().zip([20, 1, 9, 2, 8, 17, 70, 5]) {
        let sent = Sent::random(shape, entries(peers, 1), 2);
        let params = random(shape.rows * shape.cols, 3);
        for divisor in [0, peers as u32] {
            let steps = sent.steps(divisor, 0.7);
            let want: Vec<f32> =
                params.iter().zip(&steps).map(|(param, step)| param - step).collect();
            for emulation in emulations() {
                let memory = Memory::new(&sent, &params);
                run(memory.launch(), &memory.check(divisor, 0.7), &emulation);
                run(memory.launch(), &memory.any_tiles(divisor, 0.7), &emulation);
                assert!(bits(&memory.shared.to_vec()) == bits(&want), "{shape:?}");
                if shape.is_wide() {
                    let memory = Memory::new(&sent, &params);
                    run(memory.launch(), &memory.whole_tiles(divisor, 0.7), &emulation);
                    assert!(bits(&memory.shared.to_vec()) == bits(&want), "{shape:?}");
                }
            }
        }
    }
}

#[test]
fn a_step_that_is_not_finite_is_named_and_leaves_the_tensor_as_it_was() {
    for shape in SHAPES {
        for (largest, alpha) in [(f32::MAX, 0.7), (f32::NAN, 0.7), (1e30, f32::MAX)] {
            let mut entries = entries(3, 4);
            entries[1][2] = largest;
            entries[2][2] = largest;
            let sent = Sent::random(shape, entries, 5);
            let params = random(shape.rows * shape.cols, 6);
            let want = sent.steps(0, alpha).iter().position(|step| !step.is_finite());
            let memory = Memory::new(&sent, &params);
            run(memory.launch(), &memory.check(0, alpha), &Emulation::default());
            assert_eq!(first_non_finite(memory.first_bad.to_vec()[0]), want, "{shape:?}");
            run(memory.launch(), &memory.any_tiles(0, alpha), &Emulation::default());
            if shape.is_wide() {
                run(memory.launch(), &memory.whole_tiles(0, alpha), &Emulation::default());
            }
            if want.is_some() {
                assert_eq!(bits(&memory.shared.to_vec()), bits(&params), "{shape:?}");
            }
        }
    }
}

/// The barrier after zeros are written, and that between peers: for few values of each, and many.
#[test]
fn every_barrier_is_needed() {
    for k in [64, 200] {
        let shape = shape(64, 64, 64, 64, k);
        let sent = Sent::random(shape, entries(16, 7), 8);
        let memory = Memory::new(&sent, &random(64 * 64, 9));
        let launched = |emulation: &Emulation| -> Result<Report, Fault> {
            emulate(&memory.launch(), &memory.whole_tiles(0, 0.7), emulation)
        };
        let sites = launched(&Emulation::default()).unwrap().sync_sites;
        assert_eq!(sites.len(), 2, "{sites:?}");
        for site in sites {
            let without = Emulation { without: Some(site), ..Emulation::default() };
            assert!(launched(&without).is_err(), "nobody missed {site}");
        }
    }
}
