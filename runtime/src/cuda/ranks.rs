//! Values of ranks that share a GPU, folded and copied in its memory.

use std::ops::Range;

use kernels::ranks::{RANKS_MAX, THREADS, ranks_max_f32, ranks_sum_bf16, ranks_sum_f32};
use kernels::simt::{Element, Global, Launch};

use super::{Gpu, Span, Stored, blocks};

/// Most ranks.
pub(crate) const MAX: usize = RANKS_MAX;

/// What becomes of the values of all ranks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fold {
    Sum,
    Max,
}

/// Where a rank's values are, for as long as it waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    address: u64,
    len: usize,
    stored: Stored,
}

impl Place {
    pub(crate) fn of(gpu: &Gpu, values: Span<'_>) -> Self {
        Self { address: values.address(gpu), len: values.len(), stored: values.stored() }
    }

    fn global<T: Element>(self) -> Global<T> {
        Global::new(self.address, self.len)
    }
}

/// A launch of a kernel on the places of all ranks.
macro_rules! launch {
    ($gpu:expr, $kernel:ident, $places:expr) => {{
        let at = |rank: usize| $places[if rank < $places.len() { rank } else { 0 }].global();
        let (ranks, len) = ($places.len() as u32, $places[0].len);
        let kernel = $kernel {
            x0: at(0),
            x1: at(1),
            x2: at(2),
            x3: at(3),
            x4: at(4),
            x5: at(5),
            x6: at(6),
            x7: at(7),
            ranks,
            len: len as u64,
        };
        $gpu.launch(Launch::new(blocks(len, THREADS), THREADS, 0), &kernel)
    }};
}

/// Every rank's values become what all of them make.
pub(crate) fn fold(gpu: &Gpu, places: &[Place], fold: Fold) {
    let first = places[0];
    for place in places {
        assert!(
            place.len == first.len && place.stored == first.stored,
            "all ranks of a collective bring equally many values of one kind"
        );
    }
    match (fold, first.stored) {
        (Fold::Sum, Stored::Plain) => launch!(gpu, ranks_sum_f32, places),
        (Fold::Max, Stored::Plain) => launch!(gpu, ranks_max_f32, places),
        (Fold::Sum, Stored::Bf16) => launch!(gpu, ranks_sum_bf16, places),
        (fold, stored) => unreachable!("{fold:?} over ranks of {stored:?} values"),
    }
}

/// Copies one rank's values to another's, stored alike.
pub(crate) fn copy(gpu: &Gpu, from: Place, to: Span<'_>) {
    assert!(from.len == to.len() && from.stored == to.stored(), "values are copied as stored");
    gpu.attempt(|driver| driver.copy(from.address, to.address(gpu), to.bytes()));
}

/// `to` = the sum over ranks of `rows` of their f32 values, which stay as they are.
pub(crate) fn sum_of_rows(gpu: &Gpu, places: &[Place], rows: Range<usize>, to: Span<'_>) {
    let bytes = rows.len() * size_of::<f32>();
    let held: Vec<_> = places.iter().map(|_| gpu.allocate(bytes)).collect();
    let copied = held.iter().zip(places).map(|(held, place)| {
        assert!(place.stored == Stored::Plain, "sums of rows are of f32");
        let from = place.address + (rows.start * size_of::<f32>()) as u64;
        gpu.attempt(|driver| driver.copy(from, held.address(), bytes));
        Place { address: held.address(), len: rows.len(), stored: Stored::Plain }
    });
    let copied: Vec<_> = copied.collect();
    fold(gpu, &copied, Fold::Sum);
    copy(gpu, copied[0], to);
}
