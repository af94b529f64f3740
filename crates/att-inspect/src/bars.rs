use crate::axis::Axis;
use crate::canvas::{BELOW_TITLE, Canvas, INK, MUTED, PADDING, Px, TextStyle, escape, text_width};
use crate::chart::COLORS;
use crate::label::shorten;

const SMALL: f64 = 12.0;
const BAR: f64 = 10.0;
const GROUP_GAP: f64 = 8.0;
const PLOT_WIDTH: f64 = 360.0;
const LEGEND_MARK: f64 = 18.0;
/// Room for the number at the end of a bar.
const NUMBER: f64 = 40.0;
/// Columns of text that a name takes at most.
const MAX_NAME: usize = 60;

/// Numbers as horizontal bars, as a self-contained SVG: a group of bars a row, one bar a series. Unless
/// told they are ratios on a logarithmic axis: bars begin at 1 and go to the right where the ratio is
/// greater.
///
/// ```
/// use att_inspect::{BarChart, BarGroup};
///
/// let chart = BarChart {
///     title: "How many times faster".into(),
///     series: vec!["forward".into(), "with gradients".into()],
///     groups: vec![BarGroup { name: "lstm".into(), values: vec![4.0, 5.5] }],
///     ..Default::default()
/// };
/// assert!(chart.render().starts_with("<svg "));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarChart {
    /// The title above the chart.
    pub title: String,
    /// The names in the legend.
    pub series: Vec<String>,
    /// The rows, from the top.
    pub groups: Vec<BarGroup>,
    /// What the numbers are.
    pub scale: BarScale,
}

/// What the numbers of a [`BarChart`] are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BarScale {
    /// Ratios, on a logarithmic axis from 1; what is not positive and finite has no bar.
    #[default]
    Ratio,
    /// Amounts, such as scores, from 0; what is negative or not finite has no bar.
    Amount,
}

/// One row of a [`BarChart`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarGroup {
    /// The name at its left.
    pub name: String,
    /// The number of each series; one that the chart's [`BarScale`] has no place for has no bar.
    pub values: Vec<f64>,
}

impl BarChart {
    /// The chart as SVG text.
    pub fn render(&self) -> String {
        let mut canvas = Canvas::default();
        let names: Vec<String> = self
            .groups
            .iter()
            .map(|group| shorten(&group.name, MAX_NAME))
            .collect();
        let widest = names.iter().map(|name| text_width(name, SMALL));
        let left = PADDING + widest.fold(0.0, f64::max) + 8.0;
        let top = BELOW_TITLE + 34.0;
        self.draw_legend(&mut canvas);

        let height = BAR * self.series.len().max(1) as f64 + GROUP_GAP;
        let bottom = top + height * self.groups.len() as f64;
        let values = self.groups.iter().flat_map(|group| self.drawable(group));
        let axis = ValueAxis::over(values.map(|(_, value)| value).collect(), self.scale);
        let x = |value: f64| left + axis.fraction(value) * PLOT_WIDTH;
        for tick in axis.ticks() {
            let at = x(tick);
            canvas.line(at, top, at, bottom);
            let style = small(MUTED, "middle");
            canvas.text(at, bottom + 16.0, style, &axis.describe(tick));
        }
        for (row, (group, name)) in self.groups.iter().zip(&names).enumerate() {
            let y = top + height * row as f64 + GROUP_GAP / 2.0;
            let middle = y + (height - GROUP_GAP) / 2.0 + 4.0;
            canvas.text(left - 8.0, middle, small(INK, "end"), name);
            for (series, value) in self.drawable(group) {
                let origin = axis.origin();
                let (from, to) = (x(value.min(origin)), x(value.max(origin)));
                let y = y + BAR * series as f64;
                let (color, text) = (COLORS[series % COLORS.len()], axis.describe(value));
                let (px, py, width) = (Px(from), Px(y), Px(to - from));
                let (of, height) = (escape(&group.name), Px(BAR - 1.0));
                canvas.push(format_args!(
                    r#"<rect x="{px}" y="{py}" width="{width}" height="{height}" fill="{color}"><title>{of}: {text}</title></rect>"#
                ));
                let style = TextStyle {
                    size: 9.0,
                    ..small(MUTED, "start")
                };
                canvas.text(to + 3.0, y + BAR - 2.0, style, &text);
            }
        }
        let width = left + PLOT_WIDTH + NUMBER + PADDING;
        canvas.finish(&self.title, width, bottom + 28.0 + PADDING / 2.0)
    }

    fn draw_legend(&self, canvas: &mut Canvas) {
        let (mut x, y) = (PADDING, BELOW_TITLE + 12.0);
        for (name, color) in self.series.iter().zip(COLORS.iter().cycle()) {
            let (px, py) = (Px(x), Px(y - 9.0));
            canvas.push(format_args!(
                r#"<rect x="{px}" y="{py}" width="12" height="10" fill="{color}"/>"#
            ));
            let name = shorten(name, MAX_NAME);
            canvas.text(x + LEGEND_MARK, y, small(INK, "start"), &name);
            x += LEGEND_MARK + text_width(&name, SMALL) + 20.0;
        }
    }

    /// The values of a group that have a bar, with the number of their series.
    fn drawable(&self, group: &BarGroup) -> impl Iterator<Item = (usize, f64)> {
        let least = match self.scale {
            BarScale::Ratio => 1e-9,
            BarScale::Amount => 0.0,
        };
        let values = group.values.iter().copied().enumerate();
        values.filter(move |(_, value)| (least..1e9).contains(value))
    }
}

/// Where numbers lie: 0 at the first tick, 1 at the last.
enum ValueAxis {
    Ratio(LogAxis),
    Amount(Axis),
}

impl ValueAxis {
    fn over(mut values: Vec<f64>, scale: BarScale) -> Self {
        match scale {
            BarScale::Ratio => Self::Ratio(LogAxis::over(values.into_iter())),
            BarScale::Amount => {
                values.push(0.0); // where bars begin
                Self::Amount(Axis::new(&values, 6.0, true))
            }
        }
    }

    /// Where bars begin.
    fn origin(&self) -> f64 {
        match self {
            Self::Ratio(_) => 1.0,
            Self::Amount(_) => 0.0,
        }
    }

    fn ticks(&self) -> Vec<f64> {
        match self {
            Self::Ratio(axis) => axis.ticks().collect(),
            Self::Amount(axis) => axis.ticks().collect(),
        }
    }

    fn fraction(&self, value: f64) -> f64 {
        match self {
            Self::Ratio(axis) => axis.fraction(value),
            Self::Amount(axis) => axis.fraction(value),
        }
    }

    /// A number as it stands at its bar or tick.
    fn describe(&self, value: f64) -> String {
        match self {
            Self::Ratio(_) => ratio(value),
            Self::Amount(axis) => axis.describe(value),
        }
    }
}

/// A logarithmic axis between powers of ten that has 1 on it.
struct LogAxis {
    first: i32,
    last: i32,
}

impl LogAxis {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (0.0f64, 1.0f64);
        for value in values {
            low = low.min(value.log10());
            high = high.max(value.log10());
        }
        Self {
            first: low.floor() as i32,
            last: high.ceil() as i32,
        }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|power| 10f64.powi(power))
    }

    /// Where a value lies: 0 at the first tick, 1 at the last.
    fn fraction(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }
}

fn small(fill: &'static str, anchor: &'static str) -> TextStyle {
    TextStyle {
        size: SMALL,
        fill,
        anchor,
        rotate: 0.0,
    }
}

/// A ratio with two digits that count, and all digits before the point.
fn ratio(value: f64) -> String {
    let decimals = (1.0 - value.log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    fn chart(values: Vec<f64>, scale: BarScale) -> String {
        BarChart {
            title: "a < b".into(),
            series: vec!["one".into(), "two".into(), "three".into()],
            groups: vec![BarGroup {
                name: "<row>".into(),
                values,
            }],
            scale,
        }
        .render()
    }

    fn bars(svg: &str) -> Vec<(String, f64, f64)> {
        let xml = Document::parse(svg).unwrap();
        let titled = |node: &roxmltree::Node| node.has_children();
        xml.descendants()
            .filter(|node| node.has_tag_name("rect"))
            .filter(titled)
            .map(|node| {
                let number = |name| node.attribute(name).unwrap().parse::<f64>().unwrap();
                let title = node.first_element_child().unwrap().text().unwrap();
                let x = number("x");
                (title.to_string(), x, x + number("width"))
            })
            .collect()
    }

    #[test]
    fn bars_go_right_from_one_where_greater_and_left_where_smaller() {
        let bars = bars(&chart(vec![10.0, 0.1, 1.0], BarScale::Ratio));
        let [(title, one, ten), (_, tenth, also_one), (_, from, to)] = &bars[..] else {
            panic!("{bars:?}")
        };
        assert_eq!(title, "<row>: 10");
        assert!(one < ten && tenth < also_one);
        assert!([also_one, from, to].iter().all(|&x| (x - one).abs() < 0.2));
        assert!(((ten - one) - (also_one - tenth)).abs() < 0.2);
    }

    #[test]
    fn what_is_no_ratio_has_no_bar() {
        let values = vec![f64::NAN, 0.0, f64::INFINITY];
        assert_eq!(bars(&chart(values, BarScale::Ratio)), []);
        assert!(Document::parse(&BarChart::default().render()).is_ok());
    }

    #[test]
    fn amounts_begin_at_zero_and_are_as_long_as_they_are_great() {
        let found = bars(&chart(vec![97.25, 48.625, 0.0], BarScale::Amount));
        let [(title, zero, all), (_, also_zero, half), (_, from, to)] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(title, "<row>: 97.25");
        assert_eq!([zero, from], [also_zero, to]);
        assert!(((all - zero) - 2.0 * (half - zero)).abs() < 0.3);
        assert_eq!(bars(&chart(vec![-1.0, f64::NAN], BarScale::Amount)), []);
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.123, 1.0, 2.46, 10.0, 123.4].map(ratio);
        assert_eq!(texts, ["0.12", "1", "2.5", "10", "123"]);
    }
}
