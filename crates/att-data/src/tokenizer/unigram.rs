use std::collections::{HashMap, HashSet};

use super::subword::{Span, push_span};
use crate::{Vocabulary, special};

/// No token is longer, in characters, as in SentencePiece.
const LONGEST: usize = 16;

/// Training begins with at most this many candidates for each token of the vocabulary.
const SEEDS_PER_TOKEN: usize = 20;

/// The rounds of expectation and maximisation between two prunings.
const EM_ROUNDS: usize = 2;

/// What a pruning leaves of the candidates.
const KEPT: f64 = 0.75;

/// How much less probable an unknown character is than the least probable token.
const UNKNOWN_PENALTY: f64 = 10.0;

/// The unigram language model: each token has a probability, and a word is cut into the tokens
/// whose product is greatest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unigram {
    /// The natural logarithms of the probabilities of all tokens behind the special ones. In
    /// single precision a number is the same after it was printed and read.
    scores: Vec<f32>,
    /// The score of an unknown character.
    unknown: f64,
    /// The length of the longest token in characters.
    longest: usize,
}

impl Unigram {
    /// Learns tokens from words and their counts (Kudo 2018, section 3.2). It begins with all
    /// frequent substrings; again and again, it fits their probabilities by expectation and
    /// maximisation and drops those without which the words would be hardly less probable,
    /// until the rest fit the vocabulary. The characters, which `vocabulary` has, always stay.
    pub(super) fn train(
        counts: &HashMap<String, u64>,
        vocab_size: usize,
        vocabulary: &mut Vocabulary,
    ) -> Self {
        // In a fixed order, because the order of a sum of floats changes its last digits.
        let mut words: Vec<Word> = counts
            .iter()
            .map(|(text, count)| Word {
                text,
                count: *count as f64,
            })
            .collect();
        words.sort_unstable_by_key(|word| word.text);

        let characters = vocabulary.tokens()[special::COUNT..].to_vec();
        let room = vocab_size - special::COUNT;
        let mut lexicon = Lexicon::seed(&words, &characters, room.saturating_mul(SEEDS_PER_TOKEN));
        loop {
            for _ in 0..EM_ROUNDS {
                lexicon.maximise(lexicon.expected_counts(&words));
            }
            let size = lexicon.entries.len();
            if size <= room {
                break;
            }
            lexicon.prune(room.max((size as f64 * KEPT) as usize));
        }

        let learnt = &mut lexicon.entries[characters.len()..];
        learnt.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.text.cmp(b.text)));
        for entry in learnt {
            vocabulary.insert(entry.text.to_string());
        }
        let scores = lexicon.entries.iter().map(|entry| entry.score as f32);
        Self::new(scores.collect(), vocabulary)
    }

    fn new(scores: Vec<f32>, vocabulary: &Vocabulary) -> Self {
        let least = scores.iter().copied().fold(0.0, f32::min);
        let tokens = &vocabulary.tokens()[special::COUNT..];
        let lengths = tokens.iter().map(|token| token.chars().count());
        Self {
            scores,
            unknown: f64::from(least) - UNKNOWN_PENALTY,
            longest: lengths.fold(1, usize::max),
        }
    }

    /// From the scores as [`scores`](Self::scores) gives them, or what is wrong with them.
    pub(super) fn from_scores(scores: Vec<f32>, vocabulary: &Vocabulary) -> Result<Self, String> {
        let expected = vocabulary.len() - special::COUNT;
        if scores.len() != expected {
            return Err(format!("{} scores for {expected} tokens", scores.len()));
        }
        if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
            return Err(format!("the score {score} is not a finite number"));
        }
        Ok(Self::new(scores, vocabulary))
    }

    /// The scores of the tokens behind the special ones, in the order of their ids.
    pub(super) fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Cuts a word into its most probable tokens.
    pub(super) fn segment(&self, word: &str, vocabulary: &Vocabulary) -> Vec<Span> {
        let find = |text: &str| {
            let id = vocabulary.text_id(text)?;
            let score = self.scores[id as usize - special::COUNT];
            Some((id, f64::from(score)))
        };
        let mut spans = Vec::new();
        for span in best_spans(word, self.longest, self.unknown, find) {
            push_span(&mut spans, span);
        }
        spans
    }
}

/// The spans of a word with the greatest sum of scores (Viterbi's algorithm). `find` gives the
/// id and the score of a piece of text; `unknown` is the score of a character that it does not
/// know.
fn best_spans(
    word: &str,
    longest: usize,
    unknown: f64,
    find: impl Fn(&str) -> Option<(u32, f64)>,
) -> Vec<Span> {
    #[derive(Clone)]
    struct Best {
        score: f64,
        last: Span,
    }
    let mut best: Vec<Option<Best>> = vec![None; word.len() + 1]; // up to this byte
    for start in starts(word) {
        let before = best[start].as_ref().map_or(0.0, |best| best.score);
        for (n, end) in ends(word, start, longest).enumerate() {
            let unknown = (n == 0).then_some((special::UNK, unknown));
            let Some((id, score)) = find(&word[start..end]).or(unknown) else {
                continue;
            };
            let score = before + score;
            if best[end].as_ref().is_none_or(|best| score > best.score) {
                best[end] = Some(Best {
                    score,
                    last: Span { id, start, end },
                });
            }
        }
    }
    let mut spans = Vec::new();
    let mut end = word.len();
    while let Some(Best { last, .. }) = &best[end] {
        spans.push(*last);
        end = last.start;
    }
    spans.reverse();
    spans
}

/// Where the characters of a word start.
fn starts(word: &str) -> impl Iterator<Item = usize> {
    word.char_indices().map(|(start, _)| start)
}

/// Where the pieces from `start` with 1, 2, ... `longest` characters end.
fn ends(word: &str, start: usize, longest: usize) -> impl Iterator<Item = usize> {
    let characters = word[start..].char_indices().take(longest);
    characters.map(move |(i, c)| start + i + c.len_utf8())
}

/// A word in training.
struct Word<'w> {
    text: &'w str,
    count: f64,
}

/// The candidates in training: first all characters, then longer pieces.
struct Lexicon<'w> {
    entries: Vec<Entry<'w>>,
    characters: usize,
    ids: HashMap<&'w str, u32>,
}

#[derive(Clone, Copy)]
struct Entry<'w> {
    text: &'w str,
    score: f64,
}

impl<'w> Lexicon<'w> {
    fn new(entries: Vec<Entry<'w>>, characters: usize) -> Self {
        let ids = (0..).zip(&entries).map(|(id, entry)| (entry.text, id));
        let ids = ids.collect();
        Self {
            entries,
            characters,
            ids,
        }
    }

    /// A lexicon of entries whose scores are counts, which become log-probabilities.
    fn from_counts(mut entries: Vec<Entry<'w>>, characters: usize) -> Self {
        let sum: f64 = entries.iter().map(|entry| entry.score).sum();
        for entry in &mut entries {
            entry.score = (entry.score / sum).ln();
        }
        Self::new(entries, characters)
    }

    /// All characters and the `limit` longer substrings that cover most of the text, each of
    /// which occurs at least twice.
    fn seed(words: &[Word<'w>], characters: &'w [String], limit: usize) -> Self {
        let mut seeds: Vec<Entry> = Vec::new();
        let mut frequent: HashSet<&str> = characters.iter().map(String::as_str).collect();
        for length in 2..=LONGEST {
            let mut counts: HashMap<&str, f64> = HashMap::new();
            for word in words {
                for start in starts(word.text) {
                    let mut ends = ends(word.text, start, length).skip(length - 2);
                    let (Some(shorter), Some(end)) = (ends.next(), ends.next()) else {
                        break;
                    };
                    if frequent.contains(&word.text[start..shorter]) {
                        *counts.entry(&word.text[start..end]).or_default() += word.count;
                    }
                }
            }
            counts.retain(|_, count| *count >= 2.0);
            let covered = |(text, count): (&&'w str, &f64)| Entry {
                text,
                score: count * length as f64,
            };
            seeds.extend(counts.iter().map(covered));
            frequent = counts.into_keys().collect();
        }
        seeds.retain(|seed| special::id(seed.text).is_none());
        seeds.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.text.cmp(b.text)));
        seeds.truncate(limit);

        // How often a character stands alone is not known yet; the first expectation tells.
        let alone = characters.iter().map(|text| Entry { text, score: 1.0 });
        Self::from_counts(alone.chain(seeds).collect(), characters.len())
    }

    fn find(&self, text: &str) -> Option<(u32, f64)> {
        let id = *self.ids.get(text)?;
        Some((id, self.entries[id as usize].score))
    }

    /// How often each entry is expected in the words: the sum over all segmentations by their
    /// probabilities, from a forward and a backward pass (the expectation step).
    fn expected_counts(&self, words: &[Word]) -> Vec<f64> {
        struct Edge {
            start: usize,
            end: usize,
            id: u32,
            score: f64,
        }
        let mut expected = vec![0.0; self.entries.len()];
        let mut edges: Vec<Edge> = Vec::new();
        for word in words {
            edges.clear();
            for start in starts(word.text) {
                for end in ends(word.text, start, LONGEST) {
                    if let Some((id, score)) = self.find(&word.text[start..end]) {
                        edges.push(Edge {
                            start,
                            end,
                            id,
                            score,
                        });
                    }
                }
            }
            let n = word.text.len();
            let mut before = vec![f64::NEG_INFINITY; n + 1];
            let mut after = before.clone();
            (before[0], after[n]) = (0.0, 0.0);
            for edge in &edges {
                before[edge.end] = log_add(before[edge.end], before[edge.start] + edge.score);
            }
            for edge in edges.iter().rev() {
                after[edge.start] = log_add(after[edge.start], after[edge.end] + edge.score);
            }
            for edge in &edges {
                let probability = before[edge.start] + edge.score + after[edge.end] - before[n];
                expected[edge.id as usize] += word.count * probability.exp();
            }
        }
        expected
    }

    /// Sets the probabilities in proportion to the counts (the maximisation step). Entries that
    /// are hardly ever expected go; a character keeps a small count.
    fn maximise(&mut self, counts: Vec<f64>) {
        const LEAST: f64 = 0.5;
        let entries = (0..)
            .zip(&self.entries)
            .zip(counts)
            .filter_map(|((i, entry), count)| {
                (i < self.characters || count >= LEAST).then_some(Entry {
                    score: count.max(LEAST),
                    ..*entry
                })
            });
        *self = Self::from_counts(entries.collect(), self.characters);
    }

    /// Keeps the characters and, up to `size` entries, those whose loss would cost the most.
    ///
    /// Where an entry of probability `p` is lost, its best segmentation into others takes its
    /// place; the cost is `p` times the difference of their scores.
    fn prune(&mut self, size: usize) {
        struct Candidate<'w> {
            entry: Entry<'w>,
            cost: f64,
        }
        let cost = |(id, entry): (u32, &Entry<'w>)| {
            let others = |text: &str| self.find(text).filter(|(other, _)| *other != id);
            // All characters are known here.
            let others = best_spans(entry.text, LONGEST, f64::NEG_INFINITY, others);
            let others: f64 = others
                .iter()
                .map(|span| self.entries[span.id as usize].score)
                .sum();
            Candidate {
                entry: *entry,
                cost: entry.score.exp() * (entry.score - others),
            }
        };
        let entries = (0..).zip(&self.entries);
        let mut candidates: Vec<_> = entries.skip(self.characters).map(cost).collect();
        candidates.sort_by(|a, b| {
            b.cost
                .total_cmp(&a.cost)
                .then(a.entry.text.cmp(b.entry.text))
        });
        candidates.truncate(size - self.characters);

        let mut entries = self.entries[..self.characters].to_vec();
        entries.extend(candidates.iter().map(|candidate| candidate.entry));
        *self = Self::new(entries, self.characters);
    }
}

/// The logarithm of the sum of two numbers of which the logarithms are given.
fn log_add(a: f64, b: f64) -> f64 {
    let (greater, less) = if a > b { (a, b) } else { (b, a) };
    if less == f64::NEG_INFINITY {
        greater
    } else {
        greater + (less - greater).exp().ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::subword;

    fn train(words: &[(&str, u64)], vocab_size: usize) -> (Vocabulary, Unigram) {
        let counts = words
            .iter()
            .map(|(word, n)| (word.to_string(), *n))
            .collect();
        let mut vocabulary = subword::alphabet(&counts, vocab_size).unwrap();
        let unigram = Unigram::train(&counts, vocab_size, &mut vocabulary);
        (vocabulary, unigram)
    }

    fn cut(word: &str, (vocabulary, unigram): &(Vocabulary, Unigram)) -> Vec<String> {
        let spans = unigram.segment(word, vocabulary);
        spans
            .iter()
            .map(|span| word[span.start..span.end].to_string())
            .collect()
    }

    fn scored(tokens: &[(&str, f32)]) -> (Vocabulary, Unigram) {
        let mut vocabulary = Vocabulary::new();
        tokens
            .iter()
            .for_each(|(token, _)| _ = vocabulary.insert(token.to_string()));
        let scores = tokens.iter().map(|(_, score)| *score).collect();
        let unigram = Unigram::from_scores(scores, &vocabulary).unwrap();
        (vocabulary, unigram)
    }

    #[test]
    fn cuts_into_the_most_probable_tokens() {
        let model = scored(&[
            ("a", -2.0),
            ("b", -2.0),
            ("ab", -3.0),
            ("bé", -1.0),
            ("é", -5.0),
        ]);
        assert_eq!(cut("ab", &model), ["ab"]); // -3 against -4
        assert_eq!(cut("abé", &model), ["a", "bé"]); // -3 against -8
        assert_eq!(cut("éab", &model), ["é", "ab"]);
        assert_eq!(cut("xyab!", &model), ["xy", "ab", "!"]);
        assert_eq!(
            model.1.segment("!", &model.0),
            [Span {
                id: special::UNK,
                start: 0,
                end: 1
            }]
        );
        assert!(cut("", &model).is_empty());
    }

    #[test]
    fn expected_counts_are_the_sum_over_all_segmentations() {
        let entry = |text, score| Entry { text, score };
        let entries = vec![entry("a", 2.0), entry("b", 3.0), entry("ab", 5.0)];
        let lexicon = Lexicon::from_counts(entries, 2);
        // "ab" has the segmentations a b (0.2 * 0.3 = 0.06) and ab (0.5).
        let counts = lexicon.expected_counts(&[Word {
            text: "ab",
            count: 7.0,
        }]);
        for (count, expected) in counts.iter().zip([0.06, 0.06, 0.5]) {
            assert!((count - 7.0 * expected / 0.56).abs() < 1e-9, "{counts:?}");
        }
    }

    #[test]
    fn learns_common_parts_of_words() {
        let stems = ["cook", "jump", "open", "play", "talk", "walk"];
        let forms = stems
            .iter()
            .flat_map(|stem| ["", "ed", "ing", "s"].map(|end| format!("▁{stem}{end}")));
        let forms: Vec<String> = forms.collect();
        let words: Vec<(&str, u64)> = forms.iter().map(|form| (form.as_str(), 5)).collect();
        let characters = 19;
        let model = train(&words, 4 + characters + stems.len());
        let mut learnt = model.0.tokens()[4 + characters..].to_vec();
        learnt.sort();
        assert_eq!(learnt, stems.map(|stem| format!("▁{stem}")));
        assert_eq!(cut("▁jumper", &model), ["▁jump", "e", "r"]);
    }

    #[test]
    fn characters_stay_even_if_they_are_never_alone() {
        let words = [("qu", 100), ("aq", 1), ("au", 90), ("quqa", 50)];
        for vocab_size in 7..20 {
            let (vocabulary, unigram) = train(&words, vocab_size);
            assert!(vocabulary.len() <= vocab_size);
            assert_eq!(vocabulary.tokens()[4..7], ["a", "q", "u"]);
            assert!(
                unigram
                    .scores
                    .iter()
                    .all(|score| score.is_finite() && *score < 0.0)
            );
        }
    }

    #[test]
    fn the_order_of_words_does_not_matter() {
        // Each map has its own order of iteration.
        let text = include_str!("unigram.rs");
        let train = || {
            let mut counts = HashMap::new();
            text.split_whitespace()
                .for_each(|word| *counts.entry(word.into()).or_default() += 1);
            let mut vocabulary = subword::alphabet(&counts, 300).unwrap();
            let unigram = Unigram::train(&counts, 300, &mut vocabulary);
            (vocabulary, unigram)
        };
        let first = train();
        assert_eq!(first.0.len(), 300);
        assert_eq!(train(), first);
    }

    #[test]
    fn no_token_reads_like_a_special_one() {
        let model = train(&[("<s>", 50), ("<unk>", 50), ("<UNK>", 9)], 100);
        for word in ["<s>", "<unk>"] {
            assert!(
                model
                    .1
                    .segment(word, &model.0)
                    .iter()
                    .all(|span| span.id >= 4)
            );
            assert_eq!(cut(word, &model).concat(), word);
        }
    }

    #[test]
    fn a_very_long_word_is_no_trouble() {
        let word = "abcab".repeat(2_000);
        let model = train(&[(&word, 1)], 20);
        assert_eq!(cut(&word, &model).concat(), word);
    }
}
