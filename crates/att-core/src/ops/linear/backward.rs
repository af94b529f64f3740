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

use super::LinearOps;

/// What the gradient needs besides the gradient of y.
#[derive(Clone, Debug)]
struct Saved<F> {
    x: F,
    weight: F,
}

#[derive(Debug)]
struct LinearBackward;

impl<B: LinearOps> Backward<B, 3> for LinearBackward {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let Saved { x, weight } = ops.state;
        let [x_node, weight_node, bias_node] = ops.parents;
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::linear_backward_bias(grad.clone()));
        }
        if let Some(node) = weight_node {
            let gradient = B::linear_backward_weight(grad.clone(), x, weight.clone());
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::linear_backward_x(grad, weight));
        }
    }
}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let node = LinearBackward
            .prepare::<C>([x.node(), weight.node(), bias.node()])
            .compute_bound()
            .stateful();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let bias = bias.into_primitive();
        match node {
            OpsKind::Tracked(node) => {
                let y = B::linear_forward(x.clone(), weight.clone(), bias);
                node.finish(Saved { x, weight }, y)
            }
            OpsKind::UnTracked(node) => node.finish(B::linear_forward(x, weight, bias)),
        }
    }
}
