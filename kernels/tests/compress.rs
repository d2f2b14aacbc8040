//! Compression against sorting, bit for bit: every shape of tile, heavy ties, zeros, values that
//! are not finite.

mod oracle;

use kernels::compress::*;
use kernels::simt::{Buffer, Emulation, Launch, Report, emulate};
use kernels::tile::{THREADS, first_non_finite};
use oracle::{bits, emulations, random, run};

const BETA: f32 = 0.95;

/// A matrix, its tiles, and how many values of each are kept.
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

/// Whole tiles; few and many kept; sides that 64 does not divide; narrow; one row, of which all is
/// kept; single values.
const SHAPES: [Shape; 11] = [
    shape(128, 192, 64, 64, 64),
    shape(64, 128, 64, 64, 2),
    shape(64, 64, 64, 64, 129),
    shape(64, 64, 64, 64, 300),
    shape(64, 128, 64, 64, 4_094),
    shape(64, 64, 64, 64, 4_096),
    shape(64, 88, 64, 44, 64),
    shape(6, 35, 6, 35, 64),
    shape(1, 320, 1, 64, 64),
    shape(1, 27, 1, 27, 26),
    shape(7, 11, 1, 1, 1),
];

impl Shape {
    fn len(self) -> usize {
        self.rows * self.cols
    }

    fn chunk_len(self) -> usize {
        self.tile_rows * self.tile_cols
    }

    fn chunks(self) -> usize {
        self.len() / self.chunk_len()
    }

    fn is_wide(self) -> bool {
        self.tile_rows == 64 && self.tile_cols == 64
    }

    /// Offset in the matrix of value `index` of a chunk.
    fn offset(self, chunk: usize, index: usize) -> usize {
        let tiles = self.cols / self.tile_cols;
        let row = chunk / tiles * self.tile_rows + index / self.tile_cols;
        row * self.cols + chunk % tiles * self.tile_cols + index % self.tile_cols
    }
}

/// What a selection gives.
#[derive(Debug, PartialEq)]
struct Selected {
    m: Vec<u32>,
    indices: Vec<u16>,
    values: Vec<u32>,
}

/// By sorting all of each chunk.
fn sorted(shape: Shape, [shared, local, residual]: [&[f32]; 3]) -> Selected {
    let m: Vec<f32> =
        (0..shape.len()).map(|i| BETA * residual[i] + (shared[i] - local[i])).collect();
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    for chunk in 0..shape.chunks() {
        let at = |i: usize| m[shape.offset(chunk, i)];
        let mut order: Vec<usize> = (0..shape.chunk_len()).collect();
        order.sort_by(|&a, &b| at(b).abs().total_cmp(&at(a).abs()).then(a.cmp(&b)));
        order.truncate(shape.k);
        order.sort_unstable();
        indices.extend(order.iter().map(|&i| i as u16));
        values.extend(order.iter().map(|&i| at(i).to_bits()));
    }
    Selected { m: bits(&m), indices, values }
}

/// A selection's memory.
struct Selection {
    shape: Shape,
    inputs: [Buffer<f32>; 3],
    m: Buffer<f32>,
    indices: Buffer<u16>,
    values: Buffer<f32>,
    first_bad: Buffer<u32>,
}

impl Selection {
    fn new(shape: Shape, inputs: [&[f32]; 3]) -> Self {
        let kept = shape.chunks() * shape.k;
        Self {
            shape,
            inputs: inputs.map(Buffer::from),
            m: Buffer::unset(shape.len()),
            indices: Buffer::unset(kept),
            values: Buffer::unset(kept),
            first_bad: Buffer::from(&[0]),
        }
    }

    fn launch(&self) -> Launch {
        Launch::new(self.shape.chunks() as u32, THREADS, SHARED_BYTES)
    }

    fn whole_tiles(&self) -> compress_select_tiles {
        let [shared, local, residual] = self.inputs.each_ref().map(Buffer::arg);
        compress_select_tiles {
            shared,
            local,
            residual,
            m: self.m.arg(),
            indices: self.indices.arg(),
            values: self.values.arg(),
            first_bad: self.first_bad.arg(),
            cols: self.shape.cols as u32,
            k: self.shape.k as u32,
            beta: BETA,
        }
    }

    fn any_tiles(&self) -> compress_select {
        let whole = self.whole_tiles();
        compress_select {
            shared: whole.shared,
            local: whole.local,
            residual: whole.residual,
            m: whole.m,
            indices: whole.indices,
            values: whole.values,
            first_bad: whole.first_bad,
            cols: whole.cols,
            tile_rows: self.shape.tile_rows as u32,
            tile_cols: self.shape.tile_cols as u32,
            k: whole.k,
            beta: BETA,
        }
    }

    fn result(&self) -> Result<Selected, usize> {
        match first_non_finite(self.first_bad.to_vec()[0]) {
            Some(offset) => Err(offset),
            None => Ok(Selected {
                m: bits(&self.m.to_vec()),
                indices: self.indices.to_vec(),
                values: bits(&self.values.to_vec()),
            }),
        }
    }
}

/// Runs each kernel that is for this shape.
fn select(
    shape: Shape,
    inputs: [&[f32]; 3],
    emulation: &Emulation,
) -> Vec<Result<Selected, usize>> {
    let selection = Selection::new(shape, inputs);
    run(selection.launch(), &selection.any_tiles(), emulation);
    let mut results = vec![selection.result()];
    if shape.is_wide() {
        let selection = Selection::new(shape, inputs);
        run(selection.launch(), &selection.whole_tiles(), emulation);
        results.push(selection.result());
    }
    results
}

#[track_caller]
fn assert_sorted(shape: Shape, inputs: [&[f32]; 3], emulation: &Emulation) {
    for selected in select(shape, inputs, emulation) {
        assert!(selected == Ok(sorted(shape, inputs)), "{shape:?}");
    }
}

/// Heavy tails.
fn heavy(len: usize, seed: u64) -> Vec<f32> {
    random(len, seed).iter().map(|x| x * x * x).collect()
}

#[test]
fn random_values_are_selected_as_by_sorting() {
    for shape in SHAPES {
        for (emulation, seed) in emulations().iter().zip(1..) {
            let [shared, local, residual] = [0, 10, 20].map(|n| heavy(shape.len(), seed + n));
            assert_sorted(shape, [&shared, &local, &residual], emulation);
        }
    }
}

#[test]
fn equal_magnitudes_go_to_the_lower_index() {
    for shape in SHAPES {
        let zero = vec![0.0; shape.len()];
        for levels in [1.0, 2.0, 5.0] {
            let coarse = |x: &f32| (x * levels).round() - 0.5;
            let shared: Vec<f32> = random(shape.len(), 4).iter().map(coarse).collect();
            assert_sorted(shape, [&shared, &zero, &zero], &Emulation::default());
        }
    }
}

#[test]
fn chunks_that_are_mostly_or_wholly_zero_are_selected_as_by_sorting() {
    for shape in SHAPES {
        let zero = vec![0.0; shape.len()];
        let rare = |x: f32| if x.abs() < 0.01 { x } else { -0.0 };
        let shared: Vec<f32> = random(shape.len(), 5).into_iter().map(rare).collect();
        assert_sorted(shape, [&shared, &zero, &zero], &Emulation::default());
        assert_sorted(shape, [&zero, &zero, &zero], &Emulation::default());
    }
}

/// Large values in a few threads' hands: the first threshold is reached by far too many.
#[test]
fn large_values_in_one_corner_do_not_mislead_the_threshold() {
    for (k, wide) in [(64, 1), (64, 16), (1, 40), (128, 64)] {
        let shape = shape(64, 64, 64, 64, k);
        let mut shared = random(shape.len(), 6);
        for row in 0..64 {
            shared[row * 64..][..wide].iter_mut().for_each(|x| *x *= 1e6);
        }
        let smallest = f32::from_bits(1);
        let local: Vec<f32> =
            random(shape.len(), 7).iter().map(|x| x.signum() * smallest).collect();
        let zero = vec![0.0; shape.len()];
        assert_sorted(shape, [&shared, &zero, &zero], &Emulation::default());
        assert_sorted(shape, [&zero, &local, &zero], &Emulation::default());
    }
}

#[test]
fn the_first_value_that_is_not_finite_is_named() {
    for shape in SHAPES {
        let zero = vec![0.0; shape.len()];
        for (poison, first) in [
            (f32::NAN, 0),
            (-f32::NAN, shape.len() / 2),
            (f32::INFINITY, shape.len() - 1),
            (f32::NEG_INFINITY, shape.len() / 3),
        ] {
            let mut shared = heavy(shape.len(), 8);
            shared[first] = poison;
            shared[shape.len() - 1] = poison;
            for selected in select(shape, [&shared, &zero, &zero], &Emulation::default()) {
                assert_eq!(selected, Err(first), "{shape:?}");
            }
        }
    }
}

#[test]
fn what_was_sent_is_taken_from_exactly_its_places() {
    let codebook = [-2.0, -0.5, 0.5, 2.0];
    for shape in SHAPES {
        let m = heavy(shape.len(), 9);
        let zero = vec![0.0; shape.len()];
        let indices = sorted(shape, [&m, &zero, &zero]).indices;
        let chunk_bytes = shape.k.div_ceil(4);
        let mut codes = vec![0_u8; shape.chunks() * chunk_bytes];
        let mut want = m.clone();
        for (at, &index) in indices.iter().enumerate() {
            let (chunk, i) = (at / shape.k, at % shape.k);
            let code = (chunk + 3 * i) % 4;
            codes[chunk * chunk_bytes + i / 4] |= (code as u8) << (i % 4 * 2);
            want[shape.offset(chunk, usize::from(index))] -= codebook[code];
        }
        let (m, codes) = (Buffer::from(&m), Buffer::from(&codes));
        let kept = indices.len() as u32;
        let indices = Buffer::from(&indices);
        let kernel = compress_subtract_sent {
            m: m.arg(),
            indices: indices.arg(),
            codes: codes.arg(),
            code0: codebook[0],
            code1: codebook[1],
            code2: codebook[2],
            code3: codebook[3],
            cols: shape.cols as u32,
            tile_rows: shape.tile_rows as u32,
            tile_cols: shape.tile_cols as u32,
            k: shape.k as u32,
            kept,
        };
        run(Launch::new(kept.div_ceil(256), 256, 0), &kernel, &Emulation::default());
        assert_eq!(bits(&m.to_vec()), bits(&want), "{shape:?}");
    }
}

/// The barriers of the common way, and those of the way that ties take.
#[test]
fn every_barrier_is_needed() {
    let shape = shape(64, 64, 64, 64, 64);
    let zero = vec![0.0; shape.len()];
    let launched = |shared: &[f32], emulation: &Emulation| {
        let selection = Selection::new(shape, [shared, &zero, &zero]);
        emulate(&selection.launch(), &selection.whole_tiles(), emulation)
    };
    let [spread, tied] = [heavy(shape.len(), 11), vec![1.0; shape.len()]];
    let sites = |shared: &[f32]| -> Report { launched(shared, &Emulation::default()).unwrap() };
    let (of_spread, of_tied) = (sites(&spread).sync_sites, sites(&tied).sync_sites);
    assert_eq!((of_spread.len(), of_tied.len()), (5, 3), "{of_spread:?} {of_tied:?}");
    for (shared, sites) in [(&spread, of_spread), (&tied, of_tied)] {
        for site in sites {
            let without = Emulation { without: Some(site), ..Emulation::default() };
            assert!(launched(shared, &without).is_err(), "nobody missed {site}");
        }
    }
}
