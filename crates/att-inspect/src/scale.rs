use crate::AttentionMap;

/// Which weight gets the strongest colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// 1, so that maps can be compared; greater weights are drawn as 1.
    #[default]
    Unit,
    /// The map's greatest weight, so that flat attention shows its structure.
    Max,
}

impl Scale {
    /// The weight that is drawn strongest; always above 0.
    pub fn top(self, map: &AttentionMap) -> f32 {
        let greatest = map.weights().iter().copied().fold(0.0, f32::max);
        match self {
            Self::Max if greatest > 0.0 => greatest,
            _ => 1.0,
        }
    }
}

/// A weight for the reader: two decimals, or scientific where these would say nothing.
pub(crate) fn format_weight(weight: f32) -> String {
    if weight == 0.0 || (0.005..1000.0).contains(&weight) {
        format!("{weight:.2}")
    } else {
        format!("{weight:.1e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::map;

    #[test]
    fn top_is_one_or_the_greatest_weight() {
        let flat = map("a|b", "x", &[0.2, 0.3]);
        assert_eq!(Scale::Unit.top(&flat), 1.0);
        assert_eq!(Scale::Max.top(&flat), 0.3);
        assert_eq!(Scale::Max.top(&map("a", "x", &[0.0])), 1.0);
    }

    #[test]
    fn weights_are_short() {
        let texts = [0.0, 0.004, 0.125, 1.0, 2.5e9].map(format_weight);
        assert_eq!(texts, ["0.00", "4.0e-3", "0.12", "1.00", "2.5e9"]);
    }
}
