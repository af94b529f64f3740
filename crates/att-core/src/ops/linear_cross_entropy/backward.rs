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

use super::LinearCrossEntropyOps;

#[derive(Debug)]
struct LinearCrossEntropyBackward;

impl<B: LinearCrossEntropyOps> Backward<B, 3> for LinearCrossEntropyBackward {
    /// The gradients of the loss, of the features, W and b.
    type State = [FloatTensor<B>; 3];

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        for (parent, gradient) in ops.parents.into_iter().zip(ops.state) {
            if let Some(parent) = parent {
                let gradient = B::linear_cross_entropy_backward(grad.clone(), gradient);
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: LinearCrossEntropyOps, C: CheckpointStrategy> LinearCrossEntropyOps for Autodiff<B, C> {
    fn linear_cross_entropy(
        features: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gold: &[u32],
        smoothing: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let node = LinearCrossEntropyBackward
            .prepare::<C>([features.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful();
        let (features, weight) = (features.into_primitive(), weight.into_primitive());
        let bias = bias.into_primitive();
        let (loss, nll) = match node {
            OpsKind::Tracked(node) => {
                let (loss, nll, d_features, d_weight, d_bias) =
                    B::linear_cross_entropy_forward(features, weight, bias, gold, smoothing);
                (node.finish([d_features, d_weight, d_bias], loss), nll)
            }
            OpsKind::UnTracked(node) => {
                let (loss, nll) = B::linear_cross_entropy(features, weight, bias, gold, smoothing);
                (node.finish(loss), nll)
            }
        };
        (loss, FloatTensor::<Self>::new(nll))
    }
}
