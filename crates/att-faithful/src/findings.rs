//! What was found over all sentences.

use att_eval::{Confidence, Resampling};
use serde::Serialize;

use crate::sentence::{RankingSums, Sums};
use crate::{BINS, Ranking, Result};

/// A number over all steps, with its confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// Half the width of its 95 % confidence interval: the bootstrap over sentences.
    pub half_width: f64,
}

impl Figure {
    /// The lower end of the interval.
    pub fn lower(&self) -> f64 {
        self.value - self.half_width
    }

    /// The upper end of the interval.
    pub fn upper(&self) -> f64 {
        self.value + self.half_width
    }
}

/// What was found of one model.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// How many sentences were looked at.
    pub sentences: usize,
    /// Their target tokens, EOS left out.
    pub steps: usize,
    /// The mean probability of a target token.
    pub probability: Figure,
    /// What is expected of [`RankingFindings::finds_top`] by chance.
    pub chance_of_top: f64,
    /// What is expected of [`RankingFindings::finds_true`] by chance; where true sources are known.
    pub chance_of_true: Option<f64>,
    /// Total variation distance of the next token's distribution with uniform weights.
    pub uniform_distance: Figure,
    /// The share of steps whose most probable token is another one with uniform weights.
    pub uniform_changed: Figure,
    /// Of permuted weights, the median over the permutations of a step.
    pub permuted_distance: Figure,
    /// The share of permutations with which the most probable token is another one.
    pub permuted_changed: Figure,
    /// How much more comprehensive the first tokens of attention are than random ones, AOPC.
    pub gain: Figure,
    /// `gain` by that of leave-one-out: the share of what there is to be found.
    pub share: Option<Figure>,
    /// In the order of [`Ranking::ALL`].
    pub rankings: Vec<RankingFindings>,
}

/// What was found of one ranking of the source's tokens.
#[derive(Clone, Debug, Serialize)]
pub struct RankingFindings {
    /// Which.
    pub ranking: Ranking,
    /// What the first tokens add to the probability, `p(y | x) - p(y | x without them)`: the mean over
    /// [`BINS`] (AOPC, DeYoung et al. 2020).
    pub comprehensiveness: Figure,
    /// What they lack, `p(y | x) - p(y | them alone)`, likewise.
    pub sufficiency: Figure,
    /// Comprehensiveness by each of [`BINS`].
    pub comprehensiveness_curve: Vec<f64>,
    /// Sufficiency by each of [`BINS`].
    pub sufficiency_curve: Vec<f64>,
    /// Kendall's tau-b with the attention weights, of the steps that have one.
    pub tau: Option<Figure>,
    /// The share of steps whose first token is the one that matters most by leave-one-out.
    pub finds_top: Figure,
    /// The share of steps whose first token is a true source, of those whose are known.
    pub finds_true: Option<Figure>,
}

impl Findings {
    /// # Errors
    ///
    /// If there is no step.
    pub(crate) fn of(sentences: &[Sums]) -> Result<Self> {
        let by_step = |of: fn(&Sums) -> f64| figure(sentences, |s| [of(s), s.steps]);
        let sum = |of: fn(&Sums) -> f64| sentences.iter().map(of).sum::<f64>();
        let (steps, aligned) = (sum(|s| s.steps), sum(|s| s.aligned_steps));
        let rankings = Ranking::ALL.into_iter().enumerate();
        let rankings = rankings.map(|(i, ranking)| RankingFindings::of(sentences, i, ranking));
        let aopc =
            |s: &Sums, ranking: Ranking| mean(&s.rankings[ranking as usize].comprehensiveness);
        let gains = |s: &Sums| {
            let random = aopc(s, Ranking::Random);
            [Ranking::Attention, Ranking::LeaveOneOut].map(|ranking| aopc(s, ranking) - random)
        };
        Ok(Self {
            sentences: sentences.len(),
            steps: steps as usize,
            probability: by_step(|s| s.probability)?,
            chance_of_top: sum(|s| s.chance_of_top) / steps,
            chance_of_true: (aligned > 0.0).then(|| sum(|s| s.chance_of_true) / aligned),
            uniform_distance: by_step(|s| s.uniform_distance)?,
            uniform_changed: by_step(|s| s.uniform_changed)?,
            permuted_distance: by_step(|s| s.permuted_distance)?,
            permuted_changed: by_step(|s| s.permuted_changed)?,
            gain: figure(sentences, |s| [gains(s)[0], s.steps])?,
            share: figure_of_some(sentences, gains)?,
            rankings: rankings.collect::<Result<_>>()?,
        })
    }

    /// Of one ranking.
    pub fn ranking(&self, ranking: Ranking) -> &RankingFindings {
        &self.rankings[ranking as usize]
    }
}

impl RankingFindings {
    fn of(sentences: &[Sums], i: usize, ranking: Ranking) -> Result<Self> {
        let sums = |s: &Sums| s.rankings[i];
        let by_step = |of: fn(RankingSums) -> f64| figure(sentences, |s| [of(sums(s)), s.steps]);
        let steps: f64 = sentences.iter().map(|s| s.steps).sum();
        let curve = |of: fn(RankingSums) -> [f64; BINS.len()]| {
            let at = |bin: usize| sentences.iter().map(|s| of(sums(s))[bin]).sum::<f64>();
            (0..BINS.len()).map(|bin| at(bin) / steps).collect()
        };
        Ok(Self {
            ranking,
            comprehensiveness: by_step(|sums| mean(&sums.comprehensiveness))?,
            sufficiency: by_step(|sums| mean(&sums.sufficiency))?,
            comprehensiveness_curve: curve(|sums| sums.comprehensiveness),
            sufficiency_curve: curve(|sums| sums.sufficiency),
            tau: figure_of_some(sentences, |s| [sums(s).tau, sums(s).tau_steps])?,
            finds_top: by_step(|sums| sums.is_top)?,
            finds_true: figure_of_some(sentences, |s| [sums(s).is_true, s.aligned_steps])?,
        })
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// The sum of what `of` has first by the sum of what it has second.
fn figure(sentences: &[Sums], of: impl Fn(&Sums) -> [f64; 2]) -> Result<Figure> {
    let rows: Vec<[f64; 2]> = sentences.iter().map(of).collect();
    let ratio = |sums: &[f64]| sums[0] / sums[1];
    let total = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>();
    let confidence = Confidence::bootstrap(&rows, ratio, Resampling::BOOTSTRAP)?;
    Ok(Figure {
        value: total(0) / total(1),
        half_width: confidence.half_width,
    })
}

/// The same; none where the second sum is not above zero.
fn figure_of_some(sentences: &[Sums], of: impl Fn(&Sums) -> [f64; 2]) -> Result<Option<Figure>> {
    let total: f64 = sentences.iter().map(|s| of(s)[1]).sum();
    let found = figure(sentences, of)?;
    Ok((total > 0.0).then_some(found))
}
