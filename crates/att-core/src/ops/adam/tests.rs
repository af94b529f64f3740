use super::*;
use crate::ops::test_support::{assert_close, cpu_devices, random_tensor};
use burn::optim::{AdamConfig, AdamWConfig, Optimizer};

const BETAS: [f32; 2] = [0.9, 0.98];

/// Five steps of `burn`'s optimiser and of ours, with clipped gradients.
fn compare(burn: impl Optimizer, weight_decay: f32) {
    for device in cpu_devices() {
        for shape in [[1, 1], [3, 5], [17, 1001]] {
            crate::random::seed(9);
            let weight = random_tensor(shape, &device);
            let (mut ours, mut theirs) = (weight.clone(), weight);
            let (mut moments, mut state) = ([ours.zeros_like(), ours.zeros_like()], None);
            for time in 1..=5 {
                let grad = random_tensor(shape, &device);
                let (lr, scale) = (0.01 * time as f64, 0.3);
                let step = AdamStep {
                    lr,
                    beta_1: BETAS[0],
                    beta_2: BETAS[1],
                    epsilon: 1e-8,
                    weight_decay,
                    scale,
                    time,
                };
                (ours, moments) = adam_step(ours, grad.clone(), moments, &step);
                (theirs, state) = burn.step(lr, theirs, grad * scale, state);
                assert_close(ours.clone(), theirs.clone(), 1e-6);
            }
        }
    }
}

#[test]
fn steps_equal_those_of_burns_adam() {
    let config = AdamConfig::new()
        .with_beta_1(BETAS[0])
        .with_beta_2(BETAS[1])
        .with_epsilon(1e-8);
    compare(config.build(), 0.0);
}

#[test]
fn with_weight_decay_steps_equal_those_of_burns_adamw() {
    let config = AdamWConfig::new()
        .with_beta_1(BETAS[0])
        .with_beta_2(BETAS[1])
        .with_epsilon(1e-8)
        .with_weight_decay(0.1);
    compare(config.build(), 0.1);
}

#[test]
fn a_weight_that_is_shared_stays_what_it_was() {
    for device in cpu_devices() {
        let weight = Tensor::<2>::ones([2, 3], &device);
        let kept = weight.clone();
        let step = AdamStep {
            lr: 0.1,
            beta_1: 0.9,
            beta_2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.0,
            scale: 1.0,
            time: 1,
        };
        let moments = [weight.zeros_like(), weight.zeros_like()];
        let (stepped, _) = adam_step(weight, kept.clone(), moments, &step);
        assert_close(kept, Tensor::ones([2, 3], &device), 0.0);
        assert_close(stepped, Tensor::full([2, 3], 0.9, &device), 1e-6);
    }
}

#[test]
fn squares_are_summed() {
    for device in cpu_devices() {
        for n in [1, 63, 64, 65, 40_000] {
            crate::random::seed(10);
            let x = random_tensor([n], &device);
            assert_close(square_sum(x.clone()), (x.clone() * x).sum(), 1e-5);
        }
    }
}

#[test]
fn the_generic_bodies_equal_the_kernels() {
    use burn::backend::Flex;
    let device = &cpu_devices()[0];
    crate::random::seed(11);
    let flex = |t: Tensor<2>| t.try_into_primitive::<Flex>().expect("flex");
    let [w, g, m, v] = [(); 4].map(|()| flex(random_tensor([3, 7], device).abs()));
    let step = AdamStep {
        lr: 0.1,
        beta_1: 0.9,
        beta_2: 0.98,
        epsilon: 1e-8,
        weight_decay: 0.1,
        scale: 0.5,
        time: 3,
    };
    let generic = generic::step::<Flex>(w.clone(), g.clone(), m.clone(), v.clone(), step.factors());
    let kernel = Flex::adam_step(w, g.clone(), m, v, step);
    let tensor = Tensor::<2>::from_primitive::<Flex>;
    assert_close(tensor(generic.0), tensor(kernel.0), 1e-6);
    assert_close(tensor(generic.1), tensor(kernel.1), 1e-6);
    assert_close(tensor(generic.2), tensor(kernel.2), 1e-6);
    let sum = Tensor::<1>::from_primitive::<Flex>(generic::square_sum::<Flex>(g.clone()));
    assert_close(sum, square_sum(tensor(g)), 1e-6);
}
