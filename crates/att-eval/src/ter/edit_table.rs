//! Levenshtein distance near the diagonal, and the alignment that it stands for.

/// How far from the diagonal words are matched.
const BEAM_WIDTH: usize = 25;

/// The cost of what is outside of the beam.
const OUTSIDE: u32 = u32::MAX / 2;

/// What turns the words of a hypothesis into those of a reference.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Keep,
    Substitute,
    /// The hypothesis's word goes.
    Delete,
    /// The reference's word comes.
    Insert,
}

#[derive(Clone, Copy)]
struct Cell {
    cost: u32,
    edit: Edit,
}

impl Cell {
    const OUTSIDE: Self = Self {
        cost: OUTSIDE,
        edit: Edit::Insert,
    };

    /// Where equal, the first of: keep or substitute, delete, insert. (Tercom prefers insertion to
    /// deletion, but in the direction from reference to hypothesis.)
    fn best(diagonal: u32, above: u32, left: u32, same: bool) -> Self {
        let substitute = if same { Edit::Keep } else { Edit::Substitute };
        let mut best = Self::OUTSIDE;
        for (cost, edit) in [
            (diagonal + u32::from(!same), substitute),
            (above + 1, Edit::Delete),
            (left + 1, Edit::Insert),
        ] {
            if cost < best.cost {
                best = Self { cost, edit };
            }
        }
        best
    }
}

/// Which words belong together, and which of them are wrong.
pub(super) struct Alignment {
    /// For each word of the reference how many words of the hypothesis end before or with what
    /// belongs to it; 0 where that is before its start.
    pub end: Vec<usize>,
    /// Whether each word of the reference is substituted or missing.
    pub reference_wrong: Vec<bool>,
    /// Whether each word of the hypothesis is substituted or too much.
    pub hypothesis_wrong: Vec<bool>,
}

/// The edits between the starts of a hypothesis and of a reference: row `i` has those of the first
/// `i` words of the hypothesis.
pub(super) struct EditTable<'r> {
    reference: &'r [u32],
    hypothesis: Vec<u32>,
    cells: Vec<Cell>,
    beam: Beam,
}

impl<'r> EditTable<'r> {
    pub fn new(hypothesis: &[u32], reference: &'r [u32]) -> Self {
        let first_row = (0..=reference.len() as u32).map(|cost| Cell {
            cost,
            edit: Edit::Insert,
        });
        let mut table = Self {
            reference,
            hypothesis: Vec::new(),
            cells: first_row.collect(),
            beam: Beam::new(hypothesis.len(), reference.len()),
        };
        table.extend(hypothesis);
        table
    }

    /// The words whose edits these are.
    pub fn hypothesis(&self) -> &[u32] {
        &self.hypothesis
    }

    /// Puts as many other words in the place of the hypothesis, of which the first `same` are the
    /// same.
    pub fn replace(&mut self, words: &[u32], same: usize) {
        self.hypothesis.truncate(same);
        self.cells.truncate((same + 1) * self.width());
        self.extend(&words[same..]);
    }

    fn width(&self) -> usize {
        self.reference.len() + 1
    }

    fn row(&self, i: usize) -> &[Cell] {
        &self.cells[i * self.width()..][..self.width()]
    }

    fn extend(&mut self, words: &[u32]) {
        let mut row = vec![Cell::OUTSIDE; self.width()];
        for &word in words {
            let i = self.hypothesis.len() + 1;
            let above: Vec<u32> = self.row(i - 1).iter().map(|cell| cell.cost).collect();
            row.fill(Cell::OUTSIDE);
            let mut left = OUTSIDE;
            for j in self.beam.columns(i) {
                row[j] = if j == 0 {
                    Cell {
                        cost: above[0] + 1,
                        edit: Edit::Delete,
                    }
                } else {
                    let same = word == self.reference[j - 1];
                    Cell::best(above[j - 1], above[j], left, same)
                };
                left = row[j].cost;
            }
            self.cells.extend_from_slice(&row);
            self.hypothesis.push(word);
        }
    }

    /// The number of edits.
    pub fn distance(&self) -> u32 {
        self.cells[self.cells.len() - 1].cost
    }

    /// The number of edits of as many other words, of which the first `same` are the same.
    pub fn distance_of(&self, words: &[u32], same: usize) -> u32 {
        let mut above: Vec<u32> = self.row(same).iter().map(|cell| cell.cost).collect();
        let mut row = vec![OUTSIDE; self.width()];
        for (i, &word) in words.iter().enumerate().skip(same) {
            row.fill(OUTSIDE);
            let mut left = OUTSIDE;
            for j in self.beam.columns(i + 1) {
                row[j] = if j == 0 {
                    above[0] + 1
                } else {
                    let substituted = above[j - 1] + u32::from(word != self.reference[j - 1]);
                    substituted.min(above[j] + 1).min(left + 1).min(OUTSIDE)
                };
                left = row[j];
            }
            std::mem::swap(&mut above, &mut row);
        }
        above[self.reference.len()]
    }

    /// Goes back from the last cell.
    pub fn alignment(&self) -> Alignment {
        let (mut i, mut j) = (self.hypothesis.len(), self.reference.len());
        let mut alignment = Alignment {
            end: vec![0; j],
            reference_wrong: vec![true; j],
            hypothesis_wrong: vec![true; i],
        };
        while i > 0 || j > 0 {
            match self.row(i)[j].edit {
                edit @ (Edit::Keep | Edit::Substitute) => {
                    alignment.end[j - 1] = i;
                    alignment.reference_wrong[j - 1] = edit == Edit::Substitute;
                    alignment.hypothesis_wrong[i - 1] = edit == Edit::Substitute;
                    (i, j) = (i - 1, j - 1);
                }
                Edit::Insert => {
                    alignment.end[j - 1] = i;
                    j -= 1;
                }
                Edit::Delete => i -= 1,
            }
        }
        alignment
    }
}

/// The columns of each row that are near the diagonal.
struct Beam {
    rows: usize,
    columns: usize,
    ratio: f64,
    width: usize,
}

impl Beam {
    fn new(rows: usize, columns: usize) -> Self {
        let ratio = if rows == 0 {
            1.0
        } else {
            columns as f64 / rows as f64
        };
        // So that the columns of each row meet those of the row before.
        let width = if (BEAM_WIDTH as f64) < ratio / 2.0 {
            (ratio / 2.0 + BEAM_WIDTH as f64).ceil() as usize
        } else {
            BEAM_WIDTH
        };
        Self {
            rows,
            columns,
            ratio,
            width,
        }
    }

    fn columns(&self, row: usize) -> std::ops::Range<usize> {
        let diagonal = (row as f64 * self.ratio).floor() as usize;
        let end = if row == self.rows {
            self.columns + 1
        } else {
            (self.columns + 1).min(diagonal + self.width)
        };
        diagonal.saturating_sub(self.width)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit_distance;

    /// Numbers below `bound`, the same for the same seed.
    fn words(seed: u32, len: usize, bound: u32) -> Vec<u32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % bound
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn short_text_has_its_edit_distance_by_either_way() {
        for seed in 0..200 {
            let hypothesis = words(seed, (seed % 13) as usize, 5);
            let reference = words(seed + 1000, 1 + (seed % 11) as usize, 5);
            let mut table = EditTable::new(&hypothesis, &reference);
            let expected = |words: &[u32]| edit_distance(words, &reference).total() as u32;
            assert_eq!(table.distance(), expected(&hypothesis));

            let same = hypothesis.len() / 2;
            let other = [
                &hypothesis[..same],
                &words(seed, hypothesis.len() - same, 7),
            ]
            .concat();
            assert_eq!(table.distance_of(&other, same), expected(&other));
            table.replace(&other, same);
            assert_eq!(table.distance(), expected(&other));
            let alignment = table.alignment();
            let right = |wrong: &[bool]| wrong.iter().filter(|wrong| !**wrong).count();
            assert_eq!(
                right(&alignment.hypothesis_wrong),
                right(&alignment.reference_wrong)
            );
        }
    }

    #[test]
    fn the_beam_reaches_from_corner_to_corner() {
        for (rows, columns) in [(1, 1), (1, 500), (500, 1), (3, 1000), (70, 71), (90, 400)] {
            let table_end = EditTable::new(&vec![1; rows], &vec![2; columns]).distance();
            assert_eq!(table_end as usize, rows.max(columns), "{rows} {columns}");
        }
    }
}
