use att_core::ops::Choice;
use att_core::special::{BOS, EOS, PAD, UNK};
use att_core::{Error, Result, check};
use serde::{Deserialize, Serialize};

use super::{LengthPenalty, Request, StrategyConfig};

/// The widest beam: beyond it lies a typing error.
pub const MAX_BEAM_SIZE: usize = 1024;

/// How to search; the same for every source, whatever batch it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// How the next token is chosen; by beam search unless told.
    pub strategy: StrategyConfig,
    /// How many hypotheses are kept at each step; 5 unless told, 1 is greedy.
    pub beam_size: usize,
    /// How many hypotheses come back, at most `beam_size`; fewer where they coincide: all differ. 1
    /// unless told.
    pub n_best: usize,
    /// Divides the log-probability; none unless told.
    pub length_penalty: LengthPenalty,
    /// beta, the weight of the coverage penalty `beta * sum_j log min(sum_t weight[t][j], 1)` over the
    /// states of the source, which is added to the score (Wu et al. 2016, eq. 14); needs attention. 0, no
    /// penalty, unless told.
    pub coverage_penalty: f64,
    /// theta, which makes tokens less probable that the hypothesis already has: their scores are divided
    /// by it, negative ones multiplied (Keskar et al. 2019, sec. 4.1). 1, no penalty, unless told.
    pub repetition_penalty: f64,
    /// n, where no n tokens may stand in a target twice (Paulus et al. 2018, sec. 2.5); 0, as unless told,
    /// allows all. A prefix and constraints count more.
    pub no_repeat_ngram: usize,
    /// Whether UNK never comes out; false unless told.
    pub suppress_unk: bool,
    /// The least number of tokens, EOS not counted; 0 unless told.
    pub min_len: usize,
    /// The least number of tokens for each source token; 0 unless told.
    pub min_len_ratio: f64,
    /// The greatest number of tokens, EOS not counted; 256 unless told.
    pub max_len: usize,
    /// The greatest number of tokens for each source token, to which 10 are added; 3 unless told.
    pub max_len_ratio: f64,
    /// Whether an UNK in the text that comes out becomes the source token with the greatest attention
    /// weight at its step, EOS left out (Jean et al. 2015, sec. 5.1; Luong et al. 2015, sec. 4.1); false
    /// unless told. Search itself does not read it: whoever makes text of the tokens does.
    pub replace_unk: bool,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            strategy: StrategyConfig::default(),
            beam_size: 5,
            n_best: 1,
            length_penalty: LengthPenalty::None,
            coverage_penalty: 0.0,
            repetition_penalty: 1.0,
            no_repeat_ngram: 0,
            suppress_unk: false,
            min_len: 0,
            min_len_ratio: 0.0,
            max_len: 256,
            max_len_ratio: 3.0,
            replace_unk: false,
        }
    }
}

impl SearchConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("beam_size", self.beam_size)?;
        if self.beam_size > MAX_BEAM_SIZE {
            let reason = format!("{} is more than {MAX_BEAM_SIZE}", self.beam_size);
            return Err(Error::config("beam_size", reason));
        }
        check::size("n_best", self.n_best)?;
        check::size("max_len", self.max_len)?;
        if self.strategy.sampling().is_some() {
            if self.n_best > MAX_BEAM_SIZE {
                let reason = format!("{} samples are more than {MAX_BEAM_SIZE}", self.n_best);
                return Err(Error::config("n_best", reason));
            }
        } else if self.n_best > self.beam_size {
            let reason = format!(
                "{} hypotheses can't come from a beam of {}: raise beam_size, or lower n_best",
                self.n_best, self.beam_size
            );
            return Err(Error::config("n_best", reason));
        }
        if self.min_len > self.max_len {
            let reason = format!("{} exceeds max_len = {}", self.min_len, self.max_len);
            return Err(Error::config("min_len", reason));
        }
        for (key, ratio) in [
            ("min_len_ratio", self.min_len_ratio),
            ("max_len_ratio", self.max_len_ratio),
        ] {
            if !(ratio >= 0.0 && ratio.is_finite()) {
                let reason = format!("{ratio} is not a ratio of lengths");
                return Err(Error::config(key, reason));
            }
        }
        check::not_negative("coverage_penalty", self.coverage_penalty)?;
        check::positive("repetition_penalty", self.repetition_penalty)?;
        let alpha = self.length_penalty.alpha();
        if !(alpha >= 0.0 && alpha.is_finite()) {
            let reason = format!("alpha = {alpha} must be at least 0");
            return Err(Error::config("length_penalty", reason));
        }
        self.strategy.validate(self.beam_size)
    }

    /// # Errors
    ///
    /// If a setting needs attention, for a decoder without.
    pub fn validate_without_attention(&self) -> Result<()> {
        if self.coverage_penalty == 0.0 {
            return Ok(());
        }
        let reason = "a model without attention covers nothing: leave it out";
        Err(Error::config("coverage_penalty", reason))
    }

    /// How a hypothesis of `len` tokens may go on: along its prefix, never with PAD and BOS, with EOS not
    /// before the least length, and with nothing else at the greatest or behind a whole target.
    pub(super) fn choice(
        &self,
        request: &Request,
        len: usize,
        bounds: &LengthBounds,
    ) -> Choice<'static> {
        match (request.prefix.get(len), self.suppress_unk) {
            (Some(&next), _) => Choice::Only(next),
            _ if request.complete || len >= bounds.max => Choice::Only(EOS),
            (_, true) if len < bounds.min => Choice::Except(&[PAD, BOS, UNK, EOS]),
            (_, true) => Choice::Except(&[PAD, BOS, UNK]),
            (_, false) if len < bounds.min => Choice::Except(&[PAD, BOS, EOS]),
            (_, false) => Choice::Except(&[PAD, BOS]),
        }
    }

    /// The least and the greatest number of tokens for a source of `src_len`, EOS not counted:
    ///
    /// ```text
    /// max = min(max_len, max_len_ratio * src_len + 10), and no less than min_len
    /// min = max(min_len, min_len_ratio * src_len),      and no more than max
    /// ```
    pub fn bounds_for(&self, src_len: usize) -> LengthBounds {
        let times = |ratio: f64| (ratio * src_len as f64) as usize;
        let max = self
            .max_len
            .min(times(self.max_len_ratio).saturating_add(10))
            .max(self.min_len);
        let min = self.min_len.max(times(self.min_len_ratio)).min(max);
        LengthBounds { min, max }
    }
}

/// How many tokens a target may have, EOS not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthBounds {
    /// At least.
    pub min: usize,
    /// At most.
    pub max: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let default = SearchConfig::default();
        assert!(default.validate().is_ok());
        let refused = |config: SearchConfig, key: &str| {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        refused(
            SearchConfig {
                beam_size: 0,
                ..default.clone()
            },
            "beam_size",
        );
        refused(
            SearchConfig {
                n_best: 6,
                ..default.clone()
            },
            "n_best",
        );
        refused(
            SearchConfig {
                min_len: 300,
                ..default.clone()
            },
            "min_len",
        );
        refused(
            SearchConfig {
                max_len_ratio: -1.0,
                ..default.clone()
            },
            "max_len_ratio",
        );
        let length_penalty = LengthPenalty::Power { alpha: f64::NAN };
        refused(
            SearchConfig {
                length_penalty,
                ..default
            },
            "length_penalty",
        );
        for (text, key) in [
            ("coverage_penalty = -1.0", "coverage_penalty"),
            ("repetition_penalty = 0.0", "repetition_penalty"),
            ("min_len_ratio = -0.5", "min_len_ratio"),
            (
                "strategy = { kind = 'diverse', groups = 2 }",
                "strategy.groups",
            ),
            (
                "strategy = { kind = 'diverse', strength = -1.0 }",
                "strategy.strength",
            ),
            (
                "strategy = { kind = 'sampling', temperature = 0.0 }",
                "strategy.temperature",
            ),
            (
                "strategy = { kind = 'sampling', top_p = 1.5 }",
                "strategy.top_p",
            ),
            ("strategy = { kind = 'sampling' }\nn_best = 2000", "n_best"),
        ] {
            refused(toml::from_str(text).expect(text), key);
        }
    }

    #[test]
    fn a_file_names_what_it_changes_and_nothing_unknown() {
        let read = |text: &str| toml::from_str::<SearchConfig>(text);
        assert_eq!(read("").unwrap(), SearchConfig::default());
        let samples = read("n_best = 9\nstrategy = { kind = 'sampling', top_p = 0.9 }").unwrap();
        assert!(samples.validate().is_ok(), "samples need no beam");
        let again = read(&toml::to_string(&samples).unwrap()).unwrap();
        assert_eq!(again, samples);
        for (text, word) in [
            ("beams = 3", "beams"),
            ("strategy = { kind = 'sampling', top_q = 0.9 }", "top_q"),
            ("strategy = { kind = 'beam', groups = 2 }", "groups"),
            ("strategy = { kind = 'bean' }", "bean"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn lengths_are_bounded_by_the_source_and_absolutely() {
        let config = SearchConfig {
            min_len: 12,
            max_len: 20,
            ..Default::default()
        };
        let bounds = |config: &SearchConfig, src_len| {
            let LengthBounds { min, max } = config.bounds_for(src_len);
            [min, max]
        };
        assert_eq!(bounds(&config, 0), [12, 12]);
        assert_eq!(bounds(&config, 1), [12, 13]);
        assert_eq!(bounds(&config, 100), [12, 20]);
        let relative = SearchConfig {
            min_len_ratio: 1.5,
            ..config
        };
        assert_eq!(bounds(&relative, 9), [13, 20]);
        assert_eq!(bounds(&relative, 100), [20, 20]);
    }
}
