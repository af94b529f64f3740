//! What the settings of training do to weights.

use att_core::DeviceSpec;
use att_data::{Batch, Example};
use att_model::{ModelConfig, Seq2Seq, weights};
use att_train::{TrainStep, TrainingConfig};
use safetensors::SafeTensors;

fn model() -> Seq2Seq {
    let config = ModelConfig::from_toml(
        "src_embedding = { d_embed = 6, dropout = 0.0 }
        tgt_embedding = { d_embed = 6, dropout = 0.0 }
        encoder = { kind = 'recurrent', d_hidden = 5, dropout = 0.0 }
        decoder = { kind = 'luong', d_attentional = 6, dropout = 0.0, recurrent = { d_hidden = 7 }, attention = { coverage_loss = 0.5 } }",
    );
    let device = DeviceSpec::Flex.init().unwrap().autodiff();
    config.unwrap().init_seeded(12, 11, 3, &device).unwrap()
}

fn examples() -> Vec<Example> {
    let example = |n: usize| Example {
        src: (0..1 + n % 5).map(|i| (4 + (n + i) % 8) as u32).collect(),
        tgt: (0..1 + n * 3 % 7)
            .map(|i| (4 + (n * i) % 7) as u32)
            .collect(),
        ..Default::default()
    };
    (0..8).map(example).collect()
}

fn batch(rows: &[usize]) -> Batch {
    Batch::new(&examples(), rows)
}

fn stepper(training: &TrainingConfig) -> TrainStep {
    TrainStep::new(model(), training, 1)
}

/// The weights by name.
fn numbers(model: &Seq2Seq) -> Vec<(String, Vec<f32>)> {
    let bytes = weights::to_bytes(model);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |bytes: &[u8]| {
        let numbers = bytes.as_chunks::<4>().0.iter();
        numbers.map(|&x| f32::from_le_bytes(x)).collect()
    };
    let mut all: Vec<_> = file
        .iter()
        .map(|(name, view)| (name.to_string(), floats(view.data())))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn several_batches_make_the_gradient_of_one_with_all_rows() {
    // An epsilon beside which the second moment is nothing makes the step proportional to the gradient.
    let training: TrainingConfig = toml::from_str(
        "optimizer = { kind = 'adam', epsilon = 0.9 }\nclip_norm = 0\nlabel_smoothing = 0.1",
    )
    .unwrap();
    // With no, one and three devices more than the first.
    for others in [0, 1, 3] {
        let device = DeviceSpec::Flex.init().unwrap().autodiff();
        let others = vec![device; others];
        in_parts_as_in_one(&training, stepper(&training).with_devices(others));
    }
}

fn in_parts_as_in_one(training: &TrainingConfig, mut parts: TrainStep) {
    let mut whole = stepper(training);
    let rows = [&[0, 1, 2, 3, 4][..], &[5], &[6, 7]];
    for number in 1..=3 {
        let one = whole.step(number, 0.5, &batch(&rows.concat())).unwrap();
        let several = rows.map(batch);
        let sum = parts.accumulated_step(number, 0.5, &several).unwrap();
        let close = |a: f32, b: f32| (a - b).abs() < 1e-5 * a.abs();
        assert!(close(one.loss, sum.loss), "{} {}", one.loss, sum.loss);
        assert!(close(one.nll, sum.nll), "{} {}", one.nll, sum.nll);
        assert!(close(one.grad_norm, sum.grad_norm));
        assert_eq!(
            (one.src_tokens, one.tgt_tokens),
            (sum.src_tokens, sum.tgt_tokens)
        );
    }
    let before = numbers(&model());
    let found = numbers(whole.model())
        .into_iter()
        .zip(numbers(parts.model()));
    for (((name, a), (_, b)), (_, was)) in found.zip(before) {
        let moved = a
            .iter()
            .zip(&was)
            .fold(0.0f32, |max, (a, w)| max.max((a - w).abs()));
        assert!(moved > 0.0, "{name} has not moved");
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-3 * moved + 1e-7, "{name}: {a} {b}");
        }
    }
}

#[test]
fn the_mean_of_the_weights_is_kept_beside_them() {
    let training = TrainingConfig {
        average_decay: 0.99,
        ..Default::default()
    };
    let (mut plain, mut averaging) = (stepper(&TrainingConfig::default()), stepper(&training));
    let mut sums: Vec<(String, Vec<f32>)> = Vec::new();
    for number in 1..=4 {
        for stepper in [&mut plain, &mut averaging] {
            stepper.step(number, 0.1, &batch(&[0, 1, 2])).unwrap();
        }
        let now = numbers(averaging.model());
        if sums.is_empty() {
            sums = now;
        } else {
            for ((_, sum), (_, now)) in sums.iter_mut().zip(now) {
                sum.iter_mut().zip(now).for_each(|(sum, x)| *sum += x);
            }
        }
    }
    assert_eq!(numbers(plain.model()), numbers(averaging.model()));
    for ((name, sum), (_, mean)) in sums.iter().zip(numbers(&averaging.averaged())) {
        for (sum, mean) in sum.iter().zip(mean) {
            assert!((sum / 4.0 - mean).abs() < 1e-5, "{name}: {sum} {mean}");
        }
    }
    assert_eq!(numbers(&plain.averaged()), numbers(plain.model()));
}

#[test]
fn word_dropout_changes_what_is_read_and_not_what_is_to_be_predicted() {
    let step = |src_word_dropout, tgt_word_dropout, number| {
        let training = TrainingConfig {
            src_word_dropout,
            tgt_word_dropout,
            ..Default::default()
        };
        let done = stepper(&training)
            .step(number, 0.1, &batch(&[0, 3, 6]))
            .unwrap();
        (done.loss, done.tgt_tokens)
    };
    let (plain, tokens) = step(0.0, 0.0, 1);
    for (src, tgt) in [(0.9, 0.0), (0.0, 0.9)] {
        let (dropped, same) = step(src, tgt, 1);
        assert_eq!(tokens, same);
        assert_ne!(plain, dropped);
        assert_eq!(
            dropped,
            step(src, tgt, 1).0,
            "masks follow from seed and step"
        );
    }
    assert_ne!(step(0.5, 0.5, 1), step(0.5, 0.5, 2));
}

#[test]
fn r_drop_counts_how_far_two_readings_of_a_batch_differ() {
    let loss = |r_drop, word_dropout| {
        let training = TrainingConfig {
            r_drop,
            src_word_dropout: word_dropout,
            ..Default::default()
        };
        let done = stepper(&training).step(1, 0.1, &batch(&[0, 3, 6])).unwrap();
        (done.loss, done.nll)
    };
    let (plain, same) = (loss(0.0, 0.0), loss(5.0, 0.0));
    assert!(
        (plain.0 - same.0).abs() < 1e-5,
        "readings without masks are one"
    );
    assert!((plain.1 - same.1).abs() < 1e-5);
    let weights = [1e-9, 1.0, 2.0];
    let [none, once, twice] = weights.map(|weight| loss(weight, 0.5).0);
    assert!(once > none);
    assert!((twice - once - (once - none)).abs() < 1e-5);
}
