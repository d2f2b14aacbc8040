//! `cov72 generate` from every form of a model.

use super::{cov72, done, generated, models};

fn told(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_string()
}

#[test]
fn a_run_a_checkpoint_and_what_was_exported_and_imported_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    models(dir);
    done(dir, &["import", "chatty", "--out", "ours", "--json"]);
    let from =
        |args: &[&str]| generated(dir, &[&["--prompt", "the ", "--seed", "5"], args].concat());
    let run = from(&["--model", "run"]);
    assert_eq!(run["prompt_tokens"], 4);
    assert_eq!(run["seed"], 5);
    let text = run["text"].as_str().unwrap();
    let checkpoint = "run/checkpoints/window-00000001";
    let others: [&[&str]; 4] = [
        &["--model", checkpoint],
        &["--model", "chatty", "--tokenizer", "byte"],
        &["--model", "ours", "--tokenizer", "byte"],
        &["--model", "run", "--threads", "1"],
    ];
    for args in others {
        assert_eq!(from(args)["text"], text, "{args:?}");
    }
    assert_ne!(
        generated(dir, &["--model", "run", "--prompt", "the ", "--seed", "6"])["text"],
        text
    );
    // As text, to a reader.
    let args = ["generate", "--model", "run", "--prompt", "the ", "--seed", "5"];
    let output = cov72(dir, &[&args[..], &["--max-tokens", "40"]].concat());
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), format!("{text}\n"));
    assert!(told(&output).contains("tokens/s"), "{}", told(&output));
    // The template came along with the import.
    let chat = ["--chat", "--prompt", "hi", "--seed", "5", "--tokenizer", "byte", "--model"];
    let chats = ["chatty", "ours"].map(|model| generated(dir, &[&chat[..], &[model]].concat()));
    assert_eq!(chats[0]["text"], chats[1]["text"]);
    assert_eq!(chats[0]["prompt_tokens"], "user: hi\nassistant: ".len());
}

#[test]
fn what_cannot_be_done_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    models(dir);
    let long = "x".repeat(300);
    let refusals: [(&[&str], i32, &str); 6] = [
        (&["--model", "run", "--chat", "--prompt", "hi"], 3, "has no chat template"),
        (&["--model", "chatty", "--prompt", "hi"], 3, "has no tokenizer"),
        (&["--model", "nowhere", "--prompt", "hi"], 3, "is no run"),
        (&["--model", "run", "--prompt", &long], 2, "the prompt has 300 tokens"),
        (&["--model", "run", "--prompt", "a", "--top-p", "1.5"], 2, "--top-p is out of range"),
        (&["--model", "run", "--prompt", "a", "--max-tokens", "0"], 2, "makes nothing"),
    ];
    for (args, code, reason) in refusals {
        let output = cov72(dir, &[&["generate"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", told(&output));
        assert!(told(&output).contains(reason), "{}", told(&output));
    }
}
