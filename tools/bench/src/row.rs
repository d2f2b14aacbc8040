//! One measurement, as it is printed and kept. Keys carry their units.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ceilings::{Ceilings, Work};
use crate::peer::PeerTimes;
use crate::timing::Times;

/// How the speed of a row is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rate {
    /// f32 operations of one call, told in GFLOP/s.
    Flops(f64),
    /// Bytes of one call, told in GB/s.
    Bytes(f64),
    /// Tokens of one call, told in tokens/s.
    Tokens(f64),
    /// Parameters of one call, told in ns per parameter.
    Params(f64),
}

/// One row of the table. Rate, floor, percent and ratio are of the fastest sample, as the ceilings
/// are: on a shared machine the median says more about the neighbours.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) scenario: String,
    pub(crate) shape: String,
    pub(crate) dtype: &'static str,
    pub(crate) samples: usize,
    pub(crate) median_ms: f64,
    pub(crate) min_ms: f64,
    pub(crate) rate: f64,
    pub(crate) rate_unit: &'static str,
    /// Least time by the measured ceilings.
    pub(crate) floor_ms: Option<f64>,
    /// Floor over fastest sample.
    pub(crate) ceiling_percent: Option<f64>,
    /// The peer's fastest.
    pub(crate) peer_ms: Option<f64>,
    /// The peer's time over ours: above 1 we are faster.
    pub(crate) peer_ratio: Option<f64>,
    /// `|x - reference| / |reference|` against f64, of a part of the result.
    pub(crate) f64_error: Option<f64>,
    /// Whether two runs gave the same bits.
    pub(crate) bit_equal: Option<bool>,
    /// Most memory of the process since its row's scenario began.
    pub(crate) peak_bytes: Option<usize>,
    /// What peers call it.
    #[serde(skip)]
    pub(crate) peer_name: &'static str,
    /// What only this row has, by names that carry units.
    pub(crate) also: BTreeMap<&'static str, f64>,
}

impl Row {
    /// A row of what was timed.
    pub(crate) fn new(
        id: &'static str,
        scenario: impl Into<String>,
        shape: impl Into<String>,
        times: &Times,
        rate: Rate,
    ) -> Self {
        let seconds = times.min_ms() / 1e3;
        let (rate, rate_unit) = match rate {
            Rate::Flops(flops) => (flops / seconds / 1e9, "GFLOP/s"),
            Rate::Bytes(bytes) => (bytes / seconds / 1e9, "GB/s"),
            Rate::Tokens(tokens) => (tokens / seconds, "token/s"),
            Rate::Params(params) => (seconds * 1e9 / params, "ns/param"),
        };
        Self {
            id,
            scenario: scenario.into(),
            shape: shape.into(),
            dtype: "f32",
            samples: times.samples(),
            median_ms: times.median_ms(),
            min_ms: times.min_ms(),
            rate,
            rate_unit,
            floor_ms: None,
            ceiling_percent: None,
            peer_ms: None,
            peer_ratio: None,
            f64_error: None,
            bit_equal: None,
            peak_bytes: model::peak_memory(),
            peer_name: "",
            also: BTreeMap::new(),
        }
    }

    /// With the floor of what the call has to do.
    pub(crate) fn floor(self, ceilings: &Ceilings, work: &Work) -> Self {
        self.floor_ms(ceilings.floor_ms(work))
    }

    /// With a floor in milliseconds.
    pub(crate) fn floor_ms(mut self, floor_ms: f64) -> Self {
        self.floor_ms = Some(floor_ms);
        self.ceiling_percent = Some(100.0 * floor_ms / self.min_ms);
        self
    }

    /// With the error against f64.
    pub(crate) fn f64_error(mut self, error: f64) -> Self {
        self.f64_error = Some(error);
        self
    }

    /// With whether two runs gave the same bits.
    pub(crate) fn bit_equal(mut self, equal: bool) -> Self {
        self.bit_equal = Some(equal);
        self
    }

    /// With a number that other rows do not have.
    pub(crate) fn also(mut self, name: &'static str, value: f64) -> Self {
        self.also.insert(name, value);
        self
    }

    /// With the most memory that was held, of a GPU's.
    pub(crate) fn peak(mut self, bytes: usize) -> Self {
        self.peak_bytes = Some(bytes);
        self
    }

    /// With what peers call it.
    pub(crate) fn called(mut self, peer_name: &'static str) -> Self {
        self.peer_name = peer_name;
        self
    }

    /// Of values other than f32.
    pub(crate) fn dtype(mut self, dtype: &'static str) -> Self {
        self.dtype = dtype;
        self
    }

    /// Against a peer's fastest time.
    pub(crate) fn peer(&mut self, peer_ms: f64) {
        self.peer_ms = Some(peer_ms);
        self.peer_ratio = Some(peer_ms / self.min_ms);
    }

    /// Takes the peer's time from a file, where it has one and none was measured beside us.
    pub(crate) fn meet(&mut self, peers: &PeerTimes) {
        if self.peer_ms.is_none()
            && let Some(peer_ms) = peers.find(self)
        {
            self.peer(peer_ms);
        }
    }
}

/// `|x - reference| / |reference|` in L2.
pub(crate) fn relative_error(x: &[f32], reference: &[f64]) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (&x, &reference) in x.iter().zip(reference) {
        difference += (f64::from(x) - reference).powi(2);
        norm += reference.powi(2);
    }
    (difference / norm).sqrt()
}

/// Whether all bits agree, those of zeros and NaNs too.
pub(crate) fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
