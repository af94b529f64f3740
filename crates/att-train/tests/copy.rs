//! Names that no vocabulary has are copied from the source, by a model that can, and by no other; what is
//! copied is looked at, with every kind of scorer.

mod support;

use std::ops::ControlFlow;
use std::path::Path;

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_model::{Translation, Translator};
use att_train::{Contestant, Event, ExperimentConfig, Trainer, attention_variants};

use support::colder;

/// Names occur once or twice, all other words often.
const EXPERIMENT: &str = "
    seed = 3
    [tokenizer]
    src = { kind = 'whitespace', min_count = 9 }
    tgt = { kind = 'whitespace', min_count = 9 }
    [batch]
    batch_size = 32
    [model]
    src_embedding = { d_embed = 16, dropout = 0.0 }
    tgt_embedding = { d_embed = 16, dropout = 0.0 }
    encoder = { kind = 'recurrent', cell = 'gru', d_hidden = 16, dropout = 0.0 }
    [model.decoder]
    kind = 'luong'
    d_attentional = 32
    dropout = 0.0
    recurrent = { cell = 'gru', d_hidden = 32 }
    attention = { scorer = { kind = 'general' } }
    copy = true
    [training]
    schedule = { kind = 'cosine', lr = 1e-2, warmup = 20 }
    label_smoothing = 0.05
    max_steps = 400
    valid_every = 1000
    metric = 'exact_match'
    [search]
    beam_size = 3
";

const VERBS: [[&str; 2]; 4] = [
    ["sees", "sieht"],
    ["knows", "kennt"],
    ["calls", "ruft"],
    ["likes", "mag"],
];
const TIMES: [[&str; 2]; 3] = [["today", "heute"], ["often", "oft"], ["never", "nie"]];

/// `n` sentences with names of their own, of which those of German begin with the time.
fn corpus(n: usize, seed: u64) -> Corpus {
    let mut state = seed;
    // Knuth's generator.
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005);
        state = state.wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let mut pair = || {
        let mut name = || -> String {
            let syllables = ["ka", "lo", "mi", "ne", "ru", "sa", "to", "vi", "wo", "zu"];
            (0..4).map(|_| syllables[random(syllables.len())]).collect()
        };
        let (a, b, c) = (name(), name(), name());
        let [verb, v] = VERBS[random(VERBS.len())];
        let [time, t] = TIMES[random(TIMES.len())];
        match random(3) {
            0 => Pair::new(format!("{a} {verb} {b} {time}"), format!("{t} {v} {a} {b}")),
            1 => Pair::new(
                format!("{time} {a} and {b} meet {c}"),
                format!("{t} treffen {a} und {b} {c}"),
            ),
            _ => Pair::new(
                format!("the {verb} of {a} is {b}"),
                format!("{b} ist das {v} von {a}"),
            ),
        }
    };
    Corpus {
        pairs: (0..n).map(|_| pair()).collect(),
    }
}

fn train(config: ExperimentConfig, run: &Path) -> Translator {
    let device = DeviceSpec::Flex.init().unwrap();
    let (train, valid) = (corpus(1000, 1), corpus(8, 2));
    Trainer::create(config, &train, &valid, run, false)
        .unwrap()
        .run(&device, &mut |_: &Event| ControlFlow::Continue(()))
        .unwrap();
    Translator::load(run, &device).unwrap()
}

/// How many of the copied words of a translation are those of the target, and how many of them are looked
/// at most in the source; and how many there should be.
fn count(pair: &Pair, translation: &Translation) -> [usize; 3] {
    let candidate = &translation.candidates[0];
    let weights = candidate.weights.as_ref().unwrap();
    let is_name = |word: &str| word.len() == 8 && pair.src.contains(word);
    let (mut right, mut looked_at, mut all) = (0, 0, 0);
    for (step, word) in pair.tgt.split(' ').enumerate().filter(|(_, w)| is_name(w)) {
        all += 1;
        if candidate
            .tokens
            .get(step)
            .is_some_and(|token| token == word)
        {
            right += 1;
            let weights = weights[step].iter().enumerate();
            let (place, _) = weights.max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            looked_at += usize::from(translation.src_tokens[place] == word);
        }
    }
    [right, looked_at, all]
}

#[test]
fn unseen_names_come_out_right_where_they_are_copied() {
    let base = ExperimentConfig::from_toml(EXPERIMENT).unwrap();
    let variants = attention_variants(&base, &["all"]).unwrap();
    assert_eq!(variants.left_out, []);
    let test = corpus(100, 4);
    let sources: Vec<&str> = test.sources().collect();
    for Contestant { name, config } in variants.contestants {
        let folder = tempfile::tempdir().unwrap();
        let translator = train(colder(config), &folder.path().join("copies"));
        let tokenizer = &translator.directory().tgt_tokenizer;
        assert!(tokenizer.vocab_size() < 30, "no name is in it");
        let search = &translator.directory().search;
        let found = translator.translate(&sources, search).unwrap();
        let mut sums = [0; 3];
        for (pair, translation) in test.pairs.iter().zip(&found) {
            let counts = count(pair, translation);
            sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
        }
        let [right, looked_at, all] = sums.map(|n| n as f64);
        println!("{name}: {right} of {all} names, {looked_at} of them looked at");
        assert!(right >= 0.95 * all, "{name}: {right} of {all}");
        assert!(looked_at >= 0.95 * right, "{name}: {looked_at} of {right}");
        // Copied names are as probable as they look.
        let scored = translator.score(&test.pairs);
        let log_probs = scored.iter().map(|scored| scored.candidates[0].log_prob);
        let mean = log_probs.sum::<f64>() / scored.len() as f64;
        assert!(mean > -2.0, "{name}: {mean}");
    }
}

#[test]
fn without_copying_no_unseen_name_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = EXPERIMENT
        .replace("copy = true", "copy = false")
        .replace("max_steps = 400", "max_steps = 50");
    let config = ExperimentConfig::from_toml(&experiment).unwrap();
    let translator = train(config, &folder.path().join("generates"));
    let test = corpus(20, 4);
    let sources: Vec<&str> = test.sources().collect();
    let search = &translator.directory().search;
    for (pair, translation) in test
        .pairs
        .iter()
        .zip(translator.translate(&sources, search).unwrap())
    {
        let [right, _, all] = count(pair, &translation);
        assert_eq!(right, 0);
        assert!(all >= 2);
    }
}
