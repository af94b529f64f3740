//! The command as a user meets it: its verbs on a tiny model, and every kind of bad input.
//!
//! Bad input gets one line on the standard error that names the file, line or key, and a status
//! other than zero; no panic, and nothing lost or half-written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

const EXPERIMENT: &str = "
    [tokenizer]
    src = { kind = 'char' }
    tgt = { kind = 'whitespace' }
    [batch]
    batch_size = 4
    [model]
    src_embedding = { d_embed = 8, dropout = 0.0 }
    tgt_embedding = { d_embed = 8, dropout = 0.0 }
    encoder = { kind = 'recurrent', d_hidden = 16, dropout = 0.0 }
    decoder = { kind = 'luong', d_attentional = 16, dropout = 0.0, recurrent = { d_hidden = 16 } }
    [training]
    schedule = { kind = 'constant', lr = 1e-2 }
    label_smoothing = 0.0
    max_epochs = 100
    valid_every = 50
    metric = 'wer'
";

const PAIRS: &str = "abc\tc b a\ncab\tb a c\nbca\ta c b\nac\tc a\nba\ta b\ncb\tb c\n";

fn att(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_att"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    att(arguments).output().unwrap()
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = att(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its model never reads its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The one line of the error; it must hold all of `expected`.
#[track_caller]
fn refused(output: &Output, expected: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    let errors = text
        .lines()
        .filter(|line| line.starts_with("error: "))
        .count();
    assert_eq!(errors, 1, "{text}");
    for part in expected {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with an experiment and a corpus.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("experiment.toml", EXPERIMENT);
        folder.write("pairs.tsv", PAIRS);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, data).unwrap();
        path
    }

    /// `att train` of the experiment on these files, with more arguments.
    fn train(&self, train: &[&str], more: &[&str]) -> Output {
        let (config, valid, out) = (
            self.path("experiment.toml"),
            self.path("pairs.tsv"),
            self.path("run"),
        );
        let train: Vec<PathBuf> = train.iter().map(|name| self.path(name)).collect();
        let mut arguments = vec![
            "train",
            text(&config),
            "--valid",
            text(&valid),
            "--out",
            text(&out),
        ];
        arguments.extend_from_slice(more);
        arguments.push("--train");
        arguments.extend(train.iter().map(|path| text(path)));
        run(&arguments)
    }
}

/// A trained model, shared by the tests that only read it.
fn model() -> &'static str {
    static MODEL: OnceLock<Folder> = OnceLock::new();
    let folder = MODEL.get_or_init(|| {
        let folder = Folder::new();
        let output = folder.train(&["pairs.tsv"], &[]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        folder
    });
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    text(PATH.get_or_init(|| folder.path("run")))
}

/// A copy of the trained model to damage.
fn copy_of_model() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(model()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn help_lists_the_verbs() {
    let help = stdout(&run(&["--help"]));
    for verb in [
        "quickstart",
        "train",
        "translate",
        "evaluate",
        "inspect",
        "bench",
    ] {
        assert!(help.contains(verb), "{help}");
    }
}

#[test]
fn usage_names_first_what_a_list_of_files_would_swallow() {
    for (verb, name) in [
        ("train", "<CONFIG>"),
        ("evaluate", "<MODEL>"),
        ("bench train", "<CONFIG>"),
    ] {
        let arguments: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
        let help = stdout(&run(&arguments));
        let usage = format!("Usage: att {verb} {name} --");
        assert!(help.contains(&usage), "{help}");
    }
}

#[test]
fn a_model_translates_line_by_line() {
    let found = stdout(&run_with_input(
        &["translate", model()],
        b"abc\n\ncb\r\nzz\n",
    ));
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 4, "as many lines as in the input: {found}");
    assert_eq!(&lines[..3], ["c b a", "", "b c"]);
}

#[test]
fn n_best_and_attention_have_their_forms() {
    let folder = tempfile::tempdir().unwrap();
    let attention = folder.path().join("attention.jsonl");
    let arguments = [
        "translate",
        model(),
        "--n-best",
        "3",
        "--attention",
        text(&attention),
    ];
    let found = stdout(&run_with_input(&arguments, b"abc\nba\n"));
    let lines: Vec<Vec<&str>> = found
        .lines()
        .map(|line| line.split(" ||| ").collect())
        .collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0][..2], ["0", "c b a"]);
    assert_eq!(lines[3][..2], ["1", "a b"]);
    let scores: Vec<f64> = lines[..3]
        .iter()
        .map(|line| line[2].parse().unwrap())
        .collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]));
    let records = fs::read_to_string(attention).unwrap();
    let first: serde_json::Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    assert_eq!(
        first["src_tokens"],
        serde_json::json!(["a", "b", "c", "</s>"])
    );
    assert_eq!(
        first["tgt_tokens"],
        serde_json::json!(["c", "b", "a", "</s>"])
    );
    assert_eq!(first["weights"].as_array().unwrap().len(), 4);
    assert_eq!(records.lines().count(), 6);
}

#[test]
fn the_models_own_n_best_counts_unless_told() {
    let copy = copy_of_model();
    let path = copy.path().join("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("n_best = 1", "n_best = 2")).unwrap();
    let translate = |more: &[&str]| {
        let arguments = [&["translate", text(copy.path())][..], more].concat();
        stdout(&run_with_input(&arguments, b"abc\n\n"))
    };
    let found = translate(&[]);
    let lines: Vec<&str> = found.lines().collect();
    assert!(lines[0].starts_with("0 ||| c b a ||| "), "{found}");
    assert!(lines[1].starts_with("0 ||| "), "{found}");
    assert_eq!(lines[2..], ["1 |||  ||| 0"]);
    assert_eq!(translate(&["--n-best", "1"]).lines().count(), 2);
}

#[test]
fn attention_of_a_model_without_it_is_refused_at_once() {
    let folder = Folder::new();
    let summary = "decoder = { kind = 'summary', d_output = 16, recurrent = { d_hidden = 16 } }";
    let decoder = EXPERIMENT.lines().find(|line| line.contains("'luong'"));
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace(decoder.unwrap(), summary),
    );
    let trained = folder.train(&["pairs.tsv"], &["--max-steps", "1"]);
    assert!(trained.status.success());
    let (model, attention) = (folder.path("run"), folder.path("attention.jsonl"));
    let arguments = [
        "translate",
        text(&model),
        "--attention",
        text(&attention),
        "--input",
        "no/such.txt",
    ];
    // Before it even looks for its input.
    let output = run(&arguments);
    refused(&output, &[text(&model), "no attention", "--attention"]);
    assert_eq!(output.stdout, b"");
    assert!(!attention.exists());
}

#[test]
fn a_transformer_does_all_that_other_models_do() {
    let folder = Folder::new();
    let replaced = |text: &str, kind: &str, by: &str| {
        let line = text.lines().find(|line| line.contains(kind)).unwrap();
        text.replace(line, by)
    };
    let sizes = "kind = 'transformer', d_model = 8, layers = 2, n_heads = 2, d_ff = 12";
    let experiment = replaced(EXPERIMENT, "'luong'", &format!("decoder = {{ {sizes} }}"));
    let experiment = replaced(
        &experiment,
        "'recurrent'",
        &format!("encoder = {{ {sizes} }}"),
    );
    folder.write("experiment.toml", experiment);
    let trained = folder.train(&["pairs.tsv"], &["--max-steps", "4"]);
    assert!(
        trained.status.success(),
        "{}",
        String::from_utf8_lossy(&trained.stderr)
    );
    let (model, attention) = (folder.path("run"), folder.path("attention.jsonl"));
    let arguments = [
        "translate",
        text(&model),
        "--attention",
        text(&attention),
        "--n-best",
        "2",
    ];
    let found = stdout(&run_with_input(&arguments, b"abc\nba\n"));
    assert_eq!(found.lines().count(), 4);
    let records = fs::read_to_string(attention).unwrap();
    for record in records.lines() {
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        let rows = record["weights"].as_array().unwrap();
        assert_eq!(rows.len(), record["tgt_tokens"].as_array().unwrap().len());
        for row in rows {
            let row = row.as_array().unwrap();
            assert_eq!(row.len(), record["src_tokens"].as_array().unwrap().len());
            let sum: f64 = row.iter().map(|weight| weight.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        }
    }
    let found = stdout(&run(&["inspect", text(&model), "--weights"]));
    for part in ["encoder.layers", "decoder.layers", "n_heads = 2"] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
}

#[test]
fn evaluate_and_inspect_print_their_tables() {
    let folder = Folder::new();
    let (pairs, output) = (folder.path("pairs.tsv"), folder.path("output.tsv"));
    let arguments = [
        "evaluate",
        model(),
        "--data",
        text(&pairs),
        "--by-length",
        "--output",
        text(&output),
    ];
    let found = stdout(&run(&arguments));
    for part in [
        "WER 0.00",
        "PER 0.00",
        "exact match 100.00",
        "BLEU = ",
        "nrefs:1|case:mixed",
        "2\t3\t0.00",
    ] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
    assert_eq!(fs::read_to_string(output).unwrap(), PAIRS);
    let found = stdout(&run(&["inspect", model(), "--weights"]));
    for part in [
        "src_embedding",
        "decoder.attention",
        "source     7 tokens",
        "[model.encoder]",
    ] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
}

/// The one line of JSON that a bench prints, which has these numbers.
#[track_caller]
fn measured(output: &Output, numbers: &[&str]) -> serde_json::Value {
    let found = stdout(output);
    assert_eq!(found.lines().count(), 1, "{found}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let line: serde_json::Value = serde_json::from_str(&found).unwrap();
    for number in numbers {
        let positive = line[number].as_f64().is_some_and(|number| number > 0.0);
        assert!(positive, "'{number}' is not a positive number in: {found}");
    }
    assert_eq!(line["device"], "flex");
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    for key in ["peak_rss_mb", "tgt_tokens_per_cpu_s", "sentences_per_cpu_s"] {
        let is_told = line.get(key).is_none_or(serde_json::Value::is_f64);
        assert!(is_told || !cfg!(target_os = "linux"), "{key} in: {found}");
    }
    line
}

#[test]
fn bench_train_prints_one_line_of_json() {
    let folder = Folder::new();
    let (config, pairs) = (folder.path("experiment.toml"), folder.path("pairs.tsv"));
    let arguments = [
        "bench",
        "train",
        text(&config),
        "--train",
        text(&pairs),
        "--steps",
        "4",
        "--warmup",
        "1",
        "--repeats",
        "2",
    ];
    let line = measured(
        &run(&arguments),
        &[
            "parameters",
            "threads",
            "seconds",
            "steps_per_s",
            "src_tokens_per_s",
            "src_tokens_per_s_best",
            "tgt_tokens_per_s",
            "tgt_tokens_per_s_best",
            "gflops_per_s",
            "loss",
        ],
    );
    assert_eq!(line["bench"], "train");
    assert_eq!(line["precision"], "f32");
    assert_eq!(line["batch_by"], "sentences");
    for (key, expected) in [("batch_size", 4), ("steps", 4), ("repeats", 2)] {
        assert_eq!(line[key], expected, "{key}");
    }
    // Letters and target tokens are as many, and either side is read or predicted with EOS.
    assert_eq!(line["src_tokens"], line["tgt_tokens"]);
    let share = |part: &str| line["share"][part].as_f64().unwrap();
    let shares = [share("forward"), share("backward"), share("optimizer")];
    assert!(shares.iter().all(|&share| share > 0.0), "{line}");
    assert!(shares.iter().sum::<f64>() <= 1.0, "{line}");
    let left = fs::read_dir(folder.0.path()).unwrap().count();
    assert_eq!(left, 2, "nothing is written");
}

#[test]
fn bench_decode_prints_one_line_of_json() {
    let arguments = [
        "bench",
        "decode",
        model(),
        "--data",
        "-",
        "--limit",
        "3",
        "--beam-size",
        "2",
        "--repeats",
        "1",
    ];
    let line = measured(
        &run_with_input(&arguments, b"abc\n\ncb\nba\nac\n"),
        &[
            "parameters",
            "threads",
            "batch_size",
            "seconds",
            "sentences_per_s",
            "sentences_per_s_best",
            "tokens_per_s",
        ],
    );
    assert_eq!(line["bench"], "decode");
    assert_eq!(line["beam_size"], 2);
    assert_eq!(line["sentences"], 3, "blank lines do not count");
    assert_eq!(line["output_tokens"], 4 + 3 + 3, "with EOS");
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    let folder = Folder::new();
    let (config, pairs) = (folder.path("experiment.toml"), folder.path("pairs.tsv"));
    let train = |config: &Path, pairs: &Path, more: &[&str]| {
        let train = [
            "bench",
            "train",
            text(config),
            "--train",
            text(pairs),
            "--steps",
            "1",
        ];
        run(&[&train[..], more].concat())
    };
    let absent = folder.path("absent.toml");
    refused(&train(&absent, &pairs, &[]), &["absent.toml"]);
    let nowhere = folder.path("nowhere.tsv");
    refused(&train(&config, &nowhere, &[]), &["nowhere.tsv"]);
    refused(
        &train(&config, &pairs, &["--repeats", "0"]),
        &["repeats: 0"],
    );
    let misspelt = EXPERIMENT.replace("batch_size", "bach_size");
    let misspelt = folder.write("misspelt.toml", misspelt);
    refused(
        &train(&misspelt, &pairs, &[]),
        &["misspelt.toml", "bach_size"],
    );

    let decode = |model: &str, more: &[&str]| {
        let decode = ["bench", "decode", model, "--data", "-"];
        run_with_input(&[&decode[..], more].concat(), b" \n")
    };
    refused(&decode("no/such/model", &[]), &["no/such/model"]);
    refused(&decode(model(), &[]), &["standard input", "no text"]);
    refused(&decode(model(), &["--limit", "0"]), &["limit: 0"]);
    refused(&decode(model(), &["--beam-size", "0"]), &["beam_size"]);
    let missing = run(&["bench", "decode", model(), "--data", "no/such.txt"]);
    refused(&missing, &["no/such.txt"]);
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_are() {
    let output = run(&["translate", model(), "--device", "tpu"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains("tpu") && message.contains("flex, ndarray"),
        "{message}"
    );
}

#[test]
fn missing_files_are_named() {
    let folder = Folder::new();
    refused(&folder.train(&["nowhere.tsv"], &[]), &["nowhere.tsv"]);
    refused(
        &run(&["translate", "no/such/model"]),
        &["no/such/model", "config.toml"],
    );
    refused(
        &run(&["translate", model(), "--input", "no/such.txt"]),
        &["no/such.txt"],
    );
    let config = folder.path("absent.toml");
    let pairs = folder.path("pairs.tsv");
    let arguments = [
        "train",
        text(&config),
        "--train",
        text(&pairs),
        "--valid",
        text(&pairs),
        "--out",
        "x",
    ];
    refused(&run(&arguments), &["absent.toml"]);
    assert!(!folder.path("run").exists());
}

#[test]
fn bad_lines_are_named_by_file_and_number() {
    let folder = Folder::new();
    folder.write("utf8.tsv", b"ab\tb a\n\xff\xfe\tx\n");
    folder.write("empty.tsv", "ab\tb a\n\nba\ta b\n");
    folder.write("half.tsv", "ab\tb a\nba\t\n");
    folder.write("tabs.tsv", "ab\tb a\nba a b\n");
    folder.write("nothing.tsv", "");
    folder.write("three.src", "ab\nba\nab\n");
    folder.write("two.tgt", "b a\na b\n");
    folder.write("cut.tsv.gz", b"\x1f\x8b\x08\x00\x00\x00");
    refused(
        &folder.train(&["utf8.tsv"], &[]),
        &["utf8.tsv", "line 2", "UTF-8"],
    );
    refused(
        &folder.train(&["empty.tsv"], &[]),
        &["empty.tsv", "line 2", "empty"],
    );
    refused(
        &folder.train(&["half.tsv"], &[]),
        &["half.tsv", "line 2", "target"],
    );
    refused(
        &folder.train(&["tabs.tsv"], &[]),
        &["tabs.tsv", "line 2", "tab"],
    );
    refused(&folder.train(&["nothing.tsv"], &[]), &["nothing.tsv"]);
    refused(
        &folder.train(&["three.src", "two.tgt"], &[]),
        &["three.src", "3", "two.tgt", "2"],
    );
    refused(&folder.train(&["cut.tsv.gz"], &[]), &["cut.tsv.gz", "gzip"]);
    assert!(!folder.path("run").exists(), "nothing is left behind");
    let output = run_with_input(&["translate", model()], b"abc\n\xff\n");
    refused(&output, &["standard input", "line 2", "UTF-8"]);
    assert_eq!(output.stdout, b"c b a\n", "what came before is translated");
}

#[test]
fn misspelt_and_absurd_settings_are_named() {
    let folder = Folder::new();
    let refuse = |from: &str, to: &str, expected: &[&str]| {
        folder.write("experiment.toml", EXPERIMENT.replace(from, to));
        refused(&folder.train(&["pairs.tsv"], &[]), expected);
        assert!(!folder.path("run").exists());
    };
    refuse("batch_size", "bach_size", &["experiment.toml", "bach_size"]);
    refuse("'luong'", "'loung'", &["experiment.toml", "loung"]);
    refuse(
        "valid_every = 50",
        "valid_every = 'often'",
        &["experiment.toml", "valid_every"],
    );
    refuse(
        "d_hidden = 16, dropout",
        "d_hidden = 0, dropout",
        &["encoder.d_hidden"],
    );
    refuse(
        "d_hidden = 16, dropout",
        "d_hidden = 999999999999, dropout",
        &["encoder.d_hidden"],
    );
    refuse(
        "d_hidden = 16, dropout",
        "d_hidden = 60000, layers = 9000, dropout",
        &["limit"],
    );
    refuse("[batch]", "[batch", &["experiment.toml"]);
    refused(
        &run(&["translate", model(), "--beam-size", "0"]),
        &["beam_size"],
    );
    refused(
        &run(&["translate", model(), "--beam-size", "99999999"]),
        &["beam_size"],
    );
}

#[test]
fn bf16_products_train_a_model_of_their_own_and_the_same_each_time() {
    let folder = Folder::new();
    let weights = |precision: &str| {
        let text = EXPERIMENT.replace(
            "max_epochs = 100",
            &format!("max_steps = 10\n    precision = '{precision}'"),
        );
        folder.write("experiment.toml", text);
        let trained = folder.train(&["pairs.tsv"], &["--overwrite"]);
        assert!(trained.status.success(), "{trained:?}");
        fs::read(folder.path("run/last.safetensors")).unwrap()
    };
    let bf16 = weights("bf16");
    assert!(bf16 == weights("bf16"), "the same seed, other bytes");
    assert!(bf16 != weights("f32"), "precision is not read");
}

#[test]
fn a_run_is_only_replaced_on_demand_and_nothing_else_ever() {
    let folder = Folder::new();
    assert!(
        folder
            .train(&["pairs.tsv"], &["--max-steps", "2"])
            .status
            .success()
    );
    let weights = fs::read(folder.path("run/last.safetensors")).unwrap();
    refused(
        &folder.train(&["pairs.tsv"], &["--max-steps", "3"]),
        &["run", "--overwrite"],
    );
    assert_eq!(
        fs::read(folder.path("run/last.safetensors")).unwrap(),
        weights
    );
    assert!(
        folder
            .train(&["pairs.tsv"], &["--max-steps", "3", "--overwrite"])
            .status
            .success()
    );
    assert_ne!(
        fs::read(folder.path("run/last.safetensors")).unwrap(),
        weights
    );

    folder.write("run/thesis.tex", "years of work");
    refused(
        &folder.train(&["pairs.tsv"], &["--overwrite"]),
        &["thesis.tex", "stays as it is"],
    );
    assert!(folder.path("run/last.safetensors").exists());
    fs::remove_file(folder.path("run/thesis.tex")).unwrap();

    // Settings that do not fit show before the old run goes.
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace("batch_size = 4", "batch_size = 4\nmax_src_len = 1"),
    );
    refused(
        &folder.train(&["pairs.tsv"], &["--overwrite"]),
        &["max_src_len"],
    );
    assert!(folder.path("run/last.safetensors").exists());
}

#[test]
fn damaged_and_foreign_models_are_refused() {
    let copy = copy_of_model();
    let path = |name: &str| copy.path().join(name);
    let translate = || run_with_input(&["translate", text(copy.path())], b"abc\n");
    let weights = fs::read(path("model.safetensors")).unwrap();
    for cut in [0, 7, 100, weights.len() / 2, weights.len() - 1] {
        fs::write(path("model.safetensors"), &weights[..cut]).unwrap();
        refused(&translate(), &["model.safetensors"]);
    }
    fs::write(path("model.safetensors"), &weights).unwrap();

    let config = fs::read_to_string(path("config.toml")).unwrap();
    fs::write(
        path("config.toml"),
        config.replace("d_attentional = 16", "d_attentional = 20"),
    )
    .unwrap();
    refused(&translate(), &["model.safetensors", "shape"]);
    fs::write(path("config.toml"), &config).unwrap();

    let other = Folder::new();
    other.write("pairs.tsv", "abcde\te d c b a\nedcba\ta b c d e\n");
    assert!(
        other
            .train(&["pairs.tsv"], &["--max-steps", "1"])
            .status
            .success()
    );
    fs::copy(
        other.path("run/src.tokenizer.json"),
        path("src.tokenizer.json"),
    )
    .unwrap();
    refused(&translate(), &["src.tokenizer.json", "source"]);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_written_file() {
    let folder = Folder::new();
    // A limit on the size of files is the part of a full disk that needs no privilege.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} train {} --train {} --valid {} --out {} --max-steps 3",
        env!("CARGO_BIN_EXE_att"),
        text(&folder.path("experiment.toml")),
        text(&folder.path("pairs.tsv")),
        text(&folder.path("pairs.tsv")),
        text(&folder.path("run")),
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    refused(&output, &["last.safetensors", "cannot write"]);
    let mut left = fs::read_dir(folder.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    assert!(!left.any(|path| text(&path).contains("safetensors")));

    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = att(&["inspect", model()])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    refused(&output, &["No space left"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let script = format!(
        "{} inspect {} | head -n 1",
        env!("CARGO_BIN_EXE_att"),
        model()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(stdout(&output).starts_with("model"));
}

#[test]
fn an_interrupt_saves_and_says_so() {
    let folder = Folder::new();
    folder.write(
        "experiment.toml",
        EXPERIMENT.replace("max_epochs = 100", "max_epochs = 60000"),
    );
    let (config, pairs, out) = (
        folder.path("experiment.toml"),
        folder.path("pairs.tsv"),
        folder.path("run"),
    );
    let arguments = [
        "train",
        text(&config),
        "--train",
        text(&pairs),
        "--valid",
        text(&pairs),
        "--out",
        text(&out),
    ];
    let child = att(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !out.join("model.safetensors").exists() {
        assert!(
            begun.elapsed().as_secs() < 120,
            "the first validation never came"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.contains("interrupted"), "{message}");
    assert!(out.join("last.safetensors").is_file());
    let found = stdout(&run_with_input(&["translate", text(&out)], b"abc\n"));
    assert_eq!(found.lines().count(), 1);
}

#[test]
fn the_quick_start_runs_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("quick");
    let found = stdout(&run(&[
        "quickstart",
        "--out",
        text(&out),
        "--max-steps",
        "2",
    ]));
    for part in [
        "word error rate",
        "Words that it has never seen",
        "attention.svg",
        "att translate",
    ] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
    assert!(
        fs::read_to_string(out.join("attention.svg"))
            .unwrap()
            .starts_with("<svg")
    );
    let spoken = stdout(&run_with_input(&["translate", text(&out)], b"HELLO\n"));
    assert_eq!(spoken.lines().count(), 1);
}
