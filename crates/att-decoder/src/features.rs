use burn::tensor::{Int, Tensor};

use crate::{Copies, CopyIds};

/// What the scores of the next token are made of, at `n` positions.
#[derive(Clone, Debug)]
pub struct Features {
    /// What the output layer reads, `[n, d_features]`.
    pub vectors: Tensor<2>,
    /// What may be copied; of a decoder that copies.
    pub copies: Option<Copies>,
}

impl Features {
    /// Those of `n` positions from `start` on.
    pub fn narrow(&self, start: usize, n: usize) -> Self {
        let rows = |tensor: &Tensor<2>| tensor.clone().narrow(0, start, n);
        let copies = self.copies.as_ref().map(|copies| Copies {
            weights: rows(&copies.weights),
            ids: CopyIds {
                ids: copies.ids.ids.clone().narrow(0, start, n),
                ..copies.ids
            },
        });
        Self {
            vectors: rows(&self.vectors),
            copies,
        }
    }

    /// Those at `positions`, `[m]`, in that order.
    pub fn select(self, positions: Tensor<1, Int>) -> Self {
        Self {
            vectors: self.vectors.select(0, positions.clone()),
            copies: self.copies.map(|copies| Copies {
                weights: copies.weights.select(0, positions.clone()),
                ids: copies.ids.select(positions),
            }),
        }
    }
}

impl From<Tensor<2>> for Features {
    /// Of a decoder that does not copy.
    fn from(vectors: Tensor<2>) -> Self {
        Self {
            vectors,
            copies: None,
        }
    }
}
