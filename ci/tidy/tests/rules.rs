//! Each rule on a small tree: shown to fire on a breach, and to stay silent beside one.

use std::path::Path;

/// A workspace with one crate, `wire`, whose files are given relative to the crate.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![("Cargo.toml", "[package]\nname = \"wire\"\n")];
    all.retain(|(path, _)| !files.iter().any(|(given, _)| given == path));
    all.extend(files);
    if !files.iter().any(|(path, _)| *path == "src/lib.rs") {
        all.push(("src/lib.rs", "//! Root.\n"));
    }
    let root = tempfile::tempdir().unwrap();
    for (path, text) in all {
        write(&root.path().join("net/wire").join(path), text);
    }
    tidy::check(root.path()).unwrap().iter().map(ToString::to_string).collect()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn lib(text: &str) -> Vec<String> {
    findings(&[("src/lib.rs", text)])
}

#[test]
fn a_tidy_tree_has_no_findings() {
    assert!(lib("//! Root.\n\n/// One.\npub fn one() -> u8 {\n    1\n}\n").is_empty());
}

#[test]
fn a_file_that_does_not_open_with_its_sentence_is_found() {
    let expected = ["net/wire/src/lib.rs:1: opening: the first line is no `//!` sentence"];
    assert_eq!(lib("use std::fmt;\n"), expected);
    assert_eq!(lib("//!\nuse std::fmt;\n"), expected);
    assert_eq!(lib("\n//! Late.\n"), expected);
}

#[test]
fn a_line_of_101_characters_is_found_and_one_of_100_is_not() {
    let line = |width: usize| format!("//! Root.\n// {}\n", "ä".repeat(width - 3));
    assert!(lib(&line(100)).is_empty());
    assert_eq!(lib(&line(101)), ["net/wire/src/lib.rs:2: line width: 101 characters, at most 100"]);
}

#[test]
fn only_code_outside_test_modules_counts_towards_the_length_of_a_file() {
    let code = |lines: usize| "const _: u8 = 1;\n".repeat(lines);
    let test_module = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code(300));
    let quiet = format!("//! Root.\n\n// why\n{}\n/// doc\n{}", code(499), "const _: u8 = 1;\n");
    assert!(lib(&format!("{quiet}{test_module}")).is_empty());
    assert_eq!(
        lib(&format!("{quiet}{}{test_module}", code(1))),
        ["net/wire/src/lib.rs:1: file length: 501 lines of code, at most 500"]
    );
}

#[test]
fn a_function_of_71_lines_is_found_wherever_it_stands() {
    let body = |lines: usize| format!("() {{\n{}}}\n", "let _ = 1;\n".repeat(lines - 2));
    let function = |lines| format!("//! Root.\n\n/// Doc.\n#[inline]\npub fn f{}", body(lines));
    assert!(lib(&function(70)).is_empty());
    assert_eq!(
        lib(&function(71)),
        ["net/wire/src/lib.rs:5: function length: `f` has 71 lines, at most 70"]
    );
    let method = format!("//! Root.\nstruct S;\nimpl S {{\nfn g{}}}\n", body(80));
    assert_eq!(
        lib(&method),
        ["net/wire/src/lib.rs:4: function length: `g` has 80 lines, at most 70"]
    );
    let default = format!("//! Root.\ntrait T {{\nfn h{}}}\n", body(80));
    assert_eq!(
        lib(&default),
        ["net/wire/src/lib.rs:3: function length: `h` has 80 lines, at most 70"]
    );
}

#[test]
fn unsafe_is_found_as_code_but_not_as_a_word() {
    assert!(lib("//! unsafe\n#![forbid(unsafe_code)]\nconst A: &str = \"unsafe\";\n").is_empty());
    let expected = ["net/wire/src/lib.rs:2: unsafe: only kernels/ and runtime/ may hold it"];
    assert_eq!(lib("//! Root.\nfn f() { unsafe {} }\n"), expected);
    assert_eq!(lib("//! Root.\nmacro_rules! m { () => { unsafe {} }; }\n"), expected);
}

#[test]
fn unsafe_is_allowed_in_the_runtime() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("runtime/Cargo.toml"), "[package]\nname = \"runtime\"\n");
    write(&root.path().join("runtime/src/lib.rs"), "//! Root.\nfn f() { unsafe {} }\n");
    assert!(tidy::check(root.path()).unwrap().is_empty());
}

#[test]
fn names_that_say_nothing_are_found() {
    let found = findings(&[
        ("src/lib.rs", "//! Root.\nmod helpers;\nmod inner {\n    mod misc {}\n}\n"),
        ("src/helpers.rs", "//! Many things.\n"),
    ]);
    assert_eq!(
        found,
        [
            "net/wire/src/helpers.rs:1: name: `helpers` in the path says nothing; name the idea",
            "net/wire/src/lib.rs:2: name: `helpers` as a module says nothing; name the idea",
            "net/wire/src/lib.rs:4: name: `misc` as a module says nothing; name the idea",
        ]
    );
    let found = findings(&[("Cargo.toml", "[package]\nname = \"core\"\n")]);
    assert!(found[1].ends_with("name: `core` as a crate says nothing; name the boundary"));
}

#[test]
fn unfinished_code_and_notes_are_found() {
    let text = concat!(
        "//! Root.\nfn f() { todo!() }\nfn g() { unimplemented!() }\n#[ignore = \"slow\"]\n",
        "fn h() {}\n// FIX",
        "ME: later\nconst A: &str = \"todo!()\";\n"
    );
    assert_eq!(
        lib(text),
        [
            "net/wire/src/lib.rs:2: marker: `todo!` stands where code is missing".to_string(),
            "net/wire/src/lib.rs:3: marker: `unimplemented!` stands where code is missing".into(),
            "net/wire/src/lib.rs:4: marker: a test is switched off".into(),
            concat!("net/wire/src/lib.rs:6: marker: a note `FIX", "ME` was left").into(),
        ]
    );
}

#[test]
fn a_file_that_no_module_names_is_dead() {
    let found = findings(&[
        ("src/lib.rs", "//! Root.\nmod a;\nmod inline { mod d; }\n"),
        ("src/a.rs", "//! A.\nmod b;\n#[path = \"elsewhere.rs\"]\nmod c;\n"),
        ("src/a/b.rs", "//! B.\ninclude!(\"../table.rs\");\n"),
        ("src/elsewhere.rs", "//! C.\nmod beside;\n"),
        ("src/beside.rs", "//! Beside.\n"),
        ("src/inline/d.rs", "//! D.\n"),
        ("src/table.rs", "//! Table.\n"),
        ("src/orphan.rs", "//! Orphan.\nmod child;\n"),
        ("src/orphan/child.rs", "//! Child.\n"),
        ("tests/it.rs", "//! Test.\nmod shared;\n"),
        ("tests/shared/mod.rs", "//! Shared.\n"),
        ("tests/big/main.rs", "//! Test.\n"),
    ]);
    assert_eq!(
        found,
        [
            "net/wire/src/orphan.rs:1: dead file: no target of a crate reaches this file",
            "net/wire/src/orphan/child.rs:1: dead file: no target of a crate reaches this file",
        ]
    );
}

#[test]
fn targets_named_in_the_manifest_are_alive() {
    let manifest = "[package]\nname = \"wire-fuzz\"\n[dependencies]\nwire = { path = \"..\" }\n\
                    [[bin]]\nname = \"decode\"\npath = \"targets/decode.rs\"\n";
    let files = [("Cargo.toml", manifest), ("targets/decode.rs", "//! Decode.\n")];
    assert!(findings(&files).is_empty());
}

#[test]
fn an_edge_that_is_not_in_the_list_is_found_and_dev_dependencies_are_free() {
    let manifest = |text: &str| format!("[package]\nname = \"wire\"\n{text}");
    let cargo = |text: &str| findings(&[("Cargo.toml", &manifest(text))]);
    assert!(cargo("[dependencies]\nserde = \"1\"\n[dev-dependencies]\nmodel = \"0\"\n").is_empty());
    assert_eq!(
        cargo("[dependencies]\nserde = \"1\"\nmodel.workspace = true\n"),
        ["net/wire/Cargo.toml:5: arrow: `wire` must not depend on `model`"]
    );
    assert_eq!(
        cargo("[target.'cfg(unix)'.dependencies]\ntokio.workspace = true\n"),
        ["net/wire/Cargo.toml:4: arrow: `wire` must stay free of async and network: `tokio`"]
    );
    assert_eq!(
        findings(&[("Cargo.toml", "[package]\nname = \"novel\"\n")]),
        ["net/wire/Cargo.toml:2: arrow: crate `novel` has no row in the arrows of ci/tidy"]
    );
}

#[test]
fn build_outputs_and_hidden_folders_are_not_looked_at() {
    assert!(findings(&[("target/a.rs", "fn f() {}"), (".git/b.rs", "not Rust")]).is_empty());
}

#[test]
fn a_file_that_is_no_rust_is_an_error_naming_the_line() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("a.rs"), "//! A.\nfn f( {}\n");
    let error = tidy::check(root.path()).unwrap_err().to_string();
    assert!(error.starts_with("a.rs:2: "), "{error}");
}
