use std::path::Path;
use std::str::FromStr;

use att_core::random;
use att_core::special::N_SPECIAL;
use att_data::{Corpus, Tokenizer, Vocabulary};
use att_model::{ModelDirectory, Seq2Seq, weights};
use serde::{Deserialize, Serialize};

use crate::data::train_tokenizers;
use crate::{ExperimentConfig, Result};

/// Other vocabularies than those of the model that a run begins with. They are of tokenisers trained by the
/// experiment's settings on its data, those of replay included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewVocabulary {
    /// The model's tokenisers with the tokens that the new ones have besides
    /// ([`Tokenizer::extended_by`]).
    Extend,
    /// The new ones.
    Replace,
}

impl FromStr for NewVocabulary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "extend" => Ok(Self::Extend),
            "replace" => Ok(Self::Replace),
            _ => Err(format!("'{text}' is neither extend nor replace")),
        }
    }
}

impl NewVocabulary {
    /// The tokenisers of source and target.
    pub(crate) fn tokenizers(
        self,
        old: &ModelDirectory,
        config: &ExperimentConfig,
        data: &Corpus,
    ) -> Result<(Tokenizer, Tokenizer)> {
        let (src, tgt) = train_tokenizers(config, data.into())?;
        match self {
            Self::Replace => Ok((src, tgt)),
            Self::Extend => Ok((
                old.src_tokenizer.extended_by(&src)?,
                old.tgt_tokenizer.extended_by(&tgt)?,
            )),
        }
    }
}

/// What became of the tokens of one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VocabularyEvent {
    /// `source` or `target`.
    pub side: String,
    /// Tokens that the model had, special ones included: their weights are kept.
    pub kept: usize,
    /// Tokens that it had not.
    pub new: usize,
    /// Tokens that it had and has no longer.
    pub dropped: usize,
}

/// How the weights of a model become those of one with other vocabularies.
///
/// A token keeps its vector in a table, its column of the output layer and its bias, whatever its number now;
/// special tokens keep theirs. Each number of a new token is drawn from the normal distribution that this number
/// has among the old tokens (after Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language
/// Models"), so that a new token is about as probable as another.
#[derive(Debug)]
pub(crate) struct Surgery {
    src: TokenMap,
    tgt: TokenMap,
}

/// The old number of each new token, if it has one.
#[derive(Debug)]
struct TokenMap {
    old_ids: Vec<Option<usize>>,
    /// Number of old tokens.
    old: usize,
}

impl TokenMap {
    fn new(old: &Vocabulary, new: &Vocabulary) -> Self {
        let old_id = |token: &String| old.id(token).map(|id| id as usize);
        Self {
            old_ids: new.tokens().iter().map(old_id).collect(),
            old: old.len(),
        }
    }

    fn event(&self, side: &str) -> VocabularyEvent {
        let kept = self.old_ids.iter().flatten().count();
        VocabularyEvent {
            side: side.into(),
            kept,
            new: self.old_ids.len() - kept,
            dropped: self.old - kept,
        }
    }

    /// The numbers of a weight whose `axis` counts the tokens; those of new tokens are from
    /// [`att_core::random`].
    fn apply(&self, axis: usize, shape: &mut [usize], data: &mut Vec<f32>) {
        let inner: usize = shape[axis + 1..].iter().product();
        let outer: usize = shape[..axis].iter().product();
        let (old, new) = (self.old, self.old_ids.len());
        let mut made = vec![0.0; outer * new * inner];
        let first = N_SPECIAL as usize;
        for o in 0..outer {
            for i in 0..inner {
                let number = |id: usize| data[(o * old + id) * inner + i];
                let n = (old - first).max(1) as f64;
                let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
                    (first..old).map(|id| of(f64::from(number(id)))).sum()
                };
                let mean = sum(&|x| x) / n;
                let std = (sum(&|x| (x - mean).powi(2)) / n).sqrt();
                for (id, old_id) in self.old_ids.iter().enumerate() {
                    made[(o * new + id) * inner + i] = match old_id {
                        Some(old_id) => number(*old_id),
                        None => mean as f32 + random::normal(1, std as f32)[0],
                    };
                }
            }
        }
        shape[axis] = new;
        *data = made;
    }
}

impl Surgery {
    /// None where no token changes its number.
    pub(crate) fn new(old: &ModelDirectory, src: &Tokenizer, tgt: &Tokenizer) -> Option<Self> {
        let (old_src, old_tgt) = (&old.src_tokenizer, &old.tgt_tokenizer);
        let same = |old: &Tokenizer, new: &Tokenizer| old.vocabulary() == new.vocabulary();
        if same(old_src, src) && same(old_tgt, tgt) {
            return None;
        }
        Some(Self {
            src: TokenMap::new(old_src.vocabulary(), src.vocabulary()),
            tgt: TokenMap::new(old_tgt.vocabulary(), tgt.vocabulary()),
        })
    }

    pub(crate) fn events(&self) -> [VocabularyEvent; 2] {
        [self.src.event("source"), self.tgt.event("target")]
    }

    /// A model with the old weights.
    ///
    /// # Errors
    ///
    /// If the file can't be read, or the models differ in more than their vocabularies.
    pub(crate) fn load(&self, model: Seq2Seq, file: &Path, seed: u64) -> Result<Seq2Seq> {
        random::seed(random::mix(seed, SEED));
        let edit = |name: &str, shape: &mut Vec<usize>, data: &mut Vec<f32>| {
            let (map, axis) = if name == "src_embedding.weight" {
                (&self.src, 0)
            } else if name.ends_with(".output.linear.weight") {
                (&self.tgt, 1)
            } else if name.ends_with(".embedding.weight")
                || name.ends_with(".output.linear.bias")
                || name.ends_with(".output.tied_bias")
            {
                (&self.tgt, 0)
            } else {
                return;
            };
            // Another model's: it is refused by its shape.
            if shape.get(axis) == Some(&map.old) {
                map.apply(axis, shape, data);
            }
        };
        Ok(weights::load_edited(model, file, edit)?)
    }
}

/// What makes the numbers of new tokens others than a model's first ones.
const SEED: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use att_data::{Pair, TokenizerConfig};
    use att_decoder::DecoderConfig;
    use att_decoder::search::SearchConfig;
    use att_model::{ModelConfig, Translator};
    use burn::tensor::Device;

    fn tokenizer(text: &str) -> Tokenizer {
        TokenizerConfig::whitespace().train([text]).unwrap()
    }

    #[test]
    fn the_same_tokens_with_other_numbers_are_the_same_model() {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::flex();
        let (one, other) = (tokenizer("a a a b b c"), tokenizer("c c c b b a"));
        assert_ne!(one.encode("a b c"), other.encode("a b c"));
        let pairs = [Pair::new("a b c", "c b"), Pair::new("c", "a a x")];
        for (i, mut decoder) in DecoderConfig::all().into_iter().enumerate() {
            match &mut decoder {
                DecoderConfig::Transformer(config) => config.layers.layers = 1,
                DecoderConfig::Convolutional(config) => config.layers = 1,
                _ => {}
            }
            for (tie_embeddings, tie_output) in [(false, false), (false, true), (true, true)] {
                if tie_output && i > 1 {
                    continue;
                }
                let mut config = ModelConfig {
                    tie_embeddings,
                    tie_output,
                    decoder: decoder.clone(),
                    ..Default::default()
                };
                config.tgt_embedding.d_embed = if tie_output { 512 } else { 16 };
                let directory = |name: &str, tokenizer: &Tokenizer| {
                    let path = folder
                        .path()
                        .join(format!("{i}-{tie_embeddings}-{tie_output}-{name}"));
                    let (src, tgt) = (tokenizer.clone(), tokenizer.clone());
                    let config = config.clone();
                    ModelDirectory::create(path, config, SearchConfig::default(), src, tgt).unwrap()
                };
                let (old, new) = (directory("old", &one), directory("new", &other));
                let model = old.init(1, &device).unwrap();
                old.save_weights(&model).unwrap();
                let surgery = Surgery::new(&old, &other, &other).unwrap();
                let fresh = new.init(2, &device).unwrap();
                let file = old.path().join("model.safetensors");
                let moved = surgery.load(fresh, &file, 3).unwrap();
                let scores = |directory: ModelDirectory, model: Seq2Seq| -> Vec<f64> {
                    let found = Translator::new(directory, model).score(&pairs);
                    found.iter().map(|one| one.candidates[0].log_prob).collect()
                };
                let (before, after) = (scores(old, model), scores(new, moved));
                for (before, after) in before.iter().zip(&after) {
                    assert!(
                        (before - after).abs() < 1e-4,
                        "{config:?}: {before} {after}"
                    );
                }
            }
        }
    }

    #[test]
    fn tokens_keep_their_numbers_by_name_and_new_ones_are_like_the_old() {
        let old = tokenizer("a a a a b b b c c d");
        let new = tokenizer("d d d d x x x b b a");
        let map = TokenMap::new(old.vocabulary(), new.vocabulary());
        assert_eq!(
            map.event("source"),
            VocabularyEvent {
                side: "source".into(),
                kept: 4 + 3,
                new: 1,
                dropped: 1
            }
        );
        // Of tokens at either axis, number 10 * id + place, but equal at the first place.
        let number = |id: usize, place: usize| {
            if place == 0 {
                7.0
            } else {
                (10 * id + place) as f32
            }
        };
        for axis in [0, 1] {
            let mut shape = vec![3, 3];
            shape[axis] = 8;
            let mut data: Vec<f32> = (0..24)
                .map(|i| match axis {
                    0 => number(i / 3, i % 3),
                    _ => number(i % 8, i / 8),
                })
                .collect();
            random::seed(1);
            map.apply(axis, &mut shape, &mut data);
            assert_eq!(shape[axis], 8);
            let found = |id: usize, place: usize| match axis {
                0 => data[id * 3 + place],
                _ => data[place * 8 + id],
            };
            for (id, token) in new.vocabulary().tokens().iter().enumerate() {
                for place in 0..3 {
                    match old.token_to_id(token) {
                        Some(old) => assert_eq!(found(id, place), number(old as usize, place)),
                        None if place == 0 => assert_eq!(found(id, place), 7.0),
                        // The mean is 55 + place, the deviation 11.
                        None => assert!((found(id, place) - 56.0).abs() < 50.0),
                    }
                }
            }
        }
    }
}
