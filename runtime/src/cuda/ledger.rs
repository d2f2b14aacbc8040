//! The ledger of an inner step on a GPU: loss, norm and clip without waiting for any of them.

use kernels::clip::{CONTROL_LEN, REPORT_LEN, SHARED_BYTES, TALLY_LEN, THREADS};
use kernels::clip::{clip_gradient, tally_loss};
use kernels::simt::{Global, Launch};

use super::array::Memory;
use super::later::Coming;
use super::{Array, Gpu, Span, Stored, extent, reduce};

/// Bytes of a ledger.
pub(crate) const BYTES: usize =
    (TALLY_LEN + REPORT_LEN) * size_of::<f64>() + CONTROL_LEN * size_of::<f32>();

/// What the steps of one run share.
#[derive(Debug)]
pub(crate) struct Ledger {
    gpu: Gpu,
    tally: Array,
    control: Array,
    report: Array,
}

impl Ledger {
    pub(crate) fn new(gpu: &Gpu) -> Self {
        let zeroed = |len, bytes| Array::zeroed(gpu, Stored::Plain, len, bytes);
        Self {
            gpu: gpu.clone(),
            tally: zeroed(TALLY_LEN, size_of::<f64>()),
            control: zeroed(CONTROL_LEN, size_of::<f32>()),
            report: zeroed(REPORT_LEN, size_of::<f64>()),
        }
    }

    /// Forgets a step that was begun, and lets steps update again after one that was not finite.
    pub(crate) fn restart(&self) {
        for array in [&self.tally, &self.control] {
            let (address, bytes) = (array.span().address(&self.gpu), array.bytes());
            self.gpu.attempt(|driver| driver.zero(address, bytes));
        }
    }

    /// Adds the losses that a head left in `sums`.
    pub(crate) fn add(&self, sums: Span<'_>, targets: Span<'_>, chunk_tokens: usize) {
        let kernel = tally_loss {
            sums: sums.plain(&self.gpu),
            targets: targets.plain(&self.gpu),
            tally: self.tally.span().plain(&self.gpu),
            tokens: extent(targets.len()),
            chunk_tokens: extent(chunk_tokens),
        };
        self.gpu.launch(Launch::new(1, THREADS, SHARED_BYTES), &kernel);
    }

    /// Ends a step whose gradients are in `grads`: the report is on its way.
    pub(crate) fn close(&self, grads: Span<'_>, clip_norm: f64) -> Coming {
        let square: Memory = reduce::sum_of_squares(&self.gpu, grads);
        let kernel = clip_gradient {
            tally: self.tally.span().plain(&self.gpu),
            square: square.global(),
            control: self.control(),
            report: self.report.span().plain(&self.gpu),
            clip_norm,
        };
        self.gpu.launch(Launch::new(1, kernels::simt::WARP, 0), &kernel);
        Coming::of(&self.gpu, self.report.span())
    }

    /// What says how an update goes.
    pub(crate) fn control(&self) -> Global<f32> {
        self.control.span().plain(&self.gpu)
    }
}
