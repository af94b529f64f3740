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

use super::cpu::{ARGUMENTS, LuongOps, OnSlices, Plan};
use super::kernel::Saved;
use crate::ops::tensor_list::TensorList;

#[derive(Debug)]
struct LuongBackward;

/// What the gradient needs besides the gradient of the states.
#[derive(Clone, Debug)]
struct State<F> {
    arguments: [F; ARGUMENTS],
    saved: Vec<Saved>,
    plan: Plan,
}

impl<B: OnSlices> Backward<B, ARGUMENTS> for LuongBackward {
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
            plan,
        } = ops.state;
        let gradients = B::backward(grad, arguments, saved, &plan);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: OnSlices, C: CheckpointStrategy> LuongOps for Autodiff<B, C> {
    fn luong(arguments: TensorList<Self>, plan: Plan) -> FloatTensor<Self> {
        let arguments: [FloatTensor<Self>; ARGUMENTS] = arguments.into_array();
        let node = LuongBackward
            .prepare::<C>(arguments.each_ref().map(|tensor| tensor.node()))
            .compute_bound()
            .stateful();
        let arguments = arguments.map(|tensor| tensor.into_primitive());
        let (states, saved) = B::forward(&arguments, &plan);
        match node {
            OpsKind::Tracked(node) => node.finish(
                State {
                    arguments,
                    saved,
                    plan,
                },
                states,
            ),
            OpsKind::UnTracked(node) => node.finish(states),
        }
    }
}
