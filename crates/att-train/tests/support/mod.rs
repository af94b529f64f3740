//! What tests of planted alignments share.

use att_data::{Corpus, Pair};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::Rng;

/// Sequences of 4 to 6 letters out of ten, and each of them reversed.
pub fn reversed(size: usize, rng: &mut Xoshiro256PlusPlus) -> Corpus {
    let mut below = |n: u64| rng.next_u64() % n;
    let pairs = (0..size).map(|_| {
        let len = 4 + below(3);
        let src: String = (0..len).map(|_| (b'a' + below(10) as u8) as char).collect();
        Pair::new(src.clone(), src.chars().rev().collect::<String>())
    });
    Corpus {
        pairs: pairs.collect(),
    }
}
