//! A folder with a tiny experiment, a model trained on it, and what is expected of a command.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

pub const EXPERIMENT: &str = "
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

pub const PAIRS: &str = "abc\tc b a\ncab\tb a c\nbca\ta c b\nac\tc a\nba\ta b\ncb\tb c\n";

pub fn att(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_att"));
    command.args(arguments);
    command
}

pub fn run(arguments: &[impl AsRef<OsStr>]) -> Output {
    att(arguments).output().unwrap()
}

pub fn run_with_input(arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Output {
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

pub fn stdout(output: &Output) -> String {
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
pub fn refused(output: &Output, expected: &[&str]) {
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

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with an experiment and a corpus.
pub struct Folder(pub TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("experiment.toml", EXPERIMENT);
        folder.write("pairs.tsv", PAIRS);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, data).unwrap();
        path
    }

    /// The arguments of a command on configurations of the folder, such as `["train", "experiment.toml"]`, that
    /// trains on a file of pairs, validates on the same, and writes into `out`.
    pub fn arguments(
        &self,
        command: &[&str],
        pairs: &str,
        out: &str,
        more: &[&str],
    ) -> Vec<String> {
        let path = |name: &str| text(&self.path(name)).to_string();
        let mut arguments = vec![command[0].to_string()];
        arguments.extend(command[1..].iter().map(|config| path(config)));
        for (option, file) in [("--train", pairs), ("--valid", pairs), ("--out", out)] {
            arguments.extend([option.to_string(), path(file)]);
        }
        arguments.extend(more.iter().map(|one| one.to_string()));
        arguments
    }

    /// `att train` of the experiment on these files, with more arguments.
    pub fn train(&self, train: &[&str], more: &[&str]) -> Output {
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
pub fn model() -> &'static str {
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
pub fn copy_of_model() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(model()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}
