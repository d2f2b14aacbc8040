//! Published checkpoints: the shared parameters as safetensors parts under a signed index, for
//! whoever joins.

use std::ops::Range;
use std::sync::Arc;

use bucket::{Bucket, BucketError, Bytes, KeyPrefix, Limits, ObjectKey, PutMode};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use wire::protocol::CHECKPOINT_BYTES_MAX;
use wire::{
    CheckpointIndex, CheckpointPart, Content, Digest, Document, Keypair, Layout, Manifest, RunId,
    SignedCheckpointIndex, StateRoot, Tensor, Window, protocol,
};

use super::{Node, Pace, Replica, Voice};
use crate::failure::Failure;

/// A part holds whole tensors up to this many bytes, and at least one.
const PART_BYTES: usize = 64 << 20;
/// Room for a part's own header, for each of its tensors.
const HEADER_BYTES_PER_TENSOR: u64 = 1_024;

/// Puts checkpoints into a node's own bucket while the node goes on.
pub(crate) struct Publisher {
    bucket: Bucket,
    keypair: Keypair,
    run: RunId,
    layout: Layout,
    layout_hash: Digest,
    pace: Pace,
    voice: Arc<dyn Voice>,
}

impl Publisher {
    /// One for the bucket of `node`.
    pub(crate) fn new(node: &Node) -> Self {
        Self {
            bucket: node.bucket.clone(),
            keypair: node.keypair.clone(),
            run: node.run_id,
            layout: node.layout.clone(),
            layout_hash: node.shape.layout(),
            pace: node.pace,
            voice: Arc::clone(&node.voice),
        }
    }

    /// Puts the state of `replica`, with which `window` begins: its parts, and the index last, so
    /// that whoever is killed midway leaves no checkpoint. The hash of the index.
    ///
    /// # Errors
    /// The disk is full.
    pub(crate) async fn publish(
        &self,
        replica: &Replica,
        window: Window,
    ) -> Result<Digest, Failure> {
        let mut parts = Vec::new();
        for (number, tensors) in cut(&self.layout).into_iter().enumerate() {
            let part = {
                let params = replica.read();
                let values = params.as_host().expect("replicas live on the CPU");
                Bytes::from(encode(&self.layout.tensors()[tensors.clone()], values)?)
            };
            let object = Content::of(&part);
            let (first_tensor, count) = (tensors.start as u32, tensors.len() as u32);
            parts.push(CheckpointPart { object, first_tensor, tensors: count });
            self.put(&ObjectKey::checkpoint(self.run, window, number as u32), part).await?;
        }
        let index = CheckpointIndex {
            version: protocol::CHECKPOINT_VERSION,
            run: self.run,
            window,
            validator: self.keypair.hotkey(),
            layout: self.layout_hash,
            root: replica.root(),
            parts,
        };
        let hash = index.hash();
        let signed = SignedCheckpointIndex::sign(index, &self.keypair)?;
        let key = ObjectKey::CheckpointIndex { run: self.run, window };
        self.put(&key, signed.to_bytes().into()).await?;
        Ok(hash)
    }

    /// Puts an object, however often that takes.
    async fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), Failure> {
        loop {
            let time = self.pace.read_time(body.len() as u64);
            let put = self.bucket.put(key, body.clone(), PutMode::Overwrite);
            let fault = match tokio::time::timeout(time, put).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error @ BucketError::DiskFull { .. })) => return Err(error.into()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", time.as_secs_f64()),
            };
            self.voice.say(&format!("{key} could not be put: {fault}; trying again"));
            tokio::time::sleep(self.pace.request).await;
        }
    }

    /// Removes what was needed to get to windows before `oldest`. Judgements stay: only all of them
    /// show how a validator came to its scores.
    pub(crate) async fn tidy(&self, oldest: Window) {
        // Whatever stays because the bucket does not answer stays in nobody's way.
        let all = KeyPrefix::Run { run: self.run };
        for object in self.bucket.list(&all).await.unwrap_or_default() {
            let is_judgement = matches!(object.key, ObjectKey::Judgement { .. });
            if !is_judgement && object.key.window().is_some_and(|window| window < oldest) {
                let _ = self.bucket.delete(&object.key).await;
            }
        }
    }
}

/// The newest whole checkpoint in the node's own bucket, which an earlier life published.
pub(crate) async fn newest_checkpoint(node: &Node) -> Option<(Window, Digest)> {
    let objects = node.bucket.list(&KeyPrefix::Run { run: node.run_id }).await.ok()?;
    let is_index = |key: &ObjectKey| matches!(key, ObjectKey::CheckpointIndex { .. });
    let indices = objects.into_iter().map(|object| object.key).filter(is_index);
    let key = indices.max_by_key(|key| key.window())?;
    let bytes_max = CHECKPOINT_BYTES_MAX as u64;
    let limits = Limits { bytes_max, timeout: node.pace.read_time(bytes_max) };
    let text = node.bucket.get(&key, limits).await.ok()?;
    let index = SignedCheckpointIndex::parse(&text).ok()?.into_document();
    Some((index.window, index.hash()))
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
        if self.bad_checkpoints.contains(&hash) {
            return None;
        }
        let key = ObjectKey::CheckpointIndex { run: self.run_id, window };
        let bytes_max = CHECKPOINT_BYTES_MAX as u64;
        let limits = Limits { bytes_max, timeout: self.pace.read_time(bytes_max) };
        let source = self.directory.bucket(manifest.validator)?;
        let text = source.get(&key, limits).await.ok()?;
        let index = SignedCheckpointIndex::parse(&text).ok()?.into_document();
        let fits = index.hash() == hash
            && index.run == self.run_id
            && index.layout == self.shape.layout()
            && index.tensors() == self.layout.tensors().len() as u64;
        fits.then_some(index)
    }

    /// Loads the checkpoint that `manifest` names, in parts from any validator that has them; false
    /// if nobody delivers it now, or it is another state than it claims. `replica` may be in any
    /// state then.
    pub(super) async fn load_checkpoint(
        &mut self,
        replica: &mut Replica,
        manifest: &Manifest,
    ) -> Result<bool, Failure> {
        let Some(index) = self.checkpoint_index(manifest).await else { return Ok(false) };
        if !self.load_parts(replica, manifest, &index).await? {
            self.voice.say("nobody delivers the whole checkpoint; planning anew");
            return Ok(false);
        }
        if replica.root() != index.root {
            let (window, by, found) = (index.window.0 + 1, index.validator, replica.root());
            let claimed = index.root;
            self.voice.say(&format!(
                "the checkpoint of window {window} by {by} holds state {found}, not {claimed}; \
                 planning anew"
            ));
            self.bad_checkpoints.insert(index.hash());
            return Ok(false);
        }
        Ok(true)
    }

    async fn load_parts(
        &mut self,
        replica: &mut Replica,
        manifest: &Manifest,
        index: &CheckpointIndex,
    ) -> Result<bool, Failure> {
        let sources = self.directory.mirrors(manifest.validator);
        for (number, part) in index.parts.iter().enumerate() {
            let first = part.first_tensor as usize;
            let tensors = first..first + part.tensors as usize;
            let tensors = self.layout.tensors()[tensors].to_vec();
            if part.object.bytes > bytes_max(&tensors) {
                return Ok(false);
            }
            self.voice.doing(&format!("fetching checkpoint part {}", number + 1));
            let key = ObjectKey::checkpoint(self.run_id, index.window, number as u32);
            let part = self.read_content(&sources, &key, part.object).await;
            let Some(bytes) = part.and_then(|part| part.to_bytes().ok()) else {
                return Ok(false);
            };
            let mut whole = false;
            replica.fill(|_, values| {
                whole = decode(&tensors, &bytes, values).is_some();
                Ok(())
            })?;
            if !whole {
                return Ok(false);
            }
        }
        Ok(true)
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
