//! How many threads compute a step must not show in its bits: two nodes with other core counts
//! would disagree about the shared parameters.

use runtime::Compute;
use wire::{ModelSpec, StateTree};

use super::tiny;

#[test]
fn one_two_and_three_threads_give_the_same_bits() {
    // Large enough that every operation is cut into several tiles.
    let spec = ModelSpec {
        d_model: 96,
        heads: 6,
        kv_heads: 3,
        ffn: 200,
        vocab: 1_000,
        seq_len: 160,
        ..tiny::spec(true)
    };
    let layout = tiny::layout(&spec);
    let params = tiny::params(&spec, 3);
    let initial = StateTree::of_params(&layout, &params).root();
    for compute in [Compute::F32, Compute::Bf16] {
        let roots = [1, 2, 3].map(|threads| {
            let mut trainer = tiny::trainer(&spec, 1, threads, &params).with_compute(compute);
            let reports = tiny::run(&mut trainer, &spec, &tiny::inner(), 0, 4).unwrap();
            let state = tiny::state(&mut trainer);
            let roots = state.map(|values| StateTree::of_params(&layout, &values).root());
            let losses: Vec<u64> = reports.iter().map(|report| report.loss.to_bits()).collect();
            (roots, losses)
        });
        assert_ne!(roots[0].0[0], initial);
        assert_eq!(roots[0], roots[1], "{compute:?}");
        assert_eq!(roots[0], roots[2], "{compute:?}");
    }
}
