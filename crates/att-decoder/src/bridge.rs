use att_core::{EncoderOutput, Error, MemorySpec, RecurrentState, Result};
use att_layers::{CellKind, Linear, Recurrent, init};
use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::{RecurrentStack, RecurrentStackConfig};

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
    /// directions' final states). Layer l of the decoder starts from layer l of the encoder, and
    /// those of a deeper decoder from the encoder's topmost.
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
    /// The first state of each layer of `stack`, `[batch, d_hidden]`.
    pub(crate) fn forward(
        &self,
        source: &EncoderOutput,
        stack: &RecurrentStack,
    ) -> Vec<RecurrentState> {
        let [batch, _, _] = source.memory.dims();
        match self.kind {
            BridgeConfig::Zeros => {
                let device = source.memory.device();
                let zeros = |layer: &Recurrent| layer.zero_state(batch, &device);
                stack.layers.iter().map(zeros).collect()
            }
            BridgeConfig::Copy => source.final_states.clone(),
            BridgeConfig::Final => {
                // A decoder deeper than the encoder starts its upper layers from the topmost.
                let last = source.final_states.len() - 1;
                let projections = self.projections.iter().enumerate();
                projections
                    .map(|(layer, projection)| {
                        projection.forward(&source.final_states[layer.min(last)])
                    })
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
            hidden: self.hidden.forward(from.hidden.clone()).tanh(),
            cell: self
                .cell
                .as_ref()
                .map(|projection| projection.forward(cell.clone()).tanh()),
        }
    }
}
