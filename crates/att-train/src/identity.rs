//! What a run is made of, so that it goes on with nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use att_data::Corpus;
use serde::{Deserialize, Serialize};

use crate::settings::{differing, settings, value};
use crate::{Error, ExperimentConfig, Result, ScheduleConfig, digest};

/// The settings of a run, and fingerprints of its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// The experiment as TOML, every setting written out.
    pub(crate) experiment: String,
    train: Fingerprint,
    valid: Fingerprint,
    /// Of old data, where they are replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay: Option<Fingerprint>,
    /// Checksums of the files that the run was begun with, by what they are.
    files: BTreeMap<String, u32>,
}

/// Of a corpus, each side its own [`digest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fingerprint {
    pub(crate) pairs: usize,
    /// Of how many pairs each is, where there are several corpora.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) corpora: Vec<usize>,
    pub(crate) sources: String,
    pub(crate) targets: String,
}

impl Fingerprint {
    pub(crate) fn of(corpus: &Corpus) -> Self {
        Self {
            pairs: corpus.pairs.len(),
            corpora: Vec::new(),
            sources: digest(corpus.sources()),
            targets: digest(corpus.targets()),
        }
    }

    fn changes(&self, now: &Self, name: &str, into: &mut Vec<String>) {
        if self.pairs != now.pairs {
            let (was, is) = (self.pairs, now.pairs);
            into.push(format!("the {name} data had {was} pairs, now {is}"));
            return;
        }
        if self.corpora != now.corpora {
            into.push(format!(
                "the {name} data are divided otherwise into corpora"
            ));
        }
        for (side, was, is) in [
            ("sources", &self.sources, &now.sources),
            ("targets", &self.targets, &now.targets),
        ] {
            if was != is {
                into.push(format!("the {side} of the {name} data are others"));
            }
        }
    }
}

impl Identity {
    /// - `files`: other files that the run depends on, with a name for each
    ///
    /// # Errors
    ///
    /// If a file can't be read.
    pub(crate) fn new(
        config: &ExperimentConfig,
        train: Fingerprint,
        valid: Fingerprint,
        replay: Option<Fingerprint>,
        files: &[(&str, &Path)],
    ) -> Result<Self> {
        let checksum = |&(name, path): &(&str, &Path)| {
            let bytes = fs::read(path).map_err(|source| Error::Read {
                path: path.into(),
                source,
            })?;
            Ok((name.to_string(), crc32fast::hash(&bytes)))
        };
        Ok(Self {
            experiment: toml::to_string(config).expect("a configuration can be TOML"),
            train,
            valid,
            replay,
            files: files.iter().map(checksum).collect::<Result<_>>()?,
        })
    }

    /// What is not as it was, a clause each; settings that change nothing in what a step computes may
    /// differ.
    pub(crate) fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        // Through the experiment, so that settings which are younger than the run have their defaults.
        let [was, is] = [self, now].map(|one| ExperimentConfig::from_toml(&one.experiment));
        match (was, is) {
            (Ok(was), Ok(is)) => {
                let extendable = !matches!(is.training.schedule, ScheduleConfig::Cosine(_));
                let [was, is] = [was, is].map(|config| fixed_settings(config, extendable));
                let clause = |key| {
                    let [was, is] = [&was, &is].map(|of| value(of, key));
                    format!("{key} was {was}, now {is}")
                };
                changes.extend(differing(&was, &is).map(|key| clause(key)));
            }
            _ => changes.push("its experiment can't be read by this program".into()),
        }
        self.train.changes(&now.train, "training", &mut changes);
        self.valid.changes(&now.valid, "validation", &mut changes);
        // Where there is but one, `training.replay` is another.
        if let (Some(was), Some(is)) = (&self.replay, &now.replay) {
            was.changes(is, "replayed", &mut changes);
        }
        let others = differing(&self.files, &now.files);
        changes.extend(others.map(|name| format!("{name} is another one")));
        changes
    }
}

/// The settings by key, without those that may change between parts of a run: those that say when it
/// ends or what it writes. With `extendable` also how long it goes on, where no learning rate depends
/// on that.
fn fixed_settings(mut config: ExperimentConfig, extendable: bool) -> BTreeMap<String, String> {
    let training = &mut config.training;
    (training.max_minutes, training.save_minutes) = (0.0, 0.0);
    (training.save_every, training.keep) = (0, 0);
    (training.max_skipped, training.log_every) = (0, 1);
    if extendable {
        (training.max_epochs, training.max_steps) = (1, 0);
    }
    settings(&config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_data::Pair;

    fn corpus(targets: [&str; 2]) -> Corpus {
        Corpus {
            pairs: targets.map(|tgt| Pair::new("a", tgt)).into(),
        }
    }

    fn identity(text: &str, train: &Corpus) -> Identity {
        let config = ExperimentConfig::from_toml(text).unwrap();
        let valid = Fingerprint::of(&corpus(["x", "y"]));
        Identity::new(&config, Fingerprint::of(train), valid, None, &[]).unwrap()
    }

    #[test]
    fn what_has_changed_is_named() {
        let train = corpus(["x", "y"]);
        let run = identity("seed = 3", &train);
        assert!(run.changes(&identity("seed = 3", &train)).is_empty());
        let changes = |text: &str| run.changes(&identity(text, &train)).join("; ");
        assert_eq!(changes("seed = 4"), "seed was 3, now 4");
        let greatest = format!("seed = {}", u64::MAX);
        assert_eq!(changes(&greatest), "seed was 3, now 18446744073709551615");
        assert_eq!(
            changes("seed = 3\n[training]\nclip_norm = 0.1"),
            "training.clip_norm was 1.0, now 0.1"
        );
        let optimizer = changes("seed = 3\n[training]\noptimizer = { kind = 'adamw' }");
        assert!(
            optimizer.starts_with(
                "training.optimizer.kind was \"adam\", now \"adamw\"; \
                 training.optimizer.weight_decay was not set, now 0.0"
            ),
            "{optimizer}"
        );
        let other = run.changes(&identity("seed = 3", &corpus(["x", "z"])));
        assert_eq!(other, ["the targets of the training data are others"]);
        let moved = run.changes(&identity("seed = 3", &corpus(["xy", ""])));
        assert_eq!(moved.len(), 1, "a text has ends");
    }

    #[test]
    fn a_run_may_be_made_longer_where_no_learning_rate_depends_on_its_length() {
        let train = corpus(["x", "y"]);
        let changes = |schedule: &str, more: &str| {
            let text = format!("[training]\nschedule = {{ kind = '{schedule}' }}\n");
            let run = identity(&text, &train);
            run.changes(&identity(&format!("{text}{more}"), &train))
        };
        assert!(changes("constant", "max_epochs = 99\nmax_minutes = 5.0").is_empty());
        assert!(changes("constant", "save_every = 5\nkeep = 7").is_empty());
        let refused = changes("cosine", "max_epochs = 99\nmax_minutes = 5.0");
        assert_eq!(refused, ["training.max_epochs was 20, now 99"]);
    }
}
