//! Stores that go around the caches, for results much larger than they are: a plain store reads
//! its line from memory before it changes it, and drives out what other passes still need.

/// Values from which a result is streamed: below, the next pass finds it in a cache.
pub(crate) const STREAMED_MIN: usize = 4 << 20;

/// Copies `from` to `to` around the caches, where the machine and the alignment of `to` allow.
/// Whoever hands `to` to another thread calls [`finish`] first.
///
/// # Panics
/// The lengths differ.
#[inline(always)]
pub(crate) fn store(from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "a copy has the length of its source");
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps};
        const LANES: usize = 4;
        let unaligned = to.as_ptr().align_offset(LANES * size_of::<f32>()).min(to.len());
        let whole = unaligned + (to.len() - unaligned) / LANES * LANES;
        to[..unaligned].copy_from_slice(&from[..unaligned]);
        for at in (unaligned..whole).step_by(LANES) {
            // SAFETY: every x86-64 has these instructions; `at + 4` is within both slices, and
            // `at` is where `to` is aligned.
            unsafe { _mm_stream_ps(to.as_mut_ptr().add(at), _mm_loadu_ps(from.as_ptr().add(at))) };
        }
        to[whole..].copy_from_slice(&from[whole..]);
    }
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

/// Orders all that was streamed before what this thread stores next.
#[inline(always)]
pub(crate) fn finish() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a fence has no preconditions.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_arrives_whatever_the_alignment_and_the_length() {
        let from: Vec<f32> = (1..=40).map(|i| i as f32).collect();
        for first in 0..8 {
            for len in 0..=32 {
                let mut to = [0.0; 41];
                store(&from[..len], &mut to[first..first + len]);
                finish();
                assert_eq!(to[first..first + len], from[..len]);
                let outside = to[..first].iter().chain(&to[first + len..]);
                assert!(outside.into_iter().all(|value| *value == 0.0), "{first}, {len}");
            }
        }
    }
}
