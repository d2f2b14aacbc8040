//! Who signed two contributions for one window: told by a second look into each bucket, when the
//! window is over.

use bucket::{Bucket, ObjectKey};
use wire::contribution::HEADER_BYTES;
use wire::{Evidence, Header, ReadAt, Rejection, Window, verify};

use super::case::{Case, Entry};
use crate::node::Node;

/// Looks once more at every sound contribution of `case`. Two signed headers of one peer with
/// different bodies are proof; an object that is only damaged is none.
pub(super) async fn look_again(node: &mut Node, case: &Case, evidence: &mut Evidence) {
    for (entry, peer) in case.entries.iter().zip(&mut evidence.peers) {
        if peer.is_at_fault() {
            continue;
        }
        let Some(first) = first(entry) else { continue };
        let Some(second) = second(node, entry, case.window).await else { continue };
        let is_other = second.body_hash != first.body_hash
            && second.claims.run == first.claims.run
            && second.claims.window == first.claims.window
            && second.hotkey == first.hotkey
            && verify(second.hotkey, &second.signed_bytes(), &second.signature);
        if is_other {
            let (uid, window) = (entry.uid, case.window.0 + 1);
            node.voice.say(&format!("uid {uid} signed two contributions for window {window}"));
            let (first, second) = (first.body_hash, second.body_hash);
            peer.rejection = Some(Rejection::Equivocated { first, second });
            peer.effect = None;
        }
    }
}

/// The header of what was judged.
fn first(entry: &Entry) -> Option<Header> {
    let mut head = [0; HEADER_BYTES];
    entry.body.as_ref()?.source().read_at(0, &mut head).ok()?;
    Header::parse(&head).ok()
}

/// The header of what lies there now, if it was put after what was judged.
async fn second(node: &mut Node, entry: &Entry, window: Window) -> Option<Header> {
    let source: Bucket = node.directory.bucket(entry.hotkey)?;
    let key = ObjectKey::contribution(node.run_id, window, entry.hotkey);
    let look = tokio::time::timeout(node.pace.request, source.head(&key)).await;
    if look.ok()?.ok()?.modified_ms <= entry.modified_ms {
        return None;
    }
    let (head, timeout) = (0..HEADER_BYTES as u64, node.pace.request);
    let head = source.get_range(&key, head, timeout).await.ok()?;
    Header::parse(&head).ok()
}
