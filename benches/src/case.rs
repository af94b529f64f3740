//! One case: an operation on a shape, and the ways to compute it.

use std::fmt;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::Arguments;

/// An operation on a shape.
pub struct Case {
    /// The operation or layer, such as `lstm_layer`.
    pub op: String,
    /// The sizes, such as `64x25x256x512`; with `-ragged` where rows have different lengths.
    pub shape: String,
    /// Makes the arguments on a device, and the ways to compute the operation with them.
    pub variants: MakeVariants,
}

/// The ways to compute an operation, with arguments on a device.
pub type MakeVariants = Box<dyn Fn(&Device) -> Vec<Variant>>;

impl Case {
    /// A case on a shape of these sizes.
    pub fn new(
        op: impl Into<String>,
        sizes: &[usize],
        variants: impl Fn(&Device) -> Vec<Variant> + 'static,
    ) -> Self {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        Self {
            op: op.into(),
            shape: sizes.join("x"),
            variants: Box::new(variants),
        }
    }

    /// The same with a word after the shape.
    pub fn marked(mut self, word: &str) -> Self {
        self.shape = format!("{}-{word}", self.shape);
        self
    }
}

/// What of an operation is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pass {
    /// The result, off the tape.
    Forward,
    /// The result on the tape, and the gradients of its sum by all arguments.
    ForwardBackward,
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::ForwardBackward => "forward+backward",
        })
    }
}

/// One way to compute an operation.
pub struct Variant {
    /// `fused`; `reference`, from plain tensor operations; or the library that it comes from.
    pub name: &'static str,
    passes: Vec<(Pass, Box<dyn Fn()>)>,
}

impl Variant {
    /// A function of tensors.
    pub fn of<A: Arguments + 'static, const D: usize>(
        name: &'static str,
        arguments: &A,
        run: impl Fn(A) -> Tensor<D> + Clone + 'static,
    ) -> Self {
        let (run_on_tape, on_tape) = (run.clone(), arguments.clone());
        let variant = Self::forward_only(name, arguments, run);
        variant.with_backward(move || run_on_tape(on_tape.clone().tracked()))
    }

    /// A fused operation and its reference from plain tensor operations.
    pub fn pair<A: Arguments + 'static, const D: usize>(
        arguments: &A,
        fused: impl Fn(A) -> Tensor<D> + Clone + 'static,
        reference: impl Fn(A) -> Tensor<D> + Clone + 'static,
    ) -> Vec<Self> {
        vec![
            Self::of("fused", arguments, fused),
            Self::of("reference", arguments, reference),
        ]
    }

    /// A function of a module, whose weights also get gradients, and of tensors.
    pub fn of_module<M: Module + 'static, A: Arguments + 'static, const D: usize>(
        name: &'static str,
        module: &M,
        device: &Device,
        arguments: &A,
        run: impl Fn(&M, A) -> Tensor<D> + Clone + 'static,
    ) -> Self {
        let on_tape = module.clone().fork(&device.clone().autodiff());
        let (run_on_tape, tensors) = (run.clone(), arguments.clone());
        let module = module.clone();
        let variant = Self::forward_only(name, arguments, move |a| run(&module, a));
        variant.with_backward(move || run_on_tape(&on_tape, tensors.clone().tracked()))
    }

    /// A function that no gradients are taken of.
    pub fn forward_only<A: Clone + 'static, R>(
        name: &'static str,
        arguments: &A,
        run: impl Fn(A) -> R + 'static,
    ) -> Self {
        let arguments = arguments.clone();
        let forward = Box::new(move || drop(run(arguments.clone())));
        Self {
            name,
            passes: vec![(Pass::Forward, forward)],
        }
    }

    fn with_backward<const D: usize>(mut self, run: impl Fn() -> Tensor<D> + 'static) -> Self {
        let backward = Box::new(move || drop(run().sum().backward()));
        self.passes.push((Pass::ForwardBackward, backward));
        self
    }

    /// What can be timed of it.
    pub fn passes(&self) -> impl Iterator<Item = (Pass, &dyn Fn())> {
        self.passes.iter().map(|(pass, run)| (*pass, &**run))
    }
}
