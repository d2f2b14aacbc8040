//! What was imported is exported as the same tensors, bit for bit.

use std::collections::BTreeMap;
use std::path::Path;

use model::hugging_face::{self, Dtype, Export, ModelFolder, export, import};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype as StoredDtype;
use serde_json::{Value, json};

use super::{Foreign, small};

/// Type, extents and bytes of every tensor of a folder.
type Tensors = BTreeMap<String, (StoredDtype, Vec<usize>, Vec<u8>)>;

fn tensors(folder: &Path) -> Tensors {
    let mut tensors = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let bytes = std::fs::read(path).unwrap();
            for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
                let tensor = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
                assert!(tensors.insert(name.to_string(), tensor).is_none(), "{name} twice");
            }
        }
    }
    tensors
}

/// Exports the imported model in `from` into `out`.
fn back(from: &Path, out: &Path, file_bytes_max: u64) -> hugging_face::Exported {
    let ModelFolder { model, dtype, .. } = ModelFolder::read(from).unwrap();
    let (params, on_tensor) = (ModelFolder::params(from), |_| ());
    let order = Export {
        spec: &model,
        params: &params,
        out,
        dtype,
        file_bytes_max,
        tokenizer: None,
        card: "a model",
        on_tensor: &on_tensor,
    };
    export(&order).unwrap()
}

#[test]
fn what_comes_back_is_the_same_bit_for_bit_whatever_it_was_stored_as() {
    let all = [
        (StoredDtype::F32, Dtype::F32),
        (StoredDtype::BF16, Dtype::Bf16),
        (StoredDtype::F16, Dtype::F16),
    ];
    for (stored, dtype) in all {
        let dir = tempfile::tempdir().unwrap();
        let theirs = Foreign { dtype: stored, ..small() }.write(dir.path());
        let (ours, again) = (dir.path().join("ours"), dir.path().join("again"));
        assert_eq!(import(&theirs, &ours, &|_| ()).unwrap().dtype, dtype);
        assert_eq!(back(&ours, &again, u64::MAX).files, 1);
        assert_eq!(tensors(&again), tensors(&theirs), "{stored:?}");
    }
}

#[test]
fn a_model_in_several_files_says_where_each_tensor_is() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = small().write(dir.path());
    let [ours, again, twice] = ["ours", "again", "twice"].map(|name| dir.path().join(name));
    import(&theirs, &ours, &|_| ()).unwrap();
    let exported = back(&ours, &again, 2_000);
    assert!(exported.files > 3, "{exported:?}");
    assert_eq!(tensors(&again), tensors(&theirs));
    let index = std::fs::read(again.join("model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["metadata"]["total_size"], exported.bytes);
    let places = index["weight_map"].as_object().unwrap();
    assert_eq!(places.len(), exported.tensors);
    assert!(places.values().all(|file| again.join(file.as_str().unwrap()).exists()));
    // The several files are read again as the one was.
    import(&again, &twice, &|_| ()).unwrap();
    let params = |folder: &Path| std::fs::read(ModelFolder::params(folder)).unwrap();
    assert_eq!(params(&twice), params(&ours));
}

#[test]
fn the_configuration_says_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Foreign::new(&json!({
        "layers": 1, "d_model": 24, "heads": 3, "kv_heads": 3, "ffn": 8, "vocab": 7,
        "theta": 500000.0, "eps": 1e-6, "seq_len": 64, "tied": true,
    }));
    // Many tied models hold their head all the same.
    let embedding = model.tensors["model.embed_tokens.weight"].clone();
    model.tensors.insert("lm_head.weight".to_string(), embedding);
    let theirs = model.write(dir.path());
    let (ours, again) = (dir.path().join("ours"), dir.path().join("again"));
    import(&theirs, &ours, &|_| ()).unwrap();
    back(&ours, &again, u64::MAX);
    let config = std::fs::read(again.join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    for (key, value) in model.config.as_object().unwrap() {
        assert_eq!(&config[key], value, "{key}");
    }
    assert_eq!(config["rope_parameters"]["rope_theta"], 500_000.0);
    assert!(!tensors(&again).contains_key("lm_head.weight"));
}
