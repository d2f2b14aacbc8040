//! What can be measured: one file per thing, one function each that gives its rows.

mod train_step;

use runtime::Device;

use crate::BenchError;
use crate::ceilings::Ceilings;
use crate::peer::PeerProcess;
use crate::row::Row;

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

const SCENARIOS: [Scenario; 1] =
    [Scenario { id: "C03", what: "training step", measure: train_step::rows }];

/// What `--help` ends with.
pub(crate) const HELP: &str = "\
Rows: C01 matrix products, C03 training step, C05 attention, C06 cross-entropy, RMSNorm, SwiGLU and
AdamW, C07 compression and outer step, C08 bytes and hashes, D01 dataset loader. C02 and C04 are the
same as C01 and C03 in bf16 and come with the bf16 path.

Examples:
  cargo run -p bench --release -- --filter C03,C07
  cargo run -p bench --release -- --json --quick
  cargo run -p bench --release -- learning --text book.txt";

/// The scenarios of these ids, all for none, in the table's order.
pub(crate) fn chosen(ids: &[String]) -> Result<Vec<&'static Scenario>, BenchError> {
    if let Some(id) = ids.iter().find(|id| SCENARIOS.iter().all(|known| known.id != id.as_str())) {
        return Err(BenchError::UnknownRow(id.clone()));
    }
    let wanted = |scenario: &&Scenario| ids.is_empty() || ids.iter().any(|id| id == scenario.id);
    Ok(SCENARIOS.iter().filter(wanted).collect())
}
