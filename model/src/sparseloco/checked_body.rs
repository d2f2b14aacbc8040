//! A contribution's body that was read once, every section of it, and decodes: what the outer step
//! needs to know of it beforehand, and where it lies until then.

use std::ops::Range;

use rayon::prelude::*;
use runtime::ops::aggregate::norm;
use wire::{BodyShape, Part, PartFault, ReadAt, SparseTensor};

/// A body in `S`, known to be valid for its shape.
#[derive(Clone, Debug)]
pub struct CheckedBody<S> {
    source: S,
    /// Where in `source` it begins.
    at: u64,
    /// Norm of what it sends of each tensor: the clip needs those of all peers before any is
    /// applied.
    norms: Vec<f32>,
}

impl<S: ReadAt> CheckedBody<S> {
    /// Decodes every section of the body of `shape` that begins at `at`, on all threads, and keeps
    /// none.
    ///
    /// # Errors
    /// A section is not the encoding of a valid update (of several, the first is named), or cannot
    /// be read.
    pub fn check(shape: &BodyShape, source: S, at: u64) -> Result<Self, PartFault> {
        let norm_of = |part: &mut Part, section: usize| {
            let whole = 0..shape.sections()[section].bands();
            let tensor = part.read(shape, &source, at, section, whole)?;
            Ok(norm(tensor.codebook(), tensor.codes(), tensor.indices().len()))
        };
        let sections = (0..shape.sections().len()).into_par_iter();
        let norms: Vec<_> = sections.map_init(Part::default, norm_of).collect();
        let norms = norms.into_iter().collect::<Result<_, PartFault>>()?;
        Ok(Self { source, at, norms })
    }

    /// The same body, its source by reference.
    pub fn by_ref(&self) -> CheckedBody<&S> {
        CheckedBody { source: &self.source, at: self.at, norms: self.norms.clone() }
    }

    /// Decodes all of it, on all threads.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub fn decode(&self, shape: &BodyShape) -> Result<Vec<SparseTensor>, PartFault> {
        let tensor = |section: usize| {
            let (mut part, whole) = (Part::default(), 0..shape.sections()[section].bands());
            part.read(shape, &self.source, self.at, section, whole).cloned()
        };
        (0..shape.sections().len()).into_par_iter().map(tensor).collect()
    }

    /// Where it lies.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Where in [`CheckedBody::source`] it begins.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// L2 norm of all that it sends.
    pub fn whole_norm(&self) -> f64 {
        self.norms.iter().map(|norm| f64::from(*norm).powi(2)).sum::<f64>().sqrt()
    }

    pub(super) fn norm(&self, section: usize) -> f32 {
        self.norms[section]
    }

    /// Reads rows of tiles of one section into `part`.
    pub(super) fn read(
        &self,
        shape: &BodyShape,
        section: usize,
        bands: Range<usize>,
        part: &mut Part,
    ) -> Result<(), PartFault> {
        part.read(shape, &self.source, self.at, section, bands).map(drop)
    }
}
