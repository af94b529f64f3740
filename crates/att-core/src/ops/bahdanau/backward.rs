//! One node on the tape for the whole target.

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::cpu::{ARGUMENTS, BahdanauOps, Lengths, OnSlices};
use super::kernel::Saved;

#[derive(Debug)]
struct BahdanauBackward;

/// What the gradient needs besides the gradient of the states.
#[derive(Clone, Debug)]
struct State<F> {
    arguments: [F; ARGUMENTS],
    saved: Vec<Saved>,
    lengths: Lengths,
}

impl<B: OnSlices> Backward<B, ARGUMENTS> for BahdanauBackward {
    type State = State<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, ARGUMENTS>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let State {
            arguments,
            saved,
            lengths,
        } = ops.state;
        let gradients = B::backward(grad, arguments, saved, &lengths);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: OnSlices, C: CheckpointStrategy> BahdanauOps for Autodiff<B, C> {
    fn bahdanau(
        embedded: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        memory: FloatTensor<Self>,
        query_weight: FloatTensor<Self>,
        query_bias: FloatTensor<Self>,
        v: FloatTensor<Self>,
        input_weight: FloatTensor<Self>,
        input_bias: FloatTensor<Self>,
        recurrent_weight: FloatTensor<Self>,
        last: FloatTensor<Self>,
        lengths: Lengths,
    ) -> FloatTensor<Self> {
        let arguments = [
            embedded,
            hidden,
            keys,
            memory,
            query_weight,
            query_bias,
            v,
            input_weight,
            input_bias,
            recurrent_weight,
            last,
        ];
        let node = BahdanauBackward
            .prepare::<C>(arguments.each_ref().map(|tensor| tensor.node()))
            .compute_bound()
            .stateful();
        let arguments = arguments.map(|tensor| tensor.into_primitive());
        let (states, saved) = B::forward(&arguments, &lengths);
        match node {
            OpsKind::Tracked(node) => node.finish(
                State {
                    arguments,
                    saved,
                    lengths,
                },
                states,
            ),
            OpsKind::UnTracked(node) => node.finish(states),
        }
    }
}
