//! The `k` largest `|m|` of one chunk, in index order, equals going to the lower index.
//!
//! Keys are the bits of `m` without its sign: they order as `|m|` does, infinity and not-a-number
//! above all. Bit `i % 64` of mark word `i / 64` says whether value `i` reaches the threshold.

use crate::ops::CHUNK_LEN_MAX;

const WORDS: usize = CHUNK_LEN_MAX / 64;
/// Key of infinity; those of all finite values are below.
const KEY_INFINITE: u32 = 0x7f80_0000;
/// Above every key.
const KEY_END: u32 = 0x8000_0000;
/// Share of the last chunk's smallest kept value that the next one's guess is: low enough that `k`
/// values almost always reach it, high enough that few others do.
const GUESS_SHARE: f32 = 0.92;

/// A way to compare 64 keys with a threshold, and to run code compiled for it.
pub(crate) trait Marker: Copy + Send + Sync {
    /// Runs `work` with the instructions of this marker.
    fn run<R>(self, work: impl FnOnce() -> R) -> R;
    /// Bit `i` says whether `|values[i]|` has at least this key.
    fn mark(self, values: &[f32; 64], key: u32) -> u64;
}

/// Marks with what every machine has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Marker for Portable {
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        work()
    }

    #[inline(always)]
    fn mark(self, values: &[f32; 64], key: u32) -> u64 {
        let mut marks = 0;
        for (i, &value) in values.iter().enumerate() {
            marks |= u64::from(key_of(value) >= key) << i;
        }
        marks
    }
}

#[cfg(target_arch = "x86_64")]
impl Marker for pulp::x86::V3 {
    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        self.vectorize(work)
    }

    #[inline(always)]
    fn mark(self, values: &[f32; 64], key: u32) -> u64 {
        let eights: &[pulp::f32x8; 8] = bytemuck::cast_ref(values);
        let sign = self.splat_u32x8(0x7fff_ffff);
        // Keys lie below 2^31, so that signed comparison orders them; key 0 becomes -1.
        let below = self.splat_i32x8(key as i32 - 1);
        let mut marks = 0;
        for (i, &eight) in eights.iter().enumerate() {
            let keys = self.and_u32x8(pulp::cast(eight), sign);
            let reached = self.cmp_gt_i32x8(pulp::cast(keys), below);
            let bits = self.avx._mm256_movemask_ps(pulp::cast(reached));
            marks |= u64::from(bits as u8) << (8 * i);
        }
        marks
    }
}

#[cfg(target_arch = "x86_64")]
impl Marker for pulp::x86::V4 {
    #[inline(always)]
    fn run<R>(self, work: impl FnOnce() -> R) -> R {
        self.vectorize(work)
    }

    #[inline(always)]
    fn mark(self, values: &[f32; 64], key: u32) -> u64 {
        let sixteens: &[pulp::f32x16; 4] = bytemuck::cast_ref(values);
        let (sign, key) = (self.splat_u32x16(0x7fff_ffff), self.splat_u32x16(key));
        let mut marks = 0;
        for (i, &sixteen) in sixteens.iter().enumerate() {
            let keys = self.and_u32x16(pulp::cast(sixteen), sign);
            marks |= u64::from(self.cmp_ge_u32x16(keys, key).0) << (16 * i);
        }
        marks
    }
}

#[inline(always)]
fn key_of(value: f32) -> u32 {
    value.to_bits() & 0x7fff_ffff
}

/// Working memory for the chunks of one band.
#[derive(Clone, Copy, bytemuck::Zeroable)]
pub(crate) struct TopK {
    k: usize,
    chunk_len: usize,
    marks: [u64; WORDS],
    /// The marked, in index order.
    keys: [u32; CHUNK_LEN_MAX],
    indices: [u16; CHUNK_LEN_MAX],
    /// What about `k` values of the next chunk should reach; 0 before the first.
    guess: u32,
}

impl TopK {
    /// Prepares for another band.
    pub(crate) fn start(&mut self, chunk_len: usize, k: usize) {
        (self.chunk_len, self.k, self.guess) = (chunk_len, k, 0);
    }

    /// Writes the `k` kept of the chunk; whether all of them, and with them all of the chunk, are
    /// finite. `m` is zero from the chunk's end to the next multiple of 64.
    #[inline(always)]
    pub(crate) fn select<M: Marker>(
        &mut self,
        marker: M,
        m: &[f32; CHUNK_LEN_MAX],
        indices: &mut [u16],
        values: &mut [f32],
    ) -> bool {
        if self.k == self.chunk_len {
            indices.iter_mut().zip(0..).for_each(|(index, i)| *index = i);
            values.copy_from_slice(&m[..self.k]);
            return values.iter().all(|value| value.is_finite());
        }
        let (key, count) = self.threshold(marker, m);
        let largest = self.collect(m);
        let smallest = self.keep(key, count, largest, indices);
        for (value, &index) in values.iter_mut().zip(&*indices) {
            *value = m[usize::from(index) % CHUNK_LEN_MAX];
        }
        let guess = f32::from_bits(smallest.min(KEY_INFINITE - 1)) * GUESS_SHARE;
        self.guess = guess.to_bits().max(1);
        largest < KEY_INFINITE
    }

    /// Marks at least `k` values, all whose key reaches the returned one, and counts them: few more
    /// than `k`, unless so many are equal that no key separates them.
    #[inline(always)]
    fn threshold<M: Marker>(&mut self, marker: M, m: &[f32; CHUNK_LEN_MAX]) -> (u32, usize) {
        let enough = 3 * self.k + 64;
        // At least k keys reach `low`, fewer reach `high`.
        let (mut low, mut high) = (0, KEY_END);
        let mut key = if self.guess == 0 { self.first_guess(m) } else { self.guess };
        for attempt in 0.. {
            let count = self.mark_all(marker, m, key);
            if count < self.k {
                high = key;
            } else if count <= enough || high - key == 1 {
                return (key, count);
            } else {
                low = key;
            }
            key = next_guess(attempt, key, count < self.k, low, high);
        }
        unreachable!("the interval between low and high shrinks at every attempt")
    }

    /// Every 64th value stands for all: the largest of them for the 64th part.
    #[cold]
    fn first_guess(&self, m: &[f32; CHUNK_LEN_MAX]) -> u32 {
        let step = self.chunk_len.div_ceil(64);
        let sample = m[..self.chunk_len].iter().step_by(step);
        sample.map(|&value| key_of(value)).max().unwrap_or(0).min(KEY_INFINITE - 1)
    }

    #[inline(always)]
    fn mark_all<M: Marker>(&mut self, marker: M, m: &[f32; CHUNK_LEN_MAX], key: u32) -> usize {
        let (sixty_fours, _) = m.as_chunks::<64>();
        let words = self.chunk_len.div_ceil(64);
        for (marks, values) in self.marks.iter_mut().zip(sixty_fours).take(words) {
            *marks = marker.mark(values, key);
        }
        // Beyond the end lie zeros, which the key zero would mark.
        self.marks[words - 1] &= u64::MAX >> (words * 64 - self.chunk_len);
        self.marks[..words].iter().map(|marks| marks.count_ones() as usize).sum()
    }

    /// Lists the marked in index order; their largest key.
    #[inline(always)]
    fn collect(&mut self, m: &[f32; CHUNK_LEN_MAX]) -> u32 {
        let (mut n, mut largest) = (0, 0);
        for (word, &marks) in self.marks[..self.chunk_len.div_ceil(64)].iter().enumerate() {
            let mut marks = marks;
            while marks != 0 {
                let index = (word * 64 + marks.trailing_zeros() as usize) % CHUNK_LEN_MAX;
                let key = key_of(m[index]);
                self.keys[n % CHUNK_LEN_MAX] = key;
                self.indices[n % CHUNK_LEN_MAX] = index as u16;
                largest = largest.max(key);
                n += 1;
                marks &= marks - 1;
            }
        }
        largest
    }

    /// Writes the indices of the `k` largest of the `count` marked; the smallest kept key or one
    /// between it and the largest dropped.
    #[inline(always)]
    fn keep(&self, mut low: u32, count: usize, largest: u32, indices: &mut [u16]) -> u32 {
        let keys = &self.keys[..count];
        // At least k of the keys reach `low`; fewer reach `high`, or exactly k once that is found.
        let (mut high, mut reach_high) = (largest + 1, 0);
        if count == self.k {
            (high, reach_high) = (low, count);
        }
        while reach_high < self.k && high - low > 1 {
            let middle = low + (high - low) / 2;
            let reach: u32 = keys.iter().map(|&key| u32::from(key >= middle)).sum();
            if reach as usize > self.k {
                low = middle;
            } else {
                (high, reach_high) = (middle, reach as usize);
            }
        }
        let mut equals = self.k - reach_high;
        let mut n = 0;
        for (&key, &index) in keys.iter().zip(&self.indices) {
            let equal = key == low && key < high && equals > 0;
            equals -= usize::from(equal);
            if key >= high || equal {
                indices[n] = index;
                n += 1;
            }
        }
        low
    }
}

/// Where to try after `key`, which was reached by too few (or too many): near by at first, for
/// neighbouring chunks are alike; then at the smallest key above zero, for many chunks are mostly
/// zero; then halfway.
#[cold]
fn next_guess(attempt: u32, key: u32, too_few: bool, low: u32, high: u32) -> u32 {
    let guess = match (attempt, too_few) {
        (0 | 1, true) => (f32::from_bits(key) * 0.8).to_bits(),
        (0 | 1, false) => (f32::from_bits(key) * 1.2).to_bits(),
        (2, true) if low == 0 => 1,
        _ => low + (high - low) / 2,
    };
    if low < guess && guess < high { guess } else { low + (high - low) / 2 }
}
