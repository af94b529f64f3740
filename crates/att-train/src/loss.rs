use burn::tensor::{Int, Tensor, activation::log_softmax};

/// What [`cross_entropy`] computes, each a mean over tokens, `[1]`.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// What training minimises.
    pub loss: Tensor<1>,
    /// Without smoothing; its exponential is the perplexity.
    pub nll: Tensor<1>,
}

/// Cross-entropy with label smoothing (Szegedy et al. 2016, sec. 7), in nats a token:
/// `nll = -mean_i log p_i[gold_i]`,
/// `loss = (1 - smoothing) nll - smoothing mean_i mean_v log p_i[v]`.
///
/// - `logits`: of real positions alone, `[n, vocab]`
/// - `gold`: the tokens that stand there, `[n]`
///
/// # Panics
///
/// If there is not one gold token a position, or no position.
pub fn cross_entropy(logits: Tensor<2>, gold: &[u32], smoothing: f64) -> CrossEntropy {
    let [n, _] = logits.dims();
    assert!(n > 0, "a loss needs at least one token");
    assert_eq!(gold.len(), n, "one gold token a position");
    let gold: Vec<i64> = gold.iter().map(|&id| i64::from(id)).collect();
    let gold = Tensor::<1, Int>::from_data(gold.as_slice(), &logits.device());
    let log_probs = log_softmax(logits, 1);
    let nll = -log_probs.clone().gather(1, gold.unsqueeze_dim(1)).mean();
    let loss = if smoothing > 0.0 {
        nll.clone() * (1.0 - smoothing) - log_probs.mean() * smoothing
    } else {
        nll.clone()
    };
    CrossEntropy { loss, nll }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_formula_holds() {
        let device = Device::flex();
        let p = [[0.5f32, 0.25, 0.25], [0.1, 0.8, 0.1]];
        let logits = Tensor::<2>::from_data(p, &device).log() + 3.0;
        let out = cross_entropy(logits, &[0, 1], 0.1);
        let nll = -(0.5f32.ln() + 0.8f32.ln()) / 2.0;
        let uniform = -p.as_flattened().iter().map(|p| p.ln()).sum::<f32>() / 6.0;
        assert!((out.nll.into_scalar::<f32>() - nll).abs() < 1e-6);
        let loss = 0.9 * nll + 0.1 * uniform;
        assert!((out.loss.into_scalar::<f32>() - loss).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_is_the_difference_of_probabilities() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<2>::from_data([[1.0, 2.0, 0.5]], &device).require_grad();
        let grads = cross_entropy(logits.clone(), &[1], 0.3).loss.backward();
        let gradient = logits.grad(&grads).unwrap().into_data();
        let p = burn::tensor::activation::softmax(logits, 1).into_data();
        let target = [0.1, 0.8, 0.1];
        for ((g, p), q) in gradient.iter::<f32>().zip(p.iter::<f32>()).zip(target) {
            assert!((g - (p - q)).abs() < 1e-6);
        }
    }
}
