//! The node on the tape.

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::{ARGUMENTS, Arguments, BahdanauStepsOps, Plan, Saved, StepsKernel};

#[derive(Debug)]
struct StepsBackward;

impl<B: StepsKernel> Backward<B, ARGUMENTS> for StepsBackward {
    type State = (Arguments<FloatTensor<B>>, Saved<FloatTensor<B>>, Plan);

    fn backward(
        self,
        ops: Ops<Self::State, ARGUMENTS>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let (arguments, saved, plan) = ops.state;
        let gradients = B::backward(grad, arguments, saved, &plan).into_array();
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: StepsKernel, C: CheckpointStrategy> BahdanauStepsOps for Autodiff<B, C> {
    fn bahdanau_steps(
        projected: FloatTensor<Self>,
        of_state: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        v: FloatTensor<Self>,
        memory: FloatTensor<Self>,
        of_context: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        extra: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self> {
        let arguments = [
            projected, of_state, keys, v, memory, of_context, hidden, extra,
        ];
        let node = StepsBackward
            .prepare::<C>(arguments.each_ref().map(|argument| argument.node()))
            .compute_bound()
            .stateful();
        let arguments = Arguments::from_array(arguments.map(|argument| argument.into_primitive()));
        let (out, saved) = B::forward(arguments.clone(), &plan);
        match node {
            OpsKind::Tracked(node) => node.finish((arguments, saved, plan), out),
            OpsKind::UnTracked(node) => node.finish(out),
        }
    }
}
