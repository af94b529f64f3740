//! Orders of a source's tokens.

use serde::Serialize;

/// What tokens of the source are ranked by, at each step of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// The attention weight, the greatest first.
    Attention,
    /// Gradient x input: `sum_d x[s, d] * d log p(y) / d x[s, d]`, x the embedded source (Ding et al. 2019).
    GradientInput,
    /// Integrated gradients of log p(y), from the zero embedding (Sundararajan et al. 2017).
    IntegratedGradients,
    /// `p(y) - p(y | without s)`: the reference.
    LeaveOneOut,
    /// By chance.
    Random,
    /// The attention weight, the least first.
    LeastAttended,
}

impl Ranking {
    /// All, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::Attention,
        Self::GradientInput,
        Self::IntegratedGradients,
        Self::LeaveOneOut,
        Self::Random,
        Self::LeastAttended,
    ];

    /// As tables and charts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::GradientInput => "gradient x input",
            Self::IntegratedGradients => "integrated gradients",
            Self::LeaveOneOut => "leave-one-out",
            Self::Random => "random",
            Self::LeastAttended => "least attended",
        }
    }
}

/// The places of `importance`, the most important first; equals in the order of `ties`, numbers drawn for each
/// place, so that no place is favoured.
pub(crate) fn order(importance: &[f64], ties: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..importance.len()).collect();
    places.sort_by(|&a, &b| {
        let by_importance = importance[b].total_cmp(&importance[a]);
        by_importance.then(ties[a].total_cmp(&ties[b]))
    });
    places
}

/// Kendall's rank correlation with a correction for ties (Kendall 1945):
///
/// ```text
/// tau_b = (concordant - discordant) / sqrt((pairs - tied in a) (pairs - tied in b))
/// ```
///
/// None where either is the same everywhere.
///
/// # Panics
///
/// If there are not as many of both.
pub fn kendall_tau_b(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "one rank of each");
    let (mut sum, mut untied_a, mut untied_b) = (0i64, 0i64, 0i64);
    for i in 0..a.len() {
        for j in 0..i {
            let sign = |of: &[f64]| of[i].total_cmp(&of[j]) as i64;
            let (in_a, in_b) = (sign(a), sign(b));
            sum += in_a * in_b;
            untied_a += in_a.abs();
            untied_b += in_b.abs();
        }
    }
    let pairs = (untied_a as f64 * untied_b as f64).sqrt();
    (pairs > 0.0).then(|| sum as f64 / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_important_come_first_and_equals_by_chance() {
        assert_eq!(order(&[0.1, 0.7, 0.2], &[0.0; 3]), [1, 2, 0]);
        assert_eq!(order(&[0.5, 0.5, 1.0], &[0.9, 0.1, 0.5]), [2, 1, 0]);
    }

    /// The first are an example of `scipy.stats.kendalltau`'s documentation.
    #[test]
    fn tau_is_that_of_scipy() {
        let tau = |a: &[f64], b: &[f64]| kendall_tau_b(a, b).unwrap();
        let a = [12.0, 2.0, 1.0, 12.0, 2.0];
        let b = [1.0, 4.0, 7.0, 1.0, 0.0];
        assert!((tau(&a, &b) + 0.471_404_520_791_031_7).abs() < 1e-12);
        let rising = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(tau(&rising, &rising), 1.0);
        assert_eq!(tau(&rising, &[4.0, 3.0, 2.0, 1.0]), -1.0);
        assert_eq!(kendall_tau_b(&rising, &[1.0; 4]), None);
        assert_eq!(kendall_tau_b(&[1.0], &[2.0]), None);
    }
}
