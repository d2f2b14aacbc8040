//! The files beside the PTX: numbers and hashes of sources.

use std::path::Path;

use ptx::{Numbers, Sources, difference};

const NUMBERS: &str = "\
# Made by `ci/ptx --write`: instructions in each kernel.
compiler = \"rustc 1.96.0, LLVM 22.1.8\"
assembler = \"ptxas 13.5.37\"

[rms_norm]
bar = 1
registers = 26
shfl = 10
";

#[test]
fn numbers_are_written_as_they_are_read() {
    let numbers = Numbers::parse(Path::new("sm_80.toml"), NUMBERS).unwrap();
    assert_eq!(numbers.render(), NUMBERS);
    assert_eq!(numbers.kernels["rms_norm"]["registers"], 26);
}

#[test]
fn a_table_that_holds_something_else_is_refused_by_its_name() {
    for text in ["registers = 1", "[k]\nbar = -1", "[k]\nbar = \"1\"", "=", "compiler = 1"] {
        let error = Numbers::parse(Path::new("sm_80.toml"), text).unwrap_err().to_string();
        assert!(error.starts_with("sm_80.toml: "), "{error}");
    }
}

#[test]
fn without_an_assembler_only_its_own_numbers_are_taken_over() {
    let committed = Numbers::parse(Path::new("sm_80.toml"), NUMBERS).unwrap();
    let mut made = committed.clone();
    made.kernels.get_mut("rms_norm").unwrap().clear();
    made.assembled_as_in(&committed);
    assert_eq!(made.kernels["rms_norm"].keys().collect::<Vec<_>>(), ["registers"]);
}

#[test]
fn a_source_that_changed_or_is_gone_is_stale() {
    let root = tempfile::tempdir().unwrap();
    let files = ["a.rs", "b.rs", "c.rs"];
    files.iter().for_each(|file| std::fs::write(root.path().join(file), file).unwrap());
    let sources = Sources::of(root.path(), files.map(str::to_string)).unwrap();
    let sources = Sources::parse(&sources.render());
    assert_eq!(sources.files().collect::<Vec<_>>(), files);
    assert_eq!(sources.stale(root.path()), [""; 0]);

    std::fs::write(root.path().join("b.rs"), "b").unwrap();
    std::fs::remove_file(root.path().join("c.rs")).unwrap();
    assert_eq!(sources.stale(root.path()), ["b.rs", "c.rs"]);
}

#[test]
fn a_difference_names_its_first_lines() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    let differs = difference("a\nb\nc\n", "a\nB\nc\nd\n").unwrap();
    assert_eq!(differs, "line 2, of 3 committed and 4 made:\n- b\n- c\n+ B\n+ c\n+ d\n");
    assert!(difference("a\n", "a").is_some());
}
