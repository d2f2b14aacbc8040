//! What is no LLaMA, or not what it says, is refused by name, and nothing is left of the attempt.

use std::path::Path;

use model::hugging_face::{InteropError, import};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Foreign, small};

/// The sentence with which `folder` is refused.
fn refused(dir: &Path, folder: &Path) -> String {
    let error = import(folder, &dir.join("ours"), &|_| ()).expect_err("it is refused");
    let left: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["theirs"], "something is left of the attempt");
    error.to_string()
}

/// The sentence with which a small model is refused after `change`.
fn refused_after(change: impl FnOnce(&mut Foreign)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut model = small();
    change(&mut model);
    refused(dir.path(), &model.write(dir.path()))
}

#[test]
fn other_models_are_refused_by_the_key_that_says_so() {
    let cases = [
        ("model_type", json!("mistral"), "model_type is \"mistral\", only \"llama\""),
        ("hidden_act", json!("gelu"), "hidden_act is \"gelu\", only \"silu\""),
        ("attention_bias", json!(true), "attention_bias is true, only false"),
        ("mlp_bias", json!(true), "mlp_bias is true"),
        ("head_dim", json!(64), "head_dim is 64, only 8"),
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), "rope_scaling is {"),
        ("rope_parameters", json!({"rope_type": "yarn"}), "rope_parameters is {"),
        ("hidden_size", json!(-3), "hidden_size is -3, only 1 to"),
        ("hidden_size", json!(15), "model.heads must be a divisor of d_model"),
        ("num_hidden_layers", Value::Null, "has no key num_hidden_layers"),
        ("rms_norm_eps", json!("small"), "rms_norm_eps is \"small\""),
    ];
    for (key, value, expected) in cases {
        let told = refused_after(|model| model.config[key] = value.clone());
        assert!(told.contains(expected), "{key}: {told}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let told = refused_after(|model| drop(model.tensors.remove("lm_head.weight")));
    assert!(told.contains("holds no tensor lm_head.weight"), "{told}");
    let told = refused_after(|model| {
        model.tensors.insert("model.layers.0.self_attn.q_proj.bias".into(), (vec![1], vec![0.0]));
    });
    assert!(told.contains("q_proj.bias, which is no part of a LLaMA"), "{told}");
    let told = refused_after(|model| {
        model.tensors.insert("model.norm.weight".into(), (vec![8], vec![0.0; 8]));
    });
    assert!(told.contains("tensor model.norm.weight is F32 [8], expected is F32, BF16"), "{told}");
}

#[test]
fn files_that_lie_about_themselves_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = small().write(dir.path());
    let file = theirs.join("model.safetensors");
    let sound = std::fs::read(&file).unwrap();
    let refused_as = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        refused(dir.path(), &theirs)
    };
    let told = refused_as(&sound[..sound.len() - 1]);
    assert!(told.contains("bytes of values, it has"), "{told}");
    let told = refused_as(&sound[..5]);
    assert!(told.contains("it has 5 bytes, which is no safetensors file"), "{told}");
    let told = refused_as(&[&u64::MAX.to_le_bytes()[..], &sound[8..]].concat());
    assert!(told.contains("it claims a header of 18446744073709551615 bytes"), "{told}");
    // Of the two tensors one lies where the other does.
    let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                      "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 12]].concat();
    let told = refused_as(&file);
    assert!(told.contains("its header cannot be read"), "{told}");
    let header = br#"{"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    let told = refused_as(&file);
    assert!(told.contains("its header cannot be read"), "{told}");
}

#[test]
fn an_index_names_files_of_its_own_folder_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = small().write(dir.path());
    let index = |places: Value| {
        let index = json!({ "weight_map": places }).to_string();
        std::fs::write(theirs.join("model.safetensors.index.json"), index).unwrap();
        refused(dir.path(), &theirs)
    };
    let told = index(json!({ "model.norm.weight": "../../secret" }));
    assert!(told.contains("a file outside of its folder"), "{told}");
    let told = index(json!({ "model.norm.weight": "model-00001-of-00002.safetensors" }));
    assert!(told.contains("cannot open") && told.contains("00001-of-00002"), "{told}");
    let told = index(json!({ "model.norm.weight": "model.safetensors" }));
    assert!(told.contains("holds no tensor model.embed_tokens.weight"), "{told}");
}

#[test]
fn what_is_there_already_stays() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = small().write(dir.path());
    let error = import(&theirs, dir.path(), &|_| ()).expect_err("it is there");
    assert!(matches!(error, InteropError::Occupied { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is done to a header, it is refused or read, and nothing panics.
    #[test]
    fn no_header_makes_the_reader_panic(
        changes in proptest::collection::vec((0_usize..900, any::<u8>()), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let theirs = small().write(dir.path());
        let file = theirs.join("model.safetensors");
        let mut bytes = std::fs::read(&file).unwrap();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        std::fs::write(&file, bytes).unwrap();
        let _ = import(&theirs, &dir.path().join("ours"), &|_| ());
    }
}
