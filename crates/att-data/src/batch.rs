use crate::{Example, special};

/// Rows of ids of different lengths, padded to one width: a row-major matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Padded {
    /// `rows * cols` ids, row after row; behind a row's length there is PAD.
    pub ids: Vec<u32>,
    /// The length of each row, special tokens included, padding not.
    pub lengths: Vec<usize>,
    /// The number of rows.
    pub rows: usize,
    /// The width: the greatest length, and at least 1.
    pub cols: usize,
}

impl Padded {
    /// Pads rows to the width of the longest.
    pub fn from_rows(rows: &[Vec<u32>]) -> Self {
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let cols = lengths.iter().copied().max().unwrap_or(0).max(1);
        let mut ids = vec![special::PAD; rows.len() * cols];
        for (place, row) in ids.chunks_exact_mut(cols).zip(rows) {
            place[..row.len()].copy_from_slice(row);
        }
        Self {
            ids,
            lengths,
            rows: rows.len(),
            cols,
        }
    }

    /// Row `i` without its padding.
    ///
    /// # Panics
    ///
    /// If there is no row `i`.
    pub fn row(&self, i: usize) -> &[u32] {
        &self.ids[i * self.cols..][..self.lengths[i]]
    }
}

/// Examples side by side, as a model takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The sources, `[batch, src_len]`, each followed by EOS.
    pub src: Padded,
    /// The targets, `[batch, tgt_len]`, each between BOS and EOS. Without its last column this
    /// is the decoder's input, without its first its output.
    pub tgt: Padded,
    /// For a model that copies, what the source tokens are called in the extended target vocabulary,
    /// `[batch, src_len]`; EOS is EOS.
    pub copy_ids: Option<Padded>,
    /// Where each row's example stands in the list that the batch was made from.
    pub indices: Vec<usize>,
}

impl Batch {
    /// Takes the examples at `indices`, in this order. It has `copy_ids` if all of them have.
    ///
    /// # Panics
    ///
    /// If an index is out of range.
    pub fn new(examples: &[Example], indices: &[usize]) -> Self {
        let ended = |ids: &[u32]| [ids, &[special::EOS]].concat();
        let src = |&i: &usize| ended(&examples[i].src);
        let copy_ids = |&i: &usize| examples[i].copy_ids.as_deref().map(ended);
        let tgt = |&i: &usize| [&[special::BOS], &examples[i].tgt[..], &[special::EOS]].concat();
        Self {
            src: Padded::from_rows(&indices.iter().map(src).collect::<Vec<_>>()),
            tgt: Padded::from_rows(&indices.iter().map(tgt).collect::<Vec<_>>()),
            copy_ids: indices
                .iter()
                .map(copy_ids)
                .collect::<Option<Vec<_>>>()
                .map(|rows| Padded::from_rows(&rows)),
            indices: indices.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_and_get_their_special_tokens() {
        let examples = [
            Example {
                src: vec![7],
                tgt: vec![8],
                copy_ids: None,
            },
            Example {
                src: vec![4, 5, 6],
                tgt: vec![],
                copy_ids: Some(vec![9, 8, 10]),
            },
        ];
        let batch = Batch::new(&examples, &[1, 0]);
        assert_eq!(batch.src.ids, [4, 5, 6, 3, 7, 3, 0, 0]);
        assert_eq!(batch.src.lengths, [4, 2]);
        assert_eq!((batch.src.rows, batch.src.cols), (2, 4));
        assert_eq!(batch.tgt.ids, [2, 3, 0, 2, 8, 3]);
        assert_eq!(batch.tgt.row(0), [2, 3]);
        assert_eq!(batch.indices, [1, 0]);
        assert_eq!(batch.copy_ids, None, "not all have them");
        let batch = Batch::new(&examples, &[1]);
        assert_eq!(batch.copy_ids.unwrap().ids, [9, 8, 10, 3]);
    }

    #[test]
    fn an_empty_row_is_one_column_of_padding() {
        let padded = Padded::from_rows(&[vec![]]);
        assert_eq!(
            (padded.ids, padded.lengths, padded.cols),
            (vec![special::PAD], vec![0], 1)
        );
    }
}
