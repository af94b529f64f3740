//! Two nodes on the tape, context and weights, made in one pass. The gradient of the scores is
//! linear in those of both, so each node adds its part, and one that no loss uses does nothing.

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::cpu::{AttentionReadOps, OnSlices};
use super::kernel::Sources;

#[derive(Debug)]
struct ContextBackward;

/// Weights, values, and the ends of the sources.
type ContextState<F> = (F, F, Vec<usize>);

impl<B: OnSlices> Backward<B, 2> for ContextBackward {
    type State = ContextState<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let (weights, values, ends) = ops.state;
        let gradients = B::context_backward(grad, weights, values, &ends);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct WeightsBackward;

impl<B: OnSlices> Backward<B, 1> for WeightsBackward {
    /// Weights, and the ends of the sources.
    type State = (FloatTensor<B>, Vec<usize>);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let (weights, ends) = ops.state;
        if let [Some(scores)] = ops.parents {
            grads.register::<B>(scores.id, B::weights_backward(grad, weights, &ends));
        }
    }
}

impl<B: OnSlices, C: CheckpointStrategy> AttentionReadOps for Autodiff<B, C> {
    fn attention_read(
        scores: FloatTensor<Self>,
        values: FloatTensor<Self>,
        sources: Sources,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let ends = sources.ends.clone();
        let of_context = ContextBackward
            .prepare::<C>([scores.node(), values.node()])
            .compute_bound()
            .stateful();
        let of_weights = WeightsBackward
            .prepare::<C>([scores.node()])
            .compute_bound()
            .stateful();
        let (scores, values) = (scores.into_primitive(), values.into_primitive());
        let (context, weights) = B::attention_read(scores, values.clone(), sources);
        let context = match of_context {
            OpsKind::Tracked(node) => node.finish((weights.clone(), values, ends.clone()), context),
            OpsKind::UnTracked(node) => node.finish(context),
        };
        let weights = match of_weights {
            OpsKind::Tracked(node) => node.finish((weights.clone(), ends), weights),
            OpsKind::UnTracked(node) => node.finish(weights),
        };
        (context, weights)
    }
}
