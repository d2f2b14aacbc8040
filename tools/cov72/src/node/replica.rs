//! The shared parameters as this node holds them, and the tree over them that says whether others
//! hold the same.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::Mirror;
use model::sparseloco::{OuterReport, OuterStep};
use runtime::{Buffer, Device};
use wire::{BodyShape, Layout, RunDescription, StateRoot, StateTree};

use super::{Contribution, FirstParams};
use crate::failure::Failure;

/// One copy of the shared parameters.
pub(crate) struct Replica {
    device: Device,
    layout: Layout,
    shape: BodyShape,
    outer: OuterStep,
    shared: Arc<RwLock<Buffer<f32>>>,
    /// The same on a GPU, which then takes the outer steps.
    mirror: Option<Arc<Mirror>>,
    tree: StateTree,
}

impl Replica {
    /// The copy in `shared`, whatever it holds.
    pub(crate) fn new(
        device: &Device,
        layout: &Layout,
        run: &RunDescription,
        shared: Arc<RwLock<Buffer<f32>>>,
    ) -> Self {
        let tree = StateTree { layout: layout.hash(), tensor_roots: Vec::new() };
        let outer = OuterStep::from(&run.outer);
        let shape = BodyShape::new(layout, run.outer.k, run.outer.index_codec);
        let (device, layout) = (device.clone(), layout.clone());
        let mut replica = Self { device, layout, shape, outer, shared, mirror: None, tree };
        replica.hash();
        replica
    }

    /// The same copy, with one on a GPU beside it that takes the outer steps.
    pub(crate) fn mirrored(self, mirror: Option<Arc<Mirror>>) -> Self {
        Self { mirror, ..self }
    }

    /// The run's first parameters.
    pub(crate) fn genesis(
        device: &Device,
        layout: &Layout,
        run: &RunDescription,
        first: &FirstParams,
    ) -> Result<Self, Failure> {
        let buffer = device.alloc::<f32>(layout.params());
        let mut replica = Self::new(device, layout, run, Arc::new(RwLock::new(buffer)));
        replica.begin(first, run.genesis_root)?;
        Ok(replica)
    }

    /// Sets it to a run's first parameters, whose root is `root`.
    pub(crate) fn begin(&mut self, first: &FirstParams, root: StateRoot) -> Result<(), Failure> {
        self.fill(|layout, values| first.fill(layout, values))?;
        first.confirm(self.root(), root)
    }

    /// Where it lives.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// All parameters.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Buffer<f32>> {
        read(&self.shared)
    }

    /// The state.
    pub(crate) fn root(&self) -> StateRoot {
        self.tree.root()
    }

    /// The tree under the root.
    pub(crate) fn tree(&self) -> &StateTree {
        &self.tree
    }

    /// Takes one outer step; the tree is the old one until [`Replica::hash`].
    pub(crate) fn step(&mut self, round: &[Contribution]) -> Result<OuterReport, Failure> {
        let mut shared = write(&self.shared);
        let Self { device, layout, shape, outer, .. } = self;
        let Some(mirror) = &self.mirror else {
            return Ok(outer.apply_bodies(device, layout, shape, shared.view_mut(), round)?);
        };
        let shared: &mut Buffer<f32> = &mut shared;
        let stepped = device.install(|| {
            mirror
                .update(shared, |gpu, shared| outer.apply_bodies(gpu, layout, shape, shared, round))
        });
        Ok(stepped?)
    }

    /// Hashes all parameters.
    pub(crate) fn hash(&mut self) {
        let shared = read(&self.shared);
        let values = shared.as_host().expect("roots are computed on the CPU");
        let tree = self.device.install(|| StateTree::of_params(&self.layout, values));
        drop(shared);
        self.tree = tree;
    }

    /// Hashes all parameters again; the tensors that changed although no step was taken.
    pub(crate) fn changed(&mut self) -> Vec<usize> {
        let before = self.tree.clone();
        self.hash();
        self.tree.differing(&before)
    }

    /// A second copy, with memory of its own.
    pub(crate) fn copy(&self) -> Self {
        let mut buffer = self.device.alloc::<f32>(self.layout.params());
        buffer.write(self.read().as_host().expect("replicas live on the CPU"));
        Self {
            device: self.device.clone(),
            layout: self.layout.clone(),
            shape: self.shape.clone(),
            outer: self.outer,
            shared: Arc::new(RwLock::new(buffer)),
            mirror: None,
            tree: self.tree.clone(),
        }
    }

    /// Takes these tensors, by their place in the layout, from another copy.
    pub(crate) fn take(&mut self, other: &Self, tensors: &[usize]) {
        let mut shared = write(&self.shared);
        let to = shared.as_host_mut().expect("replicas live on the CPU");
        let from = other.read();
        let from = from.as_host().expect("replicas live on the CPU");
        for tensor in tensors.iter().map(|&tensor| &self.layout.tensors()[tensor]) {
            to[tensor.range()].copy_from_slice(&from[tensor.range()]);
        }
        drop(shared);
        self.outdate();
        self.hash();
    }

    fn outdate(&self) {
        if let Some(mirror) = &self.mirror {
            mirror.outdate();
        }
    }

    /// Names of tensors, for people; at most four of them.
    pub(crate) fn names(&self, tensors: &[usize]) -> String {
        const SHOWN: usize = 4;
        let name = |&tensor: &usize| self.layout.tensors()[tensor].name.as_str();
        let names: Vec<_> = tensors.iter().take(SHOWN).map(name).collect();
        let rest = tensors.len().saturating_sub(SHOWN);
        let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
        names.join(", ") + &more
    }

    /// Fills the vector, tensor by tensor, and hashes it.
    pub(crate) fn fill(
        &mut self,
        fill: impl FnOnce(&Layout, &mut [f32]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut shared = write(&self.shared);
        fill(&self.layout, shared.as_host_mut().expect("replicas live on the CPU"))?;
        drop(shared);
        self.outdate();
        self.hash();
        Ok(())
    }
}

/// A vector to read.
pub(crate) fn read(vector: &RwLock<Buffer<f32>>) -> RwLockReadGuard<'_, Buffer<f32>> {
    vector.read().unwrap_or_else(PoisonError::into_inner)
}

/// A vector to change; waits for a checkpoint that still reads it.
pub(crate) fn write(vector: &RwLock<Buffer<f32>>) -> RwLockWriteGuard<'_, Buffer<f32>> {
    vector.write().unwrap_or_else(PoisonError::into_inner)
}
