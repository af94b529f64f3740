//! One node on the tape for all steps, of one direction or of both.

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::{Cell, Memory, Pass, RecurrentKernel, RecurrentOps, Sequences};

/// What the gradient needs besides the gradient of the states.
#[derive(Clone, Debug)]
struct Saved<F> {
    cell: Cell,
    recurrent: Vec<F>,
    memories: Vec<Memory<F>>,
    sequences: Sequences,
}

#[derive(Debug)]
struct RecurrentBackward;

/// `N` is four arguments a direction.
impl<B: RecurrentKernel, const N: usize> Backward<B, N> for RecurrentBackward {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let Saved {
            cell,
            recurrent,
            memories,
            sequences,
        } = ops.state;
        let gradients = B::recurrent_backward(cell, grad, recurrent, memories, &sequences)
            .into_iter()
            .flat_map(|pass| [pass.inputs, pass.recurrent, pass.hidden, pass.extra]);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

fn on_tape<B: RecurrentKernel, C: CheckpointStrategy, const N: usize>(
    cell: Cell,
    arguments: [FloatTensor<Autodiff<B, C>>; N],
    sequences: Sequences,
) -> FloatTensor<Autodiff<B, C>> {
    let node = RecurrentBackward
        .prepare::<C>(arguments.each_ref().map(|argument| argument.node()))
        .compute_bound()
        .stateful();
    let mut arguments = arguments.into_iter().map(|a| a.into_primitive());
    let mut passes = Vec::with_capacity(N / 4);
    while let (Some(inputs), Some(recurrent), Some(hidden), Some(extra)) = (
        arguments.next(),
        arguments.next(),
        arguments.next(),
        arguments.next(),
    ) {
        passes.push(Pass {
            inputs,
            recurrent,
            hidden,
            extra,
        });
    }
    match node {
        OpsKind::Tracked(node) => {
            let recurrent = passes.iter().map(|pass| pass.recurrent.clone()).collect();
            let (states, memories) = B::recurrent_forward(cell, passes, &sequences, true);
            let saved = Saved {
                cell,
                recurrent,
                memories,
                sequences,
            };
            node.finish(saved, states)
        }
        OpsKind::UnTracked(node) => {
            node.finish(B::recurrent_forward(cell, passes, &sequences, false).0)
        }
    }
}

impl<B: RecurrentKernel, C: CheckpointStrategy> RecurrentOps for Autodiff<B, C> {
    fn one_direction(
        cell: Cell,
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        extra: FloatTensor<Self>,
        sequences: Sequences,
    ) -> FloatTensor<Self> {
        on_tape::<B, C, 4>(cell, [inputs, recurrent, hidden, extra], sequences)
    }

    fn two_directions(
        cell: Cell,
        inputs: FloatTensor<Self>,
        recurrent: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        extra: FloatTensor<Self>,
        second_inputs: FloatTensor<Self>,
        second_recurrent: FloatTensor<Self>,
        second_hidden: FloatTensor<Self>,
        second_extra: FloatTensor<Self>,
        sequences: Sequences,
    ) -> FloatTensor<Self> {
        let arguments = [
            inputs,
            recurrent,
            hidden,
            extra,
            second_inputs,
            second_recurrent,
            second_hidden,
            second_extra,
        ];
        on_tape::<B, C, 8>(cell, arguments, sequences)
    }
}
