//! Rows of batches: some of them by their places, or those of two batches in one.

use burn::tensor::kind::{Basic, Numeric};
use burn::tensor::{Bool, Device, Int, Tensor};

/// Places of rows as a tensor, `[n]`: what `select` takes.
pub fn indices(places: &[usize], device: &Device) -> Tensor<1, Int> {
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    Tensor::from_data(places.as_slice(), device)
}

/// The rows of one batch, and those of another behind them.
///
/// # Panics
///
/// If they differ in another axis than the first.
pub fn join<const D: usize, K: Basic>(first: Tensor<D, K>, more: Tensor<D, K>) -> Tensor<D, K> {
    Tensor::cat(vec![first, more], 0)
}

/// What a layer or decoder may have, of two batches as one: both have it or neither.
///
/// # Panics
///
/// If one has it alone.
pub fn join_some<T>(first: Option<T>, more: Option<T>, join: impl FnOnce(T, T) -> T) -> Option<T> {
    match (first, more) {
        (Some(first), Some(more)) => Some(join(first, more)),
        (None, None) => None,
        _ => panic!("rows of different layers or decoders can't be joined"),
    }
}

/// [`join`] of batches of different lengths, `[rows, len, ..]`: both are cut to `len`, or padded with zeros
/// behind.
///
/// # Panics
///
/// If they differ in another axis than the first two.
pub fn join_padded<const D: usize, K: Numeric>(
    first: Tensor<D, K>,
    more: Tensor<D, K>,
    len: usize,
) -> Tensor<D, K> {
    join(with_len(first, len), with_len(more, len))
}

/// [`join_padded`] of masks, which are true at padding.
///
/// # Panics
///
/// As that.
pub fn join_masks<const D: usize>(
    first: Tensor<D, Bool>,
    more: Tensor<D, Bool>,
    len: usize,
) -> Tensor<D, Bool> {
    let real = |mask: Tensor<D, Bool>| mask.bool_not().float();
    join_padded(real(first), real(more), len).lower_elem(0.5)
}

/// `[rows, len, ..]`, cut or with zeros behind.
fn with_len<const D: usize, K: Numeric>(rows: Tensor<D, K>, len: usize) -> Tensor<D, K> {
    let mut padding = rows.shape();
    let now = padding[1];
    if len <= now {
        return rows.narrow(1, 0, len);
    }
    padding[1] = len - now;
    let padding = Tensor::zeros(padding, (&rows.device(), rows.dtype()));
    Tensor::cat(vec![rows, padding], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{lengths, src_pad_mask};

    #[test]
    fn batches_of_different_lengths_are_joined_at_any_length() {
        let device = Device::flex();
        let first = || Tensor::<3>::from_data([[[1.0], [2.0], [3.0]]], &device);
        let more = || Tensor::<3>::from_data([[[4.0]], [[5.0]]], &device);
        for (len, expected) in [
            (1, &[1.0, 4.0, 5.0][..]),
            (2, &[1.0, 2.0, 4.0, 0.0, 5.0, 0.0]),
            (3, &[1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 5.0, 0.0, 0.0]),
        ] {
            let joined = join_padded(first(), more(), len);
            assert_eq!(joined.dims(), [3, len, 1]);
            assert_eq!(crate::host_vec(joined), expected);
        }
        let masks = [(vec![1, 3], 3), (vec![2], 2)];
        let [first, more] = masks.map(|(lengths, len)| src_pad_mask(&lengths, len, &device));
        assert_eq!(lengths(join_masks(first, more, 4)), [1, 3, 2]);
    }

    #[test]
    fn rows_are_chosen_in_the_order_of_their_places() {
        let device = Device::flex();
        let rows = Tensor::<1, Int>::from_data([7, 8, 9], &device);
        let chosen = rows.select(0, indices(&[2, 0, 2], &device));
        assert_eq!(
            chosen.into_data().iter::<i64>().collect::<Vec<_>>(),
            [9, 7, 9]
        );
    }
}
