//! What is asked of a line, and what became of it.

use att_core::special::EOS;
use att_data::{copied_tokens, special};
use att_decoder::search::{Found, ScoreTerms, SearchTree};

use super::{AttentionEdit, Translator};

/// What became of one line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Translation {
    /// The tokens of the source, EOS the last.
    pub src_tokens: Vec<String>,
    /// Best first.
    pub candidates: Vec<Candidate>,
    /// All that search weighed, in ids of the target's tokeniser, where it was asked for.
    pub tree: Option<SearchTree>,
}

/// A line, and what is asked of its translation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TranslationRequest {
    /// The line.
    pub line: String,
    /// What the translation begins with.
    pub prefix: String,
    /// Tokens that come behind it, as [`Candidate::tokens`] names them.
    pub pinned: Vec<String>,
    /// Steps that look where they are told: all layers, heads and blocks of the model, whatever stands before
    /// them. Of two for one step the last counts.
    pub edits: Vec<AttentionEdit>,
    /// Phrases that must stand in the translation.
    pub constraints: Vec<String>,
    /// Whether the search tree is recorded.
    pub record: bool,
}

impl TranslationRequest {
    /// Any translation of a line.
    pub fn new(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            ..Self::default()
        }
    }
}

/// One possible output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// The output; with [`SearchConfig::replace_unk`](att_decoder::search::SearchConfig::replace_unk) it has tokens of the source in the place of
    /// unknown ones.
    pub text: String,
    /// The tokens as they came out, EOS the last.
    pub tokens: Vec<String>,
    /// What candidates are ranked by.
    pub score: f64,
    /// Natural logarithm of its probability.
    pub log_prob: f64,
    /// That of each token.
    pub token_log_probs: Vec<f32>,
    /// What makes the score of the log-probability.
    pub terms: ScoreTerms,
    /// For each of `tokens` the attention weights over the `src_tokens`, as
    /// [`Seq2Seq::search`](crate::Seq2Seq::search) spreads them; none without attention.
    pub weights: Option<Vec<Vec<f32>>>,
    /// The weights of each layer and head, `[layer][head][tgt_len][src_len]`, where they were asked for
    /// ([`Translator::with_head_weights`]) of a given target: search keeps none.
    pub head_weights: HeadWeights,
}

/// The weights of a hypothesis by layer from the bottom, head, target and source token; empty of decoders
/// that have one attention.
pub type HeadWeights = Vec<Vec<Vec<Vec<f32>>>>;

/// The attention of a [`Candidate`] as plain data, named as in `att_inspect::AttentionMap::new`.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateAttention {
    /// The tokens of the source, EOS the last.
    pub src_tokens: Vec<String>,
    /// The tokens of the output, EOS the last.
    pub tgt_tokens: Vec<String>,
    /// Row-major `[tgt_len, src_len]`: a row of weights for each token of the output.
    pub weights: Vec<f32>,
    /// As those of the [`Candidate`].
    pub head_weights: HeadWeights,
}

impl Translation {
    /// The attention of the candidate at `rank` (0 is the best); none if there is no such
    /// candidate, or the model has no attention.
    pub fn attention(&self, rank: usize) -> Option<CandidateAttention> {
        let candidate = self.candidates.get(rank)?;
        Some(CandidateAttention {
            src_tokens: self.src_tokens.clone(),
            tgt_tokens: candidate.tokens.clone(),
            weights: candidate.weights.as_ref()?.concat(),
            head_weights: candidate.head_weights.clone(),
        })
    }
}

impl Translator {
    pub(super) fn translation(&self, line: &str, found: Found, replace_unk: bool) -> Translation {
        let directory = self.directory();
        let (src, tgt) = (&directory.src_tokenizer, &directory.tgt_tokenizer);
        let names = self.target_names(line);
        let replacements = if replace_unk {
            copied_tokens(src, tgt, line)
        } else {
            Vec::new()
        };
        let token = |&id: &u32| names.name(id).to_string();
        let candidates = found
            .hypotheses
            .into_iter()
            .map(|hypothesis| Candidate {
                text: tgt.decode_with(&hypothesis.tokens, |step| {
                    names.copied(hypothesis.tokens[step]).or_else(|| {
                        let weights = hypothesis.weights.as_ref()?.get(step)?;
                        let looked_at = heaviest(weights.get(..replacements.len())?)?;
                        Some(replacements[looked_at].as_str())
                    })
                }),
                tokens: with_eos(hypothesis.tokens.iter().map(token).collect()),
                score: hypothesis.score,
                log_prob: hypothesis.log_prob,
                token_log_probs: hypothesis.token_log_probs,
                terms: hypothesis.terms,
                weights: hypothesis.weights,
                head_weights: HeadWeights::new(),
            })
            .collect();
        Translation {
            src_tokens: with_eos(src.tokens(line)),
            candidates,
            tree: found.tree,
        }
    }
}

/// The tokens, and EOS behind them.
pub(crate) fn with_eos(mut tokens: Vec<String>) -> Vec<String> {
    tokens.push(special::NAMES[EOS as usize].to_string());
    tokens
}

/// The place of the greatest weight, the first among equals; none where all are zero.
fn heaviest(weights: &[f32]) -> Option<usize> {
    let places = (0..weights.len()).rev();
    places
        .filter(|&place| weights[place] > 0.0)
        .max_by(|&a, &b| weights[a].total_cmp(&weights[b]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translator::test_support::*;
    use att_decoder::search::{Hypothesis, SearchConfig};

    #[test]
    fn attention_has_a_row_for_each_token_of_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let luong = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let found = luong.translate(&["abc"], &search()).unwrap().remove(0);
        for (rank, candidate) in found.candidates.iter().enumerate() {
            let attention = found.attention(rank).unwrap();
            assert_eq!(attention.src_tokens, ["a", "b", "c", "</s>"]);
            assert_eq!(attention.tgt_tokens, candidate.tokens);
            assert_eq!(attention.weights.len(), 4 * candidate.tokens.len());
            let first: f32 = attention.weights[..4].iter().sum();
            assert!((first - 1.0).abs() < 1e-5);
        }
        assert_eq!(found.attention(2), None);

        let folder = tempfile::tempdir().unwrap();
        let summary = translator(folder.path(), "kind = 'summary', d_output = 5");
        let found = summary.translate(&["abc"], &search()).unwrap().remove(0);
        assert_eq!(found.attention(0), None);
    }

    #[test]
    fn attention_is_over_tokens_also_where_a_state_stands_for_several() {
        let folder = tempfile::tempdir().unwrap();
        let pyramid = "kind = 'pyramidal', layers = 2";
        let decoder = "kind = 'luong', d_attentional = 5";
        let translator = translator_of(folder.path(), pyramid, decoder);
        let lines = ["abcd", "d", "abc"];
        for beam_size in [1, 2] {
            let search = SearchConfig {
                beam_size,
                n_best: 1,
                ..search()
            };
            for (line, found) in lines
                .iter()
                .zip(translator.translate(&lines, &search).unwrap())
            {
                let attention = found.attention(0).unwrap();
                let src_len = line.len() + 1; // with EOS
                assert_eq!(attention.src_tokens.len(), src_len);
                for weights in attention.weights.chunks(src_len) {
                    assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                    assert_eq!(weights[0], weights[1]);
                }
            }
        }
    }

    /// A hypothesis made by hand: UNK, a known token, UNK; the weights are over the source and EOS.
    #[test]
    fn unknown_tokens_become_those_that_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let known = translator
            .directory()
            .tgt_tokenizer
            .token_to_id("a")
            .unwrap();
        let hypothesis = |weights: Option<Vec<Vec<f32>>>| Hypothesis {
            tokens: vec![special::UNK, known, special::UNK],
            score: 0.0,
            log_prob: 0.0,
            token_log_probs: vec![0.0; 4],
            terms: ScoreTerms::default(),
            weights,
        };
        let text = |weights, replace_unk| {
            let found = Found {
                hypotheses: vec![hypothesis(weights)],
                tree: None,
            };
            let mut found = translator.translation("ößb", found, replace_unk);
            found.candidates.remove(0).text
        };
        let weights = || {
            let rows = [
                [0.1, 0.3, 0.2, 0.4],
                [0.0, 1.0, 0.0, 0.0],
                [0.6, 0.1, 0.2, 0.1],
                [0.0; 4],
            ];
            Some(rows.map(Vec::from).to_vec())
        };
        assert_eq!(text(weights(), true), "ßaö");
        assert_eq!(text(weights(), false), "<unk>a<unk>");
        assert_eq!(text(None, true), "<unk>a<unk>");
        // A head that has left the source looks at nothing.
        assert_eq!(text(Some(vec![vec![0.0; 4]; 4]), true), "<unk>a<unk>");
    }

    #[test]
    fn the_heaviest_is_the_first_of_equals() {
        assert_eq!(heaviest(&[0.2, 0.5, 0.5]), Some(1));
        assert_eq!(heaviest(&[0.0, 0.0]), None);
    }

    /// A hypothesis made by hand: two tokens of the source that the vocabulary lacks, a known one, UNK.
    #[test]
    fn copied_tokens_are_those_of_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(
            folder.path(),
            "kind = 'luong', d_attentional = 5, copy = true",
        );
        let tokenizer = &translator.directory().tgt_tokenizer;
        let (first, a) = (
            tokenizer.vocab_size() as u32,
            tokenizer.token_to_id("a").unwrap(),
        );
        let hypothesis = Hypothesis {
            tokens: vec![first + 1, a, first, special::UNK],
            score: 0.0,
            log_prob: 0.0,
            token_log_probs: vec![0.0; 5],
            terms: ScoreTerms::default(),
            weights: Some(vec![vec![0.1, 0.2, 0.6, 0.1]; 5]),
        };
        for (replace_unk, expected) in [(false, "ßaö<unk>"), (true, "ßaöb")] {
            let found = Found {
                hypotheses: vec![hypothesis.clone()],
                tree: None,
            };
            let found = translator.translation("ößb", found, replace_unk);
            assert_eq!(found.candidates[0].text, expected);
            let tokens = &found.candidates[0].tokens;
            assert_eq!(tokens, &["ß", "a", "ö", "<unk>", "</s>"]);
        }
    }
}
