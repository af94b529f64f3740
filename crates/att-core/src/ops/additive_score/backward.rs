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

use super::AdditiveScoreOps;

#[derive(Debug)]
struct AdditiveScoreBackward;

impl<B: AdditiveScoreOps> Backward<B, 3> for AdditiveScoreBackward {
    /// Query, keys and v.
    type State = [FloatTensor<B>; 3];

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let [query, keys, v] = ops.state;
        let (d_query, d_keys, d_v) = B::additive_score_backward(grad, query, keys, v);
        for (parent, gradient) in ops.parents.into_iter().zip([d_query, d_keys, d_v]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: AdditiveScoreOps, C: CheckpointStrategy> AdditiveScoreOps for Autodiff<B, C> {
    fn additive_score(
        query: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let node = AdditiveScoreBackward
            .prepare::<C>([query.node(), keys.node(), v.node()])
            .compute_bound()
            .stateful();
        let state = [
            query.into_primitive(),
            keys.into_primitive(),
            v.into_primitive(),
        ];
        let [query, keys, v] = state.clone();
        let scores = B::additive_score(query, keys, v);
        match node {
            OpsKind::Tracked(node) => node.finish(state, scores),
            OpsKind::UnTracked(node) => node.finish(scores),
        }
    }

    fn additive_score_backward(
        _grad: FloatTensor<Self>,
        _query: FloatTensor<Self>,
        _keys: FloatTensor<Self>,
        _v: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are not taken")
    }
}
