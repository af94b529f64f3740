//! From text to batches, one pair at a time.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use att_data::{
    Batcher, Corpus, CorpusFiles, Digest, Error as DataError, Example, ExampleWriter, Examples,
    Pair, Tokenizer, TokenizerTrainer,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::identity::Fingerprint;
use crate::{DataEvent, Error, ExperimentConfig, Result, TokenizersConfig};

/// What an epoch has of the corpora: each pair once, unless told. Which examples are left out for their lengths
/// is said in [`BatcherConfig`](att_data::BatcherConfig).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// A weight for each corpus, such as `[3.0, 1.0]`: of an epoch, which has as many examples as all corpora
    /// together, corpus i gives `w_i / sum_j w_j` ([`Batcher::with_weights`]). None unless told.
    pub weights: Vec<f64>,
    /// Whether a pair that was there before, in whichever corpus, is left out of training; false unless told. Pairs
    /// are known by 64 bits made of their text: of 10 million different ones, two are taken for one with a
    /// probability of 3e-6.
    pub deduplicate: bool,
}

/// What a run trains on: one corpus or several, one after the other.
#[derive(Clone, Copy, Debug)]
pub enum TrainingData<'a> {
    /// One that is in memory.
    Corpus(&'a Corpus),
    /// Files, which are read pair by pair whenever their text is needed.
    Files(&'a [CorpusFiles]),
}

impl<'a> From<&'a Corpus> for TrainingData<'a> {
    fn from(corpus: &'a Corpus) -> Self {
        Self::Corpus(corpus)
    }
}

impl<'a> From<&'a [CorpusFiles]> for TrainingData<'a> {
    fn from(files: &'a [CorpusFiles]) -> Self {
        Self::Files(files)
    }
}

impl<'a> From<&'a Vec<CorpusFiles>> for TrainingData<'a> {
    fn from(files: &'a Vec<CorpusFiles>) -> Self {
        Self::Files(files)
    }
}

impl<'a> TrainingData<'a> {
    /// All pairs, in memory.
    ///
    /// # Errors
    ///
    /// As [`CorpusFiles::read`].
    pub fn read(self) -> Result<Cow<'a, Corpus>> {
        if let Self::Corpus(corpus) = self {
            return Ok(Cow::Borrowed(corpus));
        }
        let mut pairs = Vec::new();
        self.each(|_, pair| {
            pairs.push(pair.into_owned());
            Ok(())
        })?;
        Ok(Cow::Owned(Corpus { pairs }))
    }

    /// Hands out each pair with the number of its corpus.
    fn each(self, mut take: impl FnMut(usize, Cow<'a, Pair>) -> Result<()>) -> Result<()> {
        match self {
            Self::Corpus(corpus) => {
                let mut pairs = corpus.pairs.iter();
                pairs.try_for_each(|pair| take(0, Cow::Borrowed(pair)))
            }
            Self::Files(corpora) => {
                for (i, files) in corpora.iter().enumerate() {
                    for pair in files.pairs()? {
                        take(i, Cow::Owned(pair?))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// How many corpora there are.
    fn corpora(self) -> usize {
        match self {
            Self::Corpus(_) => 1,
            Self::Files(files) => files.len(),
        }
    }
}

/// The tokenisers of an experiment, trained: that of the source and that of the target.
pub(crate) fn train_tokenizers(
    config: &ExperimentConfig,
    data: TrainingData<'_>,
) -> Result<(Tokenizer, Tokenizer)> {
    let limit = match config.tokenizer.max_pairs {
        0 => usize::MAX,
        limit => limit,
    };
    let mut trainers = Trainers::new(&config.tokenizer);
    let mut pairs = 0;
    data.each(|_, pair| {
        pairs += 1;
        if pairs <= limit {
            trainers.add(&pair);
        }
        Ok(())
    })?;
    if pairs > limit {
        trainers = Trainers::new(&config.tokenizer);
        let mut i = 0;
        data.each(|_, pair| {
            if is_sampled(i, limit, pairs) {
                trainers.add(&pair);
            }
            i += 1;
            Ok(())
        })?;
    }
    trainers.finish()
}

/// Whether pair `i` is one of the `limit` that lie evenly among all `pairs`.
fn is_sampled(i: usize, limit: usize, pairs: usize) -> bool {
    let before = |i: usize| (i as u128 * limit as u128) / pairs as u128;
    before(i) < before(i + 1)
}

/// The tokenisers in training.
struct Trainers {
    src: TokenizerTrainer,
    /// None if one is of both sides.
    tgt: Option<TokenizerTrainer>,
}

impl Trainers {
    fn new(config: &TokenizersConfig) -> Self {
        Self {
            src: config.src.trainer(),
            tgt: (!config.shared).then(|| config.tgt.trainer()),
        }
    }

    fn add(&mut self, pair: &Pair) {
        self.src.add(&pair.src);
        self.tgt.as_mut().unwrap_or(&mut self.src).add(&pair.tgt);
    }

    fn finish(self) -> Result<(Tokenizer, Tokenizer)> {
        let src = self.src.finish().map_err(Error::within("tokenizer.src"))?;
        let tgt = match self.tgt {
            None => src.clone(),
            Some(tgt) => tgt.finish().map_err(Error::within("tokenizer.tgt"))?,
        };
        Ok((src, tgt))
    }
}

/// A file with the ids of a run's data, so that they need not be in memory, nor be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheUse {
    /// The file.
    pub path: PathBuf,
    /// Whether it was there, of the same text and tokenisers; else it was made.
    pub found: bool,
    /// What was wrong with a file that was there and was replaced.
    pub damage: Option<String>,
}

/// What a run trains on, encoded.
pub(crate) struct Loaded {
    pub(crate) batcher: Batcher,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) event: DataEvent,
}

/// The names of caches: `tokens-<key>.cache`.
const PREFIX: &str = "tokens-";
const SUFFIX: &str = ".cache";

/// Whether a file of this name is a cache.
pub(crate) fn is_cache(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Encodes the data, or finds them in a cache.
///
/// - `cache`: the directory for it; none to keep all ids in memory
pub(crate) fn load(
    config: &ExperimentConfig,
    data: TrainingData<'_>,
    src: &Tokenizer,
    tgt: &Tokenizer,
    cache: Option<&Path>,
) -> Result<Loaded> {
    let encoder = Encoder {
        config,
        data,
        src,
        tgt,
    };
    let (examples, encoded, cache) = match cache {
        None => {
            let writer = ExampleWriter::in_memory(config.model.decoder.copies());
            let (examples, encoded) = encoder.encode(writer, String::new())?;
            (examples, encoded, None)
        }
        Some(folder) => {
            let (examples, encoded, cache) = encoder.cached(folder)?;
            (examples, encoded, Some(cache))
        }
    };
    let mut batcher = Batcher::new(config.batch.clone(), examples)?;
    if !config.data.weights.is_empty() {
        let weighted = batcher.with_weights(&encoded.pairs, &config.data.weights);
        batcher = weighted.map_err(Error::within("data"))?;
    }
    let event = DataEvent {
        pairs: encoded.pairs.clone(),
        dropped: batcher.dropped(),
        cache,
    };
    Ok(Loaded {
        batcher,
        fingerprint: encoded.into_fingerprint(),
        event,
    })
}

/// What is known of text that was encoded; kept in a cache as JSON.
#[derive(Serialize, Deserialize)]
struct Encoded {
    /// Made of all that the ids depend on; empty without a cache.
    key: String,
    /// Of each corpus.
    pairs: Vec<usize>,
    /// The digests of the text.
    sources: String,
    targets: String,
}

impl Encoded {
    fn into_fingerprint(self) -> Fingerprint {
        Fingerprint {
            pairs: self.pairs.iter().sum(),
            corpora: if self.pairs.len() > 1 {
                self.pairs
            } else {
                Vec::new()
            },
            sources: self.sources,
            targets: self.targets,
        }
    }
}

struct Encoder<'a> {
    config: &'a ExperimentConfig,
    data: TrainingData<'a>,
    src: &'a Tokenizer,
    tgt: &'a Tokenizer,
}

impl Encoder<'_> {
    /// Pairs that are encoded together, on all threads.
    const CHUNK: usize = 1 << 13;

    /// From the cache in this directory, which is made where it is missing, damaged, or of other data.
    fn cached(&self, folder: &Path) -> Result<(Examples, Encoded, CacheUse)> {
        let key = self.key()?;
        let path = folder.join(format!("{PREFIX}{key}{SUFFIX}"));
        let damage = match Examples::open(&path) {
            Ok((examples, about)) => match serde_json::from_str::<Encoded>(&about) {
                Ok(encoded) if encoded.key == key => {
                    let cache = CacheUse {
                        path,
                        found: true,
                        damage: None,
                    };
                    return Ok((examples, encoded, cache));
                }
                _ => Some(format!("{} is of other data", path.display())),
            },
            Err(DataError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(error.to_string()),
        };
        fs::create_dir_all(folder).map_err(|source| Error::Write {
            path: folder.into(),
            source,
        })?;
        let writer = ExampleWriter::create(&path, self.config.model.decoder.copies())?;
        let (examples, encoded) = self.encode(writer, key)?;
        let cache = CacheUse {
            path,
            found: false,
            damage,
        };
        Ok((examples, encoded, cache))
    }

    /// Made of all that the ids depend on: the files, or the text, tokenisers, and settings.
    fn key(&self) -> Result<String> {
        let mut key = Digest::new();
        for tokenizer in [self.src, self.tgt] {
            key.text(&tokenizer.to_json());
        }
        let (copies, deduplicate) = (
            self.config.model.decoder.copies(),
            self.config.data.deduplicate,
        );
        key.text(&format!("{copies} {deduplicate}"));
        match self.data {
            TrainingData::Corpus(corpus) => {
                let sides = corpus.sources().zip(corpus.targets());
                sides
                    .flat_map(|(src, tgt)| [src, tgt])
                    .for_each(|text| key.text(text));
            }
            TrainingData::Files(corpora) => {
                for files in corpora {
                    let paths = files.paths().len();
                    key.text(&format!("{paths} {}", files.digest()?));
                }
            }
        }
        Ok(key.to_string())
    }

    fn encode(&self, mut writer: ExampleWriter, key: String) -> Result<(Examples, Encoded)> {
        let mut pairs = vec![0; self.data.corpora()];
        let (mut sources, mut targets) = (Digest::new(), Digest::new());
        let mut seen = self.config.data.deduplicate.then(HashSet::new);
        let mut chunk = Vec::new();
        self.data.each(|corpus, pair| {
            pairs[corpus] += 1;
            sources.text(&pair.src);
            targets.text(&pair.tgt);
            chunk.push(pair);
            if chunk.len() == Self::CHUNK {
                self.push(&chunk, &mut seen, &mut writer)?;
                chunk.clear();
            }
            Ok(())
        })?;
        self.push(&chunk, &mut seen, &mut writer)?;
        let encoded = Encoded {
            key,
            pairs,
            sources: sources.to_string(),
            targets: targets.to_string(),
        };
        let about = serde_json::to_string(&encoded).expect("texts and numbers can be JSON");
        Ok((writer.finish(&about)?, encoded))
    }

    /// Encodes pairs and writes them.
    fn push(
        &self,
        pairs: &[Cow<'_, Pair>],
        seen: &mut Option<HashSet<u64>>,
        writer: &mut ExampleWriter,
    ) -> Result<()> {
        let model = &self.config.model;
        let encode = |pair: &Cow<'_, Pair>| model.example(pair, self.src, self.tgt);
        let examples: Vec<Example> = pairs.par_iter().map(encode).collect();
        for (pair, example) in pairs.iter().zip(&examples) {
            let duplicate = seen.as_mut().is_some_and(|seen| !seen.insert(number(pair)));
            writer.push(example, duplicate)?;
        }
        Ok(())
    }
}

/// By which a pair is known again.
fn number(pair: &Pair) -> u64 {
    let mut digest = Digest::new();
    digest.text(&pair.src);
    digest.text(&pair.tgt);
    digest.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_data::Dropped;

    const CONFIG: &str = "
        tokenizer.src = { kind = 'char' }
        model.encoder = { kind = 'recurrent', d_hidden = 4 }
        model.decoder = { kind = 'luong', d_attentional = 4, recurrent = { d_hidden = 8 } }
    ";

    fn config(more: &str) -> ExperimentConfig {
        ExperimentConfig::from_toml(&format!("{CONFIG}\n{more}")).unwrap()
    }

    /// Two corpora, which share a pair.
    fn files(folder: &Path) -> Vec<CorpusFiles> {
        let path = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        vec![
            CorpusFiles::Tsv(path("a.tsv", "ab\tb a\nba\ta b\nab\tb a\n")),
            CorpusFiles::Parallel {
                src: path("b.src", "abba\nab\n"),
                tgt: path("b.tgt", "a b b a\nb a\n"),
            },
        ]
    }

    fn load_files(
        config: &ExperimentConfig,
        files: &[CorpusFiles],
        cache: Option<&Path>,
    ) -> Result<Loaded> {
        let (src, tgt) = train_tokenizers(config, files.into())?;
        load(config, files.into(), &src, &tgt, cache)
    }

    fn all(loaded: &Loaded) -> Vec<Example> {
        let examples = loaded.batcher.examples();
        (0..examples.len())
            .map(|i| examples.get(i).unwrap())
            .collect()
    }

    #[test]
    fn files_and_caches_give_what_a_corpus_in_memory_gives() {
        let folder = tempfile::tempdir().unwrap();
        let (files, config) = (files(folder.path()), config(""));
        let cache = folder.path().join("cache");
        let corpus = TrainingData::from(&files).read().unwrap();
        assert_eq!(corpus.pairs.len(), 5);
        let (src, tgt) = train_tokenizers(&config, TrainingData::from(&*corpus)).unwrap();
        let memory = load(&config, (&*corpus).into(), &src, &tgt, None).unwrap();
        assert_eq!(memory.fingerprint, Fingerprint::of(&corpus));
        for cache in [None, Some(&*cache), Some(&*cache)] {
            let loaded = load_files(&config, &files, cache).unwrap();
            assert_eq!(all(&loaded), all(&memory));
            assert_eq!(loaded.event.pairs, [3, 2]);
            assert_eq!(loaded.fingerprint.sources, memory.fingerprint.sources);
            assert_eq!(loaded.fingerprint.corpora, [3, 2]);
        }
    }

    #[test]
    fn a_cache_is_found_again_unless_anything_that_it_depends_on_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let cache = folder.path().join("cache");
        let use_of = |more: &str| {
            let loaded = load_files(&config(more), &files, Some(&cache)).unwrap();
            loaded.event.cache.unwrap()
        };
        assert!(!use_of("").found);
        let found = use_of("");
        assert!(found.found && found.damage.is_none());
        assert!(use_of("batch.max_ratio = 3.0").found, "only ids are kept");
        assert!(!use_of("data.deduplicate = true").found);
        assert!(!use_of("tokenizer.tgt = { kind = 'char' }").found);
        fs::write(folder.path().join("b.src"), "abba\nba\n").unwrap();
        assert!(!use_of("").found);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 4);
        assert!(is_cache(&found.path.file_name().unwrap().to_string_lossy()));

        let path = use_of("").path;
        let whole = fs::read(&path).unwrap();
        for damage in [
            Vec::new(),
            whole[..40].to_vec(),
            fs::read(&found.path).unwrap(),
        ] {
            fs::write(&path, damage).unwrap();
            let made = use_of("");
            assert!(!made.found && made.damage.is_some(), "{made:?}");
            assert!(fs::read(&path).unwrap() == whole, "made as before");
        }
    }

    #[test]
    fn duplicates_are_left_out_over_all_corpora() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let loaded = load_files(&config("data.deduplicate = true"), &files, None).unwrap();
        let dropped = Dropped {
            duplicates: 2,
            ..Dropped::default()
        };
        assert_eq!(loaded.event.dropped, dropped);
        assert_eq!(loaded.batcher.usable(), [0, 1, 3]);
    }

    #[test]
    fn weights_are_for_each_corpus() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let weighted = |weights: &str| {
            let config = config(&format!("data.weights = {weights}"));
            load_files(&config, &files, None)
        };
        let loaded = weighted("[1.0, 4.0]").unwrap();
        let epoch = loaded.batcher.epoch(1, 0).concat();
        assert_eq!(epoch.iter().filter(|&&i| i < 3).count(), 1);
        let error = weighted("[1.0]").err().unwrap().to_string();
        assert!(error.contains("data: `weights` are 1"), "{error}");
    }

    #[test]
    fn tokenisers_learn_from_pairs_that_lie_evenly() {
        for (limit, pairs) in [(1, 7), (3, 7), (7, 7), (5, 1000)] {
            let sampled = (0..pairs).filter(|&i| is_sampled(i, limit, pairs));
            let sampled: Vec<usize> = sampled.collect();
            assert_eq!(sampled.len(), limit);
            let gaps = sampled.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.into_iter().all(|gap| gap.abs_diff(pairs / limit) <= 1));
        }
        let corpus = Corpus {
            pairs: ["a", "b", "c", "d"]
                .map(|text| Pair::new(text, text))
                .into(),
        };
        let tokens = |limit: usize| {
            let config = config(&format!("tokenizer.max_pairs = {limit}"));
            let (src, _) = train_tokenizers(&config, (&corpus).into()).unwrap();
            src.vocabulary().tokens()[4..].to_vec()
        };
        assert_eq!(tokens(2), ["b", "d"]);
        assert_eq!(tokens(0).len(), 4);
    }
}
