//! The rows of a GPU on an emulated one, and the command that runs all checks of a GPU.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The rows, but for those that a quick run leaves to real models.
const IDS: [&str; 15] = [
    "G01", "G02", "G03", "G04", "G05", "G06", "G07", "G08", "G09", "G10", "G11", "G12", "G13",
    "G14", "G18",
];

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments).output().expect("the bench starts")
}

#[test]
fn every_row_of_an_emulated_gpu_has_its_numbers_and_two_runs_give_the_same_bits() {
    let output = bench(&["--device", "emulated", "--quick", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(table["gpu"]["name"], "emulator");
    assert!(table["gpu"]["ceilings"]["gemm_flop_per_s"].as_f64().unwrap() > 0.0);
    assert!(table["ceilings"].is_null(), "the CPU was not asked for");
    let rows = table["rows"].as_array().unwrap();
    for id in IDS {
        assert!(rows.iter().any(|row| row["id"] == id), "no row {id}");
    }
    for row in rows {
        for key in ["median_ms", "min_ms", "rate"] {
            let number = row[key].as_f64().unwrap_or(f64::NAN);
            assert!(number.is_finite() && number > 0.0, "{key} of {row}");
        }
        assert_eq!(row["bit_equal"], true, "{row}");
        assert!(row["id"] == "G18" || row["floor_ms"].as_f64().unwrap() > 0.0, "{row}");
        if let Some(error) = row["f64_error"].as_f64() {
            let tolerance = if row["dtype"] == "bf16" { 1e-2 } else { 1e-6 };
            assert!(error <= tolerance, "{row}");
        }
        if row["id"] == "G12" || row["id"] == "G13" {
            assert_eq!(row["also"]["bits_of_the_cpu"], 1.0, "{row}");
        }
    }
}

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn all_checks_end_in_one_report_and_what_fails_is_counted_and_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let [tests, out] = ["tests", "out"].map(|name| folder.path().join(name));
    std::fs::create_dir(&tests).unwrap();
    let good = "echo 'test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'";
    program(&tests, "good", good);
    let bad = "echo 'test result: FAILED. 3 passed; 2 failed; 0 ignored'; exit 101";
    program(&tests, "bad", bad);
    let peers = folder.path().join("peers.csv");
    std::fs::write(&peers, "copy,65536,torch,1000.0,1,GB/s\n").unwrap();
    let output = bench(&[
        "gpu",
        "--device",
        "emulated",
        "--quick",
        "--filter",
        "G01,G07",
        "--tests",
        tests.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--peers",
        peers.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read_to_string(out.join("gpu.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!((&check("good")["ok"], &check("good")["passed"]), (&true.into(), &5.into()));
    assert_eq!((&check("bad")["ok"], &check("bad")["failed"]), (&false.into(), &2.into()));
    assert!(std::fs::read_to_string(out.join("bad.log")).unwrap().contains("FAILED"));
    let rows = report["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["id"] == "G07"), "the rows were taken all the same");
    let copy = rows.iter().find(|row| row["id"] == "G01").unwrap();
    assert_eq!(copy["peer_ms"], 1000.0, "{copy}");
    let text = std::fs::read_to_string(out.join("gpu.txt")).unwrap();
    assert!(text.contains("bad: FAILED, 3 passed, 2 failed") && text.contains("G07"), "{text}");
}

#[test]
fn a_machine_without_a_gpu_is_told_what_is_missing_in_the_report_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["gpu", "--out"]).arg(folder.path()).env("CUDA_VISIBLE_DEVICES", "");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("no NVIDIA driver") || said.contains("shows no GPU"), "{said}");
    let report = std::fs::read_to_string(folder.path().join("gpu.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["refused"].as_str().is_some_and(|why| said.contains(why)), "{report}");
}

#[test]
fn a_device_that_does_not_exist_is_named() {
    let output = bench(&["--device", "gpu", "--quick"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"gpu\""));
}
