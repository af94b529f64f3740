use att_eval::{AlignmentErrorRate, Statistics};

use crate::{Alignment, Error, Result};

/// How well the links of a view, such as a head, fit what they are compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fit {
    /// The alignment error rate in percent: less is better.
    Aer(f64),
    /// The [`agreement`], 0 to 1: more is better.
    Agreement(f64),
}

impl Fit {
    /// Which of them fits best; the first among equals.
    pub fn best(of: &[Self]) -> Option<usize> {
        let goodness = |fit: &Self| match fit {
            Self::Aer(error) => -error,
            Self::Agreement(agreement) => *agreement,
        };
        let places = (0..of.len()).rev();
        places.max_by(|&a, &b| goodness(&of[a]).total_cmp(&goodness(&of[b])))
    }
}

/// The alignment error rate of a corpus in percent ([`AlignmentErrorRate`]).
///
/// - `gold`: a line of the Pharaoh format for each alignment, `0p1` where a link is possible and not sure
///
/// # Errors
///
/// [`Error::Gold`] where a line of the gold is not one of links.
///
/// # Panics
///
/// If there is not one line an alignment.
pub fn alignment_error_rate(found: &[Alignment], gold: &[&str]) -> Result<f64> {
    assert_eq!(
        found.len(),
        gold.len(),
        "one line of gold links an alignment"
    );
    if found.is_empty() {
        return Ok(0.0);
    }
    let found: Vec<String> = found.iter().map(Alignment::to_string).collect();
    let gold: Vec<[&str; 1]> = gold.iter().map(|line| [*line]).collect();
    match Statistics::new(&AlignmentErrorRate, &found, &gold) {
        Ok(statistics) => Ok(statistics.score()),
        Err(source) => Err(Error::Gold { source }),
    }
}

/// How many links two alignments of a corpus share, 0 to 1 (Dice's coefficient, of the whole corpus; the
/// agreement of two directions in Liang et al. 2006):
///
/// ```text
/// agreement = 2 sum_i |a_i with b_i| / sum_i (|a_i| + |b_i|)
/// ```
///
/// 1 where neither has a link.
///
/// ```
/// use att_inspect::{Alignment, agreement};
///
/// let (a, b): (Alignment, Alignment) = ("0-0 1-1".parse()?, "1-1 2-2".parse()?);
/// assert_eq!(agreement(&[a], &[b]), 0.5);
/// # Ok::<(), att_inspect::Error>(())
/// ```
///
/// # Panics
///
/// If the corpora are not equally long.
pub fn agreement(a: &[Alignment], b: &[Alignment]) -> f64 {
    assert_eq!(a.len(), b.len(), "alignments of the same sentences");
    let (mut shared, mut all) = (0, 0);
    for (a, b) in a.iter().zip(b) {
        shared += a.links.iter().filter(|link| b.links.contains(link)).count();
        all += a.links.len() + b.links.len();
    }
    match all {
        0 => 1.0,
        all => 2.0 * shared as f64 / all as f64,
    }
}

/// For each of several views the mean [`agreement`] of its links with those of the views at `judges`, such as
/// all heads, itself left out: what has nothing else to be compared with is best where most heads find it, too.
/// That many heads agree does not make them right: where most look at one token only, so will the best.
///
/// 1 where there is no other to judge.
///
/// # Panics
///
/// If the corpora are not equally long, or a judge is no view.
pub fn mutual_agreement(views: &[Vec<Alignment>], judges: &[usize]) -> Vec<f64> {
    let mean = |(view, links): (usize, &Vec<Alignment>)| {
        let others = judges.iter().filter(|judge| **judge != view);
        let agreements: Vec<f64> = others
            .map(|&judge| agreement(links, &views[judge]))
            .collect();
        match agreements.len() {
            0 => 1.0,
            n => agreements.iter().sum::<f64>() / n as f64,
        }
    };
    views.iter().enumerate().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alignments(lines: &[&str]) -> Vec<Alignment> {
        lines.iter().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn the_error_rate_knows_possible_links() {
        let found = alignments(&["0-0 1-1", "2-1"]);
        let rate = alignment_error_rate(&found, &["0-0 1p1", "0-0"]).unwrap();
        // 1 sure and 2 possible of 3 + 2.
        assert!((rate - 40.0).abs() < 1e-9, "{rate}");
        let error = alignment_error_rate(&found, &["0-0", "0:0"]).unwrap_err();
        assert!(error.to_string().contains("`0:0`"), "{error}");
        assert_eq!(alignment_error_rate(&[], &[]).unwrap(), 0.0);
    }

    #[test]
    fn views_that_agree_with_most_are_best() {
        let views = ["0-0 1-1", "0-0 1-1", "0-0 1-2", "3-3"].map(|line| alignments(&[line]));
        let found = mutual_agreement(&views, &[0, 1, 2, 3]);
        assert_eq!(found, [0.5, 0.5, 1.0 / 3.0, 0.0]);
        let fits: Vec<Fit> = found.into_iter().map(Fit::Agreement).collect();
        assert_eq!(Fit::best(&fits), Some(0));
        assert_eq!(mutual_agreement(&views, &[2, 3])[..3], [0.25, 0.25, 0.0]);
        assert_eq!(mutual_agreement(&views[..1], &[0]), [1.0]);
        assert_eq!(agreement(&alignments(&[""]), &alignments(&[""])), 1.0);
        assert_eq!(
            Fit::best(&[Fit::Aer(30.0), Fit::Aer(20.0), Fit::Aer(20.0)]),
            Some(1)
        );
        assert_eq!(Fit::best(&[]), None);
    }
}
