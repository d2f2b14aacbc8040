//! Learning rate of the inner steps, as a function of the number of inner steps taken.
//!
//! Two published forms: linear warm-up then half a cosine, optionally held still for a while; and
//! the anneal phase, linear up then linear down. Evaluated in f64; the optimizer rounds to f32
//! once.

use std::f64::consts::PI;

use wire::{Flat, Schedule};

/// Multiple of the optimizer's learning rate after `step` inner steps were taken.
pub fn rate_factor(schedule: &Schedule, step: u64) -> f64 {
    match *schedule {
        Schedule::Constant {} => 1.0,
        Schedule::WarmupCosine { start_factor, warmup_steps, cosine_steps, floor_factor, flat } => {
            let step = flat.map_or(step, |flat| advanced(flat, step));
            if step < warmup_steps {
                return linear(start_factor, 1.0, step, warmup_steps);
            }
            let done = done(step - warmup_steps, cosine_steps);
            floor_factor + (1.0 - floor_factor) * (1.0 + (PI * done).cos()) / 2.0
        }
        Schedule::Anneal { start_factor, warmup_steps, peak_factor, decay_steps, floor_factor } => {
            if step < warmup_steps {
                return linear(start_factor, peak_factor, step, warmup_steps);
            }
            linear(peak_factor, floor_factor, step - warmup_steps, decay_steps)
        }
    }
}

/// Steps that the schedule itself has made after `step` inner steps.
fn advanced(flat: Flat, step: u64) -> u64 {
    step - step.saturating_sub(flat.start_step).min(flat.steps)
}

fn done(step: u64, steps: u64) -> f64 {
    if steps == 0 { 1.0 } else { step.min(steps) as f64 / steps as f64 }
}

fn linear(from: f64, to: f64, step: u64, steps: u64) -> f64 {
    from + (to - from) * done(step, steps)
}

/// Factor on the learning rate in the `step`-th inner step after a start without optimizer state,
/// which ramps up over `warmup_steps`. A resumed node has its moments and does not need it.
pub fn restart_factor(step: u64, warmup_steps: u64) -> f64 {
    (step + 1).min(warmup_steps.max(1)) as f64 / warmup_steps.max(1) as f64
}

/// The main phase of the published 72B run.
pub fn covenant() -> Schedule {
    let flat = Some(Flat { start_step: 2_740 * 30, steps: 450 * 30 });
    warmup_cosine(1_500, 140_000, flat)
}

/// The anneal phase of the published 72B run.
pub fn covenant_anneal() -> Schedule {
    Schedule::Anneal {
        start_factor: 1e-6,
        warmup_steps: 100,
        peak_factor: 0.25,
        decay_steps: 150 * 30,
        floor_factor: 0.0,
    }
}

/// Warm-up from almost nothing, then the same rate throughout.
pub fn warmup_constant(warmup_steps: u64) -> Schedule {
    Schedule::Anneal {
        start_factor: 1e-6,
        warmup_steps,
        peak_factor: 1.0,
        decay_steps: 0,
        floor_factor: 1.0,
    }
}

/// Warm-up from almost nothing, then a cosine down to a tenth.
pub fn warmup_cosine(warmup_steps: u64, cosine_steps: u64, flat: Option<Flat>) -> Schedule {
    Schedule::WarmupCosine {
        start_factor: 1e-6,
        warmup_steps,
        cosine_steps,
        floor_factor: 0.1,
        flat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: f64 = 1.17e-4;

    #[test]
    fn a_rate_that_is_held_warms_up_first() {
        let schedule = warmup_constant(30);
        assert_eq!(rate_factor(&schedule, 0), 1e-6);
        assert!((rate_factor(&schedule, 15) - 0.5).abs() < 1e-6);
        for step in [30, 31, 1_000_000] {
            assert_eq!(rate_factor(&schedule, step), 1.0, "step {step}");
        }
    }

    fn close(schedule: &Schedule, step: u64, expected: f64) {
        let rate = BASE * rate_factor(schedule, step);
        let error = (rate - expected).abs();
        assert!(error <= 5e-7 * expected.abs(), "step {step}: {rate} is not {expected}");
    }

    #[test]
    fn the_main_phase_has_its_golden_values() {
        let schedule = warmup_cosine(1_500, 140_000, None);
        let golden = [
            (0, 1.17e-10),
            (1, 7.811692e-8),
            (750, 5.850006e-5),
            (1499, 1.169220e-4),
            (1500, 1.17e-4),
            (1501, 1.17e-4),
            (41_500, 9.717674e-5),
            (71_500, 6.435e-5),
            (141_500, 1.17e-5),
            (200_000, 1.17e-5),
        ];
        golden.iter().for_each(|&(step, rate)| close(&schedule, step, rate));
    }

    #[test]
    fn the_anneal_phase_has_its_golden_values() {
        let golden = [
            (0, 1.17e-10),
            (50, 1.462506e-5),
            (100, 2.925e-5),
            (101, 2.92435e-5),
            (2_350, 1.4625e-5),
            (2_700, 1.235e-5),
            (4_600, 0.0),
        ];
        golden.iter().for_each(|&(step, rate)| close(&covenant_anneal(), step, rate));
    }

    #[test]
    fn a_flat_stretch_holds_the_rate_and_shifts_the_rest() {
        let plain = warmup_cosine(1_500, 140_000, None);
        let pairs =
            [(82_200, 82_200), (90_000, 82_200), (95_700, 82_200), (95_701, 82_201), (9, 9)];
        for (step, same_as) in pairs {
            assert_eq!(rate_factor(&covenant(), step), rate_factor(&plain, same_as));
        }
    }

    #[test]
    fn a_restart_ramps_up_and_then_leaves_the_rate_alone() {
        assert_eq!(restart_factor(0, 30), 1.0 / 30.0);
        assert_eq!(restart_factor(29, 30), 1.0);
        assert_eq!(restart_factor(500, 30), 1.0);
    }
}
