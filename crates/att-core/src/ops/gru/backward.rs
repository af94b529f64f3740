//! One node on the tape for the whole sequence.

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::GruOps;

/// What the gradient needs besides the gradient of the states.
#[derive(Clone, Debug)]
struct Saved<F> {
    states: F,
    gates: F,
    recurrent: F,
    hidden: F,
}

#[derive(Debug)]
struct GruBackward;

impl<B: GruOps> Backward<B, 4> for GruBackward {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let saved = ops.state;
        let (d_inputs, d_recurrent, d_bias, d_hidden) = B::gru_backward(
            grad,
            saved.states,
            saved.gates,
            saved.recurrent,
            saved.hidden,
        );
        let gradients = [d_inputs, d_recurrent, d_bias, d_hidden];
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: GruOps, C: CheckpointStrategy> GruOps for Autodiff<B, C> {
    fn gru(
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let node = GruBackward
            .prepare::<C>([inputs.node(), recurrent.node(), bias.node(), hidden.node()])
            .compute_bound()
            .stateful();
        let inputs = inputs.into_primitive();
        let (recurrent, bias) = (recurrent.into_primitive(), bias.into_primitive());
        let hidden = hidden.into_primitive();
        match node {
            OpsKind::Tracked(node) => {
                let (states, gates) =
                    B::gru_forward(inputs, recurrent.clone(), bias, hidden.clone());
                let saved = Saved {
                    states: states.clone(),
                    gates,
                    recurrent,
                    hidden,
                };
                node.finish(saved, states)
            }
            OpsKind::UnTracked(node) => node.finish(B::gru(inputs, recurrent, bias, hidden)),
        }
    }
}
