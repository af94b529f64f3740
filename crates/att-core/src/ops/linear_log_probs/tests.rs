use super::*;
use crate::ops::test_support::{assert_close, cpu_devices, devices, random_tensor};
use crate::random;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int};

/// Tokens, features and vocabulary; the last is more than two chunks.
const SIZES: [[usize; 3]; 4] = [[1, 1, 1], [4, 3, 1], [33, 16, 37], [600, 9, 53]];

fn gold([n, _, vocab]: [usize; 3]) -> Vec<u32> {
    (0..n).map(|i| ((i * 7 + 3) % vocab) as u32).collect()
}

/// Features, `[vocab, d]` where `tied` or `[d, vocab]`, and bias.
fn arguments(
    [n, d, vocab]: [usize; 3],
    tied: bool,
    device: &Device,
) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
    random::seed(8);
    let shape = if tied { [vocab, d] } else { [d, vocab] };
    (
        random_tensor([n, d], device) * 5.0,
        random_tensor(shape, device),
        random_tensor([vocab], device),
    )
}

/// From plain tensor operations.
fn reference(x: Tensor<2>, w: Tensor<2>, b: Tensor<1>, gold: &[u32]) -> TokenTerms {
    let log_probs = log_softmax(x.matmul(w) + b.unsqueeze(), 1);
    let gold: Vec<i64> = gold.iter().map(|&id| i64::from(id)).collect();
    let gold = Tensor::<1, Int>::from_data(gold.as_slice(), &log_probs.device());
    TokenTerms {
        of_gold: log_probs
            .clone()
            .gather(1, gold.unsqueeze_dim(1))
            .squeeze_dim(1),
        mean: log_probs.mean_dim(1).squeeze_dim(1),
    }
}

#[test]
fn terms_and_gradients_equal_those_of_the_reference() {
    for device in devices() {
        for sizes in SIZES {
            for tied in [false, true] {
                let gold = gold(sizes);
                let of = |fused: bool| {
                    let (x, w, b) = arguments(sizes, tied, &device.clone().autodiff());
                    let leaves = (x.require_grad(), w.require_grad(), b.require_grad());
                    let (x, w, b) = leaves.clone();
                    let w = if tied { w.transpose() } else { w };
                    let terms = if fused {
                        linear_log_probs(x, w, Some(b), &gold)
                    } else {
                        reference(x, w, b, &gold)
                    };
                    // Of a scalar that weighs each token differently.
                    random::seed(9);
                    let n = [sizes[0]];
                    let device = terms.mean.device();
                    let weighed = terms.of_gold.clone() * random_tensor(n, &device)
                        + terms.mean.clone() * random_tensor(n, &device);
                    let grads = weighed.sum().backward();
                    let (x, w, b) = leaves;
                    (
                        terms,
                        x.grad(&grads).unwrap(),
                        w.grad(&grads).unwrap(),
                        b.grad(&grads).unwrap(),
                    )
                };
                let (fused, plain) = (of(true), of(false));
                assert_close(fused.0.of_gold, plain.0.of_gold, 1e-5);
                assert_close(fused.0.mean, plain.0.mean, 1e-5);
                let many = 2e-5 * (sizes[0] as f32).sqrt();
                assert_close(fused.1, plain.1, 1e-5);
                assert_close(fused.2, plain.2, many);
                assert_close(fused.3, plain.3, many);
            }
        }
    }
}

#[test]
fn the_generic_body_equals_the_kernel() {
    use burn::backend::Flex;
    let sizes = [6, 5, 11];
    let device = &cpu_devices()[0];
    let (x, w, b) = arguments(sizes, false, device);
    let x = x.try_into_primitive::<Flex>().expect("flex");
    let w = w.try_into_primitive::<Flex>().expect("flex");
    let b = b.try_into_primitive::<Flex>().expect("flex");
    let grad = random_tensor([6, 2], device);
    let grad = grad.try_into_primitive::<Flex>().expect("flex");
    let gold = gold(sizes);
    fn same<const D: usize>(generic: FloatTensor<Flex>, kernel: FloatTensor<Flex>) {
        let generic = Tensor::<D>::from_primitive::<Flex>(generic);
        assert_close(generic, Tensor::from_primitive::<Flex>(kernel), 1e-5);
    }
    same::<2>(
        generic::terms::<Flex>(x.clone(), w.clone(), b.clone(), &gold),
        Flex::linear_log_probs(x.clone(), w.clone(), b.clone(), &gold),
    );
    let (dx, dw, db) =
        generic::backward::<Flex>(x.clone(), w.clone(), b.clone(), &gold, grad.clone());
    let kernel = Flex::linear_log_probs_backward(x, w, b, &gold, grad);
    same::<2>(dx, kernel.0);
    same::<2>(dw, kernel.1);
    same::<1>(db, kernel.2);
}
