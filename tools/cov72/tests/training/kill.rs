//! A run that is killed at any instant goes on, and ends with the bits of one that never was.

use std::process::Stdio;
use std::time::Duration;

use crate::tiny::{Tiny, newest_checkpoint, stderr};

/// More windows than there is time for, so that every kill finds the run at work.
const ENDLESS: &str = "1000000";
const KILLS: u64 = 20;

#[test]
fn twenty_kills_change_no_bit_of_the_result() {
    let tiny = Tiny::new();
    for kill in 0..=KILLS {
        let resume: &[&str] =
            if tiny.path("killed/run.json").exists() { &["--resume"] } else { &[] };
        if kill == 5 {
            // However slow the machine is, from here on there is a checkpoint to come back to.
            tiny.summary("killed", &[resume, &["--windows", "1"]].concat());
            continue;
        }
        let arguments = [resume, &["--windows", ENDLESS]].concat();
        let mut command = tiny.command("killed", &arguments);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        // Instants spread over start-up, windows and checkpoints alike, the same in every test run.
        let millis = 20 + (kill * 2_654_435_761 % 1_000) * 300 / 1_000;
        std::thread::sleep(Duration::from_millis(millis));
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself before kill {kill}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Where the kills left off depends on the machine; that the bits are the same does not.
    let done = newest_checkpoint(&tiny.path("killed"));
    let done = done.file_name().unwrap().to_string_lossy().into_owned();
    let done: u64 =
        done.trim_start_matches(".window-").trim_start_matches("window-").parse().unwrap();
    let windows = (done + 3).to_string();
    let whole = tiny.summary("whole", &["--windows", &windows]);
    let resumed = tiny.summary("killed", &["--resume", "--windows", &windows]);
    for key in ["state_root", "tokens", "inner_steps", "loss_first", "loss_last"] {
        assert_eq!(resumed[key], whole[key], "{key}");
    }
}

/// What happens to a file.
enum Damage {
    /// One bit in its middle is another.
    Flip,
    /// It ends in its middle.
    Cut,
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
    let tiny = Tiny::new();
    let whole = tiny.summary("whole", &[]);
    let damages = [
        ("params.safetensors", Damage::Flip),
        ("residual.safetensors", Damage::Cut),
        ("second_moment.safetensors", Damage::Flip),
        ("index.json", Damage::Flip),
    ];
    for (file, damage) in damages {
        let run = format!("damaged-{file}");
        tiny.summary(&run, &["--windows", "4"]);
        let path = newest_checkpoint(&tiny.path(&run)).join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        match damage {
            Damage::Flip => bytes[middle] ^= 1,
            Damage::Cut => bytes.truncate(middle),
        }
        std::fs::write(&path, bytes).unwrap();
        let output = tiny.train(&run, &["--resume", "--windows", "6", "--json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stderr(&output);
        assert!(text.contains("window-00000004 is damaged") && text.contains(file), "{text}");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["state_root"], whole["state_root"], "{file}");
    }
}

#[test]
fn a_half_written_checkpoint_is_swept_away() {
    let tiny = Tiny::new();
    let whole = tiny.summary("whole", &[]);
    tiny.summary("half", &["--windows", "3"]);
    let half = tiny.path("half/checkpoints/.window-00000004");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("params.safetensors"), b"half").unwrap();
    let resumed = tiny.summary("half", &["--resume", "--windows", "6"]);
    assert_eq!(resumed["state_root"], whole["state_root"]);
    assert!(!half.exists());
}
