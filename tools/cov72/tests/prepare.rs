//! `cov72 data prepare` under stress: any number of threads, any instant of a kill, any input.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn data(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
    command.arg("data").args(args);
    command
}

fn run(args: &[&str]) -> Output {
    data(args).output().unwrap()
}

fn done(args: &[&str]) -> serde_json::Value {
    let output = run(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn failed(args: &[&str]) -> (i32, String) {
    let output = run(args);
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stderr.lines().last().unwrap_or_default().to_string())
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every file of a folder with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_string();
    entries.map(|entry| (name(entry.path()), std::fs::read(entry.path()).unwrap())).collect()
}

/// Text without repetition, some of it outside ASCII.
fn text(seed: u64, words: usize) -> String {
    let mut state = seed;
    let mut word = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let stem =
            ["wave", "Größe", "日本", "of", "and", "shard", "🦀", "to"][(state >> 61) as usize];
        format!("{stem}{}", (state >> 33) % 9973)
    };
    (0..words).map(|_| word()).collect::<Vec<_>>().join(" ")
}

fn rows(path: &Path, seed: u64, count: u64, words: usize) {
    let mut file = std::fs::File::create(path).unwrap();
    for row in 0..count {
        let text = if row % 7 == 3 { String::new() } else { text(seed + row, words) };
        writeln!(file, "{}", serde_json::json!({"n": row, "text": text})).unwrap();
    }
}

/// A folder with a text of two pieces, rows, and a tokenizer learnt from them.
fn corpus(words: usize) -> (tempfile::TempDir, [PathBuf; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let [book, lines, tokenizer] =
        ["book.txt", "rows.jsonl", "tokenizer.json"].map(|name| dir.path().join(name));
    std::fs::write(&book, text(1, words)).unwrap();
    rows(&lines, 5, 300, 200);
    done(&["train-tokenizer", str(&lines), "--vocab", "600", "--out", str(&tokenizer)]);
    (dir, [book, lines, tokenizer])
}

#[test]
fn shards_do_not_depend_on_the_number_of_threads() {
    let (dir, [book, lines, tokenizer]) = corpus(600_000);
    let made = ["1", "2", "5"].map(|threads| {
        let out = dir.path().join(threads);
        let args = [
            "prepare",
            str(&book),
            str(&lines),
            "--tokenizer",
            str(&tokenizer),
            "--out",
            str(&out),
            "--shard-tokens",
            "262144",
            "--documents",
            "--threads",
            threads,
        ];
        let report = done(&args);
        assert_eq!((&report["documents"], &report["empty_documents"]), (&258.into(), &43.into()));
        assert!(report["shards"].as_u64().unwrap() > 5, "{report}");
        files(&out)
    });
    assert!(made[0] == made[1] && made[1] == made[2]);
    let about: serde_json::Value = serde_json::from_slice(&made[0]["dataset.json"]).unwrap();
    assert_eq!(about["inputs"][0]["bytes"], std::fs::metadata(&book).unwrap().len());
    let verified = done(&["verify", str(&dir.path().join("5"))]);
    assert_eq!(
        (&verified["hashes_known"], &verified["shards"]),
        (&true.into(), &about["shards"].as_array().unwrap().len().into())
    );
}

#[test]
fn killed_at_any_instant_the_same_command_ends_with_the_same_bytes() {
    let (dir, [book, lines, tokenizer]) = corpus(100_000);
    let args = |out: &Path| {
        let args = [
            "prepare",
            str(&lines),
            str(&book),
            "--tokenizer",
            str(&tokenizer),
            "--out",
            str(out),
            "--shard-tokens",
            "40960",
            "--documents",
            "--threads",
            "2",
        ];
        args.map(str::to_string)
    };
    let start = |out: &Path| {
        let args = args(out);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        data(&args).spawn().unwrap()
    };
    let whole = dir.path().join("whole");
    assert!(start(&whole).wait().unwrap().success());
    let whole = files(&whole);
    let mut kills = 0;
    for first_ms in [3, 40, 90, 150] {
        let out = dir.path().join(format!("killed-{first_ms}"));
        let mut wait = Duration::from_millis(first_ms);
        loop {
            let mut child = start(&out);
            std::thread::sleep(wait);
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            // Killed between its last deed and its end, it has nothing left to do, and the same
            // command would refuse a folder that holds a dataset.
            if out.join("dataset.json").exists() && !out.join("prepare.journal").exists() {
                break;
            }
            // Longer each time, so that a slow machine gets to the end, too.
            wait = wait * 5 / 4 + Duration::from_millis(20);
        }
        let found = files(&out);
        assert_eq!(found.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
        assert!(found == whole, "first killed after {first_ms} ms");
    }
    assert!(kills >= 4, "only {kills} kills came in time");
}

#[test]
fn a_stopped_job_is_gone_on_with_by_the_same_command_only() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, out) = (dir.path().join("rows.jsonl"), dir.path().join("out"));
    rows(&lines, 9, 40, 400);
    // A row that cannot be encoded stops the job behind its first shards.
    let mut file = std::fs::OpenOptions::new().append(true).open(&lines).unwrap();
    writeln!(file, "{}", serde_json::json!({"text": "nul \u{0}"})).unwrap();
    let prepare = ["prepare", "--jsonl", str(&lines), "--out", str(&out), "--shard-tokens", "8192"];
    let (exit, message) = failed(&prepare);
    assert_eq!(exit, 3);
    assert!(message.contains("rows.jsonl: line 41: byte 0 at offset 4"), "{message}");
    assert!(out.join("prepare.journal").exists() && out.join("train_000003.npy").exists());
    let again = failed(&prepare);
    assert_eq!(again, (exit, message), "it goes on to the same row");
    for other in [&["--documents"][..], &["--utf8", "skip"], &["--column", "n"]] {
        let (exit, message) = failed(&[&prepare[..], other].concat());
        assert_eq!(exit, 3);
        assert!(message.contains("part of another job, whose "), "{message}");
    }
    let mended = std::fs::read_to_string(&lines).unwrap().replace("\\u0000", "");
    std::fs::write(&lines, mended).unwrap();
    assert!(failed(&prepare).1.contains("whose inputs differs"));
    std::fs::remove_dir_all(&out).unwrap();
    done(&prepare);
    assert!(failed(&prepare).1.contains("already holds a dataset"));
}

#[test]
fn packed_rows_and_plain_ones_give_the_same_shards() {
    let dir = tempfile::tempdir().unwrap();
    let lines = dir.path().join("rows.jsonl");
    rows(&lines, 3, 60, 100);
    let plain = std::fs::read(&lines).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&plain).unwrap();
    std::fs::write(dir.path().join("rows.jsonl.gz"), gz.finish().unwrap()).unwrap();
    let zst = zstd::encode_all(&plain[..], 1).unwrap();
    std::fs::write(dir.path().join("rows.jsonl.zst"), zst).unwrap();
    let made = ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst"].map(|name| {
        let out = dir.path().join(name.replace('.', "-"));
        done(&["prepare", str(&dir.path().join(name)), "--out", str(&out)]);
        std::fs::read(out.join("train_000000.npy")).unwrap()
    });
    assert!(made[0] == made[1] && made[1] == made[2]);
}

#[test]
fn inputs_that_cannot_be_read_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let out = dir.path().join("out");
    let refused = |path: &Path, more: &[&str]| {
        let found = failed(&[&["prepare", str(path), "--out", str(&out)], more].concat());
        assert!(!out.exists() || std::fs::read_dir(&out).unwrap().count() == 0, "{found:?}");
        found
    };
    let (exit, message) = refused(&file("a.jsonl", b"{\"body\": \"x\", \"id\": 1}\n"), &[]);
    assert_eq!(exit, 2);
    assert!(message.contains("no column text in line 1; it has: body, id"), "{message}");
    let (exit, message) = refused(&file("b.jsonl", b"{\"text\": 7}\n"), &[]);
    assert_eq!((exit, message.contains("line 1: its text is no text")), (3, true), "{message}");
    let (exit, message) = refused(&file("c.parquet", b"PAR1 garbage PAR1"), &[]);
    assert_eq!((exit, message.contains("c.parquet is no whole parquet")), (3, true), "{message}");
    let (exit, message) = refused(&file("d.zip", b"PK"), &[]);
    assert_eq!((exit, message.contains("name it behind --text")), (2, true), "{message}");
    let (exit, message) = refused(&file("e.jsonl", b"{\"text\": \"\xFF\"}\n"), &[]);
    assert_eq!((exit, message.contains("line 1: no UTF-8 at byte 10")), (3, true), "{message}");
    let twins = [file("f.txt", b"the same"), file("g.txt", b"the same")];
    let (exit, message) = refused(&twins[0], &["--text", str(&twins[1])]);
    assert_eq!((exit, message.contains("hold the same bytes")), (2, true), "{message}");
    let repeated = file("h.txt", "0123456789abcdef".repeat(1024).as_bytes());
    let (exit, message) = failed(&[
        "prepare",
        str(&repeated),
        "--out",
        str(&dir.path().join("twins")),
        "--shard-tokens",
        "4096",
    ]);
    assert_eq!(
        (exit, message.contains("shards 0 and 1 would hold the same")),
        (3, true),
        "{message}"
    );
    assert_eq!(failed(&["prepare", "--out", str(&out)]).0, 2);
}

#[test]
fn text_that_is_no_utf8_is_replaced_or_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, book) = (dir.path().join("rows.jsonl"), dir.path().join("book.txt"));
    let bad =
        [b"{\"text\": \"bad \xFF\xFE row\"}\n".as_slice(), b"{\"text\": \"\xC3\"}\n"].concat();
    rows(&lines, 3, 30, 100);
    let good = std::fs::read(&lines).unwrap();
    std::fs::write(&lines, [&good[..], &bad].concat()).unwrap();
    std::fs::write(&book, [b"caf\xE9 ".repeat(20), text(7, 2000).into_bytes()].concat()).unwrap();
    let tokenizer = dir.path().join("tokenizer.json");
    let train = ["train-tokenizer", str(&lines), "--vocab", "300", "--out", str(&tokenizer)];
    assert!(failed(&train).1.contains("line 31: no UTF-8"));
    done(&[&train[..], &["--utf8", "skip"]].concat());
    let prepare = |utf8| {
        let out = dir.path().join(utf8);
        done(&[
            "prepare",
            str(&lines),
            "--text",
            str(&book),
            "--tokenizer",
            str(&tokenizer),
            "--out",
            str(&out),
            "--utf8",
            utf8,
        ])
    };
    let (replaced, skipped) = (prepare("replace"), prepare("skip"));
    assert_eq!((&replaced["not_utf8"], &skipped["not_utf8"]), (&22.into(), &22.into()));
    let documents = |report: &serde_json::Value| report["documents"].as_u64().unwrap();
    assert_eq!(documents(&replaced), documents(&skipped) + 2);
}

#[test]
fn verify_names_the_file_that_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, out) = (dir.path().join("rows.jsonl"), dir.path().join("out"));
    rows(&lines, 3, 60, 300);
    done(&["prepare", str(&lines), "--out", str(&out), "--shard-tokens", "16384", "--documents"]);
    done(&["verify", str(&out)]);
    for (name, at) in [
        ("train_000001.npy", 128 + 4 * 3000),
        ("sample_ids_000002.npy", 128 + 9),
        ("documents_000000.npy", 128 + 8),
        ("train_000000.npy", 10),
    ] {
        let path = out.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
        let (exit, message) = failed(&["verify", str(&out)]);
        assert_eq!(exit, 5, "{message}");
        let file = name.replace("sample_ids", "train");
        assert!(message.contains(&file), "{name}: {message}");
        std::fs::write(&path, whole).unwrap();
    }
    let shard = out.join("train_000000.npy");
    let [first, ids] = ["train_000001.npy", "sample_ids_000001.npy"].map(|name| out.join(name));
    std::fs::copy(shard, first).unwrap();
    std::fs::copy(out.join("sample_ids_000000.npy"), ids).unwrap();
    assert_eq!(failed(&["verify", str(&out)]).0, 5);
}

#[cfg(unix)]
#[test]
fn a_folder_that_another_job_writes_into_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("a.jsonl"), dir.path().join("out"));
    rows(&input, 1, 200, 100);
    let args = ["prepare", "--jsonl", str(&input), "--tokenizer", "byte", "--out", str(&out)];
    std::fs::create_dir(&out).unwrap();
    let other = std::fs::File::open(&out).unwrap();
    other.lock().unwrap();
    let (code, told) = failed(&args);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("another job writes into"), "{told}");
    assert!(files(&out).is_empty());
    drop(other);
    done(&args);
}

/// The second shard goes to a device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_a_job_stops_with_what_it_lacks_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.jsonl");
    rows(&input, 1, 200, 100);
    let prepare = |out: &Path| -> Vec<String> {
        let args = ["prepare", "--jsonl", str(&input), "--tokenizer", "byte", "--out", str(out)];
        [&args[..], &["--shard-tokens", "40960"]].concat().into_iter().map(str::to_string).collect()
    };
    let (whole, out) = (dir.path().join("whole"), dir.path().join("out"));
    let args = prepare(&whole);
    done(&args.iter().map(String::as_str).collect::<Vec<_>>());
    std::fs::create_dir(&out).unwrap();
    let second = out.join("train_000001.npy.partial");
    std::os::unix::fs::symlink("/dev/full", &second).unwrap();
    let args = prepare(&out);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (code, told) = failed(&args);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("is full: the rest of the text needs about"), "{told}");
    assert!(out.join("train_000000.npy").exists() && !out.join("dataset.json").exists());
    done(&args);
    assert!(files(&out) == files(&whole));
}
