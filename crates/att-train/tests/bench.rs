//! That what is timed is training itself.

use std::ops::ControlFlow;

use att_core::DeviceSpec;
use att_data::{Corpus, Pair};
use att_decoder::search::SearchConfig;
use att_model::Translator;
use att_train::{DecodeBench, Event, ExperimentConfig, TrainBench, Trainer};

/// With dropout, so that a step shows which seed it drew from.
const EXPERIMENT: &str = "
    seed = 3
    [tokenizer]
    src = { kind = 'char' }
    tgt = { kind = 'whitespace' }
    [batch]
    batch_size = 4
    [model]
    src_embedding = { d_embed = 8 }
    tgt_embedding = { d_embed = 8 }
    encoder = { kind = 'recurrent', d_hidden = 8 }
    decoder = { kind = 'luong', d_attentional = 8, recurrent = { d_hidden = 8 } }
    [training]
    schedule = { kind = 'constant', lr = 1e-2 }
    max_steps = 10
    log_every = 1
    metric = 'per'
";

fn corpus() -> Corpus {
    let pair = |word: &str| {
        let letters: Vec<String> = word.chars().rev().map(String::from).collect();
        Pair::new(word, letters.join(" "))
    };
    Corpus {
        pairs: ["abc", "cab", "bca", "ac", "ba", "cb"].map(pair).into(),
    }
}

#[test]
fn the_steps_are_those_of_a_run() {
    let config = ExperimentConfig::from_toml(EXPERIMENT).unwrap();
    let device = DeviceSpec::Flex.init().unwrap();
    let bench = TrainBench {
        steps: 6,
        warmup: 4,
        repeats: 1,
    };
    let speed = bench.run(&config, &corpus(), &device).unwrap();
    // Two batches an epoch, of four and of two.
    assert_eq!(speed.sentences, 18);
    assert_eq!(speed.src_tokens, 3 * 21);
    assert!(
        (0.0..1.0).contains(&speed.share.waiting),
        "{:?}",
        speed.share
    );
    let work = speed.work.unwrap();
    let parts = [
        work.products,
        work.attention,
        work.cells,
        work.loss,
        work.optimizer,
        work.other,
    ];
    assert!(parts.iter().all(|&part| part > 0.0), "{work:?}");
    assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-9);

    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut losses = Vec::new();
    Trainer::create(config, &corpus(), &corpus(), &run, false)
        .unwrap()
        .run(&device, &mut |event: &Event| {
            if let Event::Step(step) = event {
                losses.push(step.loss);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(losses.len(), 10);
    let difference = f64::from(speed.loss) - losses[9];
    assert!(difference.abs() < 1e-6, "{} {}", speed.loss, losses[9]);

    let translator = Translator::load(&run, &device).unwrap();
    let lines = ["abc", "cb"].map(String::from);
    let search = SearchConfig {
        n_best: 1,
        max_len: 5,
        ..Default::default()
    };
    let speed = DecodeBench { repeats: 2 }
        .run(&translator, &lines, &search)
        .unwrap();
    assert_eq!((speed.sentences, speed.batch_size), (2, 64));
    assert!((2..=12).contains(&speed.output_tokens));
    assert!(speed.sentences_per_s_best >= speed.sentences_per_s);
}

#[test]
fn numbers_out_of_range_are_named() {
    for (key, bench) in [
        (
            "steps",
            TrainBench {
                steps: 0,
                ..Default::default()
            },
        ),
        (
            "warmup",
            TrainBench {
                warmup: usize::MAX,
                ..Default::default()
            },
        ),
        (
            "repeats",
            TrainBench {
                repeats: 0,
                ..Default::default()
            },
        ),
    ] {
        let message = bench.validate().unwrap_err().to_string();
        assert!(message.starts_with(key), "{message}");
    }
}
