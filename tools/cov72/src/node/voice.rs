//! What a node tells whoever watches it.

/// Somebody who listens to a node.
pub(crate) trait Voice: Send + Sync {
    /// Something that stays: a verdict, a fault, a turn of events.
    fn say(&self, text: &str);

    /// What the node is doing now, such as `gathering`.
    fn doing(&self, text: &str);

    /// Two different manifests that one validator signed for one window, as published.
    fn evidence(&self, first: &[u8], second: &[u8]);
}
