/// A number line that begins and ends at a multiple of its step.
pub(crate) struct Axis {
    /// 1, 2 or 5 times a power of ten.
    step: f64,
    /// The first and the last tick, in steps.
    first: i64,
    last: i64,
}

impl Axis {
    /// An axis over the values with about `ticks` ticks; `from_zero` lets it begin at 0 unless the
    /// values are positive and lie close together.
    pub(crate) fn new(values: &[f64], ticks: f64, from_zero: bool) -> Self {
        let whole = values.iter().all(|value| value.fract() == 0.0);
        let mut low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let mut high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if from_zero && low > 0.0 && low < high / 2.0 {
            low = 0.0;
        }
        let size = low.abs().max(high.abs());
        if high - low <= 1e-9 * size || size < 1e-100 {
            let margin = if size < 1e-100 { 1.0 } else { size / 2.0 };
            (low, high) = (low - margin, high + margin);
        }
        let mut step = round_step((high - low) / ticks);
        if whole {
            step = step.max(1.0);
        }
        Self {
            step,
            first: (low / step + 1e-9).floor() as i64,
            last: (high / step - 1e-9).ceil() as i64,
        }
    }

    /// The multiples of the step, from one end to the other.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|i| i as f64 * self.step)
    }

    /// Where a value lies: 0 at the first tick, 1 at the last.
    pub(crate) fn fraction(&self, value: f64) -> f64 {
        (value / self.step - self.first as f64) / (self.last - self.first) as f64
    }

    /// A tick with the decimals that its step needs.
    pub(crate) fn format(&self, tick: f64) -> String {
        let decimals = -(self.step.log10() + 1e-9).floor();
        if decimals > 5.0 || tick.abs() >= 1e7 {
            format!("{tick:.2e}").replace(".00e", "e")
        } else {
            format!("{tick:.*}", decimals.max(0.0) as usize)
        }
    }

    /// A value to about a thousandth of the step, without trailing zeros.
    pub(crate) fn describe(&self, value: f64) -> String {
        let finer = Self {
            step: self.step / 1000.0,
            ..*self
        };
        let text = finer.format(value);
        if text.contains('.') && !text.contains('e') {
            let digits = text.trim_end_matches('0');
            digits.trim_end_matches('.').to_string()
        } else {
            text
        }
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let digit = step / power;
    let round = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|round| digit <= round + 1e-9);
    round.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64]) -> Vec<String> {
        let axis = Axis::new(values, 6.0, true);
        axis.ticks().map(|tick| axis.format(tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        assert_eq!(
            ticks(&[3.1, 58.0]),
            ["0", "10", "20", "30", "40", "50", "60"]
        );
        assert_eq!(
            ticks(&[0.013, 0.1]),
            ["0.00", "0.02", "0.04", "0.06", "0.08", "0.10"]
        );
        assert_eq!(
            ticks(&[25.1, 27.9]),
            ["25.0", "25.5", "26.0", "26.5", "27.0", "27.5", "28.0"]
        );
        assert_eq!(
            ticks(&[-1.0, 1.5]),
            ["-1.0", "-0.5", "0.0", "0.5", "1.0", "1.5"]
        );
        assert_eq!(ticks(&[2e7, 3e7]).last().unwrap(), "3e7");
    }

    #[test]
    fn whole_numbers_have_whole_ticks() {
        assert_eq!(ticks(&[1.0, 2.0, 3.0]), ["0", "1", "2", "3"]);
        assert_eq!(ticks(&[2.0, 3.0]), ["2", "3"]);
    }

    #[test]
    fn begins_at_zero_only_when_asked_and_near() {
        let first = |values: &[f64], from_zero| {
            let axis = Axis::new(values, 8.0, from_zero);
            axis.ticks().next().unwrap()
        };
        assert_eq!(first(&[2.0, 16.0], true), 0.0);
        assert_eq!(first(&[2.0, 16.0], false), 2.0);
        assert_eq!(first(&[12.0, 16.0], true), 12.0);
    }

    #[test]
    fn describes_values_finer_than_ticks() {
        let axis = Axis::new(&[0.0, 60.0], 6.0, true);
        let texts = [16.926_829, 5.0, 12.5, 100.0].map(|value| axis.describe(value));
        assert_eq!(texts, ["16.93", "5", "12.5", "100"]);
    }

    #[test]
    fn axes_of_one_value_none_or_extremes_are_finite() {
        for values in [
            &[][..],
            &[0.0],
            &[5.0, 5.0],
            &[-3.5],
            &[1e99, -1e99],
            &[1e-300],
        ] {
            let axis = Axis::new(values, 6.0, true);
            assert!(
                axis.first < axis.last && axis.ticks().count() < 20,
                "{values:?}"
            );
            for &value in values {
                assert!((0.0..=1.0).contains(&axis.fraction(value)), "{values:?}");
            }
        }
    }
}
