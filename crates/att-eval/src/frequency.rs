//! How well words come out, by how often training has seen them.

use rustc_hash::FxHashMap;

use crate::ngram::count;
use crate::segment::segments;
use crate::text::words;
use crate::{Cutoffs, Error, Result};

/// How often each word occurs in a text, such as the targets of a training set.
#[derive(Debug, Clone, Default)]
pub struct WordFrequencies(FxHashMap<String, usize>);

impl WordFrequencies {
    /// Counts the words of one more line; words are what white space separates.
    pub fn add(&mut self, line: &str) {
        for word in words(line) {
            if let Some(count) = self.0.get_mut(word) {
                *count += 1;
            } else {
                self.0.insert(word.to_owned(), 1);
            }
        }
    }

    /// How often a word occurs.
    pub fn of(&self, word: &str) -> usize {
        self.0.get(word).copied().unwrap_or(0)
    }
}

impl<S: AsRef<str>> FromIterator<S> for WordFrequencies {
    fn from_iter<I: IntoIterator<Item = S>>(lines: I) -> Self {
        let mut frequencies = Self::default();
        for line in lines {
            frequencies.add(line.as_ref());
        }
        frequencies
    }
}

/// How well some words come out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WordF1 {
    /// These words in the references.
    pub reference: usize,
    /// These words in the hypotheses.
    pub hypothesis: usize,
    /// Those that stand in both, sentence by sentence.
    pub both: usize,
}

impl WordF1 {
    /// The share of the hypotheses' words that are right, in percent; 0 where there are none.
    pub fn precision(&self) -> f64 {
        percent(self.both, self.hypothesis)
    }

    /// The share of the references' words that are found, in percent; 0 where there are none.
    pub fn recall(&self) -> f64 {
        percent(self.both, self.reference)
    }

    /// The harmonic mean of [`precision`](Self::precision) and [`recall`](Self::recall).
    pub fn f1(&self) -> f64 {
        percent(2 * self.both, self.hypothesis + self.reference)
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    if part == 0 {
        0.0
    } else {
        100.0 * part as f64 / whole as f64
    }
}

/// F1 of the words of each range of training frequency, as compare-mt's word accuracy (Neubig et
/// al. 2019): one for each range of `cutoffs`, in their order.
///
/// A hypothesis's word is right as often as its sentence's reference has it, wherever it stands.
///
/// # Errors
///
/// If there are no hypotheses, if hypotheses and reference lists differ in number, or if an item
/// has not one reference.
pub fn word_f1_by_frequency<H, R, S>(
    hypotheses: &[H],
    references: &[R],
    frequencies: &WordFrequencies,
    cutoffs: Cutoffs,
) -> Result<Vec<WordF1>>
where
    H: AsRef<str>,
    R: AsRef<[S]>,
    S: AsRef<str>,
{
    let mut buckets = vec![WordF1::default(); cutoffs.count()];
    for segment in segments(hypotheses, references)? {
        let &[reference] = &segment.references[..] else {
            return Err(Error::OneReference {
                item: segment.item,
                found: segment.references.len(),
            });
        };
        let (hypothesis, reference) = (words(segment.hypothesis), words(reference));
        let (here, there) = (count(&hypothesis, 1), count(&reference, 1));
        for (word, &n) in &here {
            let bucket = &mut buckets[cutoffs.bucket(frequencies.of(word[0]))];
            bucket.hypothesis += n;
            bucket.both += n.min(there.get(word).copied().unwrap_or(0));
        }
        for (word, &n) in &there {
            buckets[cutoffs.bucket(frequencies.of(word[0]))].reference += n;
        }
    }
    Ok(buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fall_in_the_bucket_of_their_frequency() {
        let frequencies: WordFrequencies = ["the the the cat", "the dog"].iter().collect();
        assert_eq!((frequencies.of("the"), frequencies.of("emu")), (4, 0));
        let found = word_f1_by_frequency(
            &["the the cat", "an emu"],
            &[["the cat the the"], ["the emu emu"]],
            &frequencies,
            Cutoffs(&[1, 2]),
        )
        .unwrap();
        let counts = |f1: &WordF1| (f1.reference, f1.hypothesis, f1.both);
        let counts: Vec<_> = found.iter().map(counts).collect();
        assert_eq!(counts, [(2, 2, 1), (1, 1, 1), (4, 2, 2)]);
        assert_eq!((found[2].precision(), found[2].recall()), (100.0, 50.0));
        assert_eq!(found[1].f1(), 100.0);
        assert_eq!(WordF1::default().f1(), 0.0);
    }
}
