use att_core::rows;
use burn::tensor::Tensor;

/// What attention carries from step to step: a value that goes in and comes out of
/// [`Attention::step`](crate::Attention::step). `rows` is `batch * beam`, the rows of a source side by
/// side.
#[derive(Clone, Debug)]
pub struct AttentionState {
    /// Steps done, of each row: where a window that moves along stands.
    pub steps: Vec<usize>,
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
    /// The rows named by `indices`, in that order: how a beam follows its hypotheses.
    pub fn select(self, indices: &[usize]) -> Self {
        // Most kinds have no tensor: nothing goes to the device for them.
        let select = |tensor: Tensor<2>| {
            let chosen = rows::indices(indices, &tensor.device());
            tensor.select(0, chosen)
        };
        Self {
            steps: indices.iter().map(|&row| self.steps[row]).collect(),
            weights: self.weights.map(select),
            coverage: self.coverage.map(select),
            alignment: self.alignment.map(select),
        }
    }

    /// The rows of this, and those of `more` behind them, over `src_len` states of their sources: those
    /// beyond are padding of all.
    ///
    /// # Panics
    ///
    /// If they are not of one attention.
    pub fn join(mut self, more: Self, src_len: usize) -> Self {
        let join = |first, more| {
            rows::join_some(first, more, |first, more| {
                rows::join_padded(first, more, src_len)
            })
        };
        self.steps.extend(more.steps);
        Self {
            steps: self.steps,
            weights: join(self.weights, more.weights),
            coverage: join(self.coverage, more.coverage),
            alignment: join(self.alignment, more.alignment),
        }
    }
}
