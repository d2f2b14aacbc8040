//! numpy's `default_rng`, bit for bit: PCG64 (128-bit LCG, XSL-RR output) seeded by `SeedSequence`.
//!
//! Which samples a peer trains on hangs on these bits, so they are pinned by values from numpy.

const MULTIPLIER: u128 = (2549297995355413924 << 64) | 4865540595714422341;

/// A stream of random numbers, equal to `numpy.random.default_rng(seed)`.
#[derive(Clone, Debug)]
pub struct Pcg64 {
    state: u128,
    increment: u128,
    /// High half of the last 64-bit draw, waiting to be the next 32-bit one.
    half: Option<u32>,
}

impl Pcg64 {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        let [state_high, state_low, increment_high, increment_low] = seed_words(seed);
        let pair = |high, low| u128::from(high) << 64 | u128::from(low);
        let increment = pair(increment_high, increment_low) << 1 | 1;
        let mut rng = Self { state: increment, increment, half: None };
        rng.state = rng.state.wrapping_add(pair(state_high, state_low));
        rng.step();
        rng
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// The next 32 bits: the low half of a 64-bit draw, then its high half.
    pub fn next_u32(&mut self) -> u32 {
        self.half.take().unwrap_or_else(|| {
            let bits = self.next_u64();
            self.half = Some((bits >> 32) as u32);
            bits as u32
        })
    }

    /// Uniform over `0..=max`, by Lemire's multiplication with rejection. `max = 0` draws nothing.
    pub fn bounded(&mut self, max: u64) -> u64 {
        match max {
            0 => 0,
            0xFFFF_FFFF => self.next_u32().into(),
            u64::MAX => self.next_u64(),
            max if max < 0xFFFF_FFFF => self.bounded_u32(max as u32).into(),
            max => self.bounded_u64(max),
        }
    }

    fn bounded_u32(&mut self, max: u32) -> u32 {
        let count = max + 1;
        let mut product = u64::from(self.next_u32()) * u64::from(count);
        if (product as u32) < count {
            let threshold = (u32::MAX - max) % count;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(count);
            }
        }
        (product >> 32) as u32
    }

    fn bounded_u64(&mut self, max: u64) -> u64 {
        let count = max + 1;
        let mut product = u128::from(self.next_u64()) * u128::from(count);
        if (product as u64) < count {
            let threshold = (u64::MAX - max) % count;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(count);
            }
        }
        (product >> 64) as u64
    }
}

/// `SeedSequence(seed).generate_state(4, uint64)`.
fn seed_words(seed: u64) -> [u64; 4] {
    let mut hash = 0x43b0_d7e5_u32;
    let mut scramble = |word: u32| {
        let word = word ^ hash;
        hash = hash.wrapping_mul(0x931e_8875);
        fold(word.wrapping_mul(hash))
    };
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(&mut scramble);
    for source in 0..4 {
        for target in (0..4).filter(|&target| target != source) {
            let left = pool[target].wrapping_mul(0xca01_f9dd);
            let right = scramble(pool[source]).wrapping_mul(0x4973_f715);
            pool[target] = fold(left.wrapping_sub(right));
        }
    }
    let mut hash = 0x8b51_f9dd_u32;
    let mut word = |i: usize| {
        let word = pool[i % 4] ^ hash;
        hash = hash.wrapping_mul(0x58f3_8ded);
        u64::from(fold(word.wrapping_mul(hash)))
    };
    std::array::from_fn(|i| word(2 * i) | word(2 * i + 1) << 32)
}

fn fold(word: u32) -> u32 {
    word ^ word >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpy_draws_the_same_64_bit_numbers() {
        for (seed, drawn) in [
            (0, [11749869230777074271, 4976686463289251617, 755828109848996024]),
            (72, [15455359816390735216, 123134279709232394, 4269466736801078292]),
            (4294967301, [14281546376153053393, 8683300866460616067, 12836726618003871680]),
            (u64::MAX, [12544278110101001871, 15593249672699323225, 136562751618339402]),
        ] {
            let mut rng = Pcg64::new(seed);
            assert_eq!(drawn.map(|_| rng.next_u64()), drawn, "seed {seed}");
        }
    }

    #[test]
    fn bounded_numbers_reach_both_ends_and_no_further() {
        let mut rng = Pcg64::new(1);
        let drawn: Vec<u64> = (0..1000).map(|_| rng.bounded(6)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&0), Some(&6)));
        assert_eq!(rng.bounded(0), 0);
    }
}
