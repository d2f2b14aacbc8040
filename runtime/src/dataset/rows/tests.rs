//! Files as people have them, and as strangers make them.

use std::io::Write;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::*;

const LINES: &str = "{\"text\": \"one\", \"n\": 1}\n\n{\"text\": \"zwölf\", \"n\": 12}\n";

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn all(path: &Path) -> Result<Vec<Value>, RowsError> {
    open(path)?.map(|row| row.map(Value::Object)).collect()
}

fn error(name: &str, bytes: &[u8]) -> String {
    let (_dir, path) = file(name, bytes);
    all(&path).unwrap_err().to_string()
}

/// `groups` row groups of `rows` rows of an optional text, a number, and a list of texts.
fn parquet(path: &Path, groups: i64, rows: i64) {
    let schema = "message rows { optional binary text (UTF8); required int64 n;
        optional group tags (LIST) { repeated group list { optional binary element (UTF8); } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(Default::default()));
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    for group in 0..groups {
        let numbers: Vec<i64> = (0..rows).map(|row| group * rows + row).collect();
        let texts = numbers.iter().filter(|n| **n % 3 != 2);
        let texts: Vec<ByteArray> = texts.map(|n| ByteArray::from(&*format!("row {n}"))).collect();
        let present: Vec<i16> = numbers.iter().map(|n| i16::from(n % 3 != 2)).collect();
        let mut columns = writer.next_row_group().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&present), None).unwrap();
        column.close().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
        column.close().unwrap();
        let mut column = columns.next_column().unwrap().unwrap();
        let tags: Vec<ByteArray> =
            numbers.iter().flat_map(|_| ["a", "b"].map(ByteArray::from)).collect();
        let (defined, repeated): (Vec<i16>, Vec<i16>) =
            numbers.iter().flat_map(|_| [(3, 0), (3, 1)]).unzip();
        column
            .typed::<ByteArrayType>()
            .write_batch(&tags, Some(&defined), Some(&repeated))
            .unwrap();
        column.close().unwrap();
        columns.close().unwrap();
    }
    writer.close().unwrap();
}

fn made(groups: i64, rows: i64) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    parquet(&path, groups, rows);
    (dir, path)
}

#[test]
fn every_text_format_gives_the_same_rows() {
    let rows = [json!({"text": "one", "n": 1}), json!({"text": "zwölf", "n": 12})];
    let array = "\u{FEFF} [ {\"text\": \"one\", \"n\": 1} ,\n{\"text\": \"zwölf\", \"n\": 12}]\n";
    let zst = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let two_members = [gz(&LINES.as_bytes()[..24]), gz(&LINES.as_bytes()[24..])].concat();
    for (name, bytes) in [
        ("a.jsonl", LINES.as_bytes().to_vec()),
        ("a.jsonl", LINES.trim_end().replace('\n', "\r\n").into_bytes()),
        ("a.ndjson", [b"\xEF\xBB\xBF", LINES.as_bytes()].concat()),
        ("a.jsonl.gz", gz(LINES.as_bytes())),
        ("a.jsonl.gz", two_members),
        ("a.JSONL.zst", zst(LINES.as_bytes())),
        ("a.json", array.as_bytes().to_vec()),
        ("a.json.gz", gz(array.as_bytes())),
    ] {
        let (_dir, path) = file(name, &bytes);
        assert_eq!(all(&path).unwrap(), rows, "{name}");
        assert_eq!(columns(&path).unwrap(), ["n", "text"]);
    }
    let (_dir, path) = file("a.json", b"[]");
    assert!(all(&path).unwrap().is_empty());
}

#[test]
fn brackets_and_quotes_within_strings_cut_nothing() {
    let row = json!({"a": "}]\\\" {[", "b": [{"c": "\\"}]});
    let (_dir, path) = file("a.json", format!("[{row},{row}]").as_bytes());
    assert_eq!(all(&path).unwrap(), [row.clone(), row]);
}

#[test]
fn parquet_rows_come_as_json_with_lists_and_nulls() {
    let (_dir, path) = made(3, 50);
    let rows = all(&path).unwrap();
    assert_eq!(rows.len(), 150);
    assert_eq!(rows[0], json!({"text": "row 0", "n": 0, "tags": ["a", "b"]}));
    assert_eq!(rows[149], json!({"text": null, "n": 149, "tags": ["a", "b"]}));
    assert_eq!(columns(&path).unwrap(), ["text", "n", "tags"]);
}

#[test]
fn reading_may_begin_at_any_row_and_take_some_columns() {
    let (_dir, table) = made(3, 50);
    for first_row in [0, 1, 49, 50, 99, 100, 149, 150] {
        let selection = Selection { columns: &["n"], first_row, ..Selection::default() };
        let rows: Vec<Row> =
            open_selected(&table, selection).unwrap().map(Result::unwrap).collect();
        let found: Vec<Value> = rows.iter().map(|row| row["n"].clone()).collect();
        assert_eq!(found, (first_row..150).map(Value::from).collect::<Vec<_>>());
        assert!(rows.iter().all(|row| row.len() == 1));
    }
    let (_dir, lines) = file("a.jsonl", LINES.as_bytes());
    let selection = Selection { columns: &["text"], first_row: 1, ..Selection::default() };
    let rows: Vec<Row> = open_selected(&lines, selection).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, [json!({"text": "zwölf"}).as_object().unwrap().clone()]);
    for path in [&table, &lines] {
        let beyond = Selection { first_row: 151, ..Selection::default() };
        assert!(matches!(open_selected(path, beyond), Err(RowsError::Fewer { .. })));
    }
}

#[test]
fn an_absent_column_is_an_error_that_lists_those_present() {
    let (_dir, path) = made(1, 3);
    let selection = Selection { columns: &["content"], ..Selection::default() };
    let message = open_selected(&path, selection).unwrap_err().to_string();
    assert!(message.contains("no column content; it has: text, n, tags"), "{message}");
}

#[test]
fn damage_is_named_with_its_line_or_row() {
    for (name, bytes, wanted) in [
        ("a.jsonl", &b"{}\n\n{\"a\": }\n"[..], "a.jsonl: line 3: expected value (byte 7 of it)"),
        ("a.jsonl", b"[1]\n", "line 1: "),
        ("a.json", b"{\"a\": 1}", "row 0: the file is no array of objects"),
        ("a.json", b"[{}, 7]", "row 1: it is no object"),
        ("a.json", b"[{} {}]", "row 1: no comma"),
        ("a.json", b"[{}, {\"a\": [", "row 1: the file ends within it"),
        ("a.json", b"[{}", "row 1: the file ends within the array"),
        ("a.json", b"[{}] 1", "there is more behind the end"),
        ("a.txt", b"{}", "rename it by what it holds"),
        ("a.jsonl.gz", b"not packed", "a.jsonl.gz: "),
        ("a.jsonl.zst", b"not packed", "a.jsonl.zst: "),
        ("a.parquet", b"PAR1 nothing PAR1", "a.parquet is no whole parquet file"),
        ("a.parquet", b"", "a.parquet is no whole parquet file"),
    ] {
        let message = error(name, bytes);
        assert!(message.contains(wanted), "{name}: {message}");
    }
    let (_dir, path) = file("a.jsonl", b"{}\n7\n{}\n");
    assert_eq!(open(&path).unwrap().count(), 2, "the first error is the last item");
    let packed = gz(LINES.as_bytes());
    assert!(error("a.jsonl.gz", &packed[..packed.len() - 9]).contains("a.jsonl.gz"));
}

#[test]
fn a_line_or_an_object_without_end_is_refused_before_memory_is() {
    let bomb = gz(&vec![b'a'; 1 << 20]);
    let (_dir, path) = file("a.jsonl.gz", &bomb);
    let mut lines = lines::Lines::open(&path, 4096).unwrap();
    assert!(matches!(lines.next(), Err(RowsError::TooLong { bytes_max: 4096, .. })));
    let (_dir, path) =
        file("a.json.gz", &gz(&[b"[{\"a\": \"".as_slice(), &[b'a'; 1 << 20]].concat()));
    let mut elements = array::Elements::open(&path, 4096).unwrap();
    assert!(matches!(elements.next(), Err(RowsError::TooLong { bytes_max: 4096, .. })));
    // A line of just the most bytes is none too many, with or without its end.
    let line = "x".repeat(4096);
    let (_dir, path) = file("a.jsonl", format!("{line}\n{line}").as_bytes());
    let mut lines = lines::Lines::open(&path, 4096).unwrap();
    assert_eq!(lines.next().unwrap().unwrap().1.len(), 4096);
    assert_eq!(lines.next().unwrap().unwrap().1.len(), 4096);
    let deep = "[".repeat(100_000);
    assert!(error("a.jsonl", deep.as_bytes()).contains("line 1"));
}

#[test]
fn rows_that_are_no_utf8_are_refused_replaced_or_left_out() {
    let bytes = b"{\"a\": \"x\"}\n{\"a\": \"\xFF\"}\n{\"a\": \"y\"}\n";
    let (_dir, path) = file("a.jsonl", bytes);
    let message = all(&path).unwrap_err().to_string();
    assert!(message.contains("line 2: no UTF-8 at byte 7"), "{message}");
    for (not_utf8, wanted) in
        [(NotUtf8::Replace, &["x", "\u{FFFD}", "y"][..]), (NotUtf8::Skip, &["x", "y"])]
    {
        let mut rows =
            open_selected(&path, Selection { not_utf8, ..Selection::default() }).unwrap();
        let found: Vec<Value> = rows.by_ref().map(|row| row.unwrap()["a"].clone()).collect();
        assert_eq!(found, wanted);
        assert_eq!((rows.not_utf8_rows(), rows.next_row()), (1, 3));
    }
}

/// Any byte of a parquet file may lie: rows or an error come out, never a panic.
#[test]
fn a_damaged_parquet_file_is_read_or_refused() {
    let (_dir, path) = made(2, 20);
    let whole = std::fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(7) {
        std::fs::write(&path, &whole[..end]).unwrap();
        assert!(all(&path).is_err(), "cut at {end}");
    }
    let mut errors = 0;
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xFF;
        std::fs::write(&path, bytes).unwrap();
        errors += usize::from(all(&path).is_err());
    }
    assert!(errors > 0);
}
