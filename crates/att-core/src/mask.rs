//! Boolean masks; **true means masked** (burn's polarity).

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

/// `src_pad_mask[b, s] = s >= lengths[b]`, of shape `[batch, src_len]`.
///
/// # Panics
///
/// If a length exceeds `src_len`.
pub fn src_pad_mask(lengths: &[usize], src_len: usize, device: &Device) -> Tensor<2, Bool> {
    let mut mask = Vec::with_capacity(lengths.len() * src_len);
    for &length in lengths {
        assert!(
            length <= src_len,
            "a source of {length} tokens does not fit into {src_len}"
        );
        mask.extend((0..src_len).map(|s| s >= length));
    }
    Tensor::from_data(TensorData::new(mask, [lengths.len(), src_len]), device)
}

/// The number of real tokens of each row: what [`src_pad_mask`] made the mask of.
///
/// # Panics
///
/// If a real token stands behind padding.
pub fn lengths(src_pad_mask: Tensor<2, Bool>) -> Vec<usize> {
    try_lengths(src_pad_mask).expect("a real token stands behind padding")
}

/// [`lengths`], or none where a real token stands behind padding.
pub fn try_lengths(src_pad_mask: Tensor<2, Bool>) -> Option<Vec<usize>> {
    let [_, src_len] = src_pad_mask.dims();
    let mask: Vec<bool> = src_pad_mask.into_data().iter::<bool>().collect();
    mask.chunks_exact(src_len.max(1))
        .map(|row| {
            let length = row.iter().take_while(|masked| !**masked).count();
            let padded = row[length..].iter().all(|masked| *masked);
            padded.then_some(length)
        })
        .collect()
}

/// `causal_mask[t, s] = s > t`, of shape `[tgt_len, tgt_len]`: a position sees itself and its past.
pub fn causal_mask(tgt_len: usize, device: &Device) -> Tensor<2, Bool> {
    let mask: Vec<bool> = (0..tgt_len)
        .flat_map(|t| (0..tgt_len).map(move |s| s > t))
        .collect();
    Tensor::from_data(TensorData::new(mask, [tgt_len, tgt_len]), device)
}

/// The rows of a mask named by `indices`, in that order; flex's own `select` makes numbers of truth
/// values, which its other operations on masks refuse.
pub fn select<const D: usize>(mask: Tensor<D, Bool>, indices: Tensor<1, Int>) -> Tensor<D, Bool> {
    mask.select(0, indices).float().greater_elem(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bools<const D: usize>(mask: Tensor<D, Bool>) -> Vec<bool> {
        mask.into_data().iter::<bool>().collect()
    }

    #[test]
    fn padding_is_what_lies_past_the_length() {
        let mask = src_pad_mask(&[2, 0, 3], 3, &Device::flex());
        let (o, x) = (false, true);
        assert_eq!(bools(mask.clone()), [o, o, x, x, x, x, o, o, o]);
        assert_eq!(lengths(mask), [2, 0, 3]);
        let holes = Tensor::from_data([[o, x, o]], &Device::flex());
        assert_eq!(try_lengths(holes), None);
    }

    #[test]
    fn a_position_does_not_see_its_future() {
        let (o, x) = (false, true);
        assert_eq!(
            bools(causal_mask(3, &Device::flex())),
            [o, x, x, o, o, x, o, o, o]
        );
    }

    #[test]
    fn selected_rows_are_masks() {
        let device = Device::flex();
        let mask = src_pad_mask(&[2, 1], 2, &device);
        let mask = select(mask, Tensor::from_data([1, 0, 1], &device));
        assert_eq!(
            bools(mask.bool_not()),
            [true, false, true, true, true, false]
        );
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_length_beyond_the_tensor_panics() {
        src_pad_mask(&[4], 3, &Device::flex());
    }
}
