//! Search: from a decoder's probabilities to target sequences. Knows only the
//! [`Decoder`] trait.

mod beam;
mod config;
mod greedy;
mod hypothesis;
mod penalty;
mod stepper;

#[cfg(test)]
mod tests;

pub use beam::beam_search;
pub use config::{MAX_BEAM_SIZE, SearchConfig};
pub use greedy::greedy_search;
pub use hypothesis::Hypothesis;
pub use penalty::LengthPenalty;
pub use stepper::{DecoderStepper, DecoderSteps, Scored, Stepper};

use att_core::{EncoderOutput, host_vec, mask};
use burn::tensor::Tensor;

use crate::Decoder;

impl SearchConfig {
    /// The best hypotheses for each source, best first: greedy search for a beam of one, beam
    /// search for wider ones.
    ///
    /// `lengths` are those of the sources, in tokens.
    ///
    /// # Panics
    ///
    /// If `lengths` does not name one length a source.
    pub fn search(
        &self,
        decoder: &impl Decoder,
        source: &EncoderOutput,
        lengths: &[usize],
    ) -> Vec<Vec<Hypothesis>> {
        if self.beam_size == 1 {
            let found = greedy_search(decoder, source, lengths, self);
            found.into_iter().map(|best| vec![best]).collect()
        } else {
            beam_search(decoder, source, lengths, self)
        }
    }
}

/// The attention weights of a step over the states of the memory, on the host.
struct WeightRows {
    /// Row-major, `[rows, src_len]`; none without attention.
    weights: Option<Vec<f32>>,
    src_len: usize,
}

impl WeightRows {
    fn new(weights: Option<Tensor<2>>) -> Self {
        let src_len = weights.as_ref().map_or(0, |weights| weights.dims()[1]);
        let weights = weights.map(host_vec);
        Self { weights, src_len }
    }

    /// Those over the first `n_states` of the memory, which are the real ones.
    fn row(&self, row: usize, n_states: usize) -> Option<Vec<f32>> {
        let weights = self.weights.as_ref()?;
        Some(weights[row * self.src_len..][..n_states].to_vec())
    }
}

/// How many states of the memory each source has: one a token, or fewer where the encoder joins
/// some.
fn n_states(source: &EncoderOutput) -> Vec<usize> {
    mask::lengths(source.src_pad_mask.clone())
}
