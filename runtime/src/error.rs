//! What can go wrong below the model, each variant naming the next move.

/// An error of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The operating system refused worker threads.
    #[error("cannot start {threads} worker threads: {source}; use --threads with a smaller number")]
    Threads {
        /// How many were wanted.
        threads: usize,
        /// What the pool said.
        source: rayon::ThreadPoolBuildError,
    },
    /// A GPU or its driver failed, or is not there.
    #[error(transparent)]
    Gpu(#[from] crate::GpuError),
}
