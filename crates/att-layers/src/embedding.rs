use att_core::{Result, check, ops};
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Dropout, init};

/// Configuration of an [`Embedding`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// Size of a token's vector; 256 unless told.
    pub d_embed: usize,
    /// Dropout on the vectors; 0.1 unless told.
    pub dropout: f64,
    /// Whether all tokens of a sequence have the same mask of dropout (Gal and Ghahramani 2016); false
    /// unless told.
    pub variational_dropout: bool,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self {
            d_embed: 256,
            dropout: 0.1,
            variational_dropout: false,
        }
    }
}

impl EmbeddingConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("d_embed", self.d_embed)?;
        check::probability("dropout", self.dropout)
    }

    /// A table of `vocab` vectors, normal with deviation `1 / sqrt(d_embed)`.
    pub fn init(&self, vocab: usize, device: &Device) -> Embedding {
        let std = 1.0 / (self.d_embed as f64).sqrt();
        Embedding {
            weight: init::normal([vocab, self.d_embed], std, device),
            dropout: Dropout::new(self.dropout).variational(self.variational_dropout),
        }
    }
}

/// A vector for each token: row `ids[b, t]` of a learned table.
#[derive(Module, Debug)]
pub struct Embedding {
    /// The table, `[vocab, d_embed]`.
    pub weight: Param<Tensor<2>>,
    /// Applied to the vectors in training.
    pub dropout: Dropout,
}

impl Embedding {
    /// - `ids`: `[batch, len]`
    /// - returns `[batch, len, d_embed]`
    ///
    /// # Panics
    ///
    /// If there is no id, or (on CPU backends) an id is not in the table.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.dropout.forward(ops::embedding(self.weight.val(), ids))
    }

    /// Number of tokens in the table.
    pub fn vocab(&self) -> usize {
        self.weight.shape()[0]
    }

    /// Size of a token's vector.
    pub fn d_embed(&self) -> usize {
        self.weight.shape()[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_gets_its_row() {
        let device = Device::flex();
        let embedding = EmbeddingConfig {
            d_embed: 3,
            dropout: 0.0,
            ..Default::default()
        }
        .init(5, &device);
        let out = embedding.forward(Tensor::from_data([[4, 0]], &device));
        assert_eq!(out.dims(), [1, 2, 3]);
        let table = embedding.weight.val();
        let expected = Tensor::cat(
            vec![table.clone().narrow(0, 4, 1), table.narrow(0, 0, 1)],
            0,
        );
        out.squeeze_dim::<2>(0)
            .into_data()
            .assert_eq(&expected.into_data(), true);
    }
}
