//! What the benchmarks share: the devices compiled in, and random tensors on them.
//!
//! `cargo bench -p att-bench` runs all on the CPU backends; `--features wgpu` or `cuda` adds a GPU;
//! a word after `--`, such as `flex` or `backward`, picks those whose name has it.

use att_core::{DeviceSpec, random};
use burn::tensor::{Device, Tensor, TensorData};

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

/// Waits until a device has done its work.
pub fn finish(device: &Device) {
    device.sync().expect("the device works");
}
