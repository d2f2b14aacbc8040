//! A network that fine-tunes: its run says that answers count and what it starts from, so miners
//! train towards, and validators measure, the same loss from the same parameters.

use serde_json::{Value, json};

use super::{Place, roots};

const MODEL: &str = r#"
name = "talker"

[model]
layers = 1
d_model = 32
heads = 4
kv_heads = 2
ffn = 64
seq_len = 128
tied = true

[inner]
steps = 2
"#;
const FINE_TUNING: &str = "name = \"tuned\"\n\n[inner]\nsteps = 2\n";

fn done(place: &Place, arguments: &[&str]) -> Value {
    let output = place.run(arguments);
    assert!(output.status.success(), "{}", place.tell(&output));
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

/// Targets that count in each sample: those whose mask is on and that are first of no row.
fn targets_by_sample(place: &Place) -> Vec<u64> {
    let mask = std::fs::read(place.path("talks/loss_mask_000000.npy")).unwrap();
    let count = |row: &[u8]| row[1..].iter().map(|on| u64::from(*on)).sum::<u64>();
    mask[128..].chunks(2048).map(|sample| sample.chunks(128).map(count).sum()).collect()
}

#[test]
fn miners_and_validators_agree_on_what_an_answer_is() {
    let place = Place::new();
    std::fs::write(place.path("model.toml"), MODEL).unwrap();
    let base = ["train", "--config", "model.toml", "--dir", "base", "--windows", "1", "--json"];
    let base = done(&place, &base);
    let talk = |at: u64| json!({"prompt": format!("{at} {}?", at * at), "completion": "yes"});
    let talks: Vec<String> = (0..600).map(|at| talk(at).to_string()).collect();
    std::fs::write(place.path("talks.jsonl"), talks.join("\n")).unwrap();
    let chat = ["data", "chat", "--jsonl", "talks.jsonl", "--out", "talks", "--seq-len", "128"];
    done(&place, &[&chat[..], &["--json"]].concat());
    std::fs::write(place.path("model.toml"), FINE_TUNING).unwrap();

    let report = place.localnet(&[
        "--objective",
        "sft",
        "--from",
        "base",
        "--data",
        "talks",
        "--peers",
        "3",
        "--windows",
        "6",
        "--join",
        "2@3",
    ]);
    assert_eq!(report["agree"], true, "{report:#}");
    let run: Value =
        serde_json::from_slice(&std::fs::read(place.path("net/run.json")).unwrap()).unwrap();
    let run = &run["document"];
    assert_eq!((&run["objective"], &run["genesis"]), (&"sft".into(), &"given".into()));
    assert_eq!(run["genesis_root"], base["state_root"]);
    assert!(!roots(&place.path("net/peer-2")).is_empty());

    let targets = targets_by_sample(&place);
    let mut probes = 0;
    for entry in std::fs::read_dir(place.path("net/validator-0/judgements")).unwrap() {
        let path = entry.unwrap().path();
        let text: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let evidence = &text["document"]["evidence"];
        let of_peers = evidence["peers"].as_array().into_iter().flatten();
        let assigned = of_peers.flat_map(|peer| peer["effect"]["assigned"].as_array());
        let random = evidence["random"].as_array().into_iter();
        for probe in random.chain(assigned).flatten() {
            let sample = probe["sample"].as_u64().unwrap() as usize;
            assert_eq!(probe["tokens"], targets[sample], "sample {sample}");
            probes += 1;
        }
    }
    assert!(probes > 10, "{probes} losses were measured");

    // Whoever measures again takes the same mask, and starts from the same model.
    let config = "net/validator-0/run.toml";
    let again = ["explain", "--config", config, "--window", "3", "--uid", "1", "--replay"];
    let again = done(&place, &[&again[..], &["--json"]].concat());
    assert_eq!(again["replay"]["agrees"], true, "{again:#}");
}
