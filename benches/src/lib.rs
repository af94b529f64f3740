//! What the benchmarks share: the devices compiled in, random tensors on them, and how a fused
//! operation is timed against its reference.
//!
//! `cargo bench -p att-bench` runs all on the CPU backends; `--features wgpu` or `cuda` adds a GPU;
//! a word after `--`, such as `flex` or `backward`, picks those whose name has it.

use att_core::{DeviceSpec, random};
use burn::tensor::{Device, Tensor, TensorData};
use criterion::Criterion;

/// The devices whose backend is compiled in.
pub fn devices() -> Vec<(DeviceSpec, Device)> {
    let all = [
        DeviceSpec::Flex,
        DeviceSpec::NdArray,
        DeviceSpec::Wgpu(None),
        DeviceSpec::Cuda(0),
    ];
    all.into_iter()
        .filter_map(|spec| Some((spec, spec.init().ok()?)))
        .collect()
}

/// Normal numbers.
pub fn tensor<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let data = random::normal(shape.iter().product(), 1.0);
    Tensor::from_data(TensorData::new(data, shape), device)
}

/// A matrix that makes numbers of the size of what it is multiplied with.
pub fn matrix(rows: usize, cols: usize, device: &Device) -> Tensor<2> {
    tensor([rows, cols], device) * (1.0 / (rows as f64).sqrt())
}

/// The lengths of a ragged batch: from half of `len` to the whole.
pub fn lengths(batch: usize, len: usize) -> Vec<usize> {
    (0..batch).map(|row| len - row % (len / 2).max(1)).collect()
}

/// Waits until a device has done its work.
pub fn finish(device: &Device) {
    device.sync().expect("the device works");
}

/// Tensors that an operation takes: one, or a tuple of them, or of tuples.
pub trait Arguments: Clone {
    /// The same on the tape, each tracked.
    fn tracked(self) -> Self;
}

impl<const D: usize> Arguments for Tensor<D> {
    fn tracked(self) -> Self {
        self.autodiff().require_grad()
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Arguments),+> Arguments for ($($name,)+) {
            #[allow(non_snake_case)] // the names of the types serve as those of the values
            fn tracked(self) -> Self {
                let ($($name,)+) = self;
                ($($name.tracked(),)+)
            }
        }
    };
}

tuples!(A B);
tuples!(A B C);
tuples!(A B C E);

/// Times a fused operation and its reference, forward, and forward with the gradients of all
/// arguments: `<op>/<forward|forward+backward>/<fused|reference>/<device>/<shape>`.
pub fn compare<A: Arguments, const D: usize>(
    c: &mut Criterion,
    op: &str,
    (spec, device): &(DeviceSpec, Device),
    shape: &[usize],
    arguments: &A,
    fused: impl Fn(A) -> Tensor<D>,
    reference: impl Fn(A) -> Tensor<D>,
) {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let shape = shape.join("x");
    let variants: [(&str, &dyn Fn(A) -> Tensor<D>); 2] =
        [("fused", &fused), ("reference", &reference)];
    for (variant, run) in variants {
        let id = |pass: &str| format!("{op}/{pass}/{variant}/{spec}/{shape}");
        c.bench_function(&id("forward"), |b| {
            b.iter(|| {
                let output = run(arguments.clone());
                finish(device);
                output
            });
        });
        c.bench_function(&id("forward+backward"), |b| {
            b.iter(|| {
                let gradients = run(arguments.clone().tracked()).sum().backward();
                finish(device);
                gradients
            });
        });
    }
}
