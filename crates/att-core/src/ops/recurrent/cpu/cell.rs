//! What an LSTM and a GRU differ in.

/// One row of one step. Every slice has a multiple of `d` numbers; those of `c` are empty where
/// the cell has no such state, and the bias where it has none.
pub(in crate::ops) trait CpuCell {
    /// Parts of an input.
    const PARTS: usize;
    /// Whether there is a c.
    const HAS_C: bool;

    /// `gates` holds `y = h[t-1] W` on entry, and on return what [`Memory::gates`] says; `h` and
    /// `c` go from the state before the step to that after it.
    fn forward(x: &[f32], bias: &[f32], gates: &mut [f32], h: &mut [f32], c: &mut [f32]);

    /// `gates` is as after [`forward`](Self::forward) on entry, and on return its first `PARTS *
    /// d` numbers are dL/dy; `d_x` becomes dL/dx. `dh` and `dc` hold what comes from later steps
    /// on entry; on return what passes by the product to the step before.
    fn backward(
        up: Up,
        before: Before,
        gates: &mut [f32],
        dh: &mut [f32],
        dc: &mut [f32],
        d_x: &mut [f32],
    );
}

/// The gradient of the states that a step gives out.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Up<'a> {
    pub h: &'a [f32],
    pub c: &'a [f32],
}

/// The states before a step.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Before<'a> {
    pub h: &'a [f32],
    pub c: &'a [f32],
}
