//! Every way gives the samples of the mapping, in order, and notices what happens to a shard.

use std::path::Path;

use super::*;
use crate::dataset::{Assignment, DatasetWriter, Pcg64, Provenance};

const WAYS: [Reading; 3] = [Reading::Ring, Reading::Pread, Reading::Mapped];

/// Three shards of 50, 50 and 20 samples of noise, which nobody may write to.
fn dataset(dir: &Path) -> Dataset {
    let mut rng = Pcg64::new(1);
    let mut writer = DatasetWriter::create(dir, 50 * SAMPLE_TOKENS as u64).unwrap();
    for _ in 0..120 {
        let sample: Vec<u32> = (0..SAMPLE_TOKENS).map(|_| rng.next_u32() % 1000).collect();
        writer.push(&sample).unwrap();
    }
    let provenance = Provenance {
        tokenizer: "byte".to_string(),
        vocab: 1000,
        eos: None,
        entropy_nats_per_token: None,
        seed: None,
        source: "noise".to_string(),
        conversations: None,
    };
    let dataset = writer.finish(provenance).unwrap().dataset;
    dataset.shards().for_each(|(_, shard)| allow_writing(shard.path(), false));
    dataset
}

fn allow_writing(path: &Path, is_allowed: bool) {
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(!is_allowed);
    std::fs::set_permissions(path, permissions).unwrap();
}

#[test]
fn a_shard_that_may_be_written_to_is_not_read_through_a_mapping() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path());
    let path = dataset.shard(1).unwrap().path();
    allow_writing(path, true);
    let loader = Loader::start(&dataset, &[3, 60], options(Reading::Mapped, 2)).unwrap();
    assert_eq!(loader.reading(), Reading::Pread);
    let why = loader.fallback().unwrap().to_string();
    assert!(why.contains("train_000001.npy may be written to"), "{why}");
    let mut tokens = vec![0; SAMPLE_TOKENS];
    assert!(loader.take(0, &mut tokens).unwrap());
    assert_eq!(tokens, mapped(&dataset, 3));
    drop(loader);

    // Where only others are, the mapping serves.
    let loader = Loader::start(&dataset, &[3], options(Reading::Mapped, 2)).unwrap();
    assert_eq!((loader.reading(), loader.fallback()), (Reading::Mapped, None));
}

fn options(reading: Reading, ahead_max: usize) -> LoaderOptions {
    LoaderOptions { reading, ahead_min: 1, ahead_max, takers: 1 }
}

fn mapped(dataset: &Dataset, sample: u64) -> &[u32] {
    let (shard, within) = dataset.locate(sample).unwrap();
    shard.sample(within).unwrap()
}

#[test]
fn every_sample_of_a_thousand_windows_is_that_of_the_mapping_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path());
    let mut tokens = vec![0; SAMPLE_TOKENS];
    for window in 0..1000 {
        let order = Assignment::new(3, window, 120, 40).unwrap();
        let reading = WAYS[window as usize % 3];
        let ahead_max = 1 + window as usize % 37;
        let loader = Loader::start(&dataset, order.samples(), options(reading, ahead_max)).unwrap();
        for (position, &sample) in order.samples().iter().enumerate() {
            assert!(loader.take(position, &mut tokens).unwrap());
            assert_eq!(tokens, mapped(&dataset, sample), "window {window}, {reading:?}");
        }
        assert_eq!(loader.report().taken, 40);
        let fell_back = loader.fallback().is_some();
        assert!(if fell_back { reading == Reading::Ring } else { loader.reading() == reading });
    }
}

#[test]
fn a_sample_is_kept_until_every_taker_took_it() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path());
    let order: Vec<u64> = (0..120).rev().collect();
    let options =
        LoaderOptions { takers: 3, ahead_min: 2, ahead_max: 4, ..LoaderOptions::default() };
    let loader = Loader::start(&dataset, &order, options).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut tokens = vec![0; SAMPLE_TOKENS];
                for (position, &sample) in order.iter().enumerate() {
                    assert!(loader.take(position, &mut tokens).unwrap());
                    assert_eq!(tokens, mapped(&dataset, sample));
                }
                assert!(!loader.take(7, &mut tokens).unwrap(), "it was let go");
            });
        }
    });
    assert_eq!(loader.report().taken, 360);
}

/// What comes of a window when `harm` is done to the first shard after ten samples.
fn after(reading: Reading, harm: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path());
    let order: Vec<u64> = (0..50).collect();
    let loader = Loader::start(&dataset, &order, options(reading, 4)).unwrap();
    let mut tokens = vec![0; SAMPLE_TOKENS];
    (0..10).for_each(|position| assert!(loader.take(position, &mut tokens).unwrap()));
    let path = dir.path().join("train_000000.npy");
    allow_writing(&path, true);
    harm(&path);
    // Those read before are good; then the error comes, and again.
    let error = (10..50).find_map(|position| loader.take(position, &mut tokens).err()).unwrap();
    assert_eq!(loader.take(49, &mut tokens).unwrap_err().to_string(), error.to_string());
    error.to_string()
}

#[test]
fn a_shard_that_changes_is_cut_off_or_vanishes_is_an_error_that_names_it() {
    for reading in WAYS {
        // Cutting a file that is mapped ends whoever reads there: that way is for files which
        // nobody may write to.
        if reading != Reading::Mapped {
            let cut = after(reading, |path| {
                let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(100_000).unwrap();
            });
            assert!(cut.contains("train_000000.npy has 100000 bytes"), "{reading:?}: {cut}");
        }
        let gone = after(reading, |path| std::fs::remove_file(path).unwrap());
        assert!(gone.contains("train_000000.npy is gone"), "{reading:?}: {gone}");
        let other = after(reading, |path| {
            let copy = path.with_extension("copy");
            std::fs::copy(path, &copy).unwrap();
            std::fs::rename(copy, path).unwrap();
        });
        assert!(other.contains("train_000000.npy was replaced"), "{reading:?}: {other}");
        let written = after(reading, |path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        });
        assert!(written.contains("train_000000.npy was written to"), "{reading:?}: {written}");
    }
}

#[test]
fn tokens_that_do_not_hash_to_their_id_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    drop(dataset(dir.path()));
    let path = dir.path().join("train_000002.npy");
    allow_writing(&path, true);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[128 + 5 * 8192] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    allow_writing(&path, false);
    let dataset = Dataset::open(dir.path()).unwrap();
    for reading in WAYS {
        let loader = Loader::start(&dataset, &[105], options(reading, 2)).unwrap();
        let error = loader.take(0, &mut [0; SAMPLE_TOKENS]).unwrap_err().to_string();
        assert!(error.starts_with("sample 5 of ") && error.contains("train_000002"), "{error}");
    }
}

#[test]
fn a_loader_may_be_dropped_at_any_time_and_refuses_samples_there_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path());
    let order: Vec<u64> = (0..120).collect();
    for reading in WAYS {
        for taken in [0, 1, 30] {
            let loader = Loader::start(&dataset, &order, options(reading, 8)).unwrap();
            let mut tokens = vec![0; SAMPLE_TOKENS];
            (0..taken).for_each(|position| assert!(loader.take(position, &mut tokens).unwrap()));
        }
        let beyond = Loader::start(&dataset, &[120], options(reading, 8));
        assert!(matches!(beyond, Err(DatasetError::SampleBeyond { .. })));
    }
}
