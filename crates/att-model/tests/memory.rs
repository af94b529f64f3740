//! Memory while many lines are translated. Run by hand:
//! `cargo test -p att-model --test memory -- --ignored --nocapture`

use att_core::DeviceSpec;
use att_data::TokenizerConfig;
use att_decoder::search::SearchConfig;
use att_model::{Error, ModelConfig, ModelDirectory, TranslationRequest, Translator};

const LINES: usize = 100_000;

/// The memory that the process holds now, in MB of 10^6 bytes; none where the system does not tell.
fn rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[test]
#[ignore = "takes minutes"]
fn memory_does_not_grow_with_the_number_of_lines() {
    let folder = tempfile::tempdir().unwrap();
    let config = ModelConfig::from_toml(
        "src_embedding = { d_embed = 8 }\ntgt_embedding = { d_embed = 8 }\n\
         encoder = { kind = 'recurrent', d_hidden = 8 }\n\
         decoder = { kind = 'luong', d_attentional = 8, recurrent = { d_hidden = 8 } }",
    )
    .unwrap();
    let letters = TokenizerConfig::char().train(["abcdefgh"]).unwrap();
    let search = SearchConfig {
        beam_size: 2,
        max_len: 8,
        ..Default::default()
    };
    let directory = ModelDirectory::create(
        folder.path(),
        config,
        search.clone(),
        letters.clone(),
        letters,
    );
    let directory = directory.unwrap();
    let model = directory
        .init(1, &DeviceSpec::Flex.init().unwrap())
        .unwrap();
    let translator = Translator::new(directory, model);

    let line = |n: usize| "hgfedcba"[..n % 8 + 1].repeat(n % 3 + 1);
    let lines = (0..LINES).map(|n| TranslationRequest::new(line(n)));
    let (mut done, mut early) = (0, None);
    let window = 16 * translator.batch_size();
    let result = translator.translate_windows(lines, window, &search, |_, _| {
        done += 1;
        if done % 10_000 == 0 {
            println!("{done} lines: {:.1} MB", rss_mb().unwrap_or(f64::NAN));
        }
        if done == LINES / 5 {
            early = rss_mb();
        }
        Ok::<_, Error>(())
    });
    result.unwrap();
    assert_eq!(done, LINES);
    if let (Some(early), Some(late)) = (early, rss_mb()) {
        assert!(late < early + 20.0, "{early} MB became {late}");
    }
}
