use std::cmp::Ordering;
use std::io::IsTerminal;

use unicode_width::UnicodeWidthStr;

use crate::color::Rgb;
use crate::label::labels;
use crate::scale::format_weight;
use crate::{AttentionMap, ColorScale, Scale};

/// Columns of a terminal that a cell takes where there is room.
const CELL: usize = 2;
/// Columns that a token takes at most.
const MAX_LABEL: usize = 32;

/// A heat map for the terminal: target tokens as rows, source tokens as columns.
///
/// Source tokens of one character stand on one row; longer ones stand on stairs, with lines down to
/// their columns. All lines of a drawing have the same display width, also with wide characters.
///
/// ```
/// use att_inspect::{AttentionMap, TerminalHeatmap, TerminalStyle};
///
/// let tokens = |text: &str| text.split(' ').map(String::from).collect();
/// let map = AttentionMap::new(tokens("ph i l"), tokens("F IH L"), vec![
///     0.9, 0.1, 0.0,
///     0.1, 0.6, 0.3,
///     0.0, 0.0, 1.0,
/// ])?;
/// let drawing = TerminalHeatmap { style: TerminalStyle::Ascii, ..Default::default() }.render(&map);
/// let lines: Vec<&str> = drawing.lines().map(str::trim_end).collect();
/// assert_eq!(lines, [
///     "   ph",
///     "   | i l",
///     " F %%..",
///     "IH ..++--",
///     " L     @@",
///     "rows: target, columns: source, weight: 0  .:-=+*#%@ 1.00",
/// ]);
/// # Ok::<(), att_inspect::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TerminalHeatmap {
    /// How cells are drawn. Default [`TerminalStyle::Unicode`].
    pub style: TerminalStyle,
    /// Which weight is drawn strongest. Default [`Scale::Unit`].
    pub scale: Scale,
    /// How many columns the terminal has, if that is known: cells of maps that would be wider take one column
    /// instead of two. Default none.
    pub width: Option<usize>,
}

/// How a terminal shows a weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TerminalStyle {
    /// 24-bit background colours of [`ColorScale::Viridis`], which both dark and light terminals show well.
    TrueColor,
    /// The five shades from space over `░▒▓` to `█`.
    #[default]
    Unicode,
    /// The ten shades `" .:-=+*#%@"`, for terminals and logs without Unicode; tokens stay what they are.
    Ascii,
}

impl TerminalHeatmap {
    /// The drawing: header, one line a target token, and a legend; each ends in a line break.
    pub fn render(&self, map: &AttentionMap) -> String {
        let src_labels = labels(map.src_tokens(), MAX_LABEL);
        let tgt_labels = labels(map.tgt_tokens(), MAX_LABEL);
        let margin = tgt_labels.iter().map(|l| l.width()).max().unwrap_or(0) + 1;
        let top = self.scale.top(map);

        let fits = |width| margin + CELL * map.src_len() <= width;
        let cell = if self.width.is_none_or(fits) { CELL } else { 1 };

        let mut lines = stairs(&src_labels, self.style.leader(), margin, cell);
        for (row, label) in map.rows().zip(&tgt_labels) {
            let mut line = Line::default();
            line.push(&" ".repeat(margin - 1 - label.width()));
            line.push(label);
            line.push(" ");
            for weight in row {
                self.style.shade(&mut line, weight / top, cell);
            }
            lines.push(line);
        }
        lines.push(self.legend(top));

        let width = lines.iter().map(|line| line.width).max().unwrap_or(0);
        let mut drawing = String::new();
        for line in lines {
            drawing += &line.text;
            drawing += &" ".repeat(width - line.width);
            drawing.push('\n');
        }
        drawing
    }

    fn legend(&self, top: f32) -> Line {
        let mut line = Line::default();
        line.push("rows: target, columns: source, weight: 0 ");
        let steps = self.style.legend_steps();
        for step in 0..steps {
            let fraction = step as f32 / (steps - 1) as f32;
            self.style.shade(&mut line, fraction, 1);
        }
        line.push(&format!(" {}", format_weight(top)));
        line
    }
}

impl TerminalStyle {
    /// What such an output as `&std::io::stdout()` shows best: ASCII in a pipe or file; in a terminal colours
    /// if it says that it has them (`COLORTERM` is `truecolor` or `24bit`, and `NO_COLOR` is not set), and
    /// shades if not.
    pub fn of(output: &impl IsTerminal) -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self::choose(
            output.is_terminal(),
            &variable("COLORTERM"),
            &variable("NO_COLOR"),
        )
    }

    fn choose(is_terminal: bool, colors: &str, no_color: &str) -> Self {
        match (is_terminal, colors) {
            (false, _) => Self::Ascii,
            (true, "truecolor" | "24bit") if no_color.is_empty() => Self::TrueColor,
            (true, _) => Self::Unicode,
        }
    }

    /// The line from a source token down to its column.
    fn leader(self) -> &'static str {
        match self {
            Self::Ascii => "|",
            Self::TrueColor | Self::Unicode => "│",
        }
    }

    /// How many shades the legend shows.
    fn legend_steps(self) -> usize {
        match self {
            Self::TrueColor => 16,
            Self::Unicode => UNICODE_SHADES.len(),
            Self::Ascii => ASCII_SHADES.len(),
        }
    }

    /// Appends `columns` columns in the shade of `fraction`; above 1 is drawn as 1.
    fn shade(self, line: &mut Line, fraction: f32, columns: usize) {
        let pick = |shades: &[&str]| {
            let level = fraction.min(1.0) * (shades.len() - 1) as f32;
            shades[level.round() as usize].repeat(columns)
        };
        match self {
            Self::TrueColor => line.push_color(ColorScale::Viridis.color(fraction), columns),
            Self::Unicode => line.push(&pick(&UNICODE_SHADES)),
            Self::Ascii => line.push(&pick(&ASCII_SHADES)),
        }
    }
}

const UNICODE_SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];
const ASCII_SHADES: [&str; 10] = [" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"];

/// A line with the columns it takes, which escape sequences do not.
#[derive(Default)]
struct Line {
    text: String,
    width: usize,
}

impl Line {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.width += text.width();
    }

    /// Appends blank columns with this background.
    fn push_color(&mut self, Rgb(r, g, b): Rgb, columns: usize) {
        self.text += &format!("\x1b[48;2;{r};{g};{b}m{:columns$}\x1b[0m", "");
        self.width += columns;
    }
}

/// The header: each label starts above its column, as low as it can without touching another.
///
/// A label that reaches over the next columns stands above all their labels, so that their lines
/// down do not cross it. Labels of one character take no more than their cell of two columns: they need one row.
fn stairs(labels: &[String], leader: &str, margin: usize, cell: usize) -> Vec<Line> {
    let mut levels = vec![0; labels.len()];
    for (i, label) in labels.iter().enumerate().rev() {
        // Words need a gap between them; single characters, wide ones too, do not.
        let gap = usize::from(label.chars().nth(1).is_some());
        let reach = (label.width() + gap).div_ceil(cell);
        let covered = &levels[i + 1..labels.len().min(i + reach)];
        levels[i] = covered.iter().max().map_or(0, |highest| highest + 1);
    }
    let highest = levels.iter().max().copied().unwrap_or(0);
    let row = |row: usize| {
        let mut line = Line::default();
        for (i, label) in labels.iter().enumerate() {
            let here = match levels[i].cmp(&row) {
                Ordering::Less => continue,
                Ordering::Equal => label,
                Ordering::Greater => leader,
            };
            line.push(&" ".repeat(margin + cell * i - line.width));
            line.push(here);
        }
        line
    };
    (0..=highest).rev().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::map;

    fn draw(style: TerminalStyle, map: &AttentionMap) -> String {
        TerminalHeatmap {
            style,
            ..Default::default()
        }
        .render(map)
    }

    /// The lines without their padding.
    fn lines(drawing: &str) -> Vec<&str> {
        drawing.lines().map(str::trim_end).collect()
    }

    /// The drawing without its escape sequences, all of which end in `m`.
    fn without_escapes(drawing: &str) -> String {
        let mut parts = drawing.split('\x1b');
        let first = parts.next().unwrap_or("").to_string();
        parts.fold(first, |text, part| text + part.split_once('m').unwrap().1)
    }

    #[test]
    fn colours_are_for_terminals_only() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(TerminalStyle::of(&file), TerminalStyle::Ascii);
        let terminal = |colors, no_color| TerminalStyle::choose(true, colors, no_color);
        assert_eq!(terminal("truecolor", ""), TerminalStyle::TrueColor);
        assert_eq!(terminal("24bit", "1"), TerminalStyle::Unicode);
        assert_eq!(terminal("", ""), TerminalStyle::Unicode);
    }

    #[test]
    fn single_characters_take_one_row() {
        let map = map(
            "c|a|t",
            "K|AE|T",
            &[1.0, 0.0, 0.0, 0.2, 0.8, 0.0, 0.0, 0.5, 0.5],
        );
        assert_eq!(
            lines(&draw(TerminalStyle::Unicode, &map)),
            [
                "   c a t",
                " K ██",
                "AE ░░▓▓",
                " T   ▒▒▒▒",
                "rows: target, columns: source, weight: 0  ░▒▓█ 1.00",
            ]
        );
        assert_eq!(
            lines(&draw(TerminalStyle::Ascii, &map)),
            [
                "   c a t",
                " K @@",
                "AE ::##",
                " T   ++++",
                "rows: target, columns: source, weight: 0  .:-=+*#%@ 1.00",
            ]
        );
    }

    #[test]
    fn true_color_paints_backgrounds() {
        let drawing = draw(TerminalStyle::TrueColor, &map("a|b", "x", &[0.0, 1.0]));
        let row = drawing.lines().nth(1).unwrap();
        let dark = "\x1b[48;2;68;1;84m  \x1b[0m";
        let bright = "\x1b[48;2;253;231;37m  \x1b[0m";
        assert!(row.starts_with(&format!("x {dark}{bright} ")), "{row:?}");
    }

    #[test]
    fn long_source_tokens_stand_on_stairs() {
        let map = map("Die|Katze|,|sagt|sie|,|ist|da", "the", &[0.0; 8]);
        assert_eq!(
            lines(&draw(TerminalStyle::Unicode, &map))[..6],
            [
                "    Die",
                "    │ Katze",
                "    │ │   sagt",
                "    │ │   │ sie ist",
                "    │ │ , │ │ , │ da",
                "the",
            ]
        );
    }

    #[test]
    fn all_lines_are_equally_wide() {
        #[rustfmt::skip]
        let maps = [
            map("私|は|学|生|です", "I|am|a|学生", &[0.3; 20]),
            map("سلام|دنیا|👩‍🚀|e\u{301}|\u{301}", "ok|\u{1b}[2J|\n", &[0.1; 15]),
            map("|", "|x", &[0.5; 4]),
            map("one", "an unreasonably long token that goes on and on", &[0.7]),
        ];
        for map in &maps {
            for style in [
                TerminalStyle::TrueColor,
                TerminalStyle::Unicode,
                TerminalStyle::Ascii,
            ] {
                let drawing = without_escapes(&draw(style, map));
                let widths: Vec<usize> = drawing.lines().map(|line| line.width()).collect();
                assert!(
                    widths.iter().all(|w| *w == widths[0]),
                    "{widths:?}\n{drawing}"
                );
            }
        }
    }

    #[test]
    fn wide_characters_sit_above_their_cells() {
        let map = map("日|本|語", "に|x", &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(
            lines(&draw(TerminalStyle::Unicode, &map))[..3],
            ["   日本語", "に ██", " x     ██"]
        );
    }

    #[test]
    fn tokens_cannot_send_escape_sequences_or_break_lines() {
        let drawing = draw(
            TerminalStyle::Unicode,
            &map("\u{1b}[2J|\n", "\r\n", &[0.0, 1.0]),
        );
        assert_eq!(lines(&drawing)[..3], ["   ␛[2J", "   │ ␊", "␍␊   ██"]);
    }

    #[test]
    fn draws_the_smallest_maps() {
        let one = draw(TerminalStyle::Ascii, &map("a", "", &[0.0]));
        assert_eq!(lines(&one)[..2], ["  a", "∅"]);
        for (src, tgt) in [(0, 0), (0, 2), (2, 0)] {
            let tokens = |n| vec!["a".to_string(); n];
            let empty = AttentionMap::new(tokens(src), tokens(tgt), vec![]).unwrap();
            assert_eq!(
                draw(TerminalStyle::Unicode, &empty).lines().count(),
                tgt + 2
            );
        }
    }

    #[test]
    fn the_greatest_weight_can_be_the_strongest_shade() {
        let flat = map("a|b", "x", &[0.1, 0.2]);
        let heatmap = TerminalHeatmap {
            scale: Scale::Max,
            ..Default::default()
        };
        let drawing = heatmap.render(&flat);
        assert_eq!(lines(&drawing)[1], "x ▒▒██");
        assert!(drawing.contains("█ 0.20"));
    }

    #[test]
    fn cells_are_narrow_where_there_is_no_room() {
        let map = map(
            "the|cat|sat|日|a|b",
            "x|y",
            &[0.0, 0.0, 1.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        );
        let draw = |width| {
            let heatmap = TerminalHeatmap {
                width: Some(width),
                ..Default::default()
            };
            heatmap.render(&map)
        };
        assert_eq!(
            lines(&draw(13))[..7],
            [
                "  the",
                "  │cat",
                "  ││sat",
                "  │││日",
                "  ││││ab",
                "x   █ ▒",
                "y █",
            ]
        );
        assert_eq!(draw(14), draw(100));
    }

    #[test]
    fn weights_above_one_are_drawn_as_one() {
        let drawing = draw(TerminalStyle::Ascii, &map("a", "x", &[3.0]));
        assert_eq!(lines(&drawing)[1], "x @@");
    }
}
