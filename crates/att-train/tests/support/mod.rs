//! What tests of planted alignments share.

#![allow(dead_code)] // each test uses a part

use att_attention::{NormaliserConfig, ScorerConfig, SoftmaxConfig};
use att_data::{Corpus, Pair};
use att_train::ExperimentConfig;
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

/// The same experiment, with a colder softmax if its scorer is the scaled dot product. States have no
/// projection and lie between -1 and 1, so their product by the root of its size is small, and weights
/// are flat for thousands of steps otherwise.
pub fn colder(mut config: ExperimentConfig) -> ExperimentConfig {
    let attention = config.model.decoder.attention_mut().unwrap();
    if matches!(attention.scorer, ScorerConfig::ScaledDot(_)) {
        attention.normaliser = NormaliserConfig::Softmax(SoftmaxConfig { temperature: 0.2 });
    }
    config
}
