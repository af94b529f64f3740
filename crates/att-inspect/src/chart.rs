use crate::axis::Axis;
use crate::canvas::{BELOW_TITLE, Canvas, INK, MUTED, PADDING, Px, TextStyle, escape, text_width};
use crate::label::shorten;

/// Width of the page and height of the plot.
const LARGE: (f64, f64) = (720.0, 320.0);
const SMALL_CHART: (f64, f64) = (440.0, 180.0);
/// Marks of a series with more points would touch: they show on hover alone.
const MAX_MARKS: usize = 40;
const SMALL: f64 = 12.0;
const LEGEND_ROW: f64 = 22.0;
/// From one name in the legend to the next mark, and from a mark to its name.
const LEGEND_GAP: f64 = 22.0;
const LEGEND_MARK: f64 = 34.0;
/// Columns of text that a name or the label of an axis takes at most.
const MAX_NAME: usize = 48;

/// Colours that colour-blind readers tell apart (Okabe and Ito 2008), darkest first.
pub(crate) const COLORS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];
/// Closed paths of radius 4 around the origin: disc, square, triangle, diamond.
const MARKS: [&str; 4] = [
    "m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "m-3.5,-3.5h7v7h-7z",
    "m0,-4.5l4.5,8h-9z",
    "m0,-5l5,5l-5,5l-5,-5z",
];

/// Lines are whole for as many series as there are colours, and then broken in another way each time.
const DASHES: [&str; 4] = ["none", "7 3", "2 3", "9 3 2 3"];

/// A line chart as a self-contained SVG: one line a series, such as an error rate by word length; up to
/// 24 of them look different.
///
/// Axes end at round numbers. The y axis begins at 0 unless all values lie close together and far
/// from it. Points that are not finite are left out. Points have marks, unless there are more than 40.
///
/// ```
/// use att_inspect::{LineChart, Series};
///
/// let chart = LineChart {
///     title: "Word error rate by word length".into(),
///     x_label: "letters".into(),
///     y_label: "word error rate (%)".into(),
///     series: vec![
///         Series { name: "with attention".into(), points: vec![(3.0, 12.1), (6.0, 20.4)] },
///         Series { name: "without".into(), points: vec![(3.0, 14.8), (6.0, 41.0)] },
///     ],
///     ..Default::default()
/// };
/// assert!(chart.render().starts_with("<svg "));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineChart {
    /// The title above the chart.
    pub title: String,
    /// What the x axis measures, with its unit.
    pub x_label: String,
    /// What the y axis measures, with its unit.
    pub y_label: String,
    /// The lines, in the order of the legend.
    pub series: Vec<Series>,
    /// Whether it is one of several on a page: 440 pixels wide, not 720, so that it can be read on a phone too.
    pub small: bool,
}

/// One line of a [`LineChart`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// The points `(x, y)`, in the order in which the line joins them.
    pub points: Vec<(f64, f64)>,
}

impl LineChart {
    /// The chart as SVG text.
    pub fn render(&self) -> String {
        let points = self.series.iter().flat_map(Series::drawable);
        let (xs, ys): (Vec<f64>, Vec<f64>) = points.unzip();
        let (width, height) = if self.small { SMALL_CHART } else { LARGE };
        let (x_ticks, y_ticks) = if self.small { (5.0, 4.0) } else { (10.0, 6.0) };
        let x_axis = Axis::new(&xs, x_ticks, false);
        let y_axis = Axis::new(&ys, y_ticks, true);
        let mut canvas = Canvas::default();

        let legend_bottom = self.draw_legend(&mut canvas, width);
        let tick_width = |text: String| text_width(&text, SMALL);
        let widest_tick = y_axis.ticks().map(|tick| tick_width(y_axis.format(tick)));
        let plot = Plot {
            left: PADDING + 24.0 + widest_tick.fold(0.0, f64::max) + 8.0,
            right: width - PADDING - 8.0,
            top: legend_bottom + 16.0,
            bottom: legend_bottom + 16.0 + height,
            x_axis,
            y_axis,
        };
        plot.draw_axes(&mut canvas, &self.x_label, &self.y_label);
        for (i, series) in self.series.iter().enumerate() {
            plot.draw_series(&mut canvas, series, Look::of(i));
        }
        canvas.finish(&self.title, width, plot.bottom + 44.0 + PADDING)
    }

    /// Draws marks and names in rows below the title; returns where they end.
    fn draw_legend(&self, canvas: &mut Canvas, page: f64) -> f64 {
        let (mut x, mut y) = (PADDING, BELOW_TITLE + LEGEND_ROW / 2.0 + 4.0);
        for (i, series) in self.series.iter().enumerate() {
            let name = shorten(&series.name, MAX_NAME);
            let width = LEGEND_MARK + text_width(&name, SMALL);
            if x > PADDING && x + width > page - PADDING {
                (x, y) = (PADDING, y + LEGEND_ROW);
            }
            let Look { color, mark, dash } = Look::of(i);
            let (x_px, y_px, middle) = (Px(x), Px(y), Px(x + 13.0));
            canvas.push(format_args!(
                r#"<path d="M{x_px},{y_px}h26" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>
<path d="M{middle},{y_px}{mark}" fill="{color}"/>"#
            ));
            canvas.text(x + LEGEND_MARK, y + 4.0, small(INK, "start"), &name);
            x += width + LEGEND_GAP;
        }
        y + LEGEND_ROW / 2.0
    }
}

impl Series {
    /// The points that have a place on the page.
    fn drawable(&self) -> impl Iterator<Item = (f64, f64)> {
        // Far beyond any measure; it keeps the arithmetic of the axes finite.
        let fits = |value: f64| value.abs() < 1e100;
        self.points
            .iter()
            .copied()
            .filter(move |&(x, y)| fits(x) && fits(y))
    }
}

/// How a series is drawn.
struct Look {
    color: &'static str,
    mark: &'static str,
    dash: &'static str,
}

impl Look {
    fn of(series: usize) -> Self {
        // Colours and marks come together again after twelve.
        let mark = series + series / 12;
        Self {
            color: COLORS[series % COLORS.len()],
            mark: MARKS[mark % MARKS.len()],
            dash: DASHES[series / COLORS.len() % DASHES.len()],
        }
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

/// The rectangle between the axes, in pixels.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_axis: Axis,
    y_axis: Axis,
}

impl Plot {
    fn x(&self, value: f64) -> f64 {
        self.left + self.x_axis.fraction(value) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.y_axis.fraction(value) * (self.bottom - self.top)
    }

    fn draw_axes(&self, canvas: &mut Canvas, x_label: &str, y_label: &str) {
        for tick in self.y_axis.ticks() {
            let (y, text) = (self.y(tick), self.y_axis.format(tick));
            canvas.line(self.left, y, self.right, y);
            canvas.text(self.left - 8.0, y + 4.0, small(MUTED, "end"), &text);
        }
        for tick in self.x_axis.ticks() {
            let (x, text) = (self.x(tick), self.x_axis.format(tick));
            canvas.line(x, self.bottom, x, self.bottom + 5.0);
            canvas.text(x, self.bottom + 20.0, small(MUTED, "middle"), &text);
        }
        let middle = (self.left + self.right) / 2.0;
        canvas.text(
            middle,
            self.bottom + 44.0,
            small(INK, "middle"),
            &shorten(x_label, MAX_NAME),
        );
        let turned = TextStyle {
            rotate: -90.0,
            ..small(INK, "middle")
        };
        let middle = (self.top + self.bottom) / 2.0;
        canvas.text(
            PADDING + SMALL - 2.0,
            middle,
            turned,
            &shorten(y_label, MAX_NAME),
        );
    }

    fn draw_series(&self, canvas: &mut Canvas, series: &Series, look: Look) {
        let Look { color, mark, dash } = look;
        let mut line = String::new();
        let place = |(x, y)| format!("{},{} ", Px(self.x(x)), Px(self.y(y)));
        series.drawable().for_each(|point| line += &place(point));
        canvas.push(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}" stroke-linejoin="round"/>"#,
            line.trim_end()
        ));
        let name = escape(&series.name);
        let opacity = match series.drawable().count() {
            0..=MAX_MARKS => "",
            _ => r#" opacity="0""#,
        };
        for (x, y) in series.drawable() {
            let (x_px, y_px) = (Px(self.x(x)), Px(self.y(y)));
            canvas.push(format_args!(
                r##"<path d="M{x_px},{y_px}{mark}" fill="{color}" stroke="#ffffff"{opacity}><title>{name}: ({}, {})</title></path>"##,
                self.x_axis.describe(x),
                self.y_axis.describe(y),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;

    fn chart(points: &[(f64, f64)]) -> LineChart {
        LineChart {
            title: "a < b".into(),
            x_label: "x & y".into(),
            y_label: "%".into(),
            series: vec![
                Series {
                    name: "<one>".into(),
                    points: points.to_vec(),
                },
                Series {
                    name: "two".into(),
                    points: vec![],
                },
            ],
            ..Default::default()
        }
    }

    #[test]
    fn draws_points_at_their_places_and_skips_the_rest() {
        let svg = chart(&[
            (0.0, 0.0),
            (5.0, f64::NAN),
            (10.0, 20.0),
            (f64::INFINITY, 1.0),
        ])
        .render();
        let xml = Document::parse(&svg).unwrap();
        let titles: Vec<_> = xml
            .descendants()
            .filter(|node| node.has_tag_name("title"))
            .filter_map(|node| node.text())
            .collect();
        assert_eq!(titles, ["a < b", "<one>: (0, 0)", "<one>: (10, 20)"]);

        let line = xml
            .descendants()
            .find(|node| node.has_tag_name("polyline"))
            .unwrap();
        let points: Vec<f64> = line
            .attribute("points")
            .unwrap()
            .split([' ', ','])
            .map(|number| number.parse().unwrap())
            .collect();
        let [x0, y0, x1, y1] = points[..] else {
            panic!("{points:?}")
        };
        assert!(x0 < x1 && y0 - y1 == LARGE.1);
    }

    #[test]
    fn has_labels_and_a_legend() {
        let svg = chart(&[(1.0, 2.0)]).render();
        let xml = Document::parse(&svg).unwrap();
        let texts: Vec<_> = xml
            .descendants()
            .filter(|node| node.has_tag_name("text"))
            .filter_map(|node| node.text())
            .collect();
        for text in ["a < b", "x & y", "%", "<one>", "two"] {
            assert!(texts.contains(&text), "{text} not in {texts:?}");
        }
    }

    #[test]
    fn many_points_have_no_marks_and_still_hover_texts() {
        let opaque = |points: usize| {
            let points: Vec<_> = (0..points).map(|i| (i as f64, 1.0)).collect();
            let svg = chart(&points).render();
            assert_eq!(svg.matches("<title>&lt;one&gt;").count(), points.len());
            !svg.contains(r#"opacity="0""#)
        };
        assert!(opaque(40) && !opaque(41));
    }

    #[test]
    fn a_small_chart_is_narrow() {
        let small = LineChart {
            small: true,
            ..chart(&[(1.0, 2.0), (1e6, 3.0)])
        };
        assert!(small.render().contains(r#"width="440""#));
    }

    #[test]
    fn as_many_series_as_told_look_different() {
        let look = |i| {
            let Look { color, mark, dash } = Look::of(i);
            (color, mark, dash)
        };
        let looks: std::collections::BTreeSet<_> = (0..24).map(look).collect();
        assert_eq!(looks.len(), 24);
        let marks = looks.iter().map(|(color, mark, _)| (color, mark));
        let marks: std::collections::BTreeSet<_> = marks.collect();
        assert_eq!(marks.len(), 24, "also where dashes can't be seen");
    }

    #[test]
    fn a_chart_without_series_is_well_formed() {
        assert!(Document::parse(&LineChart::default().render()).is_ok());
    }
}
