//! What can be measured: one file per thing, one function each that gives its rows.

mod attention;
mod bytes;
mod checkpoint;
mod copies;
mod cross_entropy;
mod elementwise;
mod gather;
mod generation;
mod judging;
mod linear;
mod loader;
mod peers;
mod round;
mod sparseloco;
mod storage;
mod tokenisation;
mod train_step;
mod transfer;

use runtime::Device;

use crate::BenchError;
use crate::ceilings::Ceilings;
use crate::peer::PeerProcess;
use crate::row::Row;
use crate::timing::Times;

/// What measurements share.
pub(crate) struct Bench {
    pub(crate) device: Device,
    pub(crate) ceilings: Ceilings,
    /// Samples of each row.
    pub(crate) samples: usize,
    /// Whether shapes are to be small too.
    pub(crate) quick: bool,
    pub(crate) peer: Option<PeerProcess>,
}

/// A thing to measure.
pub(crate) struct Scenario {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) measure: fn(&Bench) -> Result<Vec<Row>, BenchError>,
}

impl Bench {
    /// Times `work` on the device; it is told the number of the call.
    fn times(&self, work: impl FnMut(usize) + Send) -> Times {
        self.device.install(|| Times::of(self.samples, work))
    }
}

/// Bytes through which inputs and outputs rotate, several times a last-level cache: what a training
/// step has touched since the last call is not there any more either.
const ROTATED_BYTES: usize = 128 << 20;
const SETS_MAX: usize = 64;

/// Memory for results, written once: the first touch of a zeroed page costs more than the work.
fn written(len: usize) -> Vec<f32> {
    vec![1.0; len]
}

/// Copies of an operation's data, taken in turn.
#[derive(Clone, Copy)]
struct Rotation(usize);

impl Rotation {
    /// Over as many sets of `bytes` as it takes.
    fn over(bytes: usize) -> Self {
        Self((ROTATED_BYTES / bytes.max(1)).clamp(1, SETS_MAX))
    }

    fn sets<T>(self, mut make: impl FnMut() -> T) -> Vec<T> {
        (0..self.0).map(|_| make()).collect()
    }

    fn at(self, call: usize) -> usize {
        call % self.0
    }
}

const SCENARIOS: [Scenario; 20] = [
    Scenario { id: "C01", what: "matrix products", measure: linear::rows },
    Scenario { id: "C02", what: "matrix products in bf16", measure: linear::rows_bf16 },
    Scenario { id: "C03", what: "training step", measure: train_step::rows },
    Scenario { id: "C04", what: "training step in bf16", measure: train_step::rows_bf16 },
    Scenario { id: "C05", what: "attention", measure: attention::rows },
    Scenario { id: "C06", what: "cross-entropy", measure: cross_entropy::rows },
    Scenario { id: "C06", what: "RMSNorm, SwiGLU, AdamW", measure: elementwise::rows },
    Scenario { id: "C07", what: "compression, outer step", measure: sparseloco::rows },
    Scenario { id: "C08", what: "bytes and hashes", measure: bytes::rows },
    Scenario { id: "C09", what: "rounds of four peers", measure: peers::rows },
    Scenario { id: "D01", what: "dataset loader", measure: loader::rows },
    Scenario { id: "D02", what: "checkpoints", measure: checkpoint::rows },
    Scenario { id: "D03", what: "text to tokens", measure: tokenisation::rows },
    Scenario { id: "E01", what: "text from a model", measure: generation::rows },
    Scenario { id: "N01", what: "uploads and downloads", measure: transfer::rows },
    Scenario { id: "N02", what: "a gather of 20 payloads", measure: gather::rows },
    Scenario { id: "R02", what: "rounds of 72B over links", measure: round::rows },
    Scenario { id: "R03", what: "payload size", measure: round::sizes },
    Scenario { id: "V01", what: "judging a peer by the loss", measure: judging::rows },
    Scenario { id: "V02", what: "copies", measure: copies::rows },
];

/// What `--help` ends with.
pub(crate) const HELP: &str = "\
Rows: C01 matrix products, C02 the same in bf16, C03 training step, C04 the same in bf16, C05
attention, C06 cross-entropy, RMSNorm, SwiGLU and AdamW, C07 compression and outer step, C08 bytes
and hashes, C09 rounds of four peers, D01 dataset loader, D02 checkpoints, D03 text to tokens, E01
text from a model, N01 uploads and downloads, N02 a gather of 20 payloads, R02 rounds of 72B over
links, R03 payload size, V01 judging a peer by the loss, V02 copies among contributions. Of a GPU:
G01 copy, G02 and G03 products, G04 to G06 attention, G07 and G08 norms, RoPE and SwiGLU, G09 linear
+ cross-entropy, G10 embedding, G11 AdamW, G12 and G13 compression and outer step, G14, G15 and G17
training steps, G18 transfers.

Examples:
  cargo run -p bench --release -- --filter C03,C07
  cargo run -p bench --release -- --json --quick
  cargo run -p bench --release -- --device cuda --peers peers.csv
  cargo run -p bench --release -- learning --text book.txt";

/// The scenarios of these ids, all for none, in the table's order.
pub(crate) fn chosen(ids: &[String]) -> Result<Vec<&'static Scenario>, BenchError> {
    let unknown = |id: &&String| {
        SCENARIOS.iter().all(|known| known.id != id.as_str()) && !crate::gpu::knows(id)
    };
    if let Some(id) = ids.iter().find(unknown) {
        return Err(BenchError::UnknownRow(id.clone()));
    }
    let wanted = |scenario: &&Scenario| ids.is_empty() || ids.iter().any(|id| id == scenario.id);
    Ok(SCENARIOS.iter().filter(wanted).collect())
}
