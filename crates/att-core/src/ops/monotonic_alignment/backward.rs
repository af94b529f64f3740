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

use super::cpu::{MonotonicAlignmentOps, OnSlices};

#[derive(Debug)]
struct MonotonicAlignmentBackward;

impl<B: OnSlices> Backward<B, 2> for MonotonicAlignmentBackward {
    /// The probabilities and the previous alignment.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let (p, previous) = ops.state;
        for (parent, gradient) in ops.parents.into_iter().zip(B::backward(grad, p, previous)) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: OnSlices, C: CheckpointStrategy> MonotonicAlignmentOps for Autodiff<B, C> {
    fn monotonic_alignment(p: FloatTensor<Self>, previous: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = MonotonicAlignmentBackward
            .prepare::<C>([p.node(), previous.node()])
            .compute_bound()
            .stateful();
        let (p, previous) = (p.into_primitive(), previous.into_primitive());
        let alignment = B::monotonic_alignment(p.clone(), previous.clone());
        match node {
            OpsKind::Tracked(node) => node.finish((p, previous), alignment),
            OpsKind::UnTracked(node) => node.finish(alignment),
        }
    }
}
