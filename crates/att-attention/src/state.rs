use burn::tensor::{Int, Tensor};

/// What attention carries from step to step: a value that goes in and comes out of
/// [`Attention::step`](crate::Attention::step). `rows` is `batch * beam`, the rows of a source side by
/// side.
#[derive(Clone, Debug)]
pub struct AttentionState {
    /// Steps done, the same in all rows: where a window that moves along stands.
    pub step: usize,
    /// The weights of the last step, zero before the first, `[rows, src_len]`; where the history reads
    /// them.
    pub weights: Option<Tensor<2>>,
    /// The sum of the weights of all steps so far, `[rows, src_len]`; where the history reads it.
    pub coverage: Option<Tensor<2>>,
    /// Where the head of each row stands, on the first state before the first step,
    /// `[rows, src_len]`; of monotonic kinds.
    pub alignment: Option<Tensor<2>>,
}

impl AttentionState {
    /// The rows named by `indices` (`[rows]`), in that order: how a beam follows its hypotheses.
    pub fn select(self, indices: Tensor<1, Int>) -> Self {
        let select = |tensor: Tensor<2>| tensor.select(0, indices.clone());
        Self {
            step: self.step,
            weights: self.weights.map(select),
            coverage: self.coverage.map(select),
            alignment: self.alignment.map(select),
        }
    }
}
