//! What the tests of the operations share.

use burn::tensor::{Device, Tensor, TensorData};

use crate::{DeviceSpec, random};

/// The CPU devices, with gradients.
pub(super) fn cpu_devices() -> Vec<Device> {
    [DeviceSpec::Flex, DeviceSpec::NdArray]
        .map(|spec| spec.init().expect("compiled in for tests"))
        .into()
}

/// The CPU devices, and those of [`gpus`].
pub(super) fn devices() -> Vec<Device> {
    let mut devices = cpu_devices();
    devices.extend(gpus());
    devices
}

/// A GPU of each kind that is compiled in and there; where one is compiled in, one must be there, or a
/// software driver in its place.
pub(super) fn gpus() -> Vec<Device> {
    let compiled_in = cfg!(any(feature = "wgpu", feature = "cuda"));
    let kinds = [DeviceSpec::Wgpu(None), DeviceSpec::Cuda(0)];
    let found: Vec<Device> = kinds.iter().filter_map(|spec| spec.init().ok()).collect();
    assert!(
        !compiled_in || !found.is_empty(),
        "no GPU, nor a software Vulkan driver"
    );
    found
}

/// Normal numbers of deviation 0.3 from the thread's generator.
pub(super) fn random_tensor<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let data = random::normal(shape.iter().product(), 0.3);
    Tensor::from_data(TensorData::new(data, shape), device)
}

/// The tolerance where products are exact but for f32's own rounding; on CUDA burn rounds their factors
/// to ten bits of mantissa (TF32).
pub(super) fn tolerance_on(device: &Device, tolerance: f32) -> f32 {
    const OF_TF32: f32 = 4e-3;
    let is_cuda = DeviceSpec::Cuda(0)
        .init()
        .is_ok_and(|cuda| cuda == device.clone().inner());
    if is_cuda {
        tolerance.max(OF_TF32)
    } else {
        tolerance
    }
}

/// Asserts `|a - b| <= tolerance * max(1, |b|)` everywhere; see [`tolerance_on`].
pub(super) fn assert_close<const D: usize>(a: Tensor<D>, b: Tensor<D>, tolerance: f32) {
    assert_eq!(a.dims(), b.dims());
    let tolerance = tolerance_on(&a.device(), tolerance);
    let (a, b) = (a.into_data(), b.into_data());
    for (i, (a, b)) in a.iter::<f32>().zip(b.iter::<f32>()).enumerate() {
        let error = (a - b).abs() / b.abs().max(1.0);
        assert!(error <= tolerance, "element {i}: {a} against {b}");
    }
}

/// The gradients of a scalar that weighs each output differently.
pub(super) fn gradients<const N: usize>(
    arguments: [Tensor<3>; N],
    f: impl Fn([Tensor<3>; N]) -> Tensor<3>,
) -> Vec<Tensor<3>> {
    let arguments = arguments.map(|tensor| tensor.autodiff().require_grad());
    let out = f(arguments.clone());
    random::seed(99);
    let weights = random_tensor(out.dims(), &out.device());
    let grads = (out * weights).sum().backward();
    arguments
        .iter()
        .map(|tensor| tensor.grad(&grads).expect("every argument has a gradient"))
        .collect()
}

/// Asserts that the gradients of `f` are its slopes: central differences of the same scalar as in
/// [`gradients`], at up to 24 elements an argument.
pub(super) fn assert_slopes<const N: usize>(
    arguments: [Tensor<3>; N],
    f: impl Fn([Tensor<3>; N]) -> Tensor<3>,
) {
    let found = gradients(arguments.clone(), &f);
    let value = |arguments: &[Tensor<3>; N]| {
        let out = f(arguments.clone());
        random::seed(99);
        let weights = random_tensor(out.dims(), &out.device());
        let products = (out * weights).into_data();
        products.iter::<f32>().map(f64::from).sum::<f64>()
    };
    const H: f64 = 1e-2;
    for (n, gradient) in found.into_iter().enumerate() {
        let gradient: Vec<f32> = gradient.into_data().iter().collect();
        for i in (0..gradient.len()).step_by(gradient.len().div_ceil(24)) {
            let moved = |by: f64| {
                let (shape, device) = (arguments[n].dims(), arguments[n].device());
                let mut numbers: Vec<f32> = arguments[n].to_data().iter().collect();
                numbers[i] += by as f32;
                let mut arguments = arguments.clone();
                arguments[n] = Tensor::from_data(TensorData::new(numbers, shape), &device);
                value(&arguments)
            };
            let slope = (moved(H) - moved(-H)) / (2.0 * H);
            let error = (slope - f64::from(gradient[i])).abs();
            assert!(
                error < 1e-3 * slope.abs().max(1.0),
                "argument {n}, element {i}: {slope} against {}",
                gradient[i]
            );
        }
    }
}
