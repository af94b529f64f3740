//! One node on the tape.

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::Alpha;
use super::cpu::{EntmaxOps, OnSlices};

#[derive(Debug)]
struct EntmaxBackward;

impl<B: OnSlices> Backward<B, 1> for EntmaxBackward {
    /// The weights.
    type State = (FloatTensor<B>, Alpha);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let (weights, alpha) = ops.state;
        if let [Some(scores)] = ops.parents {
            grads.register::<B>(scores.id, B::backward(grad, weights, alpha));
        }
    }
}

impl<B: OnSlices, C: CheckpointStrategy> EntmaxOps for Autodiff<B, C> {
    fn entmax(scores: FloatTensor<Self>, alpha: Alpha) -> FloatTensor<Self> {
        let node = EntmaxBackward
            .prepare::<C>([scores.node()])
            .compute_bound()
            .stateful();
        let weights = B::entmax(scores.into_primitive(), alpha);
        match node {
            OpsKind::Tracked(node) => node.finish((weights.clone(), alpha), weights),
            OpsKind::UnTracked(node) => node.finish(weights),
        }
    }
}
