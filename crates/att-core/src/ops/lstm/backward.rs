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

use super::LstmOps;

/// What the gradient needs besides the gradient of the states.
#[derive(Clone, Debug)]
struct Saved<F> {
    states: F,
    gates: F,
    recurrent: F,
    hidden: F,
    cell: F,
}

#[derive(Debug)]
struct LstmBackward;

impl<B: LstmOps> Backward<B, 4> for LstmBackward {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let saved = ops.state;
        let (d_inputs, d_recurrent, d_hidden, d_cell) = B::lstm_backward(
            grad,
            saved.states,
            saved.gates,
            saved.recurrent,
            saved.hidden,
            saved.cell,
        );
        let gradients = [d_inputs, d_recurrent, d_hidden, d_cell];
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: LstmOps, C: CheckpointStrategy> LstmOps for Autodiff<B, C> {
    fn lstm(
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        cell: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let node = LstmBackward
            .prepare::<C>([inputs.node(), recurrent.node(), hidden.node(), cell.node()])
            .compute_bound()
            .stateful();
        let inputs = inputs.into_primitive();
        let recurrent = recurrent.into_primitive();
        let (hidden, cell) = (hidden.into_primitive(), cell.into_primitive());
        match node {
            OpsKind::Tracked(node) => {
                let (states, gates) =
                    B::lstm_forward(inputs, recurrent.clone(), hidden.clone(), cell.clone());
                let saved = Saved {
                    states: states.clone(),
                    gates,
                    recurrent,
                    hidden,
                    cell,
                };
                node.finish(saved, states)
            }
            OpsKind::UnTracked(node) => node.finish(B::lstm(inputs, recurrent, hidden, cell)),
        }
    }
}
