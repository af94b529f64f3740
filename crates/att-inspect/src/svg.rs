use crate::canvas::{BELOW_TITLE, Canvas, LINE, MUTED, PADDING, Px, TextStyle, escape, text_width};
use crate::label::{isolated, labels};
use crate::scale::format_weight;
use crate::{AttentionMap, ColorScale, Scale};

/// Cells shrink between these, in pixels, to keep the grid within `MAX_GRID`.
const MAX_CELL: f64 = 36.0;
const MIN_CELL: f64 = 9.0;
const MAX_GRID: f64 = 820.0;
/// Of a compact map.
const COMPACT_CELL: f64 = 18.0;
/// In maps of more cells, those without colour are not drawn one by one.
const MAX_EMPTY_CELLS: usize = 2500;
/// Above smaller cells, slanted labels would touch: they stand upright.
const MIN_SLANTED_CELL: f64 = 23.0;
/// Columns of text that a token takes at most; the rest shows on hover.
const MAX_LABEL: usize = 40;
/// Between labels and grid.
const LABEL_GAP: f64 = 8.0;
/// Between grid and colour bar.
const BAR_GAP: f64 = 20.0;
const BAR_WIDTH: f64 = 12.0;
const MIN_BAR: f64 = 72.0;
const MAX_BAR: f64 = 216.0;
/// Around a compact map.
const MARGIN: f64 = 4.0;
/// Size of the small print: numbers and subtitle.
const SMALL: f64 = 11.0;

/// A heat map as a self-contained SVG: target tokens as rows, source tokens as columns.
///
/// It has a white page of its own, so it reads the same in light and dark viewers, and a hover text
/// for each cell with its tokens and weight.
///
/// ```
/// use att_inspect::{AttentionMap, SvgHeatmap};
///
/// let map = AttentionMap::new(vec!["a".into()], vec!["b".into()], vec![1.0])?;
/// let svg = SvgHeatmap { title: "a to b".into(), ..Default::default() }.render(&map);
/// assert!(svg.starts_with("<svg ") && svg.contains("<title>a → b: 1.0000</title>"));
/// # Ok::<(), att_inspect::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvgHeatmap {
    /// The title above the map. Default "Attention".
    pub title: String,
    /// The colours of the cells. Default [`ColorScale::Blues`].
    pub colors: ColorScale,
    /// Which weight gets the last colour. Default [`Scale::Unit`].
    pub scale: Scale,
    /// Whether the weights stand in their cells, where they fit and are not close to 0. Default true.
    pub numbers: bool,
    /// Whether it is one of several side by side: the smallest cells, no title, numbers or colour bar. Default
    /// false.
    pub compact: bool,
}

impl Default for SvgHeatmap {
    fn default() -> Self {
        Self {
            title: "Attention".to_string(),
            colors: ColorScale::default(),
            scale: Scale::default(),
            numbers: true,
            compact: false,
        }
    }
}

impl SvgHeatmap {
    /// The map as SVG text.
    pub fn render(&self, map: &AttentionMap) -> String {
        let grid = Grid::new(map, self.compact);
        let mut canvas = Canvas::default();
        if self.compact {
            grid.draw_labels(&mut canvas);
            self.draw_cells(&mut canvas, map, &grid);
            let width = grid.right.max(grid.header_right) + MARGIN;
            return canvas.finish("", width, grid.bottom + MARGIN);
        }
        let subtitle = "rows: target, columns: source, colour: attention weight";
        let quiet = TextStyle {
            size: SMALL,
            fill: MUTED,
            ..Default::default()
        };
        canvas.text(PADDING, BELOW_TITLE + SMALL, quiet, subtitle);
        grid.draw_labels(&mut canvas);
        self.draw_cells(&mut canvas, map, &grid);
        self.draw_bar(&mut canvas, map, &grid);

        let subtitle_end = PADDING + text_width(subtitle, SMALL);
        let width = grid.bar_right().max(grid.header_right).max(subtitle_end) + PADDING;
        let height = grid.bottom.max(grid.top + MIN_BAR) + PADDING;
        canvas.finish(&self.title, width, height)
    }

    fn draw_cells(&self, canvas: &mut Canvas, map: &AttentionMap, grid: &Grid) {
        let cells = Cells {
            colors: self.colors,
            scale: self.scale,
            numbers: self.numbers && !self.compact,
            left: grid.left,
            top: grid.top,
            side: grid.cell,
        };
        cells.draw(canvas, map);
    }

    /// The colour bar at the right of the grid, with its weights.
    fn draw_bar(&self, canvas: &mut Canvas, map: &AttentionMap, grid: &Grid) {
        let (x, y) = (grid.right + BAR_GAP, grid.top);
        let height = (grid.bottom - grid.top).clamp(MIN_BAR, MAX_BAR);
        let id = match self.colors {
            ColorScale::Blues => "att-blues",
            ColorScale::Viridis => "att-viridis",
        };
        canvas.push(format_args!(
            r#"<linearGradient id="{id}" x1="0" y1="1" x2="0" y2="0">"#
        ));
        let stops = self.colors.stops();
        for (i, color) in stops.iter().enumerate() {
            let offset = i as f32 / (stops.len() - 1) as f32;
            canvas.push(format_args!(
                r#"<stop offset="{offset:.3}" stop-color="{color}"/>"#
            ));
        }
        let (x_px, y_px, height_px) = (Px(x), Px(y), Px(height));
        canvas.push(format_args!(
            r##"</linearGradient>
<rect x="{x_px}" y="{y_px}" width="{BAR_WIDTH}" height="{height_px}" rx="2" fill="url(#{id})" stroke="{LINE}"/>"##
        ));
        let style = TextStyle {
            size: SMALL,
            fill: MUTED,
            ..Default::default()
        };
        let top = self.scale.top(map);
        for fraction in [0.0, 0.5, 1.0] {
            let baseline = y + height * (1.0 - fraction) + 4.0;
            let number = format_weight(top * fraction as f32);
            canvas.text(x + BAR_WIDTH + 6.0, baseline, style, &number);
        }
    }
}

/// The weights of a map, drawn with its first cell at a place.
pub(crate) struct Cells {
    pub colors: ColorScale,
    pub scale: Scale,
    pub numbers: bool,
    pub left: f64,
    pub top: f64,
    pub side: f64,
}

impl Cells {
    pub(crate) fn draw(&self, canvas: &mut Canvas, map: &AttentionMap) {
        let names = |tokens: &[String]| -> Vec<String> {
            let labels = labels(tokens, usize::MAX);
            labels.iter().map(|label| isolated(label)).collect()
        };
        let (src_names, tgt_names) = (names(map.src_tokens()), names(map.tgt_tokens()));
        let top = self.scale.top(map);
        // The gap and the corners shrink with the cells, or they would make a lattice.
        let (side, radius) = (Px(self.side * 35.0 / 36.0), Px(self.side / 18.0));
        let empty = self.colors.color(0.0);
        let sparse = map.weights().len() > MAX_EMPTY_CELLS;
        if sparse {
            let width = Px(self.side * map.src_len() as f64);
            let height = Px(self.side * map.tgt_len() as f64);
            let (x, y) = (Px(self.left), Px(self.top));
            canvas.push(format_args!(
                r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{empty}"/>"#
            ));
        }
        for (t, row) in map.rows().enumerate() {
            for (s, &weight) in row.iter().enumerate() {
                let color = self.colors.color(weight / top);
                if sparse && color == empty {
                    continue;
                }
                let x = self.left + self.side * s as f64;
                let y = self.top + self.side * t as f64;
                let hover = escape(&format!("{} → {}: {weight:.4}", src_names[s], tgt_names[t]));
                canvas.push(format_args!(
                    r#"<rect x="{}" y="{}" width="{side}" height="{side}" rx="{radius}" fill="{color}"><title>{hover}</title></rect>"#,
                    Px(x),
                    Px(y),
                ));
                let number = format_weight(weight);
                let fits = text_width(&number, SMALL) <= self.side - 5.0;
                if self.numbers && fits && weight >= 0.05 * top {
                    let (x, y) = (Px(x + self.side / 2.0), Px(y + self.side / 2.0 + 4.0));
                    let ink = color.ink();
                    // Without pointer events, the cell's hover text shows through.
                    canvas.push(format_args!(
                        r#"<text x="{x}" y="{y}" font-size="{SMALL}" fill="{ink}" text-anchor="middle" pointer-events="none">{number}</text>"#
                    ));
                }
            }
        }
    }
}

/// Where everything stands, in pixels.
struct Grid {
    src_labels: Vec<String>,
    tgt_labels: Vec<String>,
    label_size: f64,
    /// Degrees by which the source labels turn: 0, -45 or -90.
    turn: f64,
    cell: f64,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    /// Where the last source label ends.
    header_right: f64,
}

impl Grid {
    fn new(map: &AttentionMap, compact: bool) -> Self {
        let src_labels = labels(map.src_tokens(), MAX_LABEL);
        let tgt_labels = labels(map.tgt_tokens(), MAX_LABEL);
        let longest_side = map.src_len().max(map.tgt_len()).max(1) as f64;
        let max_cell = if compact { COMPACT_CELL } else { MAX_CELL };
        let cell = (MAX_GRID / longest_side).floor().clamp(MIN_CELL, max_cell);
        // Upright labels stand side by side, as far apart as cells.
        let label_size = match cell < MIN_SLANTED_CELL {
            true => SMALL.min(cell - 1.0),
            false => 13.0,
        };
        let widest = |labels: &[String]| {
            let widths = labels.iter().map(|label| text_width(label, label_size));
            widths.fold(0.0, f64::max)
        };

        let src_width = widest(&src_labels);
        let turn: f64 = if src_width <= cell - 2.0 {
            0.0
        } else if cell >= MIN_SLANTED_CELL {
            -45.0
        } else {
            -90.0
        };
        let (rise, run) = (-turn).to_radians().sin_cos();
        let header_height = src_width * rise + label_size * run;
        let (padding, header) = match compact {
            true => (MARGIN, MARGIN),
            false => (PADDING, BELOW_TITLE + SMALL + 18.0),
        };
        let left = padding + widest(&tgt_labels) + LABEL_GAP;
        let top = header + header_height + LABEL_GAP;
        let right = left + cell * map.src_len() as f64;
        let starts = (0..).map(|s| left + cell * (s as f64 + 0.5));
        let ends = starts
            .zip(&src_labels)
            .map(|(x, label)| x + text_width(label, label_size) * run);
        Self {
            header_right: ends.fold(right, f64::max),
            bottom: top + cell * map.tgt_len() as f64,
            src_labels,
            tgt_labels,
            label_size,
            turn,
            cell,
            left,
            top,
            right,
        }
    }

    /// The top left corner of a cell.
    fn corner(&self, t: usize, s: usize) -> (f64, f64) {
        (
            self.left + self.cell * s as f64,
            self.top + self.cell * t as f64,
        )
    }

    /// Where the numbers of the colour bar end.
    fn bar_right(&self) -> f64 {
        self.right + BAR_GAP + BAR_WIDTH + 6.0 + text_width("0.0e-0", SMALL)
    }

    fn draw_labels(&self, canvas: &mut Canvas) {
        // Half the height of small letters, which brings their middle to the baseline's place.
        let half = self.label_size * 0.35;
        let src = TextStyle {
            size: self.label_size,
            anchor: if self.turn == 0.0 { "middle" } else { "start" },
            rotate: self.turn,
            ..Default::default()
        };
        let (rise, _) = (-self.turn).to_radians().sin_cos();
        for (s, label) in self.src_labels.iter().enumerate() {
            let (x, y) = self.corner(0, s);
            let x = x + self.cell / 2.0 + half * rise;
            canvas.text(x, y - LABEL_GAP, src, label);
        }
        let tgt = TextStyle {
            size: self.label_size,
            anchor: "end",
            ..Default::default()
        };
        for (t, label) in self.tgt_labels.iter().enumerate() {
            let (x, y) = self.corner(t, 0);
            canvas.text(x - LABEL_GAP, y + self.cell / 2.0 + half, tgt, label);
        }
    }
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;
    use crate::map::tests::map;

    fn parse(svg: &str) -> Document<'_> {
        Document::parse(svg).unwrap_or_else(|error| panic!("{error}\n{svg}"))
    }

    /// The cells: rectangles with a hover text.
    fn cells<'a>(xml: &'a Document<'_>) -> Vec<(&'a str, &'a str)> {
        let rects = xml.descendants().filter(|node| node.has_tag_name("rect"));
        rects
            .filter_map(|rect| {
                let title = rect.children().find(|node| node.has_tag_name("title"))?;
                Some((title.text()?, rect.attribute("fill")?))
            })
            .collect()
    }

    /// All visible text.
    fn texts<'a>(xml: &'a Document<'_>) -> Vec<&'a str> {
        let texts = xml.descendants().filter(|node| node.has_tag_name("text"));
        texts.filter_map(|node| node.text()).collect()
    }

    #[test]
    fn draws_each_cell_with_color_number_and_hover_text() {
        let map = map("a|b", "x|y", &[1.0, 0.0, 0.25, 0.75]);
        let svg = SvgHeatmap::default().render(&map);
        let xml = parse(&svg);
        assert_eq!(
            cells(&xml),
            [
                ("a → x: 1.0000", "#08306b"),
                ("b → x: 0.0000", "#f7fbff"),
                ("a → y: 0.2500", "#c6dbef"),
                ("b → y: 0.7500", "#2171b5"),
            ]
        );
        let texts = texts(&xml);
        for text in ["Attention", "a", "b", "x", "y", "1.00", "0.25", "0.75"] {
            assert!(texts.contains(&text), "{text} not in {texts:?}");
        }
    }

    #[test]
    fn numbers_can_be_left_out_and_leave_small_cells() {
        let count = |svg: &str| texts(&parse(svg)).iter().filter(|t| **t == "0.90").count();
        let small = map("a|b", "x", &[0.9, 0.1]);
        assert_eq!(count(&SvgHeatmap::default().render(&small)), 1);
        let plain = SvgHeatmap {
            numbers: false,
            ..Default::default()
        };
        assert_eq!(count(&plain.render(&small)), 0);

        let src = vec!["a"; 60].join("|");
        let large = map(&src, "x", &[0.9; 60]);
        assert_eq!(count(&SvgHeatmap::default().render(&large)), 0);
    }

    #[test]
    fn a_compact_map_is_its_cells_and_labels() {
        let map = map("a|b", "x|y", &[1.0, 0.0, 0.25, 0.75]);
        let compact = SvgHeatmap {
            compact: true,
            ..Default::default()
        };
        let svg = compact.render(&map);
        let xml = parse(&svg);
        assert_eq!(cells(&xml).len(), 4);
        assert_eq!(texts(&xml), ["a", "b", "x", "y"]);
    }

    #[test]
    fn escapes_titles_and_tokens() {
        let map = map("<&\">|\u{1b}[0m|", "\u{1}\u{ffff}|日本", &[0.1; 6]);
        let heatmap = SvgHeatmap {
            title: "a < b & \"c\"\u{2}".into(),
            ..Default::default()
        };
        let svg = heatmap.render(&map);
        let xml = parse(&svg);
        assert_eq!(cells(&xml)[0].0, "<&\"> → ␁\u{fffd}: 0.1000");
        let texts = texts(&xml);
        for text in ["a < b & \"c\"\u{fffd}", "<&\">", "␛[0m", "∅", "日本"] {
            assert!(texts.contains(&text), "{text} not in {texts:?}");
        }
    }

    #[test]
    fn long_sentences_have_small_cells_and_no_cells_without_weight() {
        let tokens = |n: usize| vec!["word"; n].join("|");
        let mut weights = vec![0.0; 150 * 120];
        (0..120).for_each(|t| weights[t * 150 + t] = 1.0);
        let map = map(&tokens(150), &tokens(120), &weights);
        let svg = SvgHeatmap::default().render(&map);
        assert_eq!(cells(&parse(&svg)).len(), 120);
        let grid = Grid::new(&map, false);
        assert_eq!((grid.cell, grid.label_size, grid.turn), (9.0, 8.0, -90.0));
    }

    #[test]
    fn source_labels_turn_when_they_are_long() {
        let turn = |src: &str, len: usize| {
            let src = vec![src; len].join("|");
            Grid::new(&map(&src, "x", &vec![0.0; len]), false).turn
        };
        assert_eq!(turn("a", 3), 0.0);
        assert_eq!(turn("Schifffahrt", 3), -45.0);
        assert_eq!(turn("Schifffahrt", 50), -90.0);
    }

    #[test]
    fn everything_lies_on_the_page() {
        let long = "Donaudampfschifffahrtsgesellschaft";
        let many = vec![long; 30].join("|");
        #[rustfmt::skip]
        let maps = [
            map("a", "x", &[0.0]),
            map(long, "x", &[1.0]),
            map("a|b|c|d|e|f", long, &[0.1; 6]),
            map(&many, "x|y", &[0.1; 60]),
            AttentionMap::new(vec![], vec![], vec![]).unwrap(),
            AttentionMap::new(vec![], vec!["x".into()], vec![]).unwrap(),
        ];
        for map in &maps {
            let svg = SvgHeatmap::default().render(map);
            let xml = parse(&svg);
            let number = |node: roxmltree::Node<'_, '_>, name| -> f64 {
                node.attribute(name)
                    .map_or(0.0, |text| text.parse().unwrap())
            };
            let page = xml.root_element();
            let (width, height) = (number(page, "width"), number(page, "height"));
            for text in xml.descendants().filter(|node| node.has_tag_name("text")) {
                let (x, y) = (number(text, "x"), number(text, "y"));
                let length = text_width(text.text().unwrap(), number(text, "font-size"));
                let turn = text
                    .attribute("transform")
                    .and_then(|t| t[7..].split(' ').next());
                let turn = turn.map_or(0.0, |degrees| degrees.parse::<f64>().unwrap());
                let (rise, run) = (-turn).to_radians().sin_cos();
                let start = match text.attribute("text-anchor") {
                    Some("end") => x - length,
                    Some("middle") => x - length / 2.0,
                    _ => x,
                };
                assert!(start >= 0.0 && start + length * run <= width, "{text:?}");
                assert!(y - length * rise >= 0.0 && y <= height, "{text:?}");
            }
        }
    }

    #[test]
    fn the_bar_shows_the_scale() {
        let flat = map("a|b", "x", &[0.1, 0.2]);
        let heatmap = SvgHeatmap {
            scale: Scale::Max,
            colors: ColorScale::Viridis,
            numbers: false,
            ..Default::default()
        };
        let svg = heatmap.render(&flat);
        let xml = parse(&svg);
        assert_eq!(cells(&xml)[1].1, "#fde725");
        let texts = texts(&xml);
        assert!(
            ["0.00", "0.10", "0.20"].iter().all(|t| texts.contains(t)),
            "{texts:?}"
        );
    }
}
