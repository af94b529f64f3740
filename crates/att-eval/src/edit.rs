//! Levenshtein distance, with its parts.

use std::ops::AddAssign;

/// The edits that turn a reference into a hypothesis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EditCounts {
    /// Reference tokens that the hypothesis has otherwise.
    pub substitutions: usize,
    /// Hypothesis tokens that the reference has not.
    pub insertions: usize,
    /// Reference tokens that the hypothesis has not.
    pub deletions: usize,
}

impl EditCounts {
    /// The edit distance: substitutions + insertions + deletions.
    pub fn total(&self) -> usize {
        self.substitutions + self.insertions + self.deletions
    }

    /// The cheaper one: fewer edits, then more substitutions among them.
    fn cheaper(self, other: Self) -> Self {
        let cost = |edits: Self| (edits.total(), edits.insertions + edits.deletions);
        if cost(other) < cost(self) {
            other
        } else {
            self
        }
    }
}

impl AddAssign for EditCounts {
    fn add_assign(&mut self, other: Self) {
        self.substitutions += other.substitutions;
        self.insertions += other.insertions;
        self.deletions += other.deletions;
    }
}

/// The fewest substitutions, insertions and deletions between two sequences.
///
/// Every edit costs 1 (Levenshtein 1966). Where several alignments cost the same, the one with the
/// most substitutions counts, so `ab` against `ba` is two substitutions; this makes the three
/// counts unique, and swapping the arguments swaps insertions with deletions.
///
/// Takes O(n m) time and O(min(n, m)) memory (Wagner and Fischer 1974, one row at a time).
pub fn edit_distance<T: Eq>(hypothesis: &[T], reference: &[T]) -> EditCounts {
    if hypothesis.len() < reference.len() {
        let swapped = edit_distance(reference, hypothesis);
        return EditCounts {
            insertions: swapped.deletions,
            deletions: swapped.insertions,
            ..swapped
        };
    }
    // `row[j]` holds the edits between the hypothesis read so far and `reference[..j]`.
    let mut row: Vec<EditCounts> = (0..=reference.len())
        .map(|deletions| EditCounts {
            deletions,
            ..EditCounts::default()
        })
        .collect();
    for token in hypothesis {
        let mut diagonal = row[0];
        row[0].insertions += 1;
        for (j, expected) in reference.iter().enumerate() {
            let mut substituted = diagonal;
            let mut inserted = row[j + 1];
            let mut deleted = row[j];
            diagonal = row[j + 1];
            row[j + 1] = if token == expected {
                substituted
            } else {
                substituted.substitutions += 1;
                inserted.insertions += 1;
                deleted.deletions += 1;
                substituted.cheaper(inserted).cheaper(deleted)
            };
        }
    }
    row[reference.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(hypothesis: &str, reference: &str) -> (usize, usize, usize) {
        let counts = edit_distance(hypothesis.as_bytes(), reference.as_bytes());
        (counts.substitutions, counts.insertions, counts.deletions)
    }

    #[test]
    fn counts_each_kind_of_edit() {
        assert_eq!(edits("sitting", "kitten"), (2, 1, 0));
        assert_eq!(edits("kitten", "sitting"), (2, 0, 1));
        assert_eq!(edits("abc", "abc"), (0, 0, 0));
        assert_eq!(edits("abxc", "abc"), (0, 1, 0));
        assert_eq!(edits("", "abc"), (0, 0, 3));
        assert_eq!(edits("abc", ""), (0, 3, 0));
        assert_eq!(edits("", ""), (0, 0, 0));
    }

    #[test]
    fn equal_costs_count_as_substitutions() {
        assert_eq!(edits("ab", "ba"), (2, 0, 0));
        assert_eq!(edits("abc", "bcd"), (0, 1, 1));
    }

    /// Tries every alignment: the plain recursion that the table stands for.
    fn brute(hypothesis: &[u8], reference: &[u8]) -> EditCounts {
        let (Some((h, hyp_rest)), Some((r, ref_rest))) =
            (hypothesis.split_first(), reference.split_first())
        else {
            return EditCounts {
                substitutions: 0,
                insertions: hypothesis.len(),
                deletions: reference.len(),
            };
        };
        let mut substituted = brute(hyp_rest, ref_rest);
        substituted.substitutions += usize::from(h != r);
        let mut inserted = brute(hyp_rest, reference);
        inserted.insertions += 1;
        let mut deleted = brute(hypothesis, ref_rest);
        deleted.deletions += 1;
        substituted.cheaper(inserted).cheaper(deleted)
    }

    #[test]
    fn agrees_with_every_alignment_tried() {
        let words: Vec<Vec<u8>> = (0..364_usize)
            .map(|mut code| {
                // Bijective base 3: all words of up to 5 letters over {0, 1, 2}.
                let mut word = Vec::new();
                while code > 0 {
                    code -= 1;
                    word.push((code % 3) as u8);
                    code /= 3;
                }
                word
            })
            .collect();
        for a in words.iter().step_by(5) {
            for b in words.iter().step_by(3) {
                assert_eq!(edit_distance(a, b), brute(a, b), "{a:?} against {b:?}");
            }
        }
    }
}
