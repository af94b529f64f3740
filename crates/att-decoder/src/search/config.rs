use att_core::ops::Choice;
use att_core::special::{BOS, EOS, PAD};
use att_core::{Error, Result, check};
use serde::{Deserialize, Serialize};

use super::LengthPenalty;

/// The widest beam: beyond it lies a typing error.
pub const MAX_BEAM_SIZE: usize = 1024;

/// How to search; the same for every source, whatever batch it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// How many hypotheses are kept at each step; 5 unless told, 1 is greedy.
    pub beam_size: usize,
    /// How many hypotheses come back, at most `beam_size`; 1 unless told.
    pub n_best: usize,
    /// Divides the log-probability; none unless told.
    pub length_penalty: LengthPenalty,
    /// The least number of tokens, EOS not counted; 0 unless told.
    pub min_len: usize,
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
            beam_size: 5,
            n_best: 1,
            length_penalty: LengthPenalty::None,
            min_len: 0,
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
        if self.n_best > self.beam_size {
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
        if !(self.max_len_ratio >= 0.0 && self.max_len_ratio.is_finite()) {
            let reason = format!("{} is not a ratio of lengths", self.max_len_ratio);
            return Err(Error::config("max_len_ratio", reason));
        }
        let alpha = self.length_penalty.alpha();
        if !(alpha >= 0.0 && alpha.is_finite()) {
            let reason = format!("alpha = {alpha} must be at least 0");
            return Err(Error::config("length_penalty", reason));
        }
        Ok(())
    }

    /// How a hypothesis of `len` tokens may go on: never with PAD and BOS, with EOS not before the
    /// least length, and with nothing else at the greatest.
    pub(super) fn choice(&self, len: usize, max_len: usize) -> Choice<'static> {
        if len >= max_len {
            Choice::Only(EOS)
        } else if len < self.min_len {
            Choice::Except(&[PAD, BOS, EOS])
        } else {
            Choice::Except(&[PAD, BOS])
        }
    }

    /// The greatest number of tokens for a source of `src_len`, EOS not counted:
    /// `min(max_len, max_len_ratio * src_len + 10)`, and no less than `min_len`.
    pub fn max_len_for(&self, src_len: usize) -> usize {
        let relative = (self.max_len_ratio * src_len as f64) as usize;
        self.max_len
            .min(relative.saturating_add(10))
            .max(self.min_len)
    }
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
    }

    #[test]
    fn lengths_are_bounded_by_the_source_and_absolutely() {
        let config = SearchConfig {
            min_len: 12,
            max_len: 20,
            ..Default::default()
        };
        assert_eq!(config.max_len_for(0), 12);
        assert_eq!(config.max_len_for(1), 13);
        assert_eq!(config.max_len_for(100), 20);
    }
}
