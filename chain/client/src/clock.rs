//! Time as an argument: milliseconds since 1970, and a way to let them pass.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wire::BlockNumber;

use crate::{Chain, ChainError, Head};

/// A source of time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Returns after `duration` has passed on this clock.
    fn sleep(&self, duration: Duration);
}

/// Waits until the head of `chain` is `block` or later; looks again after `pause`, which is told
/// the time, or when `timeout` is over.
pub(crate) fn wait_for_block(
    chain: &dyn Chain,
    clock: &dyn Clock,
    block: BlockNumber,
    timeout: Duration,
    pause: impl Fn(u64) -> Duration,
) -> Result<Head, ChainError> {
    let deadline_ms = clock.now_ms().saturating_add(timeout.as_millis() as u64);
    loop {
        let head = chain.head()?;
        if head.number >= block {
            return Ok(head);
        }
        let now_ms = clock.now_ms();
        if now_ms >= deadline_ms {
            let (wanted, head, after) = (block, head.number, timeout);
            return Err(ChainError::BlockTimeout { wanted, head, after });
        }
        clock.sleep(pause(now_ms).min(Duration::from_millis(deadline_ms - now_ms)));
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as u64)
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that moves when it is told to; sleeping moves it.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Starts at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self(AtomicU64::new(now_ms))
    }

    /// Lets time pass.
    pub fn advance_ms(&self, by_ms: u64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) {
        self.advance_ms(duration.as_millis() as u64);
    }
}
