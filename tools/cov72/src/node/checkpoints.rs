//! Published checkpoints: the shared parameters as safetensors parts under a signed index, for
//! whoever joins.

use std::ops::Range;

use bucket::{Bucket, Bytes, KeyPrefix, Limits, ObjectKey};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use wire::protocol::CHECKPOINT_BYTES_MAX;
use wire::{
    BlockNumber, CheckpointIndex, CheckpointPart, Content, Digest, Document, Layout, Manifest,
    SignedCheckpointIndex, StateRoot, Tensor, Window, protocol,
};

use super::{Node, Pace, Replica};
use crate::failure::Failure;

/// A part holds whole tensors up to this many bytes, and at least one.
const PART_BYTES: usize = 64 << 20;
/// Room for a part's own header, for each of its tensors.
const HEADER_BYTES_PER_TENSOR: u64 = 1_024;

/// Puts the replica's state, with which `window` begins, into the node's bucket; the hash of the
/// index, or none if the bucket does not take it until `deadline`.
pub(crate) async fn publish_checkpoint(
    node: &mut Node,
    replica: &Replica,
    window: Window,
    deadline: BlockNumber,
) -> Result<Option<(Window, Digest)>, Failure> {
    let mut parts = Vec::new();
    for (number, tensors) in cut(&node.layout).into_iter().enumerate() {
        let part = {
            let params = replica.read();
            let values = params.as_host().expect("replicas live on the CPU");
            Bytes::from(encode(&node.layout.tensors()[tensors.clone()], values)?)
        };
        let object = Content::of(&part);
        let (first_tensor, count) = (tensors.start as u32, tensors.len() as u32);
        parts.push(CheckpointPart { object, first_tensor, tensors: count });
        let key = ObjectKey::checkpoint(node.run_id, window, number as u32);
        if !node.put_until(&key, part, deadline).await? {
            return Ok(None);
        }
    }
    let index = CheckpointIndex {
        version: protocol::CHECKPOINT_VERSION,
        run: node.run_id,
        window,
        validator: node.keypair.hotkey(),
        layout: node.shape.layout(),
        root: replica.root(),
        parts,
    };
    let hash = index.hash();
    let signed = SignedCheckpointIndex::sign(index, &node.keypair)?;
    let key = ObjectKey::CheckpointIndex { run: node.run_id, window };
    let put = node.put_until(&key, signed.to_bytes().into(), deadline).await?;
    Ok(put.then_some((window, hash)))
}

/// The newest whole checkpoint in the node's own bucket, which an earlier life published.
pub(crate) async fn newest_checkpoint(node: &Node) -> Option<(Window, Digest)> {
    let objects = node.bucket.list(&KeyPrefix::Run { run: node.run_id }).await.ok()?;
    let is_index = |key: &ObjectKey| matches!(key, ObjectKey::CheckpointIndex { .. });
    let indices = objects.into_iter().map(|object| object.key).filter(is_index);
    let key = indices.max_by_key(|key| key.window())?;
    let index = read_index(&node.bucket, &key, node.pace).await?;
    Some((index.window, index.hash()))
}

/// A signed index, if the bucket has it.
async fn read_index(source: &Bucket, key: &ObjectKey, pace: Pace) -> Option<CheckpointIndex> {
    let bytes_max = CHECKPOINT_BYTES_MAX as u64;
    let limits = Limits { bytes_max, timeout: pace.read_time(bytes_max) };
    let text = source.get(key, limits).await.ok()?;
    Some(SignedCheckpointIndex::parse(&text).ok()?.into_document())
}

impl Node {
    /// The state that the checkpoint named by `manifest` claims, if its index can be had.
    pub(super) async fn checkpoint_root(
        &mut self,
        manifest: &Manifest,
        window: Window,
    ) -> Option<StateRoot> {
        let index = self.checkpoint_index(manifest).await?;
        (index.window == window).then_some(index.root)
    }

    async fn checkpoint_index(&mut self, manifest: &Manifest) -> Option<CheckpointIndex> {
        let (window, hash) = manifest.checkpoint?;
        let key = ObjectKey::CheckpointIndex { run: self.run_id, window };
        let source = self.directory.bucket(manifest.validator)?;
        let index = read_index(&source, &key, self.pace).await?;
        let fits = index.hash() == hash
            && index.run == self.run_id
            && index.layout == self.shape.layout()
            && index.tensors() == self.layout.tensors().len() as u64;
        fits.then_some(index)
    }

    /// Loads the checkpoint that `manifest` names, in parts from any validator that has them; waits
    /// for a source.
    pub(super) async fn load_checkpoint(
        &mut self,
        replica: &mut Replica,
        manifest: &Manifest,
    ) -> Result<(), Failure> {
        loop {
            if let Some(index) = self.checkpoint_index(manifest).await
                && self.load_parts(replica, manifest, &index).await
            {
                if replica.root() == index.root {
                    return Ok(());
                }
                let (window, by) = (index.window.0 + 1, index.validator);
                return Err(Failure::refused(format!(
                    "the checkpoint of window {window} by {by} holds state {}, not {}; report it",
                    replica.root(),
                    index.root
                )));
            }
            self.voice.say("nobody delivers the whole checkpoint; waiting");
            self.pause().await?;
        }
    }

    async fn load_parts(
        &mut self,
        replica: &mut Replica,
        manifest: &Manifest,
        index: &CheckpointIndex,
    ) -> bool {
        let sources = self.directory.mirrors(manifest.validator);
        for (number, part) in index.parts.iter().enumerate() {
            let first = part.first_tensor as usize;
            let tensors = first..first + part.tensors as usize;
            let tensors = self.layout.tensors()[tensors].to_vec();
            if part.object.bytes > bytes_max(&tensors) {
                return false;
            }
            self.voice.doing(&format!("fetching checkpoint part {}", number + 1));
            let key = ObjectKey::checkpoint(self.run_id, index.window, number as u32);
            let Some(bytes) = self.read_content(&sources, &key, part.object).await else {
                return false;
            };
            if replica.change(|values| decode(&tensors, &bytes, values)).is_none() {
                return false;
            }
        }
        // Once, for it takes as long as reading all parameters.
        replica.hash();
        true
    }
}

/// Which tensors each part holds.
fn cut(layout: &Layout) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut bytes = PART_BYTES;
    for (number, tensor) in layout.tensors().iter().enumerate() {
        let more = 4 * tensor.range().len();
        match parts.last_mut() {
            Some(part) if bytes + more <= PART_BYTES => part.end = number + 1,
            _ => (parts.push(number..number + 1), bytes = 0).0,
        }
        bytes += more;
    }
    parts
}

fn encode(tensors: &[Tensor], params: &[f32]) -> Result<Vec<u8>, Failure> {
    let views = tensors.iter().map(|tensor| {
        let bytes = bytemuck::cast_slice(&params[tensor.range()]);
        let view = TensorView::new(Dtype::F32, tensor.shape.extents(), bytes);
        (tensor.name.as_str(), view.expect("as long as its shape"))
    });
    safetensors::serialize(views, None)
        .map_err(|error| Failure::ours(format!("cannot write a checkpoint part: {error}")))
}

/// The tensors of a part, into their places; none if the part is not made of exactly them.
fn decode(tensors: &[Tensor], part: &[u8], params: &mut [f32]) -> Option<()> {
    let file = SafeTensors::deserialize(part).ok()?;
    if file.len() != tensors.len() {
        return None;
    }
    for tensor in tensors {
        let view = file.tensor(&tensor.name).ok()?;
        if view.dtype() != Dtype::F32 || view.shape() != tensor.shape.extents() {
            return None;
        }
        let values = view.data().chunks_exact(4);
        for (param, bytes) in params[tensor.range()].iter_mut().zip(values) {
            *param = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
    Some(())
}

fn bytes_max(tensors: &[Tensor]) -> u64 {
    let values: usize = tensors.iter().map(|tensor| tensor.range().len()).sum();
    4 * values as u64 + HEADER_BYTES_PER_TENSOR * (1 + tensors.len() as u64)
}
