//! Faithfulness where the truth is known: a small model learns to reverse letters, so each target letter comes
//! from one source letter. The bridge is zeros, so that only attention knows the source.

use std::ops::ControlFlow;

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_faithful::{FaithfulConfig, Figure, Ranking, Report, Sentence, Verdict, study};
use att_model::Translator;
use att_train::{Event, ExperimentConfig, Trainer};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

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

/// Sequences of 4 to 6 letters out of ten, and each of them reversed.
fn reversed(size: usize, rng: &mut Xoshiro256PlusPlus) -> Corpus {
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

fn above(a: Figure, b: Figure) -> bool {
    a.lower() > b.upper()
}

#[test]
fn what_is_planted_is_found_and_chance_is_chance() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let (train, test) = (reversed(8000, &mut rng), reversed(60, &mut rng));
    let device = DeviceSpec::Flex.init().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = ExperimentConfig::from_toml(EXPERIMENT).unwrap();
    let mut ignore = |_: &Event| ControlFlow::Continue(());
    let trainer = Trainer::create(config, &train, &test, &run, false).unwrap();
    trainer.run(&device, &mut ignore).unwrap();
    let translator = Translator::load(&run, &device).unwrap();
    let directory = translator.directory();

    let sentence = |(number, pair): (usize, &Pair)| {
        let n = pair.src.len();
        let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
        Sentence {
            number,
            example: directory.model.example(pair, src, tgt),
            true_sources: (0..n).map(|t| vec![n - 1 - t]).collect(),
        }
    };
    let sentences: Vec<Sentence> = test.pairs.iter().enumerate().map(sentence).collect();
    let config = FaithfulConfig::default();
    let of = |model| study(model, &sentences, &config, || {}).unwrap();
    let found = of(translator.model());
    let floor = of(&directory.init(7, &device).unwrap());
    let report = Report::new("reversed", "", found.clone(), floor.clone());
    println!("{}\n{}", report.markdown(), report.sentence);

    let is_true = |ranking| found.ranking(ranking).finds_true.unwrap().value;
    assert!(is_true(Ranking::Attention) >= 0.95);
    assert!(is_true(Ranking::LeaveOneOut) >= 0.95);
    let steps = found.steps as f64;
    for (found, expected) in [
        (is_true(Ranking::Random), found.chance_of_true.unwrap()),
        (
            found.ranking(Ranking::Random).finds_top.value,
            found.chance_of_top,
        ),
    ] {
        // Of a binomial distribution, 99.9 %.
        let deviation = (expected * (1.0 - expected) / steps).sqrt();
        assert!((found - expected).abs() < 3.3 * deviation, "{found}");
    }

    let comprehensiveness = |ranking| found.ranking(ranking).comprehensiveness;
    let [attention, random, least] =
        [Ranking::Attention, Ranking::Random, Ranking::LeastAttended].map(comprehensiveness);
    assert!(above(attention, random) && above(random, least));
    let sufficiency = |ranking| found.ranking(ranking).sufficiency;
    assert!(above(
        sufficiency(Ranking::Random),
        sufficiency(Ranking::Attention)
    ));
    assert!(found.uniform_changed.value > 0.5 && found.permuted_changed.value > 0.5);
    assert_eq!(report.verdict, Verdict::Faithful, "{}", report.sentence);

    let lost = floor.ranking(Ranking::Attention).comprehensiveness;
    assert!(
        lost.value.abs() < 0.01 && lost.half_width < 0.01,
        "{lost:?}"
    );
    assert!(floor.ranking(Ranking::Attention).finds_true.unwrap().value < 0.5);
    let untrained = Report::new("untrained", "", floor.clone(), floor);
    assert_eq!(untrained.verdict, Verdict::NotShown);

    // Neither threads nor other sentences matter.
    let few = &sentences[..6];
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        let mut calls = 0;
        let found = pool.install(|| study(translator.model(), few, &config, || calls += 1));
        assert_eq!(calls, 6);
        serde_json::to_string(&found.unwrap()).unwrap()
    };
    assert_eq!(on(1), on(3));
}
