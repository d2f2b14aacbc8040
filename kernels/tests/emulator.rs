//! The vocabulary under the emulator: kernels that are right give what the device's tables say, in
//! whatever order lanes run and copies land.

mod oracle;
mod vocabulary;

use kernels::simt::*;
use oracle::{assert_close, emulations, from_bf16, random, run, to_bf16, wide};
use vocabulary::*;

/// `rows` by `columns` of A[rows][k] times B[columns][k], in f64.
fn product(a: &[f64], b: &[f64], k: usize) -> Vec<f64> {
    let rows = a.chunks_exact(k);
    rows.flat_map(|a| b.chunks_exact(k).map(|b| oracle::dot(a, b))).collect()
}

#[test]
fn collectives_of_a_warp_agree_with_their_definitions() {
    for emulation in emulations() {
        let out = Buffer::unset(32 * 12);
        run(Launch::new(1, 32, 0), &collectives { out: out.arg() }, &emulation);
        let value = |lane: u32| lane * lane + 1;
        let values: Vec<u32> = (0..32).map(value).collect();
        let ballot = values.iter().enumerate().filter(|(_, v)| **v % 3 == 0);
        let ballot = ballot.fold(0, |bits, (lane, _)| bits | 1 << lane);
        for (lane, got) in out.to_vec().chunks_exact(12).enumerate() {
            let l = lane as u32;
            let want = [
                value(l ^ 5),
                value(l * 7 % 32),
                value(if l < 3 { l } else { l - 3 }),
                value(if l > 27 { l } else { l + 4 }),
                ballot,
                1,
                0,
                values.iter().sum(),
                1,
                value(31),
                values.iter().fold(u32::MAX, |a, b| a & (b | 4)),
                values.iter().fold(0, |a, b| a | b),
            ];
            assert_eq!(got, want, "lane {lane}");
        }
    }
}

#[test]
fn ldmatrix_and_mma_multiply_by_their_fragment_tables() {
    let (a, b) = (to_bf16(&random(256, 1)), to_bf16(&random(256, 2)));
    let want = product(&wide(&from_bf16(&a)), &wide(&from_bf16(&b)), 16);
    for emulation in emulations() {
        let (a, b, c) = (Buffer::from(&a), Buffer::from(&b), Buffer::unset(256));
        let kernel = warp_product { a: a.arg(), b: b.arg(), c: c.arg() };
        run(Launch::new(1, 32, 1024), &kernel, &emulation);
        assert_close("c", &c.to_vec(), &want, 1e-6);
    }
}

#[test]
fn stmatrix_is_the_inverse_of_ldmatrix_and_trans_transposes_each_piece() {
    let x: Vec<Bf16> = (0..256).map(Bf16).collect();
    let transposed: Vec<Bf16> =
        (0..256).map(|i| Bf16(i / 64 * 64 + i % 8 * 8 + i / 8 % 8)).collect();
    for emulation in emulations() {
        let (from, once, twice) = (Buffer::from(&x), Buffer::unset(256), Buffer::unset(256));
        let kernel = transposes { x: from.arg(), once: once.arg(), twice: twice.arg() };
        run(Launch::new(1, 32, 1024), &kernel, &emulation);
        assert_eq!(once.to_vec(), transposed);
        assert_eq!(twice.to_vec(), x);
    }
}

/// A whole pipeline over `k`: tensor copies, mbarriers, wgmma, stmatrix, a tensor store.
fn pipeline(k: usize, rows: usize, emulation: &Emulation) -> Result<(Vec<f32>, Report), Fault> {
    let (a, b) = (to_bf16(&random(rows * k, 3)), to_bf16(&random(rows * k, 4)));
    let (a, b, c) = (Buffer::from(&a), Buffer::from(&b), Buffer::from(&vec![Bf16(1); rows * 64]));
    let map = |memory, width: u32| {
        let extents = [width, rows as u32];
        TensorMap::new(memory, extents, &[u64::from(width) * 2], [64, 64], Swizzle::B128)
    };
    let kernel = pipelined_product {
        a: map(a.arg(), k as u32),
        b: map(b.arg(), k as u32),
        c: map(c.arg(), 64),
        steps: k.div_ceil(64) as u32,
    };
    let report = emulate(&Launch::new(1, 256, PIPELINE_BYTES), &kernel, emulation)?;
    Ok((from_bf16(&c.to_vec()), report))
}

#[test]
fn a_pipeline_of_tensor_copies_and_wgmma_multiplies() {
    // Whole tiles; and rows and columns that end within a tile, where copies bring zeros.
    for (k, rows) in [(64, 64), (320, 64), (200, 40), (72, 64)] {
        let (a, b) = (to_bf16(&random(rows * k, 3)), to_bf16(&random(rows * k, 4)));
        let want = product(&wide(&from_bf16(&a)), &wide(&from_bf16(&b)), k);
        for emulation in emulations() {
            let (c, _) = pipeline(k, rows, &emulation).unwrap_or_else(|fault| panic!("{fault}"));
            for (row, want) in want.chunks_exact(rows).enumerate() {
                assert_close("c", &c[row * 64..row * 64 + rows], want, 1.0 / 256.0);
                let beyond = &c[row * 64 + rows..row * 64 + 64];
                assert!(beyond.iter().all(|c| *c == 0.0), "zeros times zeros beyond the tensor");
            }
        }
    }
}

#[test]
fn the_same_bits_come_out_in_whatever_order_lanes_run() {
    let first = pipeline(320, 64, &Emulation::default()).map(|(c, _)| oracle::bits(&c));
    let first = first.unwrap_or_else(|fault| panic!("{fault}"));
    for seed in 0..12 {
        let landing = if seed % 2 == 0 { Landing::Late } else { Landing::Early };
        let schedule = Schedule::Seeded(seed);
        let emulation = Emulation { schedule, landing, ..Emulation::default() };
        let (c, _) = pipeline(320, 64, &emulation).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(oracle::bits(&c), first, "seed {seed}");
    }
}

#[test]
fn a_pipeline_without_any_one_of_its_waits_is_noticed() {
    let right = pipeline(320, 64, &Emulation::default());
    let (want, report) = right.unwrap_or_else(|fault| panic!("{fault}"));
    assert!(report.sync_sites.len() >= 10, "{:?}", report.sync_sites);
    for site in report.sync_sites {
        let outcomes = emulations()
            .map(|emulation| pipeline(320, 64, &Emulation { without: Some(site), ..emulation }));
        let passes = |outcome: &Result<(Vec<f32>, Report), Fault>| {
            outcome.as_ref().is_ok_and(|(c, _)| oracle::bits(c) == oracle::bits(&want))
        };
        assert!(!outcomes.iter().all(passes), "nobody noticed that {site} was missing");
    }
}

#[test]
fn wgmma_takes_a_from_registers_and_b_in_rows_of_k() {
    let (a, b_kn) = (to_bf16(&random(64 * 64, 5)), to_bf16(&random(64 * 64, 6)));
    let b: Vec<Bf16> = (0..64 * 64).map(|i| b_kn[i % 64 * 64 + i / 64]).collect();
    let want = product(&wide(&from_bf16(&a)), &wide(&from_bf16(&b)), 64);
    for emulation in emulations() {
        let (a, b, c) = (Buffer::from(&a), Buffer::from(&b_kn), Buffer::unset(64 * 64));
        let kernel = product_from_registers { a: a.arg(), b: b.arg(), c: c.arg() };
        run(Launch::new(1, 128, 8192), &kernel, &emulation);
        assert_close("c", &c.to_vec(), &want, 1e-6);
    }
}

#[test]
fn asynchronous_copies_arrive_where_they_were_sent() {
    let x = random(1024, 7);
    for emulation in emulations() {
        let from = Buffer::from(&x);
        let (to, sums) = (Buffer::unset(1024), Buffer::from(&vec![2.0_f32; 1024]));
        let kernel = add_one { x: from.arg(), y: to.arg(), sums: sums.arg() };
        run(Launch::new(1, 128, 4096), &kernel, &emulation);
        let want: Vec<f32> = x.iter().map(|x| x + 1.0).collect();
        assert_eq!(to.to_vec(), want);
        assert_eq!(sums.to_vec(), want.iter().map(|x| 2.0 + x).collect::<Vec<_>>());
    }
}
