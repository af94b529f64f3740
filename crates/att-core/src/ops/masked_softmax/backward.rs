//! One node on the tape.

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::{BoolTensor, FloatTensor},
};

use super::MaskedSoftmaxOps;

#[derive(Debug)]
struct MaskedSoftmaxBackward;

impl<B: MaskedSoftmaxOps> Backward<B, 1> for MaskedSoftmaxBackward {
    /// The weights.
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let d_scores = B::masked_softmax_backward(grad, ops.state);
            grads.register::<B>(parent.id, d_scores);
        }
    }
}

impl<B: MaskedSoftmaxOps, C: CheckpointStrategy> MaskedSoftmaxOps for Autodiff<B, C> {
    fn masked_softmax(scores: FloatTensor<Self>, mask: BoolTensor<Self>) -> FloatTensor<Self> {
        let node = MaskedSoftmaxBackward
            .prepare::<C>([scores.node()])
            .compute_bound()
            .stateful();
        let weights = B::masked_softmax(scores.into_primitive(), mask);
        match node {
            OpsKind::Tracked(node) => node.finish(weights.clone(), weights),
            OpsKind::UnTracked(node) => node.finish(weights),
        }
    }

    fn masked_softmax_backward(
        _grad: FloatTensor<Self>,
        _weights: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        unreachable!("gradients of gradients are not taken")
    }
}
