//! Folders of shards as a peer meets them: written, read, cut into batches, and damaged.

use std::path::Path;

use runtime::dataset::{
    BatchRules, Conversations, Dataset, DatasetError, DatasetWriter, Description, IGNORE,
    NpyWriter, Provenance, SAMPLE_TOKENS, Shard, Targets, Written, fill_batch, masked_sample_id,
    sample_digest, sample_id, synth,
};

const RULES: BatchRules = BatchRules {
    seq_len: 256,
    vocab: 50_000,
    targets: Targets::Text { eos: Some(3) },
    document_masks: false,
};

fn provenance() -> Provenance {
    Provenance {
        tokenizer: "byte".to_string(),
        vocab: 50_000,
        eos: Some(3),
        entropy_nats_per_token: None,
        seed: None,
        source: "counting".to_string(),
        conversations: None,
    }
}

/// A folder with the tokens `0, 1, 2, ...`, pushed in pieces of uneven length.
fn counting(dir: &Path, tokens: usize, shard_tokens: u64) -> Written {
    let tokens: Vec<u32> = (0..tokens as u32).collect();
    let mut writer = DatasetWriter::create(dir, shard_tokens).unwrap();
    for piece in tokens.chunks(777) {
        writer.push(piece).unwrap();
    }
    writer.finish(provenance()).unwrap()
}

fn flip_byte(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn shards_hold_whole_samples_end_to_end_and_the_tail_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let Written { dataset, dropped_tokens } = counting(dir.path(), 5 * 2048 + 9, 2 * 2048 + 5);
    assert_eq!(dropped_tokens, 9);
    assert_eq!(dataset.samples(), 5);
    let samples: Vec<_> = dataset.shards().map(|(index, shard)| (index, shard.samples())).collect();
    assert_eq!(samples, [(0, 2), (1, 2), (2, 1)]);
    for sample in 0..5 {
        let (shard, within) = dataset.locate(sample).unwrap();
        assert_eq!(shard.sample(within).unwrap()[7], sample as u32 * 2048 + 7);
        assert_eq!(shard.id(within).unwrap(), sample_id(shard.sample(within).unwrap()));
        shard.verify(within).unwrap();
    }
    let mut ids: Vec<u64> = [4, 0]
        .map(|i| dataset.locate(i).unwrap())
        .iter()
        .map(|(shard, within)| shard.id(*within).unwrap())
        .collect();
    assert_eq!(dataset.digest(&[0, 4]).unwrap(), sample_digest(&mut ids));
    assert!(matches!(dataset.locate(5), Err(DatasetError::SampleBeyond { samples: 5, .. })));
    assert!(matches!(dataset.shard(3), Err(DatasetError::Missing { .. })));
}

#[test]
fn targets_are_inputs_shifted_within_a_row_without_the_end_of_documents() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = counting(dir.path(), 3 * 2048, u64::MAX).dataset;
    let (mut inputs, mut targets) = (vec![7; 2 * SAMPLE_TOKENS], vec![7; 2 * SAMPLE_TOKENS]);
    let shard = dataset.shard(0).unwrap();
    fill_batch(shard, &[2, 0], RULES, &mut inputs, &mut targets).unwrap();
    for (at, (&input, &target)) in inputs.iter().zip(&targets).enumerate() {
        let token = if at < 2048 { at as u32 + 2 * 2048 } else { at as u32 - 2048 };
        assert_eq!(input, token);
        let ignored = at % 256 == 255 || token + 1 == 3;
        assert_eq!(target, if ignored { IGNORE } else { token + 1 });
    }
}

/// Two samples of conversations: in the first every third token is part of an answer, in the
/// second only its last two.
fn conversations(dir: &Path) -> Dataset {
    let mut writer = DatasetWriter::create(dir, 2048).unwrap();
    let tokens: Vec<u32> = (0..2 * 2048).collect();
    let mut masks = [[0; SAMPLE_TOKENS]; 2];
    (0..SAMPLE_TOKENS).step_by(3).for_each(|at| masks[0][at] = 1);
    masks[1][2046..].fill(1);
    for (sample, mask) in tokens.chunks(SAMPLE_TOKENS).zip(&masks) {
        writer.push_masked(sample, mask).unwrap();
    }
    let made_of = Conversations {
        template: "plain".to_string(),
        count: 2,
        answer_tokens: 685,
        row_tokens: 2048,
    };
    let written = writer.finish(Provenance { conversations: Some(made_of), ..provenance() });
    written.unwrap().dataset
}

#[test]
fn only_tokens_whose_mask_is_on_are_targets_of_answers() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = conversations(dir.path());
    assert!(dataset.has_mask());
    assert_eq!(dataset.shards().len(), 2);
    let rules = BatchRules { targets: Targets::Answers, ..RULES };
    let (mut inputs, mut targets) = (vec![7; 2 * SAMPLE_TOKENS], vec![7; 2 * SAMPLE_TOKENS]);
    dataset.fill_batch(&[1, 0], rules, &mut inputs, &mut targets).unwrap();
    assert_eq!((inputs[0], inputs[2048], inputs[4095]), (2048, 0, 2047));
    for (at, &target) in targets.iter().enumerate() {
        let (sample, within) = (1 - at / 2048, at % 2048 + 1);
        let answered = if sample == 0 { within % 3 == 0 } else { within >= 2046 };
        // Token 3 ends a document, but the mask alone decides.
        let counts = within % 256 != 0 && answered;
        assert_eq!(target, if counts { (sample * 2048 + within) as u32 } else { IGNORE }, "{at}");
    }
    // The same samples as text: all but the end of a document.
    dataset.fill_batch(&[0], RULES, &mut inputs[..2048], &mut targets[..2048]).unwrap();
    assert_eq!(targets[..4], [1, 2, IGNORE, 4]);
}

#[test]
fn answers_of_text_are_refused_with_the_command_that_makes_them() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = counting(dir.path(), 2048, u64::MAX).dataset;
    assert!(!dataset.has_mask());
    let rules = BatchRules { targets: Targets::Answers, ..RULES };
    let (mut inputs, mut targets) = (vec![0; SAMPLE_TOKENS], vec![0; SAMPLE_TOKENS]);
    let error = dataset.fill_batch(&[0], rules, &mut inputs, &mut targets).unwrap_err();
    assert!(matches!(error, DatasetError::NoMask { .. }), "{error}");
    assert!(error.to_string().contains("cov72 data chat"), "{error}");
}

#[test]
fn a_mask_is_covered_by_ids_and_its_absence_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = conversations(dir.path());
    for (_, shard) in dataset.shards() {
        let (tokens, mask) = (shard.sample(0).unwrap(), shard.mask(0).unwrap());
        assert_eq!(shard.id(0).unwrap(), masked_sample_id(tokens, mask));
        shard.verify(0).unwrap();
    }
    let about = dataset.description().unwrap();
    let hash = blake3::hash(dataset.shard(1).unwrap().mask(0).unwrap()).to_hex().to_string();
    assert_eq!(about.shards[1].mask_blake3.as_ref(), Some(&hash));

    let path = dir.path().join("loss_mask_000001.npy");
    flip_byte(&path, 128 + 5);
    let error = Shard::open(dir.path(), 1).unwrap().verify(0).unwrap_err();
    assert!(matches!(error, DatasetError::IdMismatch { sample: 0, .. }), "{error}");

    let whole = std::fs::read(&path).unwrap();
    let mut short = NpyWriter::create(&path).unwrap();
    short.write(&[1u8; 2047]).unwrap();
    short.finish().unwrap();
    let error = Dataset::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("says 2047 tokens but the shards have 2048"), "{error}");

    std::fs::remove_file(&path).unwrap();
    let error = Dataset::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("loss_mask_000001.npy is missing"), "{error}");

    std::fs::write(&path, whole).unwrap();
    let description = Description::path(dir.path());
    let text = std::fs::read_to_string(&description).unwrap();
    let hash = text.split("\"mask_blake3\": ").nth(1).unwrap()[..66].to_string();
    std::fs::write(&description, text.replace(&hash, "null")).unwrap();
    let error = Dataset::open(dir.path()).unwrap_err();
    assert!(matches!(error, DatasetError::Disagrees { .. }), "{error}");
}

#[test]
fn a_writer_of_masks_that_gives_up_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = DatasetWriter::create(dir.path(), 2048).unwrap();
    writer.push_masked(&[1; SAMPLE_TOKENS], &[1; SAMPLE_TOKENS]).unwrap();
    writer.push_masked(&[2; SAMPLE_TOKENS], &[0; SAMPLE_TOKENS]).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_batch_may_span_shards() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = counting(dir.path(), 3 * 2048, 2048).dataset;
    let (mut inputs, mut targets) = (vec![7; 2 * SAMPLE_TOKENS], vec![7; 2 * SAMPLE_TOKENS]);
    dataset.fill_batch(&[2, 1], RULES, &mut inputs, &mut targets).unwrap();
    assert_eq!((inputs[0], inputs[2048]), (2 * 2048, 2048));
    assert_eq!((targets[0], targets[2048]), (2 * 2048 + 1, 2049));
}

#[test]
fn a_token_beyond_the_vocabulary_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = counting(dir.path(), 2 * 2048, u64::MAX).dataset;
    let (mut inputs, mut targets) = (vec![0; SAMPLE_TOKENS], vec![0; SAMPLE_TOKENS]);
    let rules = BatchRules { vocab: 3000, ..RULES };
    let shard = dataset.shard(0).unwrap();
    fill_batch(shard, &[0], rules, &mut inputs, &mut targets).unwrap();
    let error = fill_batch(shard, &[1], rules, &mut inputs, &mut targets).unwrap_err().to_string();
    assert!(error.starts_with("token 3000 at position 952 of sample 1 of "), "{error}");
    assert!(error.contains("train_000000.npy is beyond the vocabulary of 3000"), "{error}");
}

#[test]
fn a_sequence_length_that_cuts_no_sample_evenly_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = counting(dir.path(), 2048, u64::MAX).dataset;
    let (mut inputs, mut targets) = (vec![0; SAMPLE_TOKENS], vec![0; SAMPLE_TOKENS]);
    for seq_len in [0, 300, 4096] {
        let rules = BatchRules { seq_len, ..RULES };
        let filled = dataset.fill_batch(&[0], rules, &mut inputs, &mut targets);
        assert!(matches!(filled, Err(DatasetError::SequenceLength { .. })));
    }
}

#[test]
fn a_damaged_sample_is_found_by_its_id() {
    let dir = tempfile::tempdir().unwrap();
    counting(dir.path(), 3 * 2048, u64::MAX);
    flip_byte(&dir.path().join("train_000000.npy"), 128 + 4 * 2048 + 40);
    let shard = Shard::open(dir.path(), 0).unwrap();
    shard.verify(0).unwrap();
    let error = shard.verify(1).unwrap_err();
    assert!(matches!(error, DatasetError::IdMismatch { sample: 1, .. }), "{error}");
}

#[test]
fn missing_cut_off_and_uneven_shards_are_each_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = Dataset::open(dir.path()).unwrap_err();
    assert!(matches!(error, DatasetError::NoShards { .. }), "{error}");
    let error = Dataset::open(&dir.path().join("none")).unwrap_err();
    assert!(matches!(error, DatasetError::Missing { .. }), "{error}");

    counting(dir.path(), 3 * 2048, u64::MAX);
    let (tokens, ids) =
        (dir.path().join("train_000000.npy"), dir.path().join("sample_ids_000000.npy"));
    let (token_bytes, id_bytes) = (std::fs::read(&tokens).unwrap(), std::fs::read(&ids).unwrap());

    std::fs::write(&tokens, &token_bytes[..token_bytes.len() - 100]).unwrap();
    let error = Shard::open(dir.path(), 0).unwrap_err();
    assert!(matches!(error, DatasetError::Length { .. }), "{error}");

    let mut uneven = NpyWriter::create(&tokens).unwrap();
    uneven.write(&[5u32; 6119]).unwrap();
    uneven.finish().unwrap();
    let error = Shard::open(dir.path(), 0).unwrap_err();
    assert!(matches!(error, DatasetError::NotWholeSamples { tokens: 6119, .. }), "{error}");

    std::fs::write(&tokens, &token_bytes).unwrap();
    std::fs::write(&ids, &id_bytes[..60]).unwrap();
    let error = Shard::open(dir.path(), 0).unwrap_err();
    assert!(matches!(error, DatasetError::Header { .. }), "{error}");
    std::fs::remove_file(&ids).unwrap();
    let error = Shard::open(dir.path(), 0).unwrap_err().to_string();
    assert!(error.contains("sample_ids_000000.npy is missing"), "{error}");
}

#[test]
fn less_than_one_sample_is_no_dataset() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = DatasetWriter::create(dir.path(), 2048).unwrap();
    writer.push(&[1; 2047]).unwrap();
    let error = writer.finish(provenance()).unwrap_err();
    assert!(matches!(error, DatasetError::NothingToWrite { tokens: 2047 }), "{error}");
}

#[test]
fn a_writer_that_gives_up_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = DatasetWriter::create(dir.path(), 2048).unwrap();
    writer.push(&[1; 3 * 2048 + 5]).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_with_shards_of_other_origin_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    counting(dir.path(), 2048, u64::MAX);
    let again = DatasetWriter::create(dir.path(), 2048).unwrap_err();
    assert!(matches!(again, DatasetError::Occupied { .. }), "{again}");
    std::fs::remove_file(Description::path(dir.path())).unwrap();
    let again = DatasetWriter::create(dir.path(), 2048).unwrap_err();
    assert!(matches!(again, DatasetError::Occupied { .. }), "{again}");
    Shard::open(dir.path(), 0).unwrap().verify(0).unwrap();
}

#[test]
fn a_description_with_an_unknown_key_or_of_other_shards_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    counting(dir.path(), 2 * 2048, u64::MAX);
    let path = Description::path(dir.path());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"vocab\"", "\"vocabulary\"")).unwrap();
    let error = Dataset::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("unknown field `vocabulary`"), "{error}");
    std::fs::write(&path, text.replace("\"samples\": 2", "\"samples\": 3")).unwrap();
    let error = Dataset::open(dir.path()).unwrap_err();
    assert!(matches!(error, DatasetError::Disagrees { .. }), "{error}");
}

#[test]
fn the_generated_corpus_is_made_once_and_then_reused() {
    let dir = tempfile::tempdir().unwrap();
    let made = synth::ensure(dir.path(), 5, 40).unwrap();
    assert_eq!(made.samples(), 40);
    assert!(made.shards().all(|(_, shard)| shard.tokens().iter().all(|&token| token < 256)));
    let entropy = made.description().unwrap().entropy_nats_per_token.unwrap();
    assert!((0.5..0.9).contains(&entropy), "{entropy}");
    let path = dir.path().join("train_000000.npy");
    let written = std::fs::metadata(&path).unwrap().modified().unwrap();
    let reused = synth::ensure(dir.path(), 5, 40).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), written);
    assert_eq!(reused.description(), made.description());
}

#[test]
fn a_half_written_corpus_is_made_again() {
    let (whole, half) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wanted = synth::ensure(whole.path(), 5, 40).unwrap();
    synth::ensure(half.path(), 5, 40).unwrap();
    // As a kill leaves it: the marker, one renamed file, one partial file, no description.
    let description = Description::path(half.path());
    std::fs::rename(&description, description.with_extension("json.partial")).unwrap();
    let ids = half.path().join("sample_ids_000000.npy");
    std::fs::rename(&ids, ids.with_extension("npy.partial")).unwrap();
    let made = synth::ensure(half.path(), 5, 40).unwrap();
    assert_eq!(made.description(), wanted.description());
}

#[test]
fn a_corpus_of_another_seed_or_with_damage_is_not_taken_for_the_one_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    synth::ensure(dir.path(), 5, 40).unwrap();
    for (seed, samples) in [(6, 40), (5, 41)] {
        let error = synth::ensure(dir.path(), seed, samples).unwrap_err();
        assert!(matches!(error, DatasetError::Occupied { .. }), "{error}");
    }
    flip_byte(&dir.path().join("train_000000.npy"), 5000);
    let error = synth::ensure(dir.path(), 5, 40).unwrap_err();
    assert!(matches!(error, DatasetError::Disagrees { .. }), "{error}");
}

/// A dataset of two samples whose documents begin at these tokens.
fn of_documents(dir: &Path, starts: &[usize]) -> Dataset {
    let mut writer = DatasetWriter::create(dir, u64::MAX).unwrap().recording_documents(0);
    let tokens: Vec<u32> = (0..2 * 2048).collect();
    let mut at = 0;
    for &start in starts {
        writer.push(&tokens[at..start]).unwrap();
        writer.begin_document();
        at = start;
    }
    writer.push(&tokens[at..]).unwrap();
    writer.finish(provenance()).unwrap().dataset
}

#[test]
fn borders_of_documents_divide_rows_and_are_no_targets() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = of_documents(dir.path(), &[0, 10, 256, 1030, 2048, 2050, 4095]);
    let rules = BatchRules { document_masks: true, ..RULES };
    let (mut inputs, mut targets) = (vec![0; 2 * SAMPLE_TOKENS], vec![0; 2 * SAMPLE_TOKENS]);
    let refused = dataset.fill_batch(&[0], rules, &mut inputs[..2048], &mut targets[..2048]);
    assert!(matches!(refused, Err(DatasetError::NoDocuments { .. })), "opened without");

    let dataset = dataset.with_documents().unwrap();
    dataset.fill_batch(&[1, 0], rules, &mut inputs, &mut targets).unwrap();
    let mut first_keys = vec![7; 2 * SAMPLE_TOKENS];
    dataset.fill_first_keys(&[1, 0], rules.seq_len, &mut first_keys).unwrap();
    // Token, counted over the dataset: the last one to begin a document in its row, if one does.
    let first_key = |token: u32| match token {
        10..256 => 10,
        1030..1280 => 1030 % 256,
        2050..2304 => 2,
        4095 => 255,
        _ => 0,
    };
    for (at, &input) in inputs.iter().enumerate() {
        assert_eq!(first_keys[at], first_key(input), "token {input}");
        let next = input + 1;
        let ignored = [3, 10, 1030, 2050, 4095].contains(&next) || next % 256 == 0;
        assert_eq!(targets[at], if ignored { IGNORE } else { next }, "token {input}");
    }
}

#[test]
fn starts_of_documents_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(of_documents(dir.path(), &[0, 10]));
    let path = dir.path().join("documents_000000.npy");
    for starts in [&[10_u64, 10][..], &[10, 9], &[0, 4096]] {
        let mut file = NpyWriter::<u64>::create(&path).unwrap();
        file.write(starts).unwrap();
        file.finish().unwrap();
        let error = Dataset::open(dir.path()).unwrap().with_documents().unwrap_err();
        assert!(matches!(error, DatasetError::Starts { .. }), "{starts:?}: {error}");
    }
    std::fs::remove_file(path).unwrap();
    let error = Dataset::open(dir.path()).unwrap().with_documents().unwrap_err().to_string();
    assert!(error.contains("cov72 data prepare --documents"), "{error}");
}
