//! Edits with shifts of whole blocks, found as Tercom finds them.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::edit_table::EditTable;

/// The longest block that is shifted.
const MAX_BLOCK: usize = 10;

/// The farthest that a block stands in the reference from its place in the hypothesis.
const MAX_DISTANCE: usize = 50;

/// How many shifts are tried for a segment.
const MAX_TRIED: usize = 1000;

/// The shifts, insertions, deletions and substitutions that turn the hypothesis into the reference.
pub(super) fn edits(hypothesis: &[&str], reference: &[&str]) -> usize {
    if reference.is_empty() {
        return hypothesis.len();
    }
    let mut ids = FxHashMap::default();
    for word in hypothesis.iter().chain(reference) {
        let next = ids.len() as u32;
        ids.entry(*word).or_insert(next);
    }
    let numbers = |words: &[&str]| words.iter().map(|word| ids[word]).collect::<Vec<u32>>();
    let (hypothesis, reference) = (numbers(hypothesis), numbers(reference));
    let mut table = EditTable::new(&hypothesis, &reference);
    let (mut shifts, mut tried) = (0, 0);
    while let Some(shift) = best_shift(&table, &reference, &mut tried) {
        // What is found at the limit is not taken any more.
        if tried >= MAX_TRIED || shift.gain <= 0 {
            break;
        }
        let words = shift.apply(table.hypothesis());
        table.replace(&words, shift.same());
        shifts += 1;
    }
    shifts + table.distance() as usize
}

/// Takes the block of `len` words at `start` to `target`.
#[derive(Clone, Copy)]
struct Shift {
    start: usize,
    len: usize,
    target: usize,
    /// The edits that it saves, itself not counted.
    gain: i64,
}

impl Shift {
    /// The better of two is greater: the one that saves more, then the longer, the earlier, the one
    /// to an earlier place.
    fn rank(&self) -> (i64, usize, Reverse<usize>, Reverse<usize>) {
        (
            self.gain,
            self.len,
            Reverse(self.start),
            Reverse(self.target),
        )
    }

    fn apply(&self, words: &[u32]) -> Vec<u32> {
        let Self {
            start, len, target, ..
        } = *self;
        let end = start + len;
        let block = &words[start..end];
        if target < start {
            [
                &words[..target],
                block,
                &words[target..start],
                &words[end..],
            ]
            .concat()
        } else if target > end {
            [
                &words[..start],
                &words[end..target],
                block,
                &words[target..],
            ]
            .concat()
        } else {
            // A target within the block takes it that many words on.
            let rest = (len + target).min(words.len());
            [&words[..start], &words[end..rest], block, &words[rest..]].concat()
        }
    }

    /// How many words stand before what it changes.
    fn same(&self) -> usize {
        self.start.min(self.target)
    }
}

/// The shift that saves the most edits, among those that Tercom looks at; none if it looks at none.
fn best_shift(table: &EditTable, reference: &[u32], tried: &mut usize) -> Option<Shift> {
    let words = table.hypothesis();
    let before = i64::from(table.distance());
    let alignment = table.alignment();
    let mut best: Option<Shift> = None;
    for (start, place, len) in common_blocks(words, reference) {
        // The block must be wrong where it stands, and missing where it would go.
        let any = |wrong: &[bool]| wrong.contains(&true);
        if !any(&alignment.hypothesis_wrong[start..start + len])
            || !any(&alignment.reference_wrong[place..place + len])
            || (start + 1..=start + len).contains(&alignment.end[place])
        {
            continue;
        }
        // It can go before the word at its place, or behind that word and those that follow.
        let mut previous = None;
        for offset in 0..=len {
            let target = match (place + offset).checked_sub(1) {
                None => 0,
                Some(at) => alignment.end[at],
            };
            if previous == Some(target) {
                continue;
            }
            previous = Some(target);
            let mut shift = Shift {
                start,
                len,
                target,
                gain: 0,
            };
            let after = table.distance_of(&shift.apply(words), shift.same());
            shift.gain = before - i64::from(after);
            *tried += 1;
            if best.is_none_or(|best| shift.rank() > best.rank()) {
                best = Some(shift);
            }
        }
        if *tried >= MAX_TRIED {
            break;
        }
    }
    best
}

/// Blocks that stand in both texts: start in the hypothesis, place in the reference, length.
fn common_blocks<'a>(
    words: &'a [u32],
    reference: &'a [u32],
) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
    let starts = (0..words.len()).flat_map(move |start| {
        let nearest = start.saturating_sub(MAX_DISTANCE);
        let farthest = reference.len().min(start + MAX_DISTANCE + 1);
        (nearest..farthest).map(move |place| (start, place))
    });
    starts.flat_map(move |(start, place)| {
        let pairs = words[start..].iter().zip(&reference[place..]);
        let same = pairs.take(MAX_BLOCK).take_while(|(a, b)| a == b).count();
        (1..=same).map(move |len| (start, place, len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(hypothesis: &str, reference: &str) -> usize {
        let [hypothesis, reference] = [hypothesis, reference].map(crate::text::words);
        edits(&hypothesis, &reference)
    }

    #[test]
    fn a_shift_costs_one_wherever_it_goes() {
        assert_eq!(count("d e f a b c", "a b c d e f"), 1);
        assert_eq!(count("a b c d e f", "a b c d e f"), 0);
        assert_eq!(count("a c d e b f", "a b c d e f"), 1);
        assert_eq!(count("c b a", "a b c"), 2);
    }

    #[test]
    fn a_block_goes_to_its_target() {
        let shifted = |start, len, target| {
            let shift = Shift {
                start,
                len,
                target,
                gain: 0,
            };
            shift.apply(&[0, 1, 2, 3, 4, 5])
        };
        assert_eq!(shifted(3, 2, 1), [0, 3, 4, 1, 2, 5]);
        assert_eq!(shifted(1, 2, 5), [0, 3, 4, 1, 2, 5]);
        assert_eq!(shifted(1, 2, 2), [0, 3, 1, 2, 4, 5]);
        assert_eq!(shifted(3, 2, 5), [0, 1, 2, 5, 3, 4]);
    }
}
