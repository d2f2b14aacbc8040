//! All rows together, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::ceilings::Ceilings;
use crate::gpu::GpuMachine;
use crate::machine::Machine;
use crate::row::Row;

/// One run of the bench.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) machine: Machine,
    pub(crate) threads: usize,
    pub(crate) quick: bool,
    pub(crate) ceilings: Option<Ceilings>,
    pub(crate) gpu: Option<GpuMachine>,
    pub(crate) rows: Vec<Row>,
}

const HEAD: [&str; 15] = [
    "id",
    "scenario",
    "shape",
    "dtype",
    "median ms",
    "min ms",
    "rate",
    "floor ms",
    "% of ceiling",
    "peer ms",
    "ratio",
    "f64 error",
    "bit-equal",
    "peak MiB",
    "also",
];

impl Table {
    /// Pretty JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("rows are plain numbers and strings")
    }

    /// A Markdown table with aligned columns, after the machine and its ceilings.
    pub(crate) fn text(&self) -> String {
        let mut out = self.preamble();
        let lines: Vec<[String; HEAD.len()]> = self.rows.iter().map(cells).collect();
        let mut widths = HEAD.map(str::len);
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        push_line(&mut out, &HEAD.map(str::to_owned), &widths);
        push_line(&mut out, &widths.map(|width| "-".repeat(width)), &widths);
        lines.iter().for_each(|line| push_line(&mut out, line, &widths));
        out
    }

    fn preamble(&self) -> String {
        let Machine { cpu, cores, platform } = &self.machine;
        let mut out = format!(
            "{cpu}, {cores} cores, {platform}; {} threads{}\n",
            self.threads,
            if self.quick { "; quick: timings mean nothing" } else { "" },
        );
        out.extend(self.ceilings.as_ref().map(of_cpu));
        out.extend(self.gpu.as_ref().map(of_gpu));
        out + "rate, percent and ratio are of the fastest sample; ratio = peer ms / our ms\n\n"
    }
}

fn of_cpu(ceilings: &Ceilings) -> String {
    let Ceilings {
        fma_flop_per_s: fma,
        bf16_flop_per_s: bf16,
        copy_bytes_per_s: copy,
        update_bytes_per_s: update,
        read_bytes_per_s: read,
        hash_bytes_per_s: hash,
    } = *ceilings;
    let giga = [fma, bf16, copy, update, read, hash].map(|rate| rate / 1e9);
    let [fma, bf16, copy, update, read, hash] = giga;
    format!(
        "ceilings: FMA f32 {fma:.0} GFLOP/s, in bf16 {bf16:.0} GFLOP/s, copy {copy:.1} GB/s, \
         update in place {update:.1} GB/s, read {read:.1} GB/s, BLAKE3 {hash:.1} GB/s\n"
    )
}

fn of_gpu(gpu: &GpuMachine) -> String {
    let GpuMachine { name, compute_capability, driver, memory_bytes, ceilings } = gpu;
    let (copy, gemm) = (ceilings.copy_bytes_per_s / 1e9, ceilings.gemm_flop_per_s / 1e12);
    let gib = *memory_bytes as f64 / f64::from(1 << 30);
    format!(
        "{name}, compute capability {compute_capability}, {gib:.0} GiB, {driver}\n\
         ceilings: copy {copy:.1} GB/s, bf16 product of 8192 cubed {gemm:.2} TFLOP/s\n"
    )
}

fn cells(row: &Row) -> [String; HEAD.len()] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    [
        row.id.into(),
        row.scenario.clone(),
        row.shape.clone(),
        row.dtype.into(),
        ms(row.median_ms),
        ms(row.min_ms),
        format!("{} {}", rate(row.rate), row.rate_unit),
        or_dash(row.floor_ms.map(ms)),
        or_dash(row.ceiling_percent.map(|percent| format!("{percent:.0}"))),
        or_dash(row.peer_ms.map(ms)),
        or_dash(row.peer_ratio.map(|ratio| format!("{ratio:.2}"))),
        or_dash(row.f64_error.map(|error| format!("{error:.1e}"))),
        or_dash(row.bit_equal.map(|equal| if equal { "yes" } else { "NO" }.into())),
        or_dash(row.peak_bytes.map(|bytes| format!("{}", bytes >> 20))),
        or_dash((!row.also.is_empty()).then(|| also(row))),
    ]
}

fn also(row: &Row) -> String {
    let said = row.also.iter().map(|(name, value)| format!("{name} {}", rate(*value)));
    said.collect::<Vec<_>>().join(", ")
}

fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.3}") } else { format!("{ms:.1}") }
}

fn rate(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.2}") } else { format!("{rate:.0}") }
}

fn push_line(out: &mut String, cells: &[String], widths: &[usize]) {
    for (cell, width) in cells.iter().zip(widths) {
        write!(out, "| {cell:<width$} ").expect("a string takes all that is written");
    }
    out.push_str("|\n");
}
