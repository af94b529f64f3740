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
        let fall = |ranking: Ranking| {
            let found = model.ranking(ranking).comprehensiveness;
            format!("{:.3} ± {:.3}", found.value, found.half_width)
        };
        let share = model.share.map_or(String::new(), |share| {
            format!(
                ": attention has {:.0} % of what there is to gain over random ones",
                100.0 * share.value
            )
        });
        format!(
            "{verdict} Without the source tokens that it looks at most, the probability of a target token falls by \
             {}, without random ones by {}, without those that matter most by {}{share}. With uniform weights {:.0} % \
             of the steps would put out another token.",
            fall(Ranking::Attention),
            fall(Ranking::Random),
            fall(Ranking::LeaveOneOut),
            100.0 * model.uniform_changed.value,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentence::Sums;

    /// Of five sentences alike: what erasing the first tokens of attention, of leave-one-out and of chance takes, and
    /// the distance with uniform weights.
    fn findings([attention, leave_one_out, random, uniform]: [f64; 4]) -> Findings {
        let mut sums = Sums {
            steps: 1.0,
            uniform_distance: uniform,
            ..Sums::default()
        };
        for (ranking, lost) in [
            (Ranking::Attention, attention),
            (Ranking::LeaveOneOut, leave_one_out),
            (Ranking::Random, random),
        ] {
            sums.rankings[ranking as usize].comprehensiveness = [lost; 5];
        }
        Findings::of(&vec![sums; 5]).unwrap()
    }

    #[test]
    fn each_rule_decides_where_it_is_the_first_that_holds() {
        let floor = findings([0.02, 0.02, 0.01, 0.0]);
        for (numbers, expected) in [
            ([0.8, 0.9, 0.2, 0.5], Verdict::Faithful),
            ([0.8, 0.9, 0.2, 0.05], Verdict::InPart), // the weights do not matter
            ([0.5, 0.9, 0.2, 0.5], Verdict::InPart),  // 3 of 7 are found
            ([0.2, 0.9, 0.2, 0.5], Verdict::NotShown),
            ([0.205, 0.9, 0.2, 0.5], Verdict::NotShown), // so does the floor
            ([0.1, 0.9, 0.2, 0.5], Verdict::Misleading),
        ] {
            let model = findings(numbers);
            let found = Verdict::of(&model, &floor);
            assert_eq!(found, expected, "{numbers:?}: {}", found.sentence(&model));
        }
        let model = findings([0.8, 0.9, 0.2, 0.5]);
        let sentence = Verdict::Faithful.sentence(&model);
        assert!(
            sentence.starts_with("Attention says what this model used. "),
            "{sentence}"
        );
        assert!(
            sentence.contains("by 0.800 ± 0.000") && sentence.contains("86 %"),
            "{sentence}"
        );
    }
}
