//! The bench in quick mode, as a user runs it: every row is there, whole, and JSON and table agree.

use std::path::PathBuf;

use bench::{Cli, Command, TableArgs, learning::LearningArgs};
use clap::Parser;
use serde_json::Value;

const IDS: [&str; 18] = [
    "C01", "C02", "C03", "C04", "C05", "C06", "C07", "C08", "C09", "D01", "D02", "D03", "N01",
    "N02", "R02", "R03", "V01", "V02",
];

fn quick(args: &[&str]) -> String {
    let cli = Cli::parse_from(["bench", "--quick", "--threads", "2"].iter().chain(args));
    bench::run(&cli).unwrap()
}

#[test]
fn every_row_has_its_numbers_and_two_runs_give_the_same_bits() {
    let table: Value = serde_json::from_str(&quick(&["--json"])).unwrap();
    assert!(!table["machine"]["cpu"].as_str().unwrap().is_empty());
    assert!(table["ceilings"]["fma_flop_per_s"].as_f64().unwrap() > 0.0);
    let rows = table["rows"].as_array().unwrap();
    for id in IDS {
        assert!(rows.iter().any(|row| row["id"] == id), "no row {id}");
    }
    for row in rows {
        for key in ["median_ms", "min_ms", "rate", "floor_ms", "ceiling_percent"] {
            let number = row[key].as_f64().unwrap_or(f64::NAN);
            assert!(number.is_finite() && number > 0.0, "{key} of {row}");
        }
        assert!(row["median_ms"].as_f64() >= row["min_ms"].as_f64(), "{row}");
        // Rounds of training are run once.
        assert!(row["bit_equal"] == true || row["id"] == "C09", "{row}");
        for (name, value) in row["also"].as_object().unwrap() {
            assert!(value.as_f64().is_some_and(f64::is_finite), "{name} of {row}");
        }
        if let Some(error) = row["f64_error"].as_f64() {
            let tolerance = if row["dtype"] == "bf16" { 5e-3 } else { 1e-5 };
            assert!(error < tolerance, "{row}");
        }
    }
}

#[test]
fn a_table_has_as_many_cells_in_every_line() {
    let text = quick(&["--filter", "C08,D01"]);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert!(lines.len() > 4, "{text}");
    let bars = |line: &str| line.matches('|').count();
    assert!(lines.iter().all(|line| bars(line) == bars(lines[0])), "{text}");
    assert!(lines[2..].iter().all(|line| line.contains("C08") || line.contains("D01")), "{text}");
}

#[test]
fn a_peers_time_in_a_file_becomes_a_ratio() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peer.csv");
    std::fs::write(&path, "id,scenario,shape,ms\nD01,dataset loader,,1000\n").unwrap();
    let json = quick(&["--json", "--filter", "D01", "--peer", path.to_str().unwrap()]);
    let table: Value = serde_json::from_str(&json).unwrap();
    let row = &table["rows"][0];
    let expected = 1000.0 / row["min_ms"].as_f64().unwrap();
    assert!((row["peer_ratio"].as_f64().unwrap() / expected - 1.0).abs() < 1e-9, "{row}");
}

#[test]
fn a_row_that_does_not_exist_is_named() {
    let table = TableArgs { filter: vec!["C99".into()], ..TableArgs::default() };
    let error = bench::run(&Cli { command: None, table }).unwrap_err();
    assert_eq!(error.exit(), 2);
    assert!(error.to_string().contains("C99"), "{error}");
}

#[test]
fn a_small_study_counts_the_bytes_that_the_wire_format_has() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    std::fs::write(&text, "what is the price of a word? ".repeat(200)).unwrap();
    let report: Value = serde_json::from_str(&bench::run(&study(text)).unwrap()).unwrap();
    let methods = report["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 6);
    let dense = 4 * report["params"].as_u64().unwrap();
    let sent = |at: usize| methods[at]["sent_bytes_per_peer"].as_u64().unwrap();
    assert_eq!((sent(0), sent(1)), (2 * 2 * dense, 2 * dense));
    assert!(sent(3) < sent(4), "Elias-Fano is the shorter codec");
    for method in methods {
        let loss = method["validation_loss_nats_per_byte"].as_f64().unwrap();
        assert!(loss.is_finite() && loss > 0.0, "{method}");
    }
}

fn study(text: PathBuf) -> Cli {
    let args = [
        "bench",
        "learning",
        "--json",
        "--windows",
        "2",
        "--peers",
        "2",
        "--inner-steps",
        "2",
        "--sequences",
        "1",
        "--seq",
        "32",
        "--layers",
        "1",
        "--width",
        "64",
        "--ffn",
        "64",
        "--text",
    ];
    let mut cli =
        Cli::parse_from(args.map(str::to_owned).into_iter().chain([text.display().to_string()]));
    if let Some(Command::Learning(LearningArgs { threads, .. })) = &mut cli.command {
        *threads = Some(1);
    }
    cli
}
