//! A large test set is scored in the blink of an eye.

use att_eval::{Bleu, Chrf, error_rates};
use std::time::{Duration, Instant};

/// Sentences of 5 to 15 made-up words each, the same for the same seed.
fn sentences(mut seed: u64, count: usize) -> Vec<String> {
    let mut next = |bound: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
        (seed >> 33) % bound
    };
    let mut sentence = || {
        let words = (0..5 + next(11)).map(|_| format!("word{}", next(1000)));
        words.collect::<Vec<_>>().join(" ") + "."
    };
    (0..count).map(|_| sentence()).collect()
}

#[test]
#[ignore = "a timing: cargo test -p att-eval --release --test speed -- --ignored --nocapture"]
fn a_hundred_thousand_sentences() {
    let hypotheses = sentences(1, 100_000);
    let references: Vec<_> = sentences(2, 100_000).into_iter().map(|r| [r]).collect();
    let timed = |name: &str, limit: u64, score: &dyn Fn() -> String| {
        let start = Instant::now();
        let score = score();
        let took = start.elapsed();
        println!("{name} took {took:?}: {score}");
        assert!(took < Duration::from_secs(limit), "{name} took {took:?}");
    };
    timed("BLEU", 2, &|| {
        let score = Bleu::default().score(&hypotheses, &references);
        score.unwrap().to_string()
    });
    timed("chrF++", 20, &|| {
        let score = Chrf::plus_plus().score(&hypotheses, &references);
        score.unwrap().to_string()
    });
    timed("error rates", 2, &|| {
        let rates = error_rates(&hypotheses, &references);
        rates.unwrap().to_string()
    });
}
