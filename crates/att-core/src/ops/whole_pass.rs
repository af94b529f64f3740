//! An operation on slices that takes sequences through all their steps and gives out several tensors,
//! on the tape: what [`lstm`](super::lstm), [`gru`](super::gru), [`bahdanau`](super::bahdanau) and
//! [`luong`](super::luong) share.
//!
//! A node of burn's tape has one output. So the pass is a node whose output is nothing but one number
//! that nobody reads, and each tensor that is given out is a node upon it. The gradient of such a
//! tensor is laid down for the pass as it comes; of those that nobody used there is none. As parts of
//! one tensor, each would get a gradient of the size of the whole.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

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

    /// The shapes of what is given out.
    fn shapes_of_outputs(shapes: &[Shape; N], plan: &Self::Plan) -> Vec<Shape>;

    /// What is given out, and with `keep` what the gradient needs.
    fn forward(
        arguments: [&[f32]; N],
        shapes: &[Shape; N],
        plan: &Self::Plan,
        keep: bool,
    ) -> (Vec<Vec<f32>>, Vec<Self::Saved>);

    /// The gradients of the N arguments, given those of what was given out (none where it was not
    /// used). Those that are not `wanted` are not read.
    fn backward(
        grads: &[Option<&[f32]>],
        arguments: [&[f32]; N],
        shapes: &[Shape; N],
        saved: Vec<Self::Saved>,
        plan: &Self::Plan,
        wanted: [bool; N],
    ) -> Vec<Vec<f32>>;
}

fn shapes_of<T: TensorMetadata, const N: usize>(tensors: &[T; N]) -> [Shape; N] {
    tensors.each_ref().map(|tensor| tensor.shape())
}

/// What is given out on a CPU backend, and what the gradient needs.
fn forward<P: WholePass<N>, T: HostTensor + TensorMetadata, const N: usize>(
    arguments: [T; N],
    plan: &P::Plan,
    keep: bool,
) -> (Vec<T>, Vec<P::Saved>) {
    let shapes = shapes_of(&arguments);
    let arguments = arguments.map(T::contiguous);
    let slices = arguments.each_ref().map(AsF32::as_f32);
    let (outputs, saved) = P::forward(slices, &shapes, plan, keep);
    let outputs = outputs
        .into_iter()
        .zip(P::shapes_of_outputs(&shapes, plan))
        .map(|(output, shape)| T::from_vec(output, shape))
        .collect();
    (outputs, saved)
}

/// What is given out, off the tape.
pub(super) fn outputs<P: WholePass<N>, B: Backend, const N: usize>(
    arguments: TensorList<B>,
    plan: &P::Plan,
) -> TensorList<B>
where
    FloatTensor<B>: HostTensor,
{
    TensorList(forward::<P, _, N>(arguments.into_array(), plan, false).0)
}

/// What is given out, as nodes on the tape.
pub(super) fn on_tape<P, B, C, const N: usize>(
    arguments: TensorList<Autodiff<B, C>>,
    plan: P::Plan,
) -> TensorList<Autodiff<B, C>>
where
    P: WholePass<N>,
    B: Backend,
    C: CheckpointStrategy,
    FloatTensor<B>: HostTensor,
{
    let arguments = arguments.into_array();
    let nodes = arguments.each_ref().map(|tensor| tensor.node());
    let prepared = Backward::<B, N>::prepare::<C>(PassBackward::<P>(PhantomData), nodes);
    let node = prepared.compute_bound().stateful();
    let arguments = arguments.map(|tensor| tensor.into_primitive());
    let (pass, outputs, grads) = match node {
        OpsKind::Tracked(node) => {
            let (outputs, saved) = forward::<P, _, N>(arguments.clone(), &plan, true);
            let grads = Grads(Arc::new(Mutex::new(vec![None; outputs.len()])));
            let state = State {
                arguments,
                saved,
                plan,
                grads: grads.clone(),
            };
            (node.finish(state, one_number()), outputs, grads)
        }
        OpsKind::UnTracked(node) => {
            let (outputs, _) = forward::<P, _, N>(arguments, &plan, false);
            let grads = Grads(Arc::new(Mutex::new(Vec::new())));
            (node.finish(one_number()), outputs, grads)
        }
    };
    let upon_pass = |(index, output)| {
        let prepared = Backward::<B, 1>::prepare::<C>(OutputBackward, [pass.node()]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish((index, grads.clone()), output),
            OpsKind::UnTracked(node) => node.finish(output),
        }
    };
    TensorList(outputs.into_iter().enumerate().map(upon_pass).collect())
}

/// What stands for a pass on the tape, and for its gradient.
fn one_number<T: HostTensor>() -> T {
    T::from_vec(vec![0.0], Shape::from([1]))
}

/// The gradients of what a pass gave out, as they come.
#[derive(Clone, Debug)]
struct Grads<F>(Arc<Mutex<Vec<Option<F>>>>);

#[derive(Debug)]
struct OutputBackward;

impl<B: Backend> Backward<B, 1> for OutputBackward
where
    FloatTensor<B>: HostTensor,
{
    type State = (usize, Grads<FloatTensor<B>>);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let (index, of_pass) = ops.state;
        let mut of_pass = of_pass.0.lock().unwrap_or_else(PoisonError::into_inner);
        of_pass[index] = Some(grad);
        let [pass] = ops.parents;
        if let Some(pass) = pass {
            grads.register::<B>(pass.id, one_number());
        }
    }
}

#[derive(Debug)]
struct PassBackward<P>(PhantomData<P>);

/// What the gradient of a pass needs besides the gradients of what it gave out.
#[derive(Clone, Debug)]
struct State<F, S, P, const N: usize> {
    arguments: [F; N],
    saved: Vec<S>,
    plan: P,
    grads: Grads<F>,
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
        let State {
            arguments,
            saved,
            plan,
            grads: of_outputs,
        } = ops.state;
        grads.consume::<B>(&ops.node);
        let of_outputs: Vec<_> = {
            let mut all = of_outputs.0.lock().unwrap_or_else(PoisonError::into_inner);
            let grads = all.iter_mut().map(Option::take);
            grads.map(|grad| grad.map(HostTensor::contiguous)).collect()
        };
        let of_outputs: Vec<_> = of_outputs
            .iter()
            .map(|grad| grad.as_ref().map(AsF32::as_f32))
            .collect();
        let shapes = shapes_of(&arguments);
        let arguments = arguments.map(HostTensor::contiguous);
        let slices = arguments.each_ref().map(AsF32::as_f32);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = P::backward(&of_outputs, slices, &shapes, saved, &plan, wanted);
        for ((parent, gradient), shape) in ops.parents.into_iter().zip(gradients).zip(shapes) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, HostTensor::from_vec(gradient, shape));
            }
        }
    }
}
