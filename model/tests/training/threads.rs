//! How many threads compute a step must not show in its bits: two nodes with other core counts
//! would disagree about the shared parameters.

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
    let roots = [1, 2, 3].map(|threads| {
        let mut trainer = tiny::trainer(&spec, 1, threads, &params);
        let reports = tiny::run(&mut trainer, &spec, &tiny::inner(), 0, 4).unwrap();
        let trees = tiny::state(&mut trainer).map(|values| StateTree::of_params(&layout, &values));
        let losses: Vec<u64> = reports.iter().map(|report| report.loss.to_bits()).collect();
        (trees.map(|tree| tree.root()), losses)
    });
    assert_ne!(roots[0].0[0], StateTree::of_params(&layout, &params).root());
    assert_eq!(roots[0], roots[1]);
    assert_eq!(roots[0], roots[2]);
}
