//! Two nodes on the tape, context and weights, made in one pass. Each adds its part to the
//! gradients, and one that no loss uses does nothing.

use std::sync::Arc;

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::cpu::{MultiHeadReadOps, OnSlices, Saved};
use super::kernel::Plan;

#[derive(Debug)]
struct ContextBackward;

impl<B: OnSlices> Backward<B, 3> for ContextBackward {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::context_backward(grad, ops.state);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct WeightsBackward;

impl<B: OnSlices> Backward<B, 2> for WeightsBackward {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::weights_backward(grad, ops.state);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: OnSlices, C: CheckpointStrategy> MultiHeadReadOps for Autodiff<B, C> {
    fn multi_head_read(
        query: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        plan: Arc<Plan>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let of_context = ContextBackward
            .prepare::<C>([query.node(), keys.node(), values.node()])
            .compute_bound()
            .stateful();
        let of_weights = WeightsBackward
            .prepare::<C>([query.node(), keys.node()])
            .compute_bound()
            .stateful();
        let (query, keys) = (query.into_primitive(), keys.into_primitive());
        let values = values.into_primitive();
        let (context, weights) =
            B::multi_head_read(query.clone(), keys.clone(), values.clone(), plan.clone());
        let saved = || Saved {
            query: query.clone(),
            keys: keys.clone(),
            values: values.clone(),
            weights: weights.clone(),
            plan: plan.clone(),
        };
        let context = match of_context {
            OpsKind::Tracked(node) => node.finish(saved(), context),
            OpsKind::UnTracked(node) => node.finish(context),
        };
        let weights = match of_weights {
            OpsKind::Tracked(node) => node.finish(saved(), weights),
            OpsKind::UnTracked(node) => node.finish(weights),
        };
        (context, weights)
    }
}
