//! The rows of a GPU: G01 to G18, of the device at hand, an emulated one for tests of the rows.
//!
//! Times are of the device itself, between two marks in its work. Before every sample its
//! last-level cache is overwritten, as peers do. Floors follow from the rates of copies and
//! products that were measured in the same run.

mod attention;
mod ceilings;
pub(crate) mod check;
mod data;
mod head;
mod optimizer;
mod products;
mod rows;
mod sparseloco;
mod step;
mod transfer;

use runtime::ops::elementwise;
use runtime::{Buffer, Device, Gpu};
use serde::Serialize;

use crate::BenchError;
use crate::row::{Rate, Row, same_bits};
use crate::timing::Times;
pub(crate) use ceilings::{GpuCeilings, GpuWork};

/// Bytes that are overwritten before each sample: several times the cache of the largest GPU.
const FLUSHED_BYTES: usize = 256 << 20;

/// What a GPU is, for the head of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GpuMachine {
    pub(crate) name: String,
    pub(crate) compute_capability: String,
    pub(crate) driver: String,
    pub(crate) memory_bytes: u64,
    pub(crate) ceilings: GpuCeilings,
}

/// What measurements on a GPU share.
pub(crate) struct GpuBench {
    pub(crate) device: Device,
    pub(crate) gpu: Gpu,
    /// Where references are computed.
    pub(crate) host: Device,
    pub(crate) ceilings: GpuCeilings,
    pub(crate) samples: usize,
    pub(crate) quick: bool,
    flushed: std::cell::RefCell<Buffer<f32>>,
}

/// A thing to measure on a GPU.
pub(crate) struct GpuScenario {
    pub(crate) id: &'static str,
    pub(crate) what: &'static str,
    pub(crate) measure: fn(&GpuBench) -> Result<Vec<Row>, BenchError>,
}

/// What a row says beside what is measured.
pub(crate) struct What {
    pub(crate) id: &'static str,
    pub(crate) scenario: String,
    pub(crate) shape: String,
    pub(crate) rate: Rate,
    pub(crate) work: GpuWork,
    /// Error against f64 at a small shape.
    pub(crate) error: Option<f64>,
    /// What peers call it.
    pub(crate) peer: &'static str,
}

impl GpuBench {
    /// Opens nothing: measures the ceilings of `device`.
    pub(crate) fn new(
        device: Device,
        host: Device,
        samples: usize,
        quick: bool,
    ) -> Result<Self, BenchError> {
        let Device::Gpu(gpu) = device.clone() else { unreachable!("rows of a GPU on a GPU") };
        let flushed = device.alloc(if quick { 1 } else { FLUSHED_BYTES / size_of::<f32>() });
        let ceilings = GpuCeilings::default();
        let flushed = std::cell::RefCell::new(flushed);
        let mut bench = Self { device, gpu, host, ceilings, samples, quick, flushed };
        bench.ceilings = GpuCeilings::measure(&bench)?;
        Ok(bench)
    }

    /// What the device is.
    pub(crate) fn machine(&self) -> GpuMachine {
        let facts = self.gpu.facts();
        let (major, minor) = facts.compute_capability;
        GpuMachine {
            name: facts.name.clone(),
            compute_capability: format!("{major}.{minor}"),
            driver: facts.driver.clone(),
            memory_bytes: facts.memory_bytes,
            ceilings: self.ceilings,
        }
    }

    /// `full` of a real measurement, `quick` where only whether it works is asked.
    fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Times `work` on the device, after three times that warm up.
    pub(crate) fn times(&self, mut work: impl FnMut()) -> Result<Times, BenchError> {
        (0..if self.quick { 1 } else { 3 }).for_each(|_| work());
        let mut marks = Vec::with_capacity(self.samples);
        for _ in 0..self.samples.max(1) {
            elementwise::fill(&self.device, self.flushed.borrow_mut().view_mut(), 0.0);
            let begin = self.gpu.mark().map_err(runtime::RuntimeError::from)?;
            work();
            let end = self.gpu.mark().map_err(runtime::RuntimeError::from)?;
            marks.push((begin, end));
        }
        self.device.synchronise()?;
        let seconds = marks.iter().map(|(begin, end)| Ok(end.ms_since(begin)? / 1e3));
        let seconds = seconds.collect::<Result<Vec<f64>, runtime::GpuError>>();
        Ok(Times::new(seconds.map_err(runtime::RuntimeError::from)?))
    }

    /// A row of `run` on `state`; `outcome` runs it from a fresh start and reads what it left.
    pub(crate) fn row<S>(
        &self,
        what: What,
        state: &mut S,
        run: impl Fn(&mut S),
        outcome: impl Fn(&mut S) -> Vec<f32>,
    ) -> Result<Row, BenchError> {
        self.gpu.peak_bytes(true).map_err(runtime::RuntimeError::from)?;
        let (once, again) = (outcome(state), outcome(state));
        let times = self.times(|| run(state))?;
        let peak = self.gpu.peak_bytes(true).map_err(runtime::RuntimeError::from)?;
        let mut row = Row::new(what.id, what.scenario, what.shape, &times, what.rate)
            .dtype("bf16")
            .floor_ms(self.ceilings.floor_ms(what.work))
            .bit_equal(same_bits(&once, &again))
            .peak(peak as usize)
            .called(what.peer);
        row.f64_error = what.error;
        Ok(row)
    }
}

const SCENARIOS: [GpuScenario; 17] = [
    GpuScenario { id: "G01", what: "device copy", measure: products::copy },
    GpuScenario { id: "G02", what: "square product", measure: products::square },
    GpuScenario { id: "G03", what: "products of layers", measure: products::layers },
    GpuScenario { id: "G04", what: "attention forward", measure: attention::forward },
    GpuScenario { id: "G05", what: "attention backward", measure: attention::backward },
    GpuScenario { id: "G06", what: "attention, other shapes", measure: attention::others },
    GpuScenario { id: "G07", what: "RMSNorm", measure: rows::norms },
    GpuScenario { id: "G08", what: "RoPE, SwiGLU", measure: rows::gates },
    GpuScenario { id: "G09", what: "linear + cross-entropy", measure: head::cross_entropy },
    GpuScenario { id: "G10", what: "embedding", measure: head::embedding },
    GpuScenario { id: "G11", what: "AdamW, gradient norm", measure: optimizer::rows },
    GpuScenario { id: "G12", what: "compression", measure: sparseloco::compress },
    GpuScenario { id: "G13", what: "outer step of 20 peers", measure: sparseloco::apply },
    GpuScenario { id: "G14", what: "training step of 1B", measure: step::one_b },
    GpuScenario { id: "G15", what: "training step, other models", measure: step::others },
    GpuScenario { id: "G17", what: "one layer of 72B", measure: step::layer },
    GpuScenario { id: "G18", what: "host to device and back", measure: transfer::rows },
];

/// The scenarios of these ids, all for none.
pub(crate) fn chosen(ids: &[String]) -> Vec<&'static GpuScenario> {
    let wanted = |scenario: &&GpuScenario| ids.is_empty() || ids.iter().any(|id| id == scenario.id);
    SCENARIOS.iter().filter(wanted).collect()
}

/// Whether a row is one of a GPU.
pub(crate) fn knows(id: &str) -> bool {
    SCENARIOS.iter().any(|scenario| scenario.id == id)
}

/// Extents as peers write them.
fn by(extents: &[usize]) -> String {
    extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
