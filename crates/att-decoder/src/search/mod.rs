//! Search: from a decoder's probabilities to target sequences. Knows only the
//! [`Decoder`] trait.

mod beam;
mod config;
mod greedy;
mod hypothesis;
mod penalty;

#[cfg(test)]
mod tests;

pub use beam::beam_search;
pub use config::{MAX_BEAM_SIZE, SearchConfig};
pub use greedy::greedy_search;
pub use hypothesis::Hypothesis;
pub use penalty::LengthPenalty;

use att_core::EncoderOutput;

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
