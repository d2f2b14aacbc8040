//! The run description: one id however it is written, and nothing unknown or out of range in it.

use proptest::prelude::*;
use wire::{
    Aggregation, BlockNumber, Dataset, Digest, Document, DocumentError, Documents, Flat, Genesis,
    Hotkey, IndexCodec, Inner, Keypair, ModelSpec, Objective, Optimizer, Outer, Quantiser,
    RunDescription, Schedule, Shard, SignedRun, StateRoot, Windows,
};

fn description() -> RunDescription {
    RunDescription {
        version: 1,
        name: "nano-1".into(),
        owner: Hotkey([0; 32]),
        seed: u64::MAX,
        model: ModelSpec {
            layers: 2,
            d_model: 128,
            heads: 4,
            kv_heads: 2,
            ffn: 352,
            vocab: 256,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            seq_len: 2048,
            tied: true,
        },
        windows: Windows { first_block: BlockNumber(7), blocks_per_window: 115, judge_blocks: 10 },
        inner: Inner {
            steps: 30,
            batch_samples: 192,
            clip_norm: 1.0,
            optimizer: Optimizer::AdamW {
                learning_rate: 1.17e-4,
                beta1: 0.9,
                beta2: 0.95,
                eps: 1e-8,
                weight_decay: 0.1,
            },
            schedule: Schedule::WarmupCosine {
                start_factor: 1e-6,
                warmup_steps: 1_500,
                cosine_steps: 140_000,
                floor_factor: 0.1,
                flat: Some(Flat { start_step: 82_200, steps: 13_500 }),
            },
        },
        outer: Outer {
            alpha: 0.4,
            beta: 0.95,
            k: 64,
            index_codec: IndexCodec::Packed12,
            quantiser: Quantiser::Published,
            aggregation: Aggregation::Contributors,
        },
        dataset: Dataset {
            shards: vec![Shard { samples: 5_760, sample_ids: Digest([3; 32]), documents: None }],
        },
        objective: Objective::Pretrain,
        genesis: Genesis::Drawn,
        documents: Documents::default(),
        genesis_root: StateRoot([4; 32]),
    }
}

fn signed() -> SignedRun {
    let owner = Keypair::from_seed([9; 32]);
    let run = RunDescription { owner: owner.hotkey(), ..description() };
    SignedRun::sign(run, &owner).unwrap()
}

#[test]
fn a_run_has_one_id_however_its_file_is_laid_out() {
    let run = description();
    let pretty = serde_json::to_vec_pretty(&run).unwrap();
    assert_ne!(pretty, run.canonical_bytes());
    assert_eq!(RunDescription::parse(&pretty).unwrap().id(), run.id());
}

#[test]
fn every_value_takes_part_in_the_id() {
    let run = description();
    let other = |change: fn(&mut RunDescription)| {
        let mut run = description();
        change(&mut run);
        run.id()
    };
    assert_ne!(run.id(), other(|run| run.seed -= 1));
    assert_ne!(run.id(), other(|run| run.owner = Hotkey([1; 32])));
    assert_ne!(run.id(), other(|run| run.outer.beta = 0.950_000_000_000_000_1));
    assert_ne!(run.id(), other(|run| run.outer.aggregation = Aggregation::All));
    assert_ne!(run.id(), other(|run| run.inner.schedule = Schedule::Constant {}));
}

#[test]
fn the_id_of_a_known_description_stays_what_it_is() {
    let id = "9e20b79db52e0d3e9c53bace27f87a908e24f3ae5dba0a1f461165e42bc2ae7a";
    assert_eq!(description().id().to_string(), id);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let text = String::from_utf8(description().canonical_bytes()).unwrap();
    for (key, place) in [
        ("alpah", "\"alpha\""),
        ("nam", "\"name\""),
        ("headz", "\"heads\""),
        ("warmup_stepz", "\"warmup_steps\""),
    ] {
        let bad = text.replacen(place, &format!("\"{key}\":1,{place}"), 1);
        let error = RunDescription::parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(&format!("unknown field `{key}`")), "{error}");
    }
}

#[test]
fn values_out_of_range_are_refused_by_key() {
    type Change = fn(&mut RunDescription);
    let broken: [(Change, &str); 8] = [
        (|run| run.name = "Nano 1".into(), "name"),
        (|run| run.windows.blocks_per_window = 0, "windows.blocks_per_window"),
        (|run| run.inner.steps = 0, "inner.steps"),
        (|run| run.outer.k = 0, "outer.k"),
        (|run| run.outer.alpha = f64::NAN, "outer.alpha"),
        (|run| run.model.kv_heads = 3, "model.kv_heads"),
        (|run| run.model.heads = 0, "model.heads"),
        (|run| run.dataset.shards.clear(), "dataset.shards"),
    ];
    for (change, expected) in broken {
        let mut run = description();
        change(&mut run);
        match run.check() {
            Err(DocumentError::Value { key, .. }) => assert_eq!(key, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn only_the_owner_can_sign_a_run() {
    let published = signed().to_bytes();
    let read = SignedRun::parse(&published).unwrap();
    assert_eq!(read, signed());
    assert_eq!(read.document().owner, Keypair::from_seed([9; 32]).hotkey());
    let text = String::from_utf8(published).unwrap();
    let changed = text.replace("\"alpha\": 0.4", "\"alpha\": 0.5");
    assert_ne!(changed, text);
    assert!(matches!(SignedRun::parse(changed.as_bytes()), Err(DocumentError::Signature { .. })));
    let stranger = Keypair::from_seed([8; 32]).hotkey().to_string();
    let stolen = text.replace(&read.document().owner.to_string(), &stranger);
    assert!(matches!(SignedRun::parse(stolen.as_bytes()), Err(DocumentError::Signature { .. })));
}

#[test]
fn nobody_signs_for_another() {
    let stranger = Keypair::from_seed([8; 32]);
    let signed = SignedRun::sign(description(), &stranger);
    assert!(matches!(signed, Err(DocumentError::Signature { .. })));
}

#[test]
fn text_that_is_too_long_is_refused_before_it_is_read() {
    let long = vec![b' '; wire::protocol::RUN_BYTES_MAX + 1];
    assert!(matches!(SignedRun::parse(&long), Err(DocumentError::TooLong { .. })));
}

#[test]
fn a_later_version_asks_for_an_upgrade() {
    let mut run = description();
    run.version = 4;
    assert!(matches!(run.check(), Err(DocumentError::Version { found: 4, .. })));
}

/// As a program of version 1 wrote it: no key that it did not know.
#[test]
fn a_description_of_version_1_is_read_and_written_as_it_was() {
    let text = String::from_utf8(description().canonical_bytes()).unwrap();
    assert!(!text.contains("objective") && !text.contains("\"genesis\""), "{text}");
    let read = RunDescription::parse(text.as_bytes()).unwrap();
    assert_eq!((read.objective, read.genesis), (Objective::Pretrain, Genesis::Drawn));
    assert_eq!(read.canonical_bytes(), text.as_bytes());
}

fn fine_tuning() -> RunDescription {
    let (objective, genesis) = (Objective::Sft, Genesis::Given);
    let version = RunDescription::version_for(objective, genesis, Documents::default());
    RunDescription { version, objective, genesis, ..description() }
}

#[test]
fn objective_and_genesis_are_part_of_the_id_and_survive_their_text() {
    let run = fine_tuning();
    assert_eq!(RunDescription::parse(&run.canonical_bytes()).unwrap(), run);
    let ids = [
        description().id(),
        run.id(),
        RunDescription { objective: Objective::Pretrain, ..fine_tuning() }.id(),
        RunDescription { genesis: Genesis::Drawn, ..fine_tuning() }.id(),
    ];
    assert!((1..4).all(|at| !ids[..at].contains(&ids[at])), "{ids:?}");
    let text = String::from_utf8(run.canonical_bytes()).unwrap();
    let unknown = text.replace("\"sft\"", "\"rlhf\"");
    let error = RunDescription::parse(unknown.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("unknown variant `rlhf`"), "{error}");
}

fn apart() -> RunDescription {
    let documents = Documents { train_eos: false, masks: true };
    let mut run = RunDescription { version: 3, documents, ..description() };
    run.dataset.shards[0].documents = Some(Digest([5; 32]));
    run
}

/// Whoever holds other borders of documents than the run's is in another run.
#[test]
fn documents_and_where_they_begin_are_part_of_the_id() {
    let run = apart();
    assert_eq!(RunDescription::parse(&run.canonical_bytes()).unwrap(), run);
    let mut elsewhere = apart();
    elsewhere.dataset.shards[0].documents = Some(Digest([6; 32]));
    let eos = Documents { train_eos: true, masks: false };
    let eos = RunDescription { version: 3, documents: eos, ..description() };
    eos.check().unwrap();
    let ids = [description().id(), run.id(), elsewhere.id(), eos.id()];
    assert!((1..4).all(|at| !ids[..at].contains(&ids[at])), "{ids:?}");
}

#[test]
fn masks_and_the_digests_of_what_they_need_come_together() {
    let mut without = apart();
    without.dataset.shards[0].documents = None;
    let mut idle = description();
    idle.dataset.shards[0].documents = Some(Digest([5; 32]));
    for run in [without, idle] {
        let fault = run.check();
        match fault {
            Err(DocumentError::Value { key: "dataset.shards.documents", .. }) => {}
            _ => panic!("{fault:?}"),
        }
    }
}

#[test]
fn a_run_has_one_version() {
    for run in [
        RunDescription { version: 2, ..description() },
        RunDescription { version: 1, ..fine_tuning() },
        RunDescription { version: 3, ..fine_tuning() },
        RunDescription { version: 2, ..apart() },
    ] {
        assert!(matches!(run.check(), Err(DocumentError::Value { key: "version", .. })));
    }
}

proptest! {
    #[test]
    fn every_number_survives_its_text(
        alpha in 1e-12f64..1e12, beta in 0.0f64..=1.0, theta in 1e-3f64..1e9, seed: u64,
    ) {
        let mut run = description();
        (run.outer.alpha, run.outer.beta, run.model.rope_theta) = (alpha, beta, theta);
        run.seed = seed;
        let read = RunDescription::parse(&run.canonical_bytes()).unwrap();
        prop_assert_eq!(&read, &run);
        prop_assert_eq!(read.id(), run.id());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text: Vec<u8>) {
        let _ = SignedRun::parse(&text);
        let _ = RunDescription::parse(&text);
    }
}
