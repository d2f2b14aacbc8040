//! The plan that a user is shown before a run is what the run then allocates.
//!
//! The only test of its program, for the allocator counts what every thread does.

use std::alloc::System;
use std::sync::atomic::AtomicBool;

use model::{BatchSource, MemoryPlan, Trainer, layout_of, preset};
use runtime::Storage;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a rank holds besides: its thread's working areas, two staged rows of samples, queues.
const UNPLANNED_MAX_BYTES: usize = 1 << 20;

struct Zeros;

impl BatchSource for Zeros {
    fn micro_batches(&self) -> usize {
        1
    }

    fn fill(&self, _: u32, _: usize, tokens: &mut [u32], _: &mut [u32]) -> Result<(), String> {
        tokens.fill(0);
        Ok(())
    }
}

#[test]
fn the_plan_is_what_a_trainer_holds_after_a_step() {
    for (tp, sequences, tied) in [(1, 1, true), (1, 4, false), (2, 2, true)] {
        let mut preset = preset("nano").unwrap();
        preset.model.tied = tied;
        let plan = MemoryPlan::new(&preset.model, tp, sequences, Storage::Host).unwrap();
        // Shared parameters and residual belong to whoever runs rounds, not to the trainer.
        let vector = layout_of(&preset.model).unwrap().params() * size_of::<f32>();
        let planned = plan.host() - 2 * vector;

        let region = Region::new(ALLOCATOR);
        let mut trainer = Trainer::new(&preset.model, tp, tp, sequences).unwrap();
        let stop = AtomicBool::new(false);
        trainer.run(&Zeros, &preset.inner, 0, 1, &stop, &mut |_| ()).unwrap();
        let change = region.change();
        let held = change.bytes_allocated - change.bytes_deallocated;
        let allowed = planned..planned + tp * UNPLANNED_MAX_BYTES;
        assert!(allowed.contains(&held), "tp {tp}: {held} bytes held, {planned} planned");
    }
}
