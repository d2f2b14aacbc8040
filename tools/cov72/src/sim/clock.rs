//! The chain's clock in a simulation: tokio's virtual time, which stands still while a node
//! computes and jumps to the next thing that anybody waits for.

use std::time::Duration;

use chain::Clock;
use tokio::time::Instant;

/// When every simulation begins, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_000_000_000_000;

/// Virtual time since the simulation began.
#[derive(Clone, Copy, Debug)]
pub(super) struct VirtualClock {
    begin: Instant,
}

impl VirtualClock {
    /// Begins now.
    pub(super) fn new() -> Self {
        Self { begin: Instant::now() }
    }

    /// Milliseconds since the simulation began.
    pub(super) fn since_ms(&self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        BEGIN_MS + self.since_ms()
    }

    /// Nodes wait on tokio, never on the chain: nobody sleeps here.
    fn sleep(&self, _: Duration) {}
}
