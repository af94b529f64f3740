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

use super::cpu::{DotScoreOps, OnSlices};

#[derive(Debug)]
struct DotScoreBackward;

impl<B: OnSlices> Backward<B, 2> for DotScoreBackward {
    /// Query, keys and scale.
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let (query, keys, scale) = ops.state;
        let gradients = B::backward(grad, query, keys, scale);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: OnSlices, C: CheckpointStrategy> DotScoreOps for Autodiff<B, C> {
    fn dot_score(
        query: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        let node = DotScoreBackward
            .prepare::<C>([query.node(), keys.node()])
            .compute_bound()
            .stateful();
        let (query, keys) = (query.into_primitive(), keys.into_primitive());
        let scores = B::dot_score(query.clone(), keys.clone(), scale);
        match node {
            OpsKind::Tracked(node) => node.finish((query, keys, scale), scores),
            OpsKind::UnTracked(node) => node.finish(scores),
        }
    }
}
