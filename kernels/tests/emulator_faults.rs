//! Planted bugs: each is found, as the kind that it is, at the line that says `// bug`, or for
//! deadlocks where somebody waits in vain. Where the emulator looks for races, and where it does
//! not, are told apart.
#![allow(clippy::if_same_then_else, clippy::manual_is_multiple_of, reason = "that is the bug")]

use kernels::kernel;
use kernels::simt::*;

const SOURCE: &str = include_str!("emulator_faults.rs");
const SHARED_BYTES: u32 = 16 << 10;
const THREADS: u32 = 128;

kernel! {
    /// Bugs in how memory is addressed.
    pub fn addressing(case: u32, x: Global<f32>) {
        let (t, s) = (thread_idx(), Shared::<f32>::at(0, 64));
        match case {
            0 => s.st(t, 1.0), // bug
            1 => drop(Shared::<f32>::at(SHARED_BYTES - 4, 2)), // bug
            2 => drop(Shared::<u64>::at(0, 64).cast::<u32>().slice(1, 127).cast::<u64>()), // bug
            3 => s.st4(t % 8 + 1, [0.0; 4]), // bug
            4 => x.st(t as usize + 1, 1.0), // bug
            5 => x.st4(t as usize % 8 + 2, [1.0; 4]), // bug
            6 => x.st(0, s.ld(t % 64)), // bug
            7 => drop(x.slice(100, 29)), // bug
            8 => Mbarrier::at(16).arrive(), // bug
            9 => Mbarrier::at(20).init(1), // bug
            _ => x.st(0, [1.0, 2.0][block_dim() as usize]), // bug
        }
    }

    /// Bugs that only the order of accesses shows. Threads 0 to 127 are four warps.
    pub fn races(case: u32, x: Global<f32>, counter: Global<u32>) {
        let (t, s) = (thread_idx(), Shared::<f32>::at(0, 128));
        let words = Shared::<u32>::at(0, 128);
        match case {
            // Another warp's value, without a barrier.
            0 => { s.st(t, 1.0); x.st(t as usize, s.ld(t ^ 32)); } // bug
            // Another lane's; a shuffle in between orders nothing.
            1 => {
                s.st(t, 1.0);
                shfl_xor(t, 1);
                x.st(t as usize, s.ld(t ^ 1)); // bug
            }
            // Written again before all have read.
            2 => {
                s.st(t, 1.0);
                sync_threads();
                let other = s.ld(t ^ 64); // bug
                s.st(t, other); // bug
            }
            // Two threads, one place.
            3 => s.st(t / 2, t as f32), // bug
            // A plain store beside an atomic.
            4 => {
                words.st(t, 0);
                sync_threads();
                words.atomic_add(0, 1); // bug
                words.st(0, 1); // bug
            }
            // The barrier joins warps 0 and 1; warp 2 reads what warp 0 wrote.
            5 => {
                s.st(t, 1.0);
                if warp() < 2 { bar_sync(1, 64) } else { bar_sync(2, 64) }
                x.st(t as usize, s.ld((t + 64) % 128)); // bug
            }
            // Arrives for its warp before the other lanes have written.
            6 => {
                let bar = Mbarrier::at(1024);
                if t == 0 { bar.init(1); }
                sync_threads();
                if t < 32 { s.st(t, 1.0); }
                if t == 0 { bar.arrive(); }
                if t >= 32 {
                    bar.wait(0);
                    x.st(t as usize, s.ld(t % 32)); // bug
                }
            }
            // The others use the barrier before they can know that it is there.
            7 => {
                let bar = Mbarrier::at(1024);
                if t == 0 { bar.init(128); }
                bar.arrive(); // bug
            }
            // Two blocks, one place.
            8 => x.st(t as usize, 1.0), // bug
            // The last block reads the others' values, but its ticket orders nothing.
            _ => {
                if t == 0 { x.st(block_idx() as usize, 1.0); }
                sync_threads();
                if counter.atomic_add(0, 1) == 2 * THREADS - 1 {
                    x.st(64, x.ld(0) + x.ld(1)); // bug
                }
            }
        }
    }

    /// Lanes that are not where the others are.
    pub fn divergence(case: u32) {
        let t = thread_idx();
        match case {
            0 => if t % 2 == 0 { sync_threads() } else { sync_threads() }, // bug
            1 => if t % 2 == 0 { shfl_xor(t, 1); } else { ballot(true); }, // bug
            2 => if t != 5 { sync_warp() }, // bug
            3 => {
                if t == 5 { return; }
                sync_threads(); // bug
            }
            4 => if t < 64 { sync_threads() }, // bug
            5 => if t < 64 { bar_sync(1, 96) }, // bug
            6 => if warp() == 0 { bar_sync(1, 64) } else { bar_sync(1, 96) }, // bug
            7 => {
                let bar = Mbarrier::at(0);
                if t == 0 { bar.init(1); }
                sync_threads();
                if t == 0 { bar.arrive_expect_tx(64); }
                bar.wait(0); // bug
            }
            8 => {
                let bar = Mbarrier::at(0);
                if t == 0 { bar.init(1); }
                sync_threads();
                if t == 0 { bar.arrive_expect_tx(64); }
                sync_warp();
                if t == 1 { bar.arrive(); } // bug
            }
            _ => bar_sync(16, 128), // bug
        }
    }

    /// Copies and products that nobody waited for.
    pub fn copies(case: u32, x: Global<f32>, y: Global<f32>) {
        let (t, s, bar) = (thread_idx(), Shared::<f32>::at(0, 1024), Mbarrier::at(8192));
        if t == 0 && case != 1 { bar.init(1); fence_mbarrier_init(); }
        if t == 0 && case == 1 { bar.init(1); }
        sync_threads();
        let load = || {
            if t == 0 { bar.arrive_expect_tx(512); bulk_load(s, 0, x, 0, 128, bar); } // bug 1
        };
        match case {
            // The copy has not landed, or, early, this thread does not know.
            0 => { load(); y.st(t as usize, s.ld(t)); } // bug
            1 => load(),
            // The second copy overwrites what others may still read.
            2 => {
                load();
                bar.wait(0);
                y.st(t as usize, s.ld(t)); // bug 2
                load_again(s, x, bar); // bug 2
            }
            // Each thread reads its neighbour's cp.async, after its own wait alone.
            3 => {
                cp_async16(s, t * 4, x, 0);
                cp_async_commit();
                cp_async_wait::<0>();
                y.st(t as usize, s.ld((t ^ 1) * 4)); // bug
            }
            4 => {
                cp_async16(s, t * 4, x, 0);
                cp_async_commit();
                cp_async_wait::<1>();
                y.st(t as usize, s.ld(t * 4)); // bug
            }
            // The copy engine reads what threads wrote, without a fence.
            5 => {
                s.st(t, 1.0);
                sync_threads();
                if t == 0 { bulk_store(y, 0, s, 0, 128); } // bug
            }
            // Overwritten while the copy engine reads.
            6 => {
                s.st(t, 1.0);
                fence_proxy_async();
                sync_threads();
                if t == 0 {
                    bulk_store(y, 0, s, 0, 128);
                    bulk_commit();
                    s.st(3, 2.0); // bug
                }
            }
            7 => {
                s.st(t, 1.0);
                fence_proxy_async();
                sync_threads();
                if t == 0 { bulk_store(y, 0, s, 0, 128); }
            }
            _ => if t == 0 { bulk_load(s, 2, x, 0, 128, bar); }, // bug
        }
    }

    /// Products whose operands or results are touched at the wrong time.
    pub fn products(case: u32, y: Global<f32>) {
        let (t, s) = (thread_idx(), Shared::<Bf16>::at(0, 8192));
        let mut i = t;
        while i < 8192 && (case != 0 || i < 2048) { s.st(i, Bf16(0)); i += 128; }
        if case != 1 { fence_proxy_async(); }
        if case != 2 { sync_threads(); }
        let mut acc = Accumulator::<32>::zero();
        let tile = Operand::<KMajor<128>>::at(s, 0);
        if case != 4 { wgmma_fence(); }
        let beyond = Operand::<KMajor<128>>::at(Shared::<Bf16>::at(12 << 10, 2048), 0);
        if case == 3 { acc.mma_ss(tile, beyond, false); } // bug 3
        if case != 3 { acc.mma_ss(tile, tile, false); } // bug 0 1 2 4
        if case == 5 { y.st(0, acc.get(0)); } // bug 5
        if case != 6 { wgmma_commit(); }
        if case == 7 { s.st(t, Bf16(0)); } // bug 7
        wgmma_wait::<0>();
        acc.settle(); // bug 6
    }
}

#[inline(always)]
fn load_again(s: Shared<f32>, x: Global<f32>, bar: Mbarrier) {
    if thread_idx() == 0 {
        bar.arrive_expect_tx(512);
        bulk_load(s, 0, x, 0, 128, bar); // bug 2
    }
}

fn launch(blocks: u32) -> Launch {
    Launch::new(blocks, THREADS, SHARED_BYTES)
}

const PLAIN: Emulation = Emulation {
    races: false,
    landing: Landing::Late,
    schedule: Schedule::Ascending,
    without: None,
    stack_bytes: 64 << 10,
};

/// The fault is of one of these kinds, and its line has the mark.
#[track_caller]
fn assert_found(case: u32, outcome: Result<Report, Fault>, kinds: &[FaultKind]) {
    let Err(fault) = outcome else { panic!("case {case}: nothing was found") };
    assert!(kinds.contains(&fault.kind), "case {case}, {:?}: {fault}", fault.kind);
    // Panics and threads that leave have no line of their own.
    let Some(site) = fault.site else { return };
    let line = SOURCE.lines().nth(site.line as usize - 1).unwrap_or_default();
    let marks = line.split_once("// bug").map(|(_, marks)| marks.trim());
    let named = marks.is_some_and(|marks| {
        marks.is_empty() || marks.split(' ').any(|mark| mark.parse() == Ok(case))
    });
    assert!(site.file.ends_with("emulator_faults.rs") && named, "case {case}: {fault}\n{line}");
}

#[test]
fn wrong_addresses_are_found_with_and_without_the_race_checker() {
    use FaultKind::*;
    let kinds = [
        OutOfBounds,
        OutOfBounds,
        Misaligned,
        Misaligned,
        OutOfBounds,
        Misaligned,
        Uninitialised,
        OutOfBounds,
        Protocol,
        Misaligned,
        Panic,
    ];
    for (case, kind) in (0..).zip(kinds) {
        let x = Buffer::<f32>::unset(128);
        let kernel = addressing { case, x: x.arg() };
        assert_found(case, emulate(&launch(1), &kernel, &Emulation::default()), &[kind]);
        if kind == Uninitialised {
            emulate(&launch(1), &kernel, &PLAIN).expect("only the race checker can know");
            assert!(x.to_vec()[0].is_nan(), "but the value is no number");
        } else {
            assert_found(case, emulate(&launch(1), &kernel, &PLAIN), &[kind]);
        }
    }
}

#[test]
fn races_are_found_whatever_the_order_that_happens_to_run() {
    for schedule in [Schedule::Ascending, Schedule::Seeded(1), Schedule::Seeded(2)] {
        for case in 0..10 {
            let (x, counter) = (Buffer::from(&[0.0_f32; 128]), Buffer::from(&[0_u32]));
            let kernel = races { case, x: x.arg(), counter: counter.arg() };
            let emulation = Emulation { schedule, ..Emulation::default() };
            let blocks = if case >= 8 { 2 } else { 1 };
            // What comes before the write, or the init, finds nothing there.
            let kinds = [FaultKind::Race, FaultKind::Uninitialised, FaultKind::Protocol];
            assert_found(case, emulate(&launch(blocks), &kernel, &emulation), &kinds);
        }
    }
}

#[test]
fn lanes_that_part_and_waits_that_nobody_ends_are_reported() {
    use FaultKind::*;
    let kinds = [
        Divergence, Divergence, Divergence, Divergence, Deadlock, Deadlock, Protocol, Deadlock,
        Protocol, Protocol,
    ];
    for (case, kind) in (0..).zip(kinds) {
        for emulation in [PLAIN, Emulation::default()] {
            assert_found(case, emulate(&launch(1), &divergence { case }, &emulation), &[kind]);
        }
    }
}

#[test]
fn a_deadlock_names_all_who_wait_and_what_a_barrier_lacks() {
    let outcome = emulate(&launch(1), &divergence { case: 7 }, &Emulation::default());
    let what = outcome.expect_err("nobody delivers the bytes").what;
    assert!(what.contains("128 thread(s) from 0 on in Mbarrier::wait at"), "{what}");
    assert!(what.contains("mbarrier at byte 0 lacks 0 arrival(s), 64 byte(s)"), "{what}");
}

#[test]
fn copies_that_nobody_waited_for_are_found_late_and_early() {
    use FaultKind::*;
    let kinds =
        [InFlight, ProxyFence, Race, Race, InFlight, ProxyFence, InFlight, InFlight, Misaligned];
    for landing in [Landing::Late, Landing::Early] {
        for (case, kind) in (0..).zip(kinds) {
            let (x, y) = (Buffer::from(&[1.0_f32; 128]), Buffer::unset(128));
            let kernel = copies { case, x: x.arg(), y: y.arg() };
            let emulation = Emulation { landing, ..Emulation::default() };
            // Of a copy that is early, or that was not even issued, the reader does not know.
            let kinds = match case {
                0 => &[InFlight, Race, Uninitialised][..],
                2 => &[Race, InFlight],
                3 => &[Race, InFlight, Uninitialised],
                _ => &[kind],
            };
            assert_found(case, emulate(&launch(1), &kernel, &emulation), kinds);
        }
    }
}

#[test]
fn without_the_race_checker_a_missing_wait_still_reads_no_number() {
    let (x, y) = (Buffer::from(&[1.0_f32; 128]), Buffer::<f32>::from(&[0.0; 128]));
    let kernel = copies { case: 0, x: x.arg(), y: y.arg() };
    emulate(&launch(1), &kernel, &PLAIN).expect("nothing to see but the values");
    assert!(y.to_vec().iter().all(|y| y.is_nan()));
}

#[test]
fn products_touched_at_the_wrong_time_are_found() {
    use FaultKind::*;
    let kinds =
        [Uninitialised, ProxyFence, Race, OutOfBounds, InFlight, InFlight, InFlight, InFlight];
    for (case, kind) in (0..).zip(kinds) {
        let y = Buffer::unset(1);
        let kernel = products { case, y: y.arg() };
        assert_found(case, emulate(&launch(1), &kernel, &Emulation::default()), &[kind]);
    }
}

#[test]
fn a_launch_with_memory_of_another_device_is_refused() {
    let dropped = Buffer::<f32>::unset(128).arg();
    for x in [Global::new(0x7000_0000, 128), dropped] {
        let kernel = addressing { case: 4, x };
        let fault = emulate(&launch(1), &kernel, &PLAIN).expect_err("not emulated memory");
        assert_eq!(fault.kind, FaultKind::Launch);
        assert!(fault.what.starts_with("`x`: 512 bytes at 0x"), "{fault}");
    }
}
