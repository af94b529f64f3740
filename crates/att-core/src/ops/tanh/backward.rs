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

use super::TanhOps;

#[derive(Debug)]
struct TanhBackward;

impl<B: TanhOps> Backward<B, 1> for TanhBackward {
    /// y.
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
            grads.register::<B>(parent.id, B::tanh_backward(grad, ops.state));
        }
    }
}

impl<B: TanhOps, C: CheckpointStrategy> TanhOps for Autodiff<B, C> {
    fn tanh_forward(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = TanhBackward
            .prepare::<C>([x.node()])
            .compute_bound()
            .stateful();
        let y = B::tanh_forward(x.into_primitive());
        match node {
            OpsKind::Tracked(node) => node.finish(y.clone(), y),
            OpsKind::UnTracked(node) => node.finish(y),
        }
    }
}
