//! What the findings come to, in a sentence.

use serde::Serialize;

use crate::{Findings, Ranking};

/// Share of what there is to be found that faithful attention finds at least.
const GREAT_SHARE: f64 = 0.8;
/// Distance of the next token's distribution with uniform weights from which on the weights matter.
const WEIGHTS_MATTER: f64 = 0.1;

/// Whether attention says what a model used. Each rule looks at the 95 % confidence intervals, the first that
/// holds decides:
///
/// | verdict | rule |
/// | --- | --- |
/// | misleading | the [gain](Findings::gain) of attention over random tokens is below zero |
/// | not shown | the interval of the gain has zero in it, or meets that of random weights |
/// | faithful | attention has 80 % or more of the gain of leave-one-out ([share](Findings::share)), and uniform weights move the next token's distribution by 0.1 or more |
/// | in part | else |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The most attended tokens are those that matter, and the weights matter to the output.
    Faithful,
    /// They matter more than others, but others would be found that matter more, or the output hardly depends
    /// on the weights.
    InPart,
    /// They matter no more than random ones, as far as can be told, or no more than those of a model with random
    /// weights.
    NotShown,
    /// They matter less than random ones.
    Misleading,
}

impl Verdict {
    /// Of a model, beside the same with random weights.
    pub fn of(model: &Findings, floor: &Findings) -> Self {
        let gain = model.gain;
        let share = model.share.map_or(0.0, |share| share.value);
        if gain.upper() < 0.0 {
            Self::Misleading
        } else if gain.lower() <= 0.0 || gain.lower() <= floor.gain.upper() {
            Self::NotShown
        } else if share >= GREAT_SHARE && model.uniform_distance.lower() >= WEIGHTS_MATTER {
            Self::Faithful
        } else {
            Self::InPart
        }
    }

    /// The verdict with the figures that it comes from, in plain words.
    pub fn sentence(self, model: &Findings) -> String {
        let verdict = match self {
            Self::Faithful => "Attention says what this model used.",
            Self::InPart => "Attention says in part what this model used.",
            Self::NotShown => "That attention says what this model used is not shown.",
            Self::Misleading => "Attention does not say what this model used: it looks elsewhere.",
        };
        let taken = |ranking: Ranking| {
            let found = model.ranking(ranking).comprehensiveness;
            format!("{:.3} ± {:.3}", found.value, found.half_width)
        };
        let share = model.share.map_or(String::new(), |share| {
            format!(
                ", which is {:.0} % of what there is to gain over random ones",
                100.0 * share.value
            )
        });
        format!(
            "{verdict} Without the source tokens that it looks at most, a target token loses {} of its \
             probability, without random ones {}, without those that matter most {}{share}. With uniform weights \
             {:.0} % of the steps would put out another token.",
            taken(Ranking::Attention),
            taken(Ranking::Random),
            taken(Ranking::LeaveOneOut),
            100.0 * model.uniform_changed.value,
        )
    }
}
