use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::subword::{Span, push_span};
use crate::{Vocabulary, special};

/// Two neighbouring tokens.
type Pair = (u32, u32);

/// A pair that occurs once is not merged: it says nothing about other words.
const MIN_PAIR_COUNT: i64 = 2;

/// Byte pair encoding: the pairs of tokens to merge, the first learnt first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bpe {
    merges: Vec<Merge>,
    /// The place of each pair in `merges`.
    ranks: HashMap<Pair, usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Merge {
    pair: Pair,
    /// The token that the pair becomes.
    id: u32,
}

impl Bpe {
    /// Learns merges from words and their counts (Sennrich et al. 2016, algorithm 1): again and
    /// again the most frequent pair becomes one token, until `vocabulary`, which has the
    /// alphabet, is full. Among equally frequent pairs the one with the lower ids is first.
    pub(super) fn train(
        counts: &HashMap<String, u64>,
        vocab_size: usize,
        vocabulary: &mut Vocabulary,
    ) -> Self {
        let mut words: Vec<Word> = (counts.iter())
            .map(|(word, &count)| Word {
                symbols: symbols(word, vocabulary).map(|span| span.id).collect(),
                count: count as i64,
            })
            .collect();

        let mut pair_counts: HashMap<Pair, i64> = HashMap::new();
        let mut words_with = WordsWith::default();
        for (i, word) in words.iter().enumerate() {
            for pair in word.pairs() {
                *pair_counts.entry(pair).or_default() += word.count;
                words_with.insert(pair, i);
            }
        }
        // A pair is queued again whenever its count changes; older entries are passed over.
        let mut queue: BinaryHeap<(i64, Reverse<Pair>)> = pair_counts
            .iter()
            .map(|(pair, count)| (*count, Reverse(*pair)))
            .collect();

        let mut bpe = Self::default();
        while vocabulary.len() < vocab_size {
            let Some((count, Reverse(pair))) = queue.pop() else {
                break;
            };
            if count != pair_counts[&pair] {
                continue;
            }
            if count < MIN_PAIR_COUNT {
                break;
            }
            let Some(id) = vocabulary.insert(concat(pair, vocabulary)) else {
                continue; // it would read like a special token
            };
            bpe.push(pair, id);

            let mut changes: HashMap<Pair, i64> = HashMap::new();
            for i in words_with.0.remove(&pair).unwrap_or_default() {
                let word = &mut words[i];
                for pair in word.pairs() {
                    *changes.entry(pair).or_default() -= word.count;
                }
                word.merge(pair, id);
                for pair in word.pairs() {
                    *changes.entry(pair).or_default() += word.count;
                    if pair.0 == id || pair.1 == id {
                        words_with.insert(pair, i);
                    }
                }
            }
            for (pair, change) in changes.into_iter().filter(|(_, change)| *change != 0) {
                let count = pair_counts.entry(pair).or_default();
                *count += change;
                queue.push((*count, Reverse(pair)));
            }
        }
        bpe
    }

    /// From the merges as [`merges`](Self::merges) gives them, or what is wrong with them.
    pub(super) fn from_merges(merges: &[String], vocabulary: &Vocabulary) -> Result<Self, String> {
        let mut bpe = Self::default();
        for merge in merges {
            let parse = || {
                let (left, right) = merge.split_once(' ')?;
                let pair = (vocabulary.text_id(left)?, vocabulary.text_id(right)?);
                Some((pair, vocabulary.text_id(&concat(pair, vocabulary))?))
            };
            let (pair, id) =
                parse().ok_or_else(|| format!("the merge `{merge}` does not fit the tokens"))?;
            bpe.push(pair, id);
        }
        Ok(bpe)
    }

    /// The merges in their order, each as its two tokens with a space between them.
    pub(super) fn merges(&self, vocabulary: &Vocabulary) -> Vec<String> {
        let token = |id: u32| vocabulary.tokens()[id as usize].as_str();
        let print = |merge: &Merge| format!("{} {}", token(merge.pair.0), token(merge.pair.1));
        self.merges.iter().map(print).collect()
    }

    fn push(&mut self, pair: Pair, id: u32) {
        // A pair comes up again when one of its tokens is later made in another way.
        self.ranks.entry(pair).or_insert_with(|| {
            self.merges.push(Merge { pair, id });
            self.merges.len() - 1
        });
    }

    /// Cuts a word into tokens by the merges, each time the first learnt and leftmost. The time
    /// is O(n log n) in the length of the word.
    pub(super) fn segment(&self, word: &str, vocabulary: &Vocabulary) -> Vec<Span> {
        let mut spans = Vec::new();
        symbols(word, vocabulary).for_each(|span| push_span(&mut spans, span));

        // The spans form a chain; the right one of a merged pair drops out of it.
        let n = spans.len();
        let mut next: Vec<usize> = (1..=n).collect();
        let mut previous: Vec<Option<usize>> = (0..n).map(|i| i.checked_sub(1)).collect();
        let rank = |spans: &[Span], left: usize, right: usize| {
            self.ranks
                .get(&(spans.get(left)?.id, spans.get(right)?.id))
                .copied()
        };
        let mut queue: BinaryHeap<_> = (0..n)
            .filter_map(|left| Some(Reverse((rank(&spans, left, left + 1)?, left))))
            .collect();
        while let Some(Reverse((best, left))) = queue.pop() {
            let right = next[left];
            if rank(&spans, left, right) != Some(best) {
                continue; // one of the two was merged in between
            }
            spans[left] = Span {
                id: self.merges[best].id,
                end: spans[right].end,
                ..spans[left]
            };
            next[left] = next[right];
            next[right] = DROPPED;
            if let Some(previous) = previous.get_mut(next[left]) {
                *previous = Some(left);
            }
            let before = previous[left].map(|before| (before, left));
            for (left, right) in before.into_iter().chain([(left, next[left])]) {
                queue.extend(rank(&spans, left, right).map(|rank| Reverse((rank, left))));
            }
        }
        let mut next = next.into_iter();
        spans.retain(|_| next.next() != Some(DROPPED));
        spans
    }
}

/// The `next` of a span that is out of the chain; there is no span with this number.
const DROPPED: usize = usize::MAX;

/// A word in training.
struct Word {
    symbols: Vec<u32>,
    count: i64,
}

impl Word {
    fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.symbols.windows(2).map(|two| (two[0], two[1]))
    }

    fn merge(&mut self, pair: Pair, id: u32) {
        let mut merged = Vec::with_capacity(self.symbols.len());
        let mut rest = self.symbols.as_slice();
        while let [first, tail @ ..] = rest {
            if tail.first() == Some(&pair.1) && *first == pair.0 {
                merged.push(id);
                rest = &tail[1..];
            } else {
                merged.push(*first);
                rest = tail;
            }
        }
        self.symbols = merged;
    }
}

/// The numbers of the words that have a pair, or once had it.
#[derive(Default)]
struct WordsWith(HashMap<Pair, Vec<usize>>);

impl WordsWith {
    fn insert(&mut self, pair: Pair, word: usize) {
        let words = self.0.entry(pair).or_default();
        if words.last() != Some(&word) {
            words.push(word);
        }
    }
}

/// The characters of a word as tokens.
fn symbols(word: &str, vocabulary: &Vocabulary) -> impl Iterator<Item = Span> {
    word.char_indices().map(|(start, c)| {
        let end = start + c.len_utf8();
        Span {
            id: vocabulary
                .text_id(&word[start..end])
                .unwrap_or(special::UNK),
            start,
            end,
        }
    })
}

fn concat(pair: Pair, vocabulary: &Vocabulary) -> String {
    [pair.0, pair.1]
        .map(|id| vocabulary.tokens()[id as usize].as_str())
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizerConfig;
    use crate::tokenizer::subword;

    fn train(words: &[(&str, u64)], vocab_size: usize) -> (Vocabulary, Bpe) {
        let counts = words
            .iter()
            .map(|(word, n)| (word.to_string(), *n))
            .collect();
        let mut vocabulary = subword::alphabet(&counts, vocab_size).unwrap();
        let bpe = Bpe::train(&counts, vocab_size, &mut vocabulary);
        (vocabulary, bpe)
    }

    fn cut(word: &str, (vocabulary, bpe): &(Vocabulary, Bpe)) -> Vec<String> {
        let spans = bpe.segment(word, vocabulary);
        spans
            .iter()
            .map(|span| word[span.start..span.end].to_string())
            .collect()
    }

    /// The example of Sennrich et al. 2016, section 3.2.
    #[test]
    fn learns_the_merges_of_the_paper() {
        let trained = train(
            &[("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)],
            100,
        );
        let merges = trained.1.merges(&trained.0);
        assert_eq!(merges[..4], ["e s", "es t", "l o", "lo w"]);
        assert_eq!(cut("lowest", &trained), ["low", "est"]);
    }

    /// The package `tokenizers` by Hugging Face gives the same; scripts/golden/data_golden.py.
    #[test]
    fn agrees_with_tokenizers() {
        let text = "peter piper picked a peck of pickled peppers a peck of pickled peppers peter \
            piper picked if peter piper picked a peck of pickled peppers where is the peck of \
            pickled peppers";
        let tokenizer = TokenizerConfig::bpe(40).train([text]).unwrap();
        let merged = tokenizer.vocabulary().tokens()[4..]
            .iter()
            .filter(|t| t.chars().count() > 1);
        assert_eq!(
            merged.cloned().collect::<Vec<_>>().join(" "),
            "▁p ck er ▁pe ▁pi ed per ▁pick led of pper ▁of ▁peck ▁pepper ▁pickled ▁peppers ter ▁a \
            ▁peter ▁piper"
        );
        assert_eq!(
            tokenizer.tokens(text).join(" "),
            "▁peter ▁piper ▁pick ed ▁a ▁peck ▁of ▁pickled ▁peppers ▁a ▁peck ▁of ▁pickled ▁peppers \
            ▁peter ▁piper ▁pick ed ▁ i f ▁peter ▁piper ▁pick ed ▁a ▁peck ▁of ▁pickled ▁peppers ▁ w \
            h er e ▁ i s ▁ t h e ▁peck ▁of ▁pickled ▁peppers"
        );
    }

    #[test]
    fn the_vocabulary_is_full_or_the_pairs_are_used_up() {
        let words = [("abab", 3), ("abc", 1)];
        assert_eq!(train(&words, 8).0.tokens()[4..], ["a", "b", "c", "ab"]);
        // "ab c" occurs once only.
        assert_eq!(
            train(&words, 50).0.tokens()[4..],
            ["a", "b", "c", "ab", "abab"]
        );
    }

    #[test]
    fn no_token_reads_like_a_special_one() {
        let trained = train(&[("<s>", 50), ("<unk>", 50)], 100);
        assert_eq!(cut("<s>", &trained), ["<s", ">"]);
        for id in trained
            .1
            .segment("<unk>", &trained.0)
            .iter()
            .map(|span| span.id)
        {
            assert!(id >= 4);
        }
    }

    #[test]
    fn repeated_and_unknown_characters() {
        let trained = train(&[("aaaa", 9)], 50);
        assert_eq!(cut("aaaaaaa", &trained), ["aaaa", "aa", "a"]);
        assert_eq!(cut("xyaax", &trained), ["xy", "aa", "x"]);
        assert_eq!(
            trained.1.segment("xy", &trained.0),
            [Span {
                id: special::UNK,
                start: 0,
                end: 2
            }]
        );
        assert!(cut("", &trained).is_empty());
    }

    /// The queue gives what the definition gives: again and again, merge everywhere the pair
    /// that was learnt first.
    #[test]
    fn segments_as_by_definition() {
        let text = include_str!("bpe.rs");
        let mut counts = HashMap::new();
        text.split_whitespace()
            .for_each(|word| *counts.entry(word.to_string()).or_default() += 1);
        let mut vocabulary = subword::alphabet(&counts, 400).unwrap();
        let bpe = Bpe::train(&counts, 400, &mut vocabulary);
        for word in counts.keys() {
            let symbols = symbols(word, &vocabulary).map(|span| span.id).collect();
            let mut slow = Word { symbols, count: 1 };
            while let Some(rank) = slow.pairs().filter_map(|pair| bpe.ranks.get(&pair)).min() {
                slow.merge(bpe.merges[*rank].pair, bpe.merges[*rank].id);
            }
            let fast = bpe.segment(word, &vocabulary);
            assert_eq!(
                fast.iter().map(|span| span.id).collect::<Vec<_>>(),
                slow.symbols,
                "{word}"
            );
        }
    }

    #[test]
    fn a_very_long_word_is_no_trouble() {
        let word = "abcab".repeat(50_000);
        let trained = train(&[(&word, 1)], 11);
        let tokens = &trained.0.tokens()[4..];
        assert_eq!(tokens, ["a", "b", "c", "ab", "cab", "abcab", "abcababcab"]);
        assert_eq!(trained.1.segment(&word, &trained.0).len(), 25_000);
    }

    #[test]
    fn merges_are_printed_and_read() {
        let (vocabulary, bpe) = train(&[("low.", 5), ("lower.", 2), ("newest.", 6)], 100);
        let merges = bpe.merges(&vocabulary);
        assert_eq!(Bpe::from_merges(&merges, &vocabulary).unwrap(), bpe);
        for bad in ["l", "l x", "l n", ""] {
            let error = Bpe::from_merges(&[bad.into()], &vocabulary).unwrap_err();
            assert_eq!(error, format!("the merge `{bad}` does not fit the tokens"));
        }
    }
}
