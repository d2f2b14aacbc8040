//! `cov72 data chat` as a user drives it: what it writes, what it counts, what it refuses.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::tiny::stderr;

pub(crate) fn data(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cov72")).arg("data").args(args).output().unwrap()
}

/// `cov72 data chat` of `rows` into `dir/<out>`, with `--json`.
pub(crate) fn chat(dir: &Path, out: &str, rows: &[Value], more: &[&str]) -> Output {
    let file = dir.join(format!("{out}.jsonl"));
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let (file, out) = (file.display().to_string(), dir.join(out).display().to_string());
    data(&[&["chat", "--jsonl", &file, "--out", &out, "--json"], more].concat())
}

pub(crate) fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

/// The bytes behind the 128 of an array's header.
pub(crate) fn values(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()[128..].to_vec()
}

#[test]
fn conversations_become_rows_that_cut_none() {
    let dir = tempfile::tempdir().unwrap();
    let turn = |asked: &str, answered: &str| json!({"prompt": asked, "completion": answered});
    // With 73 bytes around them: 96, 96 and 124 tokens, then one too long and two without answers.
    let rows = [
        turn(&"a".repeat(10), &"b".repeat(13)),
        turn(&"c".repeat(10), &"d".repeat(13)),
        turn(&"e".repeat(25), &"f".repeat(26)),
        turn("g", &"h".repeat(200)),
        turn(&"i".repeat(500), "j"),
        json!({"messages": [{"role": "user", "content": "nobody answers"}]}),
    ];
    let made = report(&chat(dir.path(), "talks", &rows, &["--seq-len", "128"]));
    for (key, value) in [
        ("conversations", 4),
        ("truncated", 1),
        ("without_answer", 2),
        ("row_tokens", 128),
        // 14 bytes end an answer; of the one that is cut, 128 - 60 are left.
        ("answer_tokens", 2 * (13 + 14) + (26 + 14) + (128 - 60)),
        ("padding_tokens", 2048 - 96 - 96 - 124 - 128),
        ("samples", 1),
    ] {
        assert_eq!(made[key], value, "{key} of {made:#}");
    }
    let tokens = values(&dir.path().join("talks/train_000000.npy"));
    let tokens: Vec<u8> = tokens.chunks(4).map(|token| token[0]).collect();
    let mask = values(&dir.path().join("talks/loss_mask_000000.npy"));
    assert_eq!((tokens.len(), mask.len()), (2048, 2048));
    let mut whole = 0;
    for (row, mask) in tokens.chunks(128).zip(mask.chunks(128)).filter(|(row, _)| row[0] != 0) {
        whole += 1;
        assert!(row.starts_with(b"<start_of_turn>user\n"));
        // What is on is one letter over and over, then what ends a turn, unless that is cut off.
        let on: Vec<u8> =
            row.iter().zip(mask).filter(|(_, mask)| **mask == 1).map(|(byte, _)| *byte).collect();
        let letters = on.iter().take_while(|byte| **byte == on[0]).count();
        let end: &[u8] = if on[0] == b'h' { b"" } else { b"<end_of_turn>\0" };
        assert!(b"bdfh".contains(&on[0]) && on[letters..] == *end, "{on:?}");
    }
    assert_eq!(whole, 4);
    let verified = data(&["inspect", &dir.path().join("talks").display().to_string(), "--verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("answers     162 of 2048 tokens"));
}

/// A vocabulary of words, with the tokens of a template.
const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [
      {"id": 0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
       "normalized": false, "special": true},
      {"id": 1, "content": "<user>", "single_word": false, "lstrip": false, "rstrip": false,
       "normalized": false, "special": true},
      {"id": 2, "content": "<bot>", "single_word": false, "lstrip": false, "rstrip": false,
       "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
    "decoder": null, "model": {"type": "WordLevel", "unk_token": "?",
    "vocab": {"</s>": 0, "<user>": 1, "<bot>": 2, "?": 3, "how": 4, "many": 5, "two": 6,
              "three": 7, "not": 8}}}"#;

#[test]
fn the_template_of_a_model_masks_token_by_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let template = "{% for m in messages %}{{ '<user> ' if m.role == 'user' else '<bot> ' }}\
                    {{ m.content }}{{ eos_token }}\n{% endfor %}\
                    {% if add_generation_prompt %}<bot> {% endif %}";
    let config = json!({"eos_token": "</s>", "chat_template": template});
    std::fs::write(path("tokenizer.json"), TOKENIZER).unwrap();
    std::fs::write(path("tokenizer_config.json"), config.to_string()).unwrap();
    let said = |role: &str, content: &str| json!({"role": role, "content": content});
    let rows = [json!({"messages": [
        said("user", "how many"), said("assistant", "two not three"),
        said("user", "many how"), said("assistant", "not many"),
    ]})];
    let (tokenizer, config) = (path("tokenizer.json"), path("tokenizer_config.json"));
    let more = ["--tokenizer", &tokenizer, "--template", &config, "--seq-len", "32"];
    let made = report(&chat(dir.path(), "talks", &rows, &more));
    assert_eq!((&made["answer_tokens"], &made["eos"]), (&7.into(), &0.into()));
    let tokens = values(&dir.path().join("talks/train_000000.npy"));
    let tokens: Vec<u8> = tokens.chunks(4).map(|token| token[0]).collect();
    let mask = values(&dir.path().join("talks/loss_mask_000000.npy"));
    assert_eq!(tokens[..18], [1, 4, 5, 0, 2, 6, 8, 7, 0, 1, 5, 4, 0, 2, 8, 5, 0, 0]);
    assert_eq!(mask[..18], [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0]);
    assert!(mask[18..].iter().all(|mask| *mask == 0));
    let kept = std::fs::read_to_string(dir.path().join("talks/chat_template.jinja")).unwrap();
    assert_eq!(kept, template);
}

#[test]
fn what_is_no_conversation_is_refused_with_its_line_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let good = json!({"prompt": "a", "completion": "b"});
    for (rows, more, exit, what) in [
        (
            vec![good.clone(), json!({"text": "x"})],
            vec![],
            3,
            "jsonl: line 2: it has the keys [text]",
        ),
        (
            vec![json!({"prompt": "a\0", "completion": "b"})],
            vec![],
            3,
            "jsonl: line 1: byte 0 at offset",
        ),
        (vec![json!({"messages": []})], vec![], 3, "no answer of an assistant is left of 1"),
        (vec![good.clone()], vec!["--seq-len", "300"], 2, "--seq-len 300 does not divide"),
        (vec![good.clone()], vec!["--template", "none.jinja"], 3, "cannot read none.jinja"),
        (vec![good], vec!["--eos", "x"], 2, "leave it out"),
    ] {
        let output = chat(dir.path(), "talks", &rows, &more);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{text}");
        assert!(text.contains(what), "{what:?} is not in {text}");
        let left = std::fs::read_dir(dir.path().join("talks")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{what}");
    }
}
