//! The outer step over bodies that lie elsewhere: decoded part by part, so that the step takes no
//! more memory than one part of each, whatever the size of the model.
//!
//! A part is some rows of tiles of one tensor; it is decoded and applied while a cache holds it.
//! Values meet in the same order as in one piece, hence the same bits.

use std::ops::Range;

use rayon::prelude::*;
use runtime::ops::NonFinite;
use runtime::ops::aggregate::{apply, clip};
use runtime::{Device, Storage, ViewMut};
use wire::{BodyShape, Layout, Part, ReadAt, Uid};

use super::{OuterReport, OuterStep, SkippedTensor, ascending, sparse_view};
use crate::sparseloco::{CheckedBody, SparseLocoError, grid_of};

/// Bytes that the parts of all peers may take together: what caches hold, or for a GPU so many that
/// starting kernels takes no time beside running them.
const PARTS_BYTES: usize = 16 << 20;
const PARTS_BYTES_GPU: usize = 128 << 20;
/// Bytes that one value of a part takes: index and code, encoded and decoded.
const VALUE_BYTES: usize = 4;

impl OuterStep {
    /// As [`OuterStep::apply`], of bodies of `shape`.
    ///
    /// # Errors
    /// A uid is there twice, and `shared` is untouched; or a body cannot be read any more, and
    /// `shared` holds part of the step.
    ///
    /// # Panics
    /// `shared` is not as long as the layout, or `shape` is of another layout.
    pub fn apply_bodies<S: ReadAt>(
        &self,
        device: &Device,
        layout: &Layout,
        shape: &BodyShape,
        shared: ViewMut<'_, f32>,
        round: &[(Uid, CheckedBody<S>)],
    ) -> Result<OuterReport, SparseLocoError> {
        assert_eq!(shared.len(), layout.params(), "as long as the layout");
        assert_eq!(shape.sections().len(), layout.tensors().len(), "a section per tensor");
        let bodies = ascending(round.iter().map(|(uid, body)| (*uid, body)))?;
        let parts_bytes = match device.storage() {
            Storage::Host => PARTS_BYTES,
            Storage::Gpu => PARTS_BYTES_GPU,
        };
        Round { outer: *self, device, shape, bodies, parts_bytes }.step(layout, shared)
    }
}

/// What an outer step is made of.
pub(super) struct Round<'a, S> {
    pub(super) outer: OuterStep,
    pub(super) device: &'a Device,
    pub(super) shape: &'a BodyShape,
    /// By ascending uid.
    pub(super) bodies: Vec<(Uid, &'a CheckedBody<S>)>,
    pub(super) parts_bytes: usize,
}

impl<S: ReadAt> Round<'_, S> {
    pub(super) fn step(
        &self,
        layout: &Layout,
        mut shared: ViewMut<'_, f32>,
    ) -> Result<OuterReport, SparseLocoError> {
        let uids = self.bodies.iter().map(|(uid, _)| *uid).collect();
        let mut report = OuterReport { uids, ..OuterReport::default() };
        if self.bodies.is_empty() {
            return Ok(report);
        }
        let mut parts: Vec<_> = self.bodies.iter().map(|_| Part::default()).collect();
        for (tensor, of) in layout.tensors().iter().enumerate() {
            let norms: Vec<_> = self.bodies.iter().map(|(_, body)| body.norm(tensor)).collect();
            let mut scales = norms.clone();
            clip(&mut scales);
            // A tensor is left out as a whole, so one that may overflow is looked at as a whole.
            let values_max = match self.may_overflow(&norms, &scales) {
                true => usize::MAX,
                false => self.parts_bytes / VALUE_BYTES / self.bodies.len(),
            };
            let values = shared.reborrow().slice(of.range());
            let stepped = self.step_tensor(tensor, values_max, &scales, &mut parts, values)?;
            report.clip_scales.extend(&scales);
            if let Err(found) = stepped {
                report.skipped.push(SkippedTensor { tensor, offset: found.offset });
            }
        }
        Ok(report)
    }

    fn step_tensor(
        &self,
        tensor: usize,
        values_max: usize,
        scales: &[f32],
        parts: &mut [Part],
        mut values: ViewMut<'_, f32>,
    ) -> Result<Result<(), NonFinite>, SparseLocoError> {
        let sparse = self.shape.sections()[tensor];
        let band_len = sparse.tiling().tile_rows * sparse.tiling().cols;
        for bands in sparse.cut(values_max) {
            let range = bands.start * band_len..bands.end * band_len;
            self.read(tensor, bands, parts)?;
            if let Err(found) = self.apply(parts, scales, values.reborrow().slice(range)) {
                return Ok(Err(found));
            }
        }
        Ok(Ok(()))
    }

    /// Whether a step may be too large for an f32: no value exceeds its peer's norm, and no sum
    /// that of all.
    fn may_overflow(&self, norms: &[f32], scales: &[f32]) -> bool {
        let scaled = norms.iter().zip(scales);
        let bound: f64 = scaled.map(|(norm, scale)| f64::from(*norm) * f64::from(*scale)).sum();
        let steps = bound.max(bound * f64::from(self.outer.alpha.abs()));
        bound.is_nan() || steps >= f64::from(f32::MAX) / 2.0
    }

    fn read(
        &self,
        tensor: usize,
        bands: Range<usize>,
        parts: &mut [Part],
    ) -> Result<(), SparseLocoError> {
        self.device.install(|| {
            parts.par_iter_mut().zip(&self.bodies).try_for_each(|(part, (uid, body))| {
                let read = body.read(self.shape, tensor, bands.clone(), part);
                let unreadable = |reason| SparseLocoError::Unreadable { uid: *uid, reason };
                read.map_err(|fault| unreadable(fault.to_string()))
            })
        })
    }

    fn apply(
        &self,
        parts: &[Part],
        scales: &[f32],
        values: ViewMut<'_, f32>,
    ) -> Result<(), NonFinite> {
        let shape = parts[0].tensor().shape();
        let (grid, k) = (grid_of(shape), shape.k());
        let peers: Vec<_> = parts.iter().map(|part| sparse_view(part.tensor())).collect();
        let (device, OuterStep { alpha, rule }) = (self.device, self.outer);
        device.install(|| apply(device, grid, k, &peers, scales, rule, alpha, values))
    }
}
