use att_core::EncoderOutput;
use burn::tensor::{Int, Tensor};

use super::CopyIds;
use crate::{Decoder, DecoderMemory, DecoderOutput, DecoderState, DecoderStep, TokenHead};

/// A decoder that knows what it may copy of the sources of a batch: what search is given. Without a
/// gate ([`OutputLayer`](crate::OutputLayer)) it is the decoder itself.
#[derive(Clone, Debug)]
pub struct Copying<'a, D> {
    /// The decoder.
    pub decoder: &'a D,
    /// What the tokens of its sources are called; none where nothing is copied.
    pub ids: Option<CopyIds>,
}

impl<D: Decoder> Decoder for Copying<'_, D> {
    fn prepare(&self, source: &EncoderOutput) -> DecoderMemory {
        DecoderMemory {
            copy_ids: self.ids.clone(),
            ..self.decoder.prepare(source)
        }
    }

    fn initial_state(&self, source: &EncoderOutput) -> DecoderState {
        self.decoder.initial_state(source)
    }

    fn step(
        &self,
        tokens: Tensor<1, Int>,
        memory: &DecoderMemory,
        state: DecoderState,
    ) -> DecoderStep {
        self.decoder.step(tokens, memory, state)
    }

    fn forward(
        &self,
        tgt: Tensor<2, Int>,
        tgt_lengths: &[usize],
        source: &EncoderOutput,
    ) -> DecoderOutput {
        self.decoder.forward(tgt, tgt_lengths, source)
    }

    fn head(&self) -> TokenHead<'_> {
        self.decoder.head()
    }
}
