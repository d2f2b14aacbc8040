//! Inner steps live in memory that was planned before them: after the first, none asks for more.
//! With several threads the first may come late for one of them: its working areas grow when it
//! first gets a tile to compute, and never again.
//!
//! The only test of its program, for the allocator counts what every thread does.

use std::alloc::System;
use std::sync::atomic::AtomicBool;

use model::{BatchSource, Trainer, preset};
use runtime::Compute;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const STEPS: usize = 6;
/// Two working areas of either thread, and as many growths of its queue of tiles.
const LATE_MAX: usize = 8;

struct Constant;

impl BatchSource for Constant {
    fn micro_batches(&self) -> usize {
        2
    }

    fn fill(
        &self,
        step: u32,
        micro: usize,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        tokens.fill(step + micro as u32);
        targets.fill(step + micro as u32 + 1);
        Ok(())
    }
}

/// Allocations since the program started, after each of [`STEPS`] steps.
fn allocations_by_step(threads: usize, compute: Compute) -> [usize; STEPS] {
    let mut preset = preset("nano").unwrap();
    preset.model.seq_len = 32;
    let trainer = Trainer::new(&preset.model, 1, threads, 2).unwrap();
    let mut trainer = trainer.with_compute(compute);
    let mut params = trainer.device().alloc(trainer.params());
    model::initial_params(&preset.model, 0, params.as_host_mut().unwrap()).unwrap();
    trainer.load_params(&params);

    let mut allocations = [0; STEPS];
    let mut count = |report: model::StepReport| {
        let stats = ALLOCATOR.stats();
        allocations[report.step as usize] = stats.allocations + stats.reallocations;
    };
    let stop = AtomicBool::new(false);
    trainer.run(&Constant, &preset.inner, 0, STEPS as u32, &stop, &mut count).unwrap();
    allocations
}

#[test]
fn steps_after_the_first_allocate_nothing() {
    for compute in [Compute::F32, Compute::Bf16] {
        let alone = allocations_by_step(1, compute);
        assert!(alone[0] > 0, "the allocator does not count");
        assert_eq!(alone, [alone[0]; STEPS], "{compute:?}");

        let together = allocations_by_step(2, compute);
        let late = together[STEPS - 1] - together[0];
        assert!(late <= LATE_MAX, "{late} allocations after the first step: {together:?}");
    }
}
