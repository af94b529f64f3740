//! Attention finds what is planted: on reversed sequences, where the true alignment is known, each kind of
//! scorer that can learns to look at the letter that it writes.
//!
//! The bridge is zeros, so that only attention knows the source. The location scorer can't then: its scores
//! come from the decoder's state alone, which does not know how long the source is.

mod support;

use std::ops::ControlFlow;

use att_core::DeviceSpec;
use att_data::Corpus;
use att_model::Translator;
use att_train::{Contestant, Event, ExperimentConfig, Trainer, attention_variants};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use support::{colder, reversed};

const EXPERIMENT: &str = "
    seed = 1
    [tokenizer]
    src = { kind = 'char' }
    tgt = { kind = 'char' }
    [batch]
    batch_size = 32
    [model]
    src_embedding = { d_embed = 16, dropout = 0.0 }
    tgt_embedding = { d_embed = 16, dropout = 0.0 }
    encoder = { kind = 'recurrent', cell = 'gru', d_hidden = 16, dropout = 0.0 }
    [model.decoder]
    kind = 'luong'
    recurrent = { cell = 'gru', d_hidden = 32 }
    attention = { scorer = { kind = 'additive', d_attn = 32 } }
    d_attentional = 32
    bridge = 'zeros'
    dropout = 0.0
    [training]
    schedule = { kind = 'cosine', lr = 1e-2, warmup = 20 }
    label_smoothing = 0.0
    max_steps = 400
    log_every = 1000
    metric = 'exact_match'
    [search]
    beam_size = 1
";

/// Of all steps but EOS of the known targets, the share whose greatest weight is at the letter that they
/// write.
fn aligned(translator: &Translator, corpus: &Corpus) -> f64 {
    let (mut steps, mut right) = (0usize, 0usize);
    for (found, pair) in translator.score(&corpus.pairs).iter().zip(&corpus.pairs) {
        let weights = found.candidates[0].weights.as_ref().unwrap();
        let n = pair.src.len();
        for (t, row) in weights.iter().take(n).enumerate() {
            let greatest = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            steps += 1;
            right += usize::from(greatest == Some(n - 1 - t));
        }
    }
    right as f64 / steps as f64
}

#[test]
fn every_scorer_that_can_looks_at_the_letter_that_it_writes() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let (train, test) = (reversed(8000, &mut rng), reversed(100, &mut rng));
    let base = ExperimentConfig::from_toml(EXPERIMENT).unwrap();
    let device = DeviceSpec::Flex.init().unwrap();
    let variants = attention_variants(&base, &["all"]).unwrap();
    assert_eq!(variants.left_out, []);
    for Contestant { name, config } in variants.contestants {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join(&name);
        let mut ignore = |_: &Event| ControlFlow::Continue(());
        let trainer = Trainer::create(colder(config), &train, &test, &run, false).unwrap();
        trainer.run(&device, &mut ignore).unwrap();
        let aligned = aligned(&Translator::load(&run, &device).unwrap(), &test);
        if name == "location" {
            // Step t is right for one of the three lengths at most.
            assert!(aligned < 0.5, "{name}: {aligned}");
        } else {
            assert!(aligned >= 0.95, "{name}: {aligned}");
        }
    }
}
