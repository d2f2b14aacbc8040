//! The state root names the bits of all parameters, and nothing else.

use wire::state_root::{leaf, leaves, tensor_root};
use wire::{Digest, Layout, Shape, StateTree};

fn layout() -> Layout {
    let tensors = [
        ("embedding", Shape::Matrix(192, 128)),
        ("norm", Shape::Vector(128)),
        ("odd", Shape::Matrix(97, 3)),
        ("out", Shape::Matrix(128, 320)),
    ];
    Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape))).unwrap()
}

fn params(layout: &Layout) -> Vec<f32> {
    (0..layout.params()).map(|i| ((i * 2_654_435_761) % 1_000_003) as f32 * 1e-6 - 0.5).collect()
}

#[test]
fn one_flipped_bit_anywhere_changes_its_tensor_and_the_root() {
    let layout = layout();
    let mut params = params(&layout);
    let before = StateTree::of_params(&layout, &params);
    for (place, bit) in [(0, 0), (192 * 128, 31), (192 * 128 + 128, 7), (params.len() - 1, 22)] {
        let held = params[place];
        params[place] = f32::from_bits(held.to_bits() ^ 1 << bit);
        let after = StateTree::of_params(&layout, &params);
        let tensor = layout.tensors().iter().position(|t| t.range().contains(&place)).unwrap();
        assert_eq!(before.differing(&after), [tensor]);
        assert_ne!(before.root(), after.root());
        params[place] = held;
    }
    assert_eq!(before, StateTree::of_params(&layout, &params));
}

#[test]
fn zero_and_minus_zero_are_different_bits() {
    let layout = Layout::new([("norm".to_string(), Shape::Vector(64))]).unwrap();
    let root = |value: f32| StateTree::of_params(&layout, &[value; 64]).root();
    assert_ne!(root(0.0), root(-0.0));
    assert_eq!(root(f32::NAN), root(f32::NAN));
}

#[test]
fn the_root_does_not_depend_on_the_number_of_threads() {
    let layout = layout();
    let params = params(&layout);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| StateTree::of_params(&layout, &params))
    };
    assert_eq!(on(1), on(2));
    assert_eq!(on(1), on(7));
}

#[test]
fn a_rank_that_holds_columns_finds_the_leaves_of_the_whole() {
    let shape = Shape::Matrix(128, 320);
    let (tiling, ranks) = (shape.tiling(), 5);
    let tensor: Vec<f32> = (0..shape.len()).map(|i| i as f32).collect();
    let whole = leaves(&tensor, tiling);
    let part_cols = tiling.cols / ranks;
    let grid_cols = tiling.cols / tiling.tile_cols;
    for rank in 0..ranks {
        let columns = rank * part_cols..(rank + 1) * part_cols;
        let part: Vec<f32> =
            tensor.chunks(tiling.cols).flat_map(|row| row[columns.clone()].to_vec()).collect();
        for tile_row in 0..tiling.rows / tiling.tile_rows {
            let start = tile_row * tiling.tile_rows * part_cols;
            let own = leaf(&part, start, part_cols, tiling);
            assert_eq!(own, whole[tile_row * grid_cols + rank]);
        }
    }
}

#[test]
fn a_tensor_root_binds_number_and_order_of_its_leaves() {
    let hash = |byte| Digest([byte; 32]);
    assert_ne!(tensor_root(&[hash(1)]), hash(1));
    assert_ne!(tensor_root(&[hash(1), hash(2)]), tensor_root(&[hash(2), hash(1)]));
    assert_ne!(tensor_root(&[hash(1), hash(2)]), tensor_root(&[hash(1), hash(2), hash(2)]));
    let mut roots: Vec<_> = (1..40).map(|n| tensor_root(&vec![hash(7); n])).collect();
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), 39);
}

#[test]
fn tensors_of_another_layout_differ_everywhere() {
    let (one, two) = (layout(), {
        let named = |name: &str, shape| (name.to_string(), shape);
        Layout::new([named("flat", Shape::Vector(layout().params()))]).unwrap()
    });
    let params = params(&one);
    let (one, two) = (StateTree::of_params(&one, &params), StateTree::of_params(&two, &params));
    assert_eq!(one.differing(&two), [0, 1, 2, 3]);
    assert_eq!(two.differing(&one), [0, 1, 2, 3]);
    assert_ne!(one.root(), two.root());
}

/// Computed by a second implementation in Python, with the `blake3` package.
#[test]
fn the_root_of_known_parameters_stays_what_it_is() {
    let named = |name: &str, shape| (name.to_string(), shape);
    let layout = [named("a", Shape::Matrix(3, 130)), named("b", Shape::Vector(5))];
    let layout = Layout::new(layout).unwrap();
    let params: Vec<f32> = (0..395).map(|i| i as f32 * 0.25 - 7.0).collect();
    let tree = StateTree::of_params(&layout, &params);
    assert_eq!(
        tree.root().to_string(),
        "fd7c4734177378d7606a28a5922d44b52f597b5382ad09fff7278335b8b933c7"
    );
}
