//! What is saved comes back bit for bit, and what was damaged on disk is never taken for whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use model::{CheckpointStore, ModelError, Moments, Progress, Snapshot};
use runtime::{Buffer, Device};
use wire::{ModelSpec, RunId, StateRoot};

use super::tiny::{self, Draws};

const FILES: [&str; 5] = [
    "index.json",
    "params.safetensors",
    "residual.safetensors",
    "first_moment.safetensors",
    "second_moment.safetensors",
];

/// Vectors of any bits, NaN among them, as of the end of window `windows`.
fn snapshot(spec: &ModelSpec, windows: u64) -> Snapshot {
    let device = Device::cpu(1).unwrap();
    let mut draws = Draws::new(windows);
    let mut vector = || {
        let mut buffer: Buffer<f32> = device.alloc(tiny::layout(spec).params());
        let values = buffer.as_host_mut().unwrap();
        values.fill_with(|| f32::from_bits(draws.bits() << 16 | draws.bits()));
        buffer
    };
    Snapshot {
        shared: Arc::new(RwLock::new(vector())),
        residual: Arc::new(RwLock::new(vector())),
        moments: Arc::new(RwLock::new(Moments { first: vector(), second: vector() })),
        progress: Progress {
            run_id: RunId([7; 32]),
            windows,
            inner_steps: windows * 30,
            samples: windows * 90,
            state_root: StateRoot([windows as u8; 32]),
        },
    }
}

fn bits(snapshot: &Snapshot) -> [Vec<u32>; 4] {
    let moments = snapshot.moments.read().unwrap();
    let (shared, residual) = (snapshot.shared.read().unwrap(), snapshot.residual.read().unwrap());
    [&*shared, &*residual, &moments.first, &moments.second]
        .map(|vector| tiny::bits(vector.as_host().unwrap()))
}

/// A folder with the checkpoints of `windows`, written one after another.
fn saved(windows: std::ops::RangeInclusive<u64>) -> (tempfile::TempDir, CheckpointStore) {
    let dir = tempfile::tempdir().unwrap();
    let spec = tiny::spec(true);
    let mut store = CheckpointStore::open(dir.path(), tiny::layout(&spec)).unwrap();
    for window in windows {
        store.save(snapshot(&spec, window)).unwrap();
    }
    store.finish().unwrap();
    (dir, store)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Asserts that `expected` is what loads, after passing over newer ones for `reasons`.
fn assert_loads(store: &CheckpointStore, expected: Option<u64>, reasons: &[&str]) {
    let spec = tiny::spec(true);
    let mut into = snapshot(&spec, 0);
    let (saved, damaged) = store.load(&mut into).unwrap();
    assert_eq!(saved.as_ref().map(|saved| saved.progress.windows), expected);
    if let (Some(window), Some(saved)) = (expected, saved) {
        let written = snapshot(&spec, window);
        assert_eq!(bits(&into), bits(&written));
        assert_eq!(into.progress, written.progress);
        assert_eq!(saved.progress, written.progress);
    }
    assert_eq!(damaged.len(), reasons.len(), "{damaged:?}");
    for (damaged, reason) in damaged.iter().zip(reasons) {
        assert!(damaged.reason.contains(reason), "{} does not name {reason}", damaged.reason);
    }
}

#[test]
fn what_was_saved_comes_back_bit_for_bit() {
    let (_dir, store) = saved(4..=4);
    assert_loads(&store, Some(4), &[]);
}

#[test]
fn an_empty_folder_holds_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::open(dir.path(), tiny::layout(&tiny::spec(true))).unwrap();
    assert_loads(&store, None, &[]);
}

#[test]
fn only_the_last_two_are_kept() {
    let (dir, mut store) = saved(1..=5);
    assert_eq!(names(dir.path()), ["window-00000004", "window-00000005"]);
    assert_eq!(store.finish().unwrap().unwrap(), dir.path().join("window-00000005"));
    assert_loads(&store, Some(5), &[]);
}

/// Damages each file of the newest checkpoint in turn and expects the one before.
fn each_file_damaged(damage: impl Fn(&PathBuf)) {
    for file in FILES {
        let (dir, store) = saved(1..=2);
        damage(&dir.path().join("window-00000002").join(file));
        assert_loads(&store, Some(1), &[file]);
    }
}

#[test]
fn a_truncated_file_is_found_and_the_checkpoint_before_is_used() {
    each_file_damaged(|path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    each_file_damaged(|path| fs::write(path, []).unwrap());
}

#[test]
fn a_missing_file_is_found_and_the_checkpoint_before_is_used() {
    each_file_damaged(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_flipped_bit_is_found_and_the_checkpoint_before_is_used() {
    for (share, bit) in [(0.0, 0), (0.1, 7), (0.5, 3), (0.999, 1)] {
        each_file_damaged(|path| {
            let mut bytes = fs::read(path).unwrap();
            let at = (bytes.len() as f64 * share) as usize;
            bytes[at] ^= 1 << bit;
            fs::write(path, bytes).unwrap();
        });
    }
}

#[test]
fn a_half_written_folder_is_no_checkpoint_and_goes_away() {
    let (dir, store) = saved(1..=2);
    drop(store);
    let half = dir.path().join(".window-00000003");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("params.safetensors"), [0; 100]).unwrap();
    fs::write(dir.path().join(".note"), "not ours").unwrap();
    let store = CheckpointStore::open(dir.path(), tiny::layout(&tiny::spec(true))).unwrap();
    assert_eq!(names(dir.path()), [".note", "window-00000001", "window-00000002"]);
    assert_loads(&store, Some(2), &[]);
}

#[test]
fn a_new_checkpoint_outlives_damaged_ones_of_later_windows() {
    let (dir, mut store) = saved(8..=9);
    for window in ["window-00000008", "window-00000009"] {
        fs::remove_file(dir.path().join(window).join("index.json")).unwrap();
    }
    assert_loads(&store, None, &["index.json", "index.json"]);
    for window in [1, 2, 3] {
        store.save(snapshot(&tiny::spec(true), window)).unwrap();
    }
    store.finish().unwrap();
    assert_loads(&store, Some(3), &["index.json", "index.json"]);
}

#[test]
fn the_checkpoint_of_another_model_is_refused() {
    let (dir, _) = saved(1..=1);
    let other = ModelSpec { ffn: 32, ..tiny::spec(true) };
    let store = CheckpointStore::open(dir.path(), tiny::layout(&other)).unwrap();
    let error = store.load(&mut snapshot(&other, 0)).unwrap_err();
    let ModelError::OtherModel { found, expected, .. } = error else { panic!("{error}") };
    assert_eq!(found, tiny::layout(&tiny::spec(true)).params());
    assert_eq!(expected, tiny::layout(&other).params());
}
