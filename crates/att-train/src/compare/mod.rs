//! Several experiments on the same data and for the same budget.

mod variants;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use att_core::Error as CoreError;
use att_data::{Corpus, Digest, write_atomic};
use burn::tensor::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::run_directory::COMPARED;
use crate::settings::{differing, settings, value};
use crate::{
    Error, ExperimentConfig, Observer, Result, Start, Summary, Trainer, TrainingConfig,
    fine_tuning, guided_alignment,
};

pub use variants::{LeftOut, Variants, attention_variants};

/// One of the experiments of a [`Comparison`].
#[derive(Clone, Debug, PartialEq)]
pub struct Contestant {
    /// What it is called; also the name of its directory.
    pub name: String,
    /// What is trained.
    pub config: ExperimentConfig,
}

/// Experiments that are trained on the same data and for the same budget, each into a directory of its
/// own, `DIR/NAME`: a run as a [`Trainer`] leaves it, and `compared.json`, which holds what the run was
/// asked for and, once it has been measured, what came out. So a comparison can be interrupted: what is
/// finished is not trained again, what is not is trained from the beginning.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use att_core::DeviceSpec;
/// use att_data::{Corpus, Pair};
/// use att_train::{Comparison, Event, ExperimentConfig, attention_variants};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let base = ExperimentConfig::from_toml(r#"
///     [tokenizer]
///     src = { kind = "char" }
///     tgt = { kind = "char" }
///     [model]
///     encoder = { kind = "recurrent", d_hidden = 4 }
///     decoder = { kind = "luong", d_attentional = 8, recurrent = { d_hidden = 8 } }
///     [training]
///     max_steps = 2
/// "#)?;
/// let contestants = attention_variants(&base, &["dot", "general+sparsemax"])?.contestants;
/// let corpus = Corpus { pairs: vec![Pair::new("ab", "ba")] };
/// let comparison = Comparison::new(contestants, &corpus, &corpus, folder, Default::default())?;
/// let device = DeviceSpec::Flex.init()?;
/// for contestant in comparison.contestants() {
///     if comparison.finished::<f64>(contestant)?.is_none() {
///         let mut watch = |_: &Event| ControlFlow::Continue(());
///         let summary = comparison.train(contestant, &device, &mut watch)?;
///         comparison.finish(contestant, &summary.best_score)?;
///     }
/// }
/// assert!(folder.join("general+sparsemax/model.safetensors").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Comparison<'a> {
    contestants: Vec<Contestant>,
    train: &'a Corpus,
    valid: &'a Corpus,
    directory: PathBuf,
    /// What results depend on besides an experiment.
    given: BTreeMap<String, String>,
    alignments: Option<PathBuf>,
}

/// What `compared.json` holds.
#[derive(Serialize, Deserialize)]
struct Compared<A, R> {
    asked: A,
    /// None until the run is finished.
    result: Option<R>,
}

/// All that a result depends on.
#[derive(Serialize, Deserialize)]
struct Asked {
    #[serde(flatten)]
    given: BTreeMap<String, String>,
    experiment: ExperimentConfig,
}

impl Asked {
    /// All of it by key.
    fn settings(&self) -> BTreeMap<String, String> {
        let given = self.given.iter();
        let given = given.map(|(key, value)| (key.clone(), format!("{value:?}")));
        let experiment = settings(&self.experiment).into_iter();
        let experiment = experiment.map(|(key, value)| (format!("experiment.{key}"), value));
        given.chain(experiment).collect()
    }
}

impl<'a> Comparison<'a> {
    /// `directory` will hold the runs. `given` is what else results depend on, by name, such as the
    /// device; the data are part of it in any case, by a number made of their text ([`digest`]).
    ///
    /// # Errors
    ///
    /// If there is no contestant, two have one name or a name is no name of a directory, an experiment
    /// is not valid or needs a model to begin with, or they differ in their metric or in one of the limits `max_epochs`, `max_steps`
    /// and `max_minutes`.
    pub fn new(
        contestants: Vec<Contestant>,
        train: &'a Corpus,
        valid: &'a Corpus,
        directory: impl Into<PathBuf>,
        mut given: BTreeMap<String, String>,
    ) -> Result<Self> {
        let refused = |reason: String| Err(CoreError::config("comparison", reason).into());
        let Some(first) = contestants.first() else {
            return refused("it has no experiment: give one at least".into());
        };
        for (i, Contestant { name, config }) in contestants.iter().enumerate() {
            config.validate()?;
            fine_tuning::check(config, &Start::default())?;
            if Path::new(name).file_name() != Some(OsStr::new(name)) {
                return refused(format!("'{name}' can't be the name of a directory"));
            }
            if contestants[..i].iter().any(|other| other.name == *name) {
                return refused(format!("two experiments are called '{name}': rename one"));
            }
            alike(first, &contestants[i])?;
        }
        for (name, corpus) in [("train", train), ("valid", valid)] {
            let texts = corpus.sources().zip(corpus.targets());
            given.insert(name.into(), digest(texts.flat_map(|(src, tgt)| [src, tgt])));
        }
        Ok(Self {
            contestants,
            train,
            valid,
            directory: directory.into(),
            given,
            alignments: None,
        })
    }

    /// With a file of the training pairs' alignments, for the contestants that are guided by it
    /// ([`TrainingConfig::guided_alignment`](crate::TrainingConfig)).
    ///
    /// # Errors
    ///
    /// If one is and there is none, or none is and there is one, or the file can't be read.
    pub fn with_alignments(mut self, file: Option<PathBuf>) -> Result<Self> {
        let mut contestants = self.contestants.iter();
        let guided = contestants.any(|one| one.config.training.guided_alignment.is_some());
        if guided != file.is_some() {
            return Err(guided_alignment::without_the_other(guided));
        }
        if let Some(file) = &file {
            let lines = att_data::read_lines(file)?;
            let digest = digest(lines.iter().map(String::as_str));
            self.given.insert("alignments".into(), digest);
        }
        self.alignments = file;
        Ok(self)
    }

    /// What is compared, in the order given.
    pub fn contestants(&self) -> &[Contestant] {
        &self.contestants
    }

    /// The directory of a contestant's run.
    pub fn path(&self, contestant: &Contestant) -> PathBuf {
        self.directory.join(&contestant.name)
    }

    /// What came out of a contestant's run; none where it has not been finished.
    ///
    /// # Errors
    ///
    /// If the run is finished with other settings or data, naming what differs, or there is something
    /// in its place that no comparison has written.
    pub fn finished<R: DeserializeOwned>(&self, contestant: &Contestant) -> Result<Option<R>> {
        let path = self.path(contestant);
        let file = path.join(COMPARED);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
                    let reason =
                        "is not a run of a comparison: it stays as it is, choose another directory";
                    let reason = reason.into();
                    return Err(Error::Compared { path, reason });
                }
                return Ok(None);
            }
            Err(source) => return Err(Error::Read { path: file, source }),
        };
        let unreadable = |error: serde_json::Error| Error::Compared {
            path: file.clone(),
            reason: format!("can't be read ({error}): remove the directory to train anew"),
        };
        let Compared { asked, result } =
            serde_json::from_str::<Compared<Value, Value>>(&text).map_err(unreadable)?;
        let Some(result) = result else {
            return Ok(None);
        };
        // Through the experiment, so that settings which are younger than the run have their defaults; as text
        // once, so that numbers are read alike.
        let asked: Asked = serde_json::from_value(asked).map_err(unreadable)?;
        let now = serde_json::to_string(&self.asked(contestant)).expect("settings can be JSON");
        let now: Asked = serde_json::from_str(&now).expect("what was written can be read");
        let [before, now] = [asked, now].map(|one| one.settings());
        if let Some(key) = differing(&before, &now).next() {
            let [before, now] = [&before, &now].map(|of| value(of, key));
            let reason = format!(
                "is finished with {key} = {before}, and now it is {now}: choose another directory, or \
                 remove this one to train it anew"
            );
            return Err(Error::Compared { path, reason });
        }
        serde_json::from_value(result).map(Some).map_err(unreadable)
    }

    /// Trains a contestant from the beginning; a run of it that was not finished is replaced.
    ///
    /// # Errors
    ///
    /// As [`Trainer::create`] and [`Trainer::run`], and as [`finished`](Self::finished).
    pub fn train(
        &self,
        contestant: &Contestant,
        device: &Device,
        observer: &mut (impl Observer + Send),
    ) -> Result<Summary> {
        let path = self.path(contestant);
        self.finished::<Value>(contestant)?;
        let config = contestant.config.clone();
        let guided = config.training.guided_alignment.is_some();
        let start = Start {
            overwrite: true,
            alignments: self.alignments.clone().filter(|_| guided),
            ..Default::default()
        };
        let trainer = Trainer::start(config, self.train, self.valid, &path, &start)?;
        self.write(contestant, None::<()>)?;
        trainer.run(device, observer)
    }

    /// Keeps what came out of a contestant's run, which is finished by that.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn finish(&self, contestant: &Contestant, result: &impl Serialize) -> Result<()> {
        self.write(contestant, Some(result))
    }

    fn asked(&self, contestant: &Contestant) -> Asked {
        Asked {
            given: self.given.clone(),
            experiment: contestant.config.clone(),
        }
    }

    fn write<R: Serialize>(&self, contestant: &Contestant, result: Option<R>) -> Result<()> {
        let asked = self.asked(contestant);
        let text = serde_json::to_string_pretty(&Compared { asked, result });
        let text = text.expect("settings and results can be JSON") + "\n";
        let path = self.path(contestant).join(COMPARED);
        Ok(write_atomic(path, text.as_bytes())?)
    }
}

/// # Errors
///
/// If two experiments could not be compared: by their metric, or by a limit of their training.
fn alike(one: &Contestant, other: &Contestant) -> Result<()> {
    type Setting = fn(&TrainingConfig) -> String;
    let settings: [(&str, &str, Setting); 4] = [
        ("metric", "use one metric", |t| t.metric.to_string()),
        ("max_epochs", "give --epochs", |t| t.max_epochs.to_string()),
        ("max_steps", "give --max-steps", |t| t.max_steps.to_string()),
        ("max_minutes", "give --max-minutes", |t| {
            t.max_minutes.to_string()
        }),
    ];
    for (key, advice, setting) in settings {
        let [first, second] = [one, other].map(|of| setting(&of.config.training));
        if first != second {
            let reason = format!(
                "{first} in {} and {second} in {}: what is compared has one metric and one budget; \
                 {advice}",
                one.name, other.name
            );
            return Err(CoreError::config(format!("training.{key}"), reason).into());
        }
    }
    Ok(())
}

/// A number made of texts, in hexadecimal: their [`Digest`].
///
/// ```
/// assert_eq!(att_train::digest(["a"]), att_train::digest(vec!["a"]));
/// assert_ne!(att_train::digest(["ab", "c"]), att_train::digest(["a", "bc"]));
/// ```
pub fn digest<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let mut digest = Digest::new();
    texts.into_iter().for_each(|text| digest.text(text));
    digest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_data::Pair;

    const BASE: &str = "
        model.encoder = { kind = 'recurrent', d_hidden = 4 }
        model.decoder = { kind = 'luong', d_attentional = 4, recurrent = { d_hidden = 8 } }
        training.schedule = { kind = 'constant', lr = 0.1 }
    ";

    fn contestant(name: &str, change: impl Fn(&mut ExperimentConfig)) -> Contestant {
        let mut config = ExperimentConfig::from_toml(BASE).unwrap();
        change(&mut config);
        Contestant {
            name: name.into(),
            config,
        }
    }

    fn corpus(src: &str) -> Corpus {
        Corpus {
            pairs: vec![Pair::new(src, "b a")],
        }
    }

    #[test]
    fn what_can_not_be_compared_is_refused_by_its_key() {
        let corpus = corpus("a b");
        let refused = |contestants: Vec<Contestant>, expected: &str| {
            let found = Comparison::new(contestants, &corpus, &corpus, "x", BTreeMap::new());
            let message = found.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let a = || contestant("a", |_| ());
        refused(vec![], "no experiment");
        refused(vec![a(), a()], "two experiments are called 'a'");
        for name in ["", "a/b", "..", "/"] {
            refused(vec![contestant(name, |_| ())], "the name of a directory");
        }
        let other = |change: fn(&mut ExperimentConfig)| vec![a(), contestant("b", change)];
        refused(
            other(|b| b.training.max_steps = 7),
            "training.max_steps: 0 in a and 7 in b",
        );
        refused(other(|b| b.training.max_epochs = 1), "training.max_epochs");
        refused(
            other(|b| b.training.max_minutes = 0.5),
            "give --max-minutes",
        );
        refused(
            other(|b| b.training.metric = att_eval::Metric::Ter),
            "training.metric: bleu in a and ter in b",
        );
        refused(other(|b| b.search.beam_size = 0), "search.beam_size");
    }

    #[test]
    fn a_result_is_kept_for_the_settings_and_data_that_it_is_of() {
        let folder = tempfile::tempdir().unwrap();
        let (train, other) = (corpus("a b"), corpus("b b"));
        let [a, b] = ["a", "b"].map(|name| contestant(name, |_| ()));
        let path = folder.path();
        fn comparison<'a>(
            of: &[&Contestant],
            train: &'a Corpus,
            device: &str,
            path: &Path,
        ) -> Comparison<'a> {
            let given = BTreeMap::from([("device".to_string(), device.to_string())]);
            let contestants = of.iter().copied().cloned().collect();
            Comparison::new(contestants, train, train, path, given).unwrap()
        }
        let first = comparison(&[&a, &b], &train, "flex", path);
        assert_eq!(first.finished::<f64>(&a).unwrap(), None);

        let device = Device::flex();
        let mut watch = |_: &crate::Event| std::ops::ControlFlow::Continue(());
        let quick = contestant("a", |config| config.training.max_steps = 3);
        let before = comparison(&[&quick], &train, "flex", path);
        before.train(&quick, &device, &mut watch).unwrap();
        let found = before.finished::<f64>(&quick).unwrap();
        assert_eq!(found, None, "trained, but not measured");
        // Not finished, so other settings may replace it.
        let summary = first.train(&a, &device, &mut watch).unwrap();
        assert_eq!(summary.steps, 20, "an epoch is one step");
        assert!(summary.tgt_tokens_per_s > 0.0);
        first.finish(&a, &0.1).unwrap();
        assert_eq!(first.finished(&a).unwrap(), Some(0.1));
        assert_eq!(first.finished::<f64>(&b).unwrap(), None);

        let refused = |comparison: &Comparison, a: &Contestant, expected: &[&str]| {
            let message = comparison.finished::<f64>(a).unwrap_err().to_string();
            for part in expected.iter().chain(&["/a is finished with "]) {
                assert!(message.contains(part), "{message}");
            }
        };
        let slower = contestant("a", |config| config.model.src_embedding.d_embed = 3);
        refused(
            &comparison(&[&slower], &train, "flex", path),
            &slower,
            &["experiment.model.src_embedding.d_embed = 256, and now it is 3"],
        );
        refused(&comparison(&[&a], &other, "flex", path), &a, &["train = "]);
        refused(
            &comparison(&[&a], &train, "ndarray", path),
            &a,
            &["device = \"flex\", and now it is \"ndarray\""],
        );

        // As a program wrote it that did not know of a setting yet, or of one that is gone.
        let file = folder.path().join("a").join(COMPARED);
        let text = fs::read_to_string(&file).unwrap();
        let mut compared: Value = serde_json::from_str(&text).unwrap();
        let training = &mut compared["asked"]["experiment"]["training"];
        training.as_object_mut().unwrap().remove("r_drop").unwrap();
        fs::write(&file, compared.to_string()).unwrap();
        assert_eq!(first.finished(&a).unwrap(), Some(0.1));
        compared["asked"]["experiment"]["training"]["drop_r"] = 1.into();
        fs::write(&file, compared.to_string()).unwrap();
        let message = first.finished::<f64>(&a).unwrap_err().to_string();
        assert!(message.contains("drop_r"), "{message}");

        fs::write(file, "{").unwrap();
        let message = first.finished::<f64>(&a).unwrap_err().to_string();
        assert!(message.contains("compared.json can't be read"), "{message}");
    }

    #[test]
    fn a_directory_that_no_comparison_wrote_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let corpus = corpus("a b");
        let a = contestant("a", |_| ());
        let comparison = Comparison::new(
            vec![a.clone()],
            &corpus,
            &corpus,
            folder.path(),
            BTreeMap::new(),
        );
        let comparison = comparison.unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        assert_eq!(comparison.finished::<f64>(&a).unwrap(), None, "it is empty");
        let weights = folder.path().join("a/model.safetensors");
        fs::write(&weights, "years of work").unwrap();
        let mut watch = |_: &crate::Event| std::ops::ControlFlow::Continue(());
        let error = comparison.train(&a, &Device::flex(), &mut watch);
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("is not a run of a comparison"),
            "{message}"
        );
        assert_eq!(fs::read(weights).unwrap(), b"years of work");
    }
}
