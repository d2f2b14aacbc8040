//! D03: text to tokens with a byte-level BPE that splits the way Llama 3 does: this repository's
//! README over and over, on one thread and on all. `peers/tokenizer.py` does the same in Python.

use std::io::Write;

use model::{Eos, Tokenizer};
use rayon::prelude::*;

use super::Bench;
use crate::BenchError;
use crate::ceilings::Work;
use crate::row::{Rate, Row};

const TEXT: &str = include_str!("../../../../README.md");
const TOKENIZER: &[u8] = include_bytes!("../../../../model/tests/tokenizer/llama_split.json");

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let mut file = tempfile::NamedTempFile::new().map_err(|e| BenchError::temporary("make", e))?;
    file.write_all(TOKENIZER).map_err(|e| BenchError::temporary("write", e))?;
    let tokenizer = Tokenizer::load(file.path(), Eos::WellKnown)?;
    let documents = if bench.quick { 4 } else { 256 };
    let encode = |_: usize| {
        let mut tokens = Vec::new();
        tokenizer.encode(TEXT.as_bytes(), &mut tokens).map(|()| tokens)
    };
    let first = encode(0)?;
    let equal = encode(1)? == first && tokenizer.decode(&first) == TEXT;
    let tokens = (first.len() * documents) as f64;
    let mut all_equal = true;
    let mut count = |encoded: Vec<Result<Vec<u32>, _>>| {
        all_equal &= encoded.iter().all(|tokens| tokens.as_ref().is_ok_and(|t| *t == first));
    };
    let one = bench.times(|_| count((0..documents).map(encode).collect()));
    let all = bench.times(|_| count((0..documents).into_par_iter().map(encode).collect()));
    let bytes = (TEXT.len() * documents) as f64;
    // Bytes are read and tokens are written once.
    let work = Work { copied_bytes: bytes + 4.0 * tokens, ..Work::default() };
    let row = |name: &'static str, times| {
        let shape = format!("{documents} documents of a README");
        let row = Row::new("D03", name, shape, times, Rate::Tokens(tokens));
        row.floor(&bench.ceilings, &work).dtype("u32").bit_equal(equal)
    };
    let rows = [row("tokenisation, one thread", &one), row("tokenisation, all threads", &all)];
    Ok(rows.into_iter().map(|row| row.bit_equal(equal && all_equal)).collect())
}
