/// The least attention that a state of the source counts with, so that one that is never looked at costs
/// much and not all.
const LEAST: f64 = 1e-6;

/// The coverage penalty of Wu et al. 2016, eq. 14:
///
/// ```text
/// beta * sum_j log min(sum_t weight[t][j], 1)
/// ```
///
/// over the states j of the source; never above zero. A sum below 1e-6, such as that of sparse weights
/// which never were on a state, counts as 1e-6.
///
/// - `weights`: of each step, EOS the last, those over the states of the memory
pub(super) fn coverage_penalty<'a>(
    beta: f64,
    n_states: usize,
    weights: impl Iterator<Item = &'a [f32]>,
) -> f64 {
    let mut sums = vec![0.0; n_states];
    for weights in weights {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += f64::from(*weight);
        }
    }
    beta * sums
        .into_iter()
        .map(|sum: f64| sum.clamp(LEAST, 1.0).ln())
        .sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_looked_at_costs() {
        let rows = [[0.5f32, 0.5, 0.0], [0.75, 0.0, 0.25]];
        let found = coverage_penalty(0.2, 3, rows.iter().map(|row| row.as_slice()));
        let expected = 0.2 * (1f64.ln() + 0.5f64.ln() + 0.25f64.ln());
        assert!((found - expected).abs() < 1e-12);
        let never = [[1.0f32, 0.0]];
        let found = coverage_penalty(1.0, 2, never.iter().map(|row| row.as_slice()));
        assert!((found - 1e-6f64.ln()).abs() < 1e-12);
    }
}
