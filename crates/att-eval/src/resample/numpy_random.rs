//! NumPy's random numbers, so that a seed gives the resamples that sacreBLEU draws.

/// `numpy.random.default_rng(seed)`: PCG64 (O'Neill 2014, XSL-RR 128/64), seeded by NumPy's
/// `SeedSequence`.
pub(crate) struct NumpyRandom {
    state: u128,
    increment: u128,
    /// The high half of a number whose low half has been given out.
    spare: Option<u32>,
}

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

impl NumpyRandom {
    pub(crate) fn new(seed: u64) -> Self {
        let [state, increment] = seed_sequence(seed);
        let mut random = Self {
            state: 0,
            increment: increment << 1 | 1,
            spare: None,
        };
        random.step();
        random.state = random.state.wrapping_add(state);
        random.step();
        random
    }

    fn step(&mut self) {
        self.state = self
            .state
            .wrapping_mul(MULTIPLIER)
            .wrapping_add(self.increment);
    }

    fn next_u64(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    fn next_u32(&mut self) -> u32 {
        match self.spare.take() {
            Some(high) => high,
            None => {
                let number = self.next_u64();
                self.spare = Some((number >> 32) as u32);
                number as u32
            }
        }
    }

    /// A number below `bound` (1 to 2^32 - 1), as `integers(bound)` and `choice(bound)` draw it
    /// (Lemire 2019).
    pub(crate) fn below(&mut self, bound: u32) -> usize {
        if bound == 1 {
            return 0; // and no random number is spent
        }
        let mut product = u64::from(self.next_u32()) * u64::from(bound);
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(bound);
            }
        }
        (product >> 32) as usize
    }

    /// A source of `integers(2, dtype=bool)`: the bits of 32-bit numbers, the lowest first.
    pub(crate) fn bits(&mut self) -> impl FnMut() -> bool + '_ {
        let (mut bits, mut left) = (0, 0);
        move || {
            if left == 0 {
                (bits, left) = (self.next_u32(), 32);
            }
            let bit = bits & 1 == 1;
            bits >>= 1;
            left -= 1;
            bit
        }
    }
}

/// `SeedSequence(seed).generate_state(4, uint64)`, as two numbers of 128 bits.
fn seed_sequence(seed: u64) -> [u128; 2] {
    const POOL: usize = 4;
    let mut constant = 0x43b0_d7e5_u32;
    let mut hash = |value: u32| {
        let value = value ^ constant;
        constant = constant.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(constant);
        value ^ value >> 16
    };
    let mix = |x: u32, y: u32| {
        let mixed = x
            .wrapping_mul(0xca01_f9dd)
            .wrapping_sub(y.wrapping_mul(0x4973_f715));
        mixed ^ mixed >> 16
    };
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(&mut hash);
    for from in 0..POOL {
        for to in 0..POOL {
            if from != to {
                pool[to] = mix(pool[to], hash(pool[from]));
            }
        }
    }
    let mut constant = 0x8b51_f9dd_u32;
    let mut words = [0_u32; 8];
    for (i, word) in words.iter_mut().enumerate() {
        let value = pool[i % POOL] ^ constant;
        constant = constant.wrapping_mul(0x58f3_8ded);
        let value = value.wrapping_mul(constant);
        *word = value ^ value >> 16;
    }
    // A half of 64 bits has its low word first, a number of 128 bits its high half.
    let number = |at: usize| {
        let half = |at: usize| u128::from(words[at + 1]) << 32 | u128::from(words[at]);
        half(at) << 64 | half(at + 2)
    };
    [number(0), number(4)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.random.default_rng(seed).bit_generator.random_raw(3)`, NumPy 2.4.6.
    #[test]
    fn numbers_are_numpys() {
        let raw = |seed| {
            let mut random = NumpyRandom::new(seed);
            [(); 3].map(|()| random.next_u64())
        };
        assert_eq!(
            raw(12345),
            [
                4193609425186963869,
                5843160025838961886,
                14708796524633321433
            ]
        );
        assert_eq!(
            raw(0),
            [
                11749869230777074271,
                4976686463289251617,
                755828109848996024
            ]
        );
        assert_eq!(
            raw((1 << 40) + 7),
            [
                15307346044642009514,
                4709548916763817589,
                2836937976252648324
            ]
        );
    }

    /// `default_rng(12345).choice(1000, 8)` and `.choice(3, 8)`.
    #[test]
    fn choices_are_numpys() {
        let choices = |bound| {
            let mut random = NumpyRandom::new(12345);
            [(); 8].map(|()| random.below(bound))
        };
        assert_eq!(choices(1000), [699, 227, 788, 316, 204, 797, 642, 676]);
        assert_eq!(choices(3), [2, 0, 2, 0, 0, 2, 1, 2]);
        assert_eq!(choices(1), [0; 8]);
    }

    /// `default_rng(12345).integers(2, size=40, dtype=bool)`.
    #[test]
    fn bits_are_numpys() {
        let mut random = NumpyRandom::new(12345);
        let mut next = random.bits();
        let drawn: String = (0..40).map(|_| if next() { '1' } else { '0' }).collect();
        assert_eq!(drawn, "1011100110000011111111110100110110110001");
    }
}
