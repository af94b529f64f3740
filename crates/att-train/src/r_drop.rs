use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// How far two predictions of the same tokens differ, the mean over the tokens (Wu et al. 2021, "R-Drop",
/// eq. 2):
///
/// ```text
/// (KL(p || q) + KL(q || p)) / 2 = sum_v (p_v - q_v)(log p_v - log q_v) / 2
/// ```
///
/// - `logits`: of p and of q, `[n, vocab]` each
/// - returns `[1]`
pub(crate) fn divergence(logits: [Tensor<2>; 2]) -> Tensor<1> {
    let [log_p, log_q] = logits.map(|logits| log_softmax(logits, 1));
    let difference = log_p.clone().exp() - log_q.clone().exp();
    (difference * (log_p - log_q)).sum_dim(1).mean() * 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn it_is_the_mean_of_both_relative_entropies() {
        let p = [[0.5_f32, 0.25, 0.25], [0.1, 0.6, 0.3]];
        let q = [[0.2_f32, 0.2, 0.6], [0.1, 0.6, 0.3]];
        let entropy =
            |p: &[f32], q: &[f32]| -> f32 { p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum() };
        let expected = (entropy(&p[0], &q[0]) + entropy(&q[0], &p[0])) / 2.0 / 2.0;
        let device = Device::flex();
        // Logits are only known up to a constant.
        let [p, q] = [p, q].map(|p| Tensor::<2>::from_data(p, &device).log() + 3.0);
        let found: f32 = divergence([p.clone(), q]).into_scalar();
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        let same: f32 = divergence([p.clone(), p]).into_scalar();
        assert_eq!(same, 0.0);
    }
}
