//! What an LSTM and a GRU differ in.

use std::ops::Range;

/// One row of one step. What a step computes on the way stands in a line of gates: four slots of `d`
/// numbers. On the way there they hold the sums of bias, `x W_x` and `h[t-1] W`; the slots of the
/// latter product are the first ones. Slices of `c` are empty where the cell has no such state.
pub(in crate::ops) trait CpuCell {
    /// Parts of `d` numbers that each of both products has.
    const PARTS: usize;
    /// Whether there is a c.
    const HAS_C: bool;
    /// In which slots the parts of `x W_x` are.
    const INPUT: &'static [Piece];

    /// `gates` holds the sums on entry, and on return what [`backward`](Self::backward) needs; `h`
    /// and `c` go from the state before the step to that after it.
    fn forward(gates: &mut [f32], h: &mut [f32], c: &mut [f32]);

    /// `gates` is as after [`forward`](Self::forward) on entry, and on return the gradient of the
    /// sums. `up` is the gradient of the h that the step gives out, `dh` and `dc` hold what comes from
    /// later steps on entry; on return what passes by the product to the step before.
    fn backward(up: &[f32], before: Before, gates: &mut [f32], dh: &mut [f32], dc: &mut [f32]);
}

/// Some parts that lie beside each other in `x W_x` and in a line of gates.
#[derive(Debug)]
pub(in crate::ops) struct Piece {
    pub parts: Range<usize>,
    /// That of the first one.
    pub slot: usize,
}

/// The states before a step.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Before<'a> {
    pub h: &'a [f32],
    pub c: &'a [f32],
}
