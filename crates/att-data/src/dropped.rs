use std::fmt;

use serde::{Deserialize, Serialize};

/// How many examples are left out of training, each for the first reason that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Pairs that were there before.
    pub duplicates: usize,
    /// Those longer than `max_src_len` or `max_tgt_len`.
    pub too_long: usize,
    /// Those with a side shorter than `min_len`.
    pub too_short: usize,
    /// Those whose lengths differ by more than `max_ratio`.
    pub unequal: usize,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> usize {
        self.duplicates + self.too_long + self.too_short + self.unequal
    }
}

/// Such as `12 left out (10 duplicates, 2 too long)`.
impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.duplicates, "duplicates"),
            (self.too_long, "too long"),
            (self.too_short, "too short"),
            (self.unequal, "of too unequal lengths"),
        ];
        let told: Vec<String> = reasons
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, why)| format!("{n} {why}"))
            .collect();
        match self.total() {
            0 => f.write_str("none left out"),
            total => write!(f, "{total} left out ({})", told.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_where_there_are_any() {
        assert_eq!(Dropped::default().to_string(), "none left out");
        let dropped = Dropped {
            duplicates: 10,
            unequal: 2,
            ..Dropped::default()
        };
        assert_eq!(
            dropped.to_string(),
            "12 left out (10 duplicates, 2 of too unequal lengths)"
        );
    }
}
