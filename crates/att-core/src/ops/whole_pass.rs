//! A decoder's whole pass on slices, as one node on the tape: what [`bahdanau`](super::bahdanau) and
//! [`luong`](super::luong) share.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::{
    Backend, TensorMetadata,
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};
use burn::tensor::Shape;

use super::host::{AsF32, HostTensor};
use super::tensor_list::TensorList;

/// A pass over N arguments that have gradients.
pub(super) trait WholePass<const N: usize>: Debug + Send + 'static {
    /// What it knows besides its arguments.
    type Plan: Clone + Debug + Send + 'static;
    /// What the gradient needs of the rows that one thread took.
    type Saved: Clone + Debug + Send + 'static;

    /// The shape of the states.
    fn shape_of_states(shapes: &[Shape; N], plan: &Self::Plan) -> Shape;

    /// The states, and what the gradient needs.
    fn forward(
        arguments: [&[f32]; N],
        shapes: &[Shape; N],
        plan: &Self::Plan,
    ) -> (Vec<f32>, Vec<Self::Saved>);

    /// The gradients of the arguments, given that of the states.
    fn backward(
        grad: &[f32],
        arguments: [&[f32]; N],
        shapes: &[Shape; N],
        saved: Vec<Self::Saved>,
        plan: &Self::Plan,
    ) -> [Vec<f32>; N];
}

fn shapes_of<T: TensorMetadata, const N: usize>(tensors: &[T; N]) -> [Shape; N] {
    tensors.each_ref().map(|tensor| tensor.shape())
}

/// The states on a CPU backend, and what the gradient needs.
fn forward<P: WholePass<N>, T: HostTensor + TensorMetadata, const N: usize>(
    arguments: [T; N],
    plan: &P::Plan,
) -> (T, Vec<P::Saved>) {
    let shapes = shapes_of(&arguments);
    let arguments = arguments.map(T::contiguous);
    let slices = arguments.each_ref().map(AsF32::as_f32);
    let (states, saved) = P::forward(slices, &shapes, plan);
    (
        T::from_vec(states, P::shape_of_states(&shapes, plan)),
        saved,
    )
}

/// The states alone.
pub(super) fn states<P: WholePass<N>, B: Backend, const N: usize>(
    arguments: TensorList<B>,
    plan: &P::Plan,
) -> FloatTensor<B>
where
    FloatTensor<B>: HostTensor,
{
    forward::<P, _, N>(arguments.into_array(), plan).0
}

/// The states as a node on the tape.
pub(super) fn on_tape<P, B, C, const N: usize>(
    arguments: TensorList<Autodiff<B, C>>,
    plan: P::Plan,
) -> FloatTensor<Autodiff<B, C>>
where
    P: WholePass<N>,
    B: Backend,
    C: CheckpointStrategy,
    FloatTensor<B>: HostTensor,
{
    let arguments = arguments.into_array();
    let node = PassBackward::<P>(PhantomData)
        .prepare::<C>(arguments.each_ref().map(|tensor| tensor.node()))
        .compute_bound()
        .stateful();
    let arguments = arguments.map(|tensor| tensor.into_primitive());
    match node {
        OpsKind::Tracked(node) => {
            let (states, saved) = forward::<P, _, N>(arguments.clone(), &plan);
            let state = State {
                arguments,
                saved,
                plan,
            };
            node.finish(state, states)
        }
        OpsKind::UnTracked(node) => node.finish(forward::<P, _, N>(arguments, &plan).0),
    }
}

#[derive(Debug)]
struct PassBackward<P>(PhantomData<P>);

/// What the gradient needs besides the gradient of the states.
#[derive(Clone, Debug)]
struct State<F, S, P, const N: usize> {
    arguments: [F; N],
    saved: Vec<S>,
    plan: P,
}

impl<P, B, const N: usize> Backward<B, N> for PassBackward<P>
where
    P: WholePass<N>,
    B: Backend,
    FloatTensor<B>: HostTensor,
{
    type State = State<FloatTensor<B>, P::Saved, P::Plan, N>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node).contiguous();
        let State {
            arguments,
            saved,
            plan,
        } = ops.state;
        let shapes = shapes_of(&arguments);
        let arguments = arguments.map(HostTensor::contiguous);
        let slices = arguments.each_ref().map(AsF32::as_f32);
        let gradients = P::backward(grad.as_f32(), slices, &shapes, saved, &plan);
        for ((parent, gradient), shape) in ops.parents.into_iter().zip(gradients).zip(shapes) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, HostTensor::from_vec(gradient, shape));
            }
        }
    }
}
