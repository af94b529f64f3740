//! Rows of different lengths, padded at the end to one tensor.

use burn::tensor::{Int, Tensor, TensorData};

use super::embedding::embedding;
use crate::mask;

/// Each row reversed within its own length; padding stays where it is.
///
/// `out[b, t] = states[b, lengths[b] - 1 - t]` for `t < lengths[b]`, else `states[b, t]`.
/// Applied twice it gives its argument back. Both are `[batch, len, d]`.
///
/// # Panics
///
/// If `lengths` does not name one length of at most `len` a row, or a size is 0.
pub fn reverse_padded(states: Tensor<3>, lengths: &[usize]) -> Tensor<3> {
    let [batch, len, d] = states.dims();
    super::assert_some("reverse_padded", &states);
    assert_lengths(lengths, batch, len);
    let indices: Vec<i64> = lengths
        .iter()
        .enumerate()
        .flat_map(|(b, &length)| {
            (0..len).map(move |t| {
                let from = if t < length { length - 1 - t } else { t };
                (b * len + from) as i64
            })
        })
        .collect();
    at_positions(states, indices).reshape([batch, len, d])
}

/// The states at some positions, `[positions, d]`, of `[batch, len, d]`; a position is `b * len + t`.
fn at_positions(states: Tensor<3>, positions: Vec<i64>) -> Tensor<2> {
    let [batch, len, d] = states.dims();
    let positions = TensorData::from(positions.as_slice());
    let positions = Tensor::<1, Int>::from_data(positions, &states.device());
    states.reshape([batch * len, d]).select(0, positions)
}

/// The last real position of each row; of an empty one the first.
fn last_positions(lengths: &[usize], len: usize) -> impl Iterator<Item = i64> {
    let last = move |(b, &length): (usize, &usize)| (b * len + length.saturating_sub(1)) as i64;
    lengths.iter().enumerate().map(last)
}

/// The state at the last real position of each row: `out[b] = states[b, lengths[b] - 1]`.
///
/// - `states`: `[batch, len, d]`
/// - returns `[batch, d]`; of an empty row the state at 0
///
/// # Panics
///
/// If `lengths` does not name one length of at most `len` a row, or a size is 0.
pub fn last_states(states: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let [batch, len, _] = states.dims();
    super::assert_some("last_states", &states);
    assert_lengths(lengths, batch, len);
    if lengths.iter().all(|&length| length == len) {
        return states.narrow(1, len - 1, 1).squeeze_dim(1);
    }
    at_positions(states, last_positions(lengths, len).collect())
}

/// The state at the first position of each row, `[batch, d]` of `[batch, len, d]`: that after the
/// last step of the backward direction.
pub(super) fn first_states(states: Tensor<3>) -> Tensor<2> {
    states.narrow(1, 0, 1).squeeze_dim(1)
}

/// The states after the last step of either direction, `[batch, 2 * d]`: of the first half of the
/// numbers those at the [last](last_states) real position, of the second half those at 0.
///
/// - `states`: of both directions side by side, `[batch, len, 2 * d]`
///
/// # Panics
///
/// If `lengths` does not name one length of at most `len` a row, or a size is 0.
pub fn end_states(states: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let [batch, len, width] = states.dims();
    super::assert_some("end_states", &states);
    assert_lengths(lengths, batch, len);
    let first = (0..batch).map(|b| (b * len) as i64);
    let positions = last_positions(lengths, len).chain(first).collect();
    // One selection for both: its gradient has the size of all states.
    let ends = at_positions(states, positions);
    let d = width / 2;
    let forward = ends.clone().narrow(0, 0, batch).narrow(1, 0, d);
    let backward = ends.narrow(0, batch, batch).narrow(1, d, d);
    Tensor::cat(vec![forward, backward], 1)
}

/// The states of real positions alone, row after row: `[n, d]` of `[batch, len, d]`, where n is the
/// sum of `lengths`. [`unpack`] is the way back.
///
/// # Panics
///
/// If `lengths` does not name one length of at most `len` a row, or all are 0.
pub fn pack(states: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let [batch, len, d] = states.dims();
    assert_lengths(lengths, batch, len);
    let table = states.reshape([batch * len, d]);
    if lengths.iter().all(|&length| length == len) {
        return table;
    }
    let ids = lengths
        .iter()
        .enumerate()
        .flat_map(|(b, &length)| (0..length).map(move |t| (b * len + t) as i64));
    rows(table, 1, ids.collect()).squeeze_dim(0)
}

/// The states of real positions in their places, `[batch, len, d]`, with zeros at padding: what
/// [`pack`] made `states` (`[n, d]`) of.
///
/// # Panics
///
/// If a length exceeds `len`, or n is not their sum, or 0.
pub fn unpack(states: Tensor<2>, lengths: &[usize], len: usize) -> Tensor<3> {
    let ([n, d], batch) = (states.dims(), lengths.len());
    assert_lengths(lengths, batch, len);
    assert_eq!(lengths.iter().sum::<usize>(), n, "one state a position");
    if n == batch * len {
        return states.reshape([batch, len, d]);
    }
    let mut next = 0;
    let ids = lengths.iter().flat_map(|&length| {
        let first = next;
        next += length;
        // Behind the states stands a row of zeros.
        (0..len).map(move |t| if t < length { first + t } else { n } as i64)
    });
    rows(with_zero_row(states), batch, ids.collect())
}

/// One row of zeros below those of `states`, `[n, d]`: what ids of n stand for.
pub fn with_zero_row(states: Tensor<2>) -> Tensor<2> {
    let [_, d] = states.dims();
    let zeros = Tensor::zeros([1, d], (&states.device(), states.dtype()));
    Tensor::cat(vec![states, zeros], 0)
}

/// The rows of a table at `ids`, dealt out to a batch of `batch`.
fn rows(table: Tensor<2>, batch: usize, ids: Vec<i64>) -> Tensor<3> {
    let shape = [batch, ids.len() / batch];
    let ids = Tensor::from_data(TensorData::new(ids, shape), &table.device());
    embedding(table, ids)
}

/// `states` (`[batch, len, d]`) with zeros from `lengths[b]` on in row `b`.
pub(super) fn zero_padding(states: Tensor<3>, lengths: &[usize]) -> Tensor<3> {
    let [batch, len, d] = states.dims();
    let padding = mask::src_pad_mask(lengths, len, &states.device());
    let padding = padding.unsqueeze_dim::<3>(2).expand([batch, len, d]);
    states.mask_fill(padding, 0.0)
}

pub(super) fn assert_lengths(lengths: &[usize], batch: usize, len: usize) {
    assert_eq!(lengths.len(), batch, "one length a row");
    assert!(
        lengths.iter().all(|&length| length <= len),
        "lengths {lengths:?} exceed the {len} positions there are"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn states() -> Tensor<3> {
        Tensor::from_data(
            [[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]],
            &Device::flex(),
        )
    }

    #[test]
    fn rows_are_reversed_within_their_lengths() {
        let out = reverse_padded(states(), &[3, 2]);
        let back = reverse_padded(out.clone(), &[3, 2]);
        assert_eq!(
            out.into_data().try_to_vec::<f32>().unwrap(),
            [3.0, 2.0, 1.0, 5.0, 4.0, 6.0]
        );
        back.into_data().assert_eq(&states().into_data(), true);
    }

    #[test]
    fn the_last_state_is_the_rows_own() {
        for (lengths, expected) in [([2, 3], [2.0, 6.0]), ([3, 3], [3.0, 6.0])] {
            let last = last_states(states(), &lengths);
            assert_eq!(last.into_data().try_to_vec::<f32>().unwrap(), expected);
        }
    }

    #[test]
    fn packed_states_are_the_real_ones_and_go_back_to_their_places() {
        for lengths in [[2, 3], [3, 1], [3, 3], [0, 1]] {
            let packed = pack(states(), &lengths);
            let real = lengths.iter().enumerate();
            let real =
                real.flat_map(|(b, &length)| (0..length).map(move |t| (3 * b + t + 1) as f32));
            let real: Vec<f32> = real.collect();
            assert_eq!(
                packed.clone().into_data().try_to_vec::<f32>().unwrap(),
                real
            );
            let back = unpack(packed, &lengths, 3).into_data();
            back.assert_eq(&zero_padding(states(), &lengths).into_data(), true);
        }
    }

    #[test]
    fn each_direction_ends_at_its_own_end() {
        let both = Tensor::cat(vec![states(), states() * 10.0], 2);
        let ends = end_states(both, &[2, 3]);
        assert_eq!(
            ends.into_data().try_to_vec::<f32>().unwrap(),
            [2.0, 10.0, 6.0, 40.0]
        );
    }
}
