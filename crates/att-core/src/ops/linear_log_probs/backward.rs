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

use super::LinearLogProbsOps;

#[derive(Debug)]
struct LinearLogProbsBackward;

impl<B: LinearLogProbsOps> Backward<B, 3> for LinearLogProbsBackward {
    /// Features, W and b, and the gold tokens.
    type State = ([FloatTensor<B>; 3], Vec<u32>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let ([features, weight, bias], gold) = ops.state;
        let (d_features, d_weight, d_bias) =
            B::linear_log_probs_backward(features, weight, bias, &gold, grad);
        for (parent, gradient) in ops.parents.into_iter().zip([d_features, d_weight, d_bias]) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: LinearLogProbsOps, C: CheckpointStrategy> LinearLogProbsOps for Autodiff<B, C> {
    fn linear_log_probs(
        features: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gold: &[u32],
    ) -> FloatTensor<Self> {
        let node = LinearLogProbsBackward
            .prepare::<C>([features.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful();
        let (features, weight) = (features.into_primitive(), weight.into_primitive());
        let bias = bias.into_primitive();
        let terms = B::linear_log_probs(features.clone(), weight.clone(), bias.clone(), gold);
        match node {
            OpsKind::Tracked(node) => node.finish(([features, weight, bias], gold.into()), terms),
            OpsKind::UnTracked(node) => node.finish(terms),
        }
    }
}
