//! Counting n-grams of words or characters.

use rustc_hash::FxHashMap;
use std::hash::Hash;

/// How often each n-gram of one order occurs in one text.
pub(crate) type Counts<'a, T> = FxHashMap<&'a [T], usize>;

/// Counts the n-grams of `order` (1 or more) in `units`.
pub(crate) fn count<T: Eq + Hash>(units: &[T], order: usize) -> Counts<'_, T> {
    let mut counts = Counts::default();
    counts.reserve((units.len() + 1).saturating_sub(order));
    for ngram in units.windows(order) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_repeated_ngrams() {
        let counts = count(&["a", "b", "a", "b"], 2);
        assert_eq!(counts.len(), 2);
        assert_eq!(counts[&["a", "b"][..]], 2);
        assert_eq!(counts[&["b", "a"][..]], 1);
    }

    #[test]
    fn an_order_longer_than_the_text_has_none() {
        assert!(count(&['a', 'b'], 3).is_empty());
    }
}
