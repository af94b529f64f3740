use att_core::ops::tanh;
use att_core::{EncoderOutput, Error, MemorySpec, RecurrentState, Result};
use att_layers::{CellKind, Linear, Recurrent, init};
use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::RecurrentStackConfig;

/// How the encoder's end becomes the decoder's beginning; in TOML `bridge = "final"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeConfig {
    /// Start from zeros.
    Zeros,
    /// Start each layer from the final state of the encoder's layer of that number; sizes and
    /// cells must agree (Sutskever et al. 2014).
    Copy,
    /// `tanh(W final + b)`, each layer its own W (Bahdanau et al. 2015, A.2.2, from both
    /// directions' final states). The decoder's top layer starts from the encoder's top layer, the
    /// one below it from the one below, and so on down; the layers of a deeper decoder that are
    /// left start from the encoder's lowest.
    #[default]
    Final,
    /// `tanh(W mean + b)`, the mean over the states of real tokens (Sennrich et al. 2017, eq. 1).
    Mean,
}

impl BridgeConfig {
    /// # Errors
    ///
    /// If the encoder leaves no final states, or none that a copy can take.
    pub fn validate(self, stack: &RecurrentStackConfig, spec: &MemorySpec) -> Result<()> {
        let lstm = stack.cell == CellKind::Lstm;
        match self {
            Self::Zeros | Self::Mean => Ok(()),
            Self::Final | Self::Copy if spec.n_final_states == 0 => Err(Error::config(
                "bridge",
                "this encoder leaves no final state: use 'mean' or 'zeros'",
            )),
            Self::Copy
                if spec.n_final_states != stack.layers
                    || spec.d_final != stack.d_hidden
                    || spec.final_cells != lstm =>
            {
                Err(Error::config(
                    "bridge",
                    format!(
                        "'copy' needs a decoder of the encoder's {} layers of {} with the same \
                         cell, not {} of {}: use 'final', or make them equal",
                        spec.n_final_states, spec.d_final, stack.layers, stack.d_hidden
                    ),
                ))
            }
            Self::Final | Self::Copy => Ok(()),
        }
    }

    /// A bridge with fresh weights.
    pub fn init(self, stack: &RecurrentStackConfig, spec: &MemorySpec, device: &Device) -> Bridge {
        let projections = |d_source: usize| {
            let linear = || init::linear(d_source, stack.d_hidden, true, device);
            (0..stack.layers)
                .map(|_| BridgeProjection {
                    hidden: linear(),
                    cell: (stack.cell == CellKind::Lstm).then(linear),
                })
                .collect()
        };
        Bridge {
            projections: match self {
                Self::Zeros | Self::Copy => Vec::new(),
                Self::Final => projections(spec.d_final),
                Self::Mean => projections(spec.d_memory),
            },
            kind: self,
        }
    }
}

/// Makes the decoder's first state of the encoder's output.
#[derive(Module, Debug)]
pub struct Bridge {
    /// One a decoder layer, where the kind has weights.
    pub projections: Vec<BridgeProjection>,
    #[module(skip)]
    kind: BridgeConfig,
}

/// The projection into the first state of one decoder layer.
#[derive(Module, Debug)]
pub struct BridgeProjection {
    /// Into the hidden state.
    pub hidden: Linear,
    /// Into the cell state of an LSTM.
    pub cell: Option<Linear>,
}

impl Bridge {
    /// The first state of each of `layers`, `[batch, d_hidden]`.
    pub(crate) fn forward(
        &self,
        source: &EncoderOutput,
        layers: &[Recurrent],
    ) -> Vec<RecurrentState> {
        let [batch, _, _] = source.memory.dims();
        match self.kind {
            BridgeConfig::Zeros => {
                let device = source.memory.device();
                let zeros = |layer: &Recurrent| layer.zero_state(batch, &device);
                layers.iter().map(zeros).collect()
            }
            BridgeConfig::Copy => source.final_states.clone(),
            BridgeConfig::Final => {
                // Both counted from the top, where an encoder knows the most.
                let (finals, layers) = (&source.final_states, self.projections.len());
                let from = |layer: usize| &finals[(finals.len() + layer).saturating_sub(layers)];
                let projections = self.projections.iter().enumerate();
                projections
                    .map(|(layer, projection)| projection.forward(from(layer)))
                    .collect()
            }
            BridgeConfig::Mean => {
                let mean = RecurrentState {
                    hidden: source.mean(),
                    cell: None,
                };
                let projections = self.projections.iter();
                projections
                    .map(|projection| projection.forward(&mean))
                    .collect()
            }
        }
    }
}

impl BridgeProjection {
    /// `h = tanh(W_h h' + b_h)`, and of an LSTM `c = tanh(W_c c' + b_c)`, from the hidden state
    /// where there is no cell.
    fn forward(&self, from: &RecurrentState) -> RecurrentState {
        let cell = from.cell.as_ref().unwrap_or(&from.hidden);
        RecurrentState {
            hidden: tanh(self.hidden.forward(from.hidden.clone())),
            cell: self
                .cell
                .as_ref()
                .map(|projection| tanh(projection.forward(cell.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::{mask, random};
    use burn::tensor::Tensor;

    const SPEC: MemorySpec = MemorySpec {
        d_memory: 3,
        n_final_states: 2,
        d_final: 3,
        final_cells: false,
    };

    /// An encoder of two layers, whose final states tell which layer they are of.
    fn source(finals: [f32; 2], device: &Device) -> EncoderOutput {
        EncoderOutput {
            memory: Tensor::zeros([1, 2, 3], device),
            src_pad_mask: mask::src_pad_mask(&[2], 2, device),
            final_states: finals
                .map(|value| RecurrentState {
                    hidden: Tensor::full([1, 3], value, device),
                    cell: None,
                })
                .into(),
        }
    }

    /// Which of the encoder's layers each layer of a decoder starts from, both from the bottom.
    fn origins(layers: usize) -> Vec<usize> {
        let device = Device::flex();
        random::seed(1);
        let stack = RecurrentStackConfig {
            cell: CellKind::Gru,
            d_hidden: 4,
            layers,
            ..Default::default()
        };
        let bridge = BridgeConfig::Final.init(&stack, &SPEC, &device);
        let stack = stack.init(5, &device);
        let first = |finals| {
            let states = bridge.forward(&source(finals, &device), &stack.layers);
            states.into_iter().map(|state| state.hidden)
        };
        // A change of the upper final state shows in the layers that start from it, and only there.
        let pairs = first([1.0, 1.0]).zip(first([1.0, 2.0]));
        pairs
            .map(|(a, b)| usize::from(!a.all_close(b, None, None)))
            .collect()
    }

    #[test]
    fn final_states_are_matched_from_the_top() {
        assert_eq!(origins(1), [1]);
        assert_eq!(origins(2), [0, 1]);
        assert_eq!(origins(4), [0, 0, 0, 1]);
    }
}
