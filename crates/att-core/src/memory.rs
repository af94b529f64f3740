use burn::tensor::{Bool, Int, Tensor};

use crate::rows;

/// The state of one recurrent layer: what an LSTM or GRU carries from step to step.
#[derive(Clone, Debug)]
pub struct RecurrentState {
    /// Hidden state, `[batch, d_hidden]`.
    pub hidden: Tensor<2>,
    /// Cell state of an LSTM, `[batch, d_hidden]`; a GRU has none.
    pub cell: Option<Tensor<2>>,
}

impl RecurrentState {
    /// The rows named by `indices` (`[rows]`), in that order: how a beam reorders its states.
    pub fn select(self, indices: Tensor<1, Int>) -> Self {
        Self {
            cell: self.cell.map(|cell| cell.select(0, indices.clone())),
            hidden: self.hidden.select(0, indices),
        }
    }

    /// The rows of this, and those of `more` behind them.
    ///
    /// # Panics
    ///
    /// If they are not of one layer.
    pub fn join(self, more: Self) -> Self {
        Self {
            hidden: rows::join(self.hidden, more.hidden),
            cell: rows::join_some(self.cell, more.cell, rows::join),
        }
    }
}

/// What a decoder must know of an encoder before it sees its output: the sizes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySpec {
    /// Size of a state, the last axis of [`EncoderOutput::memory`].
    pub d_memory: usize,
    /// How many layers leave a final state.
    pub n_final_states: usize,
    /// Size of a final state.
    pub d_final: usize,
    /// Whether the final states have cells (LSTM).
    pub final_cells: bool,
}

/// What an encoder gives to a decoder: one state for each source token (or, of an encoder that
/// shortens its source, for a few of them), and where it ended.
///
/// Encoder and decoder meet only here.
#[derive(Clone, Debug)]
pub struct EncoderOutput {
    /// The states, zero at padding, `[batch, src_len, d_memory]`, where `src_len` counts states.
    pub memory: Tensor<3>,
    /// True at padding, `[batch, src_len]`.
    pub src_pad_mask: Tensor<2, Bool>,
    /// Of each layer, from the bottom: the state at each sequence's own last token (backward
    /// direction: at its first), directions joined, before residual and norm, `[batch, d_final]`.
    /// Empty for an encoder that has none.
    pub final_states: Vec<RecurrentState>,
}

impl EncoderOutput {
    /// The mean of the states of real tokens, `[batch, d_memory]`; zero for an empty source.
    ///
    /// `mean[b] = sum_s memory[b, s] / max(1, length[b])`; padding adds nothing, since it is zero.
    pub fn mean(&self) -> Tensor<2> {
        let lengths = self
            .src_pad_mask
            .clone()
            .bool_not()
            .float()
            .sum_dim(1)
            .clamp_min(1.0);
        self.memory.clone().sum_dim(1).squeeze_dim::<2>(1) / lengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::src_pad_mask;
    use burn::tensor::Device;

    #[test]
    fn the_mean_is_over_real_tokens() {
        let device = Device::flex();
        let output = EncoderOutput {
            memory: Tensor::from_data([[[2.0], [4.0]], [[3.0], [0.0]], [[0.0], [0.0]]], &device),
            src_pad_mask: src_pad_mask(&[2, 1, 0], 2, &device),
            final_states: Vec::new(),
        };
        let mean = output.mean().into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(mean, [3.0, 3.0, 0.0]);
    }

    #[test]
    fn select_reorders_both_parts_of_a_state() {
        let device = Device::flex();
        let part = || Tensor::<2>::from_data([[1.0], [2.0]], &device);
        let state = RecurrentState {
            hidden: part(),
            cell: Some(part() * 10.0),
        };
        let state = state.select(Tensor::from_data([1, 0, 1], &device));
        let read = |t: Tensor<2>| t.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(read(state.hidden), [2.0, 1.0, 2.0]);
        assert_eq!(read(state.cell.unwrap()), [20.0, 10.0, 20.0]);
    }
}
