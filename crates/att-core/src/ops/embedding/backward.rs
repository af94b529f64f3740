//! One node on the tape.

use burn::backend::{
    TensorMetadata,
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::cpu::{EmbeddingOps, Ids, OnSlices};

#[derive(Debug)]
struct EmbeddingBackward;

impl<B: OnSlices> Backward<B, 1> for EmbeddingBackward {
    /// The ids, and the rows of the table.
    type State = (Ids, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let (ids, vocab) = ops.state;
        if let [Some(table)] = ops.parents {
            grads.register::<B>(table.id, B::backward(grad, &ids, vocab));
        }
    }
}

impl<B: OnSlices, C: CheckpointStrategy> EmbeddingOps for Autodiff<B, C> {
    fn embedding_rows(table: FloatTensor<Self>, ids: Ids) -> FloatTensor<Self> {
        let node = EmbeddingBackward
            .prepare::<C>([table.node()])
            .compute_bound()
            .stateful();
        let table = table.into_primitive();
        let vocab = table.shape()[0];
        match node {
            OpsKind::Tracked(node) => {
                let rows = B::embedding_rows(table, ids.clone());
                node.finish((ids, vocab), rows)
            }
            OpsKind::UnTracked(node) => node.finish(B::embedding_rows(table, ids)),
        }
    }
}
