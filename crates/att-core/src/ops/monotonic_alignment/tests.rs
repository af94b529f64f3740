use super::*;
use crate::ops::test_support::{
    assert_close, assert_slopes, cpu_devices, devices, gradients, random_tensor,
};
use burn::tensor::Device;

const SHAPES: [[usize; 3]; 4] = [[1, 1, 1], [2, 3, 5], [3, 1, 40], [1, 2, 130]];

/// Probabilities, and a previous alignment that sums to one.
fn arguments(shape: [usize; 3], device: &Device) -> [Tensor<3>; 2] {
    crate::random::seed(8);
    let sigmoid = burn::tensor::activation::sigmoid::<3>;
    let p = sigmoid(random_tensor(shape, device) * 10.0 - 1.0);
    let weights = burn::tensor::activation::softmax(random_tensor(shape, device) * 10.0, 2);
    [p, weights]
}

fn run([p, previous]: [Tensor<3>; 2]) -> Tensor<3> {
    monotonic_alignment(p, previous)
}

fn reference([p, previous]: [Tensor<3>; 2]) -> Tensor<3> {
    monotonic_alignment_reference(p, previous)
}

#[test]
fn kernels_equal_the_reference_with_gradients() {
    for device in devices() {
        for shape in SHAPES {
            let arguments = arguments(shape, &device);
            assert_close(run(arguments.clone()), reference(arguments.clone()), 1e-5);
            let fused = gradients(arguments.clone(), run);
            for (fused, plain) in fused.into_iter().zip(gradients(arguments, reference)) {
                assert_close(fused, plain, 1e-4);
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for device in cpu_devices() {
        for shape in SHAPES {
            assert_slopes(arguments(shape, &device), run);
        }
    }
}

#[test]
fn a_sure_head_stops_at_the_first_state_that_it_takes() {
    for device in devices() {
        let p = [[
            [0.0, 1.0, 0.0, 1.0],
            [1.0, 0.0, 0.0, 1.0],
            [1.0, 1.0, 0.0, 0.0],
        ]];
        let from = [[
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
        ]];
        // The last one finds none from where it stands, and has left the source.
        let to = [[
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
            [0.0, 0.0, 0.0, 0.0],
        ]];
        let found = run([
            Tensor::from_data(p, &device),
            Tensor::from_data(from, &device),
        ]);
        assert_close(found, Tensor::from_data(to, &device), 1e-6);
    }
}

#[test]
fn what_never_stops_and_what_always_does_stay_finite() {
    for device in cpu_devices() {
        let p = Tensor::<3>::from_data([[[1.0, 1.0, 0.0, 1.0]]], &device);
        let previous = Tensor::full([1, 1, 4], 0.25, &device);
        for gradient in gradients([p, previous], run) {
            assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
        }
    }
}
