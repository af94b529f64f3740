use std::fmt;

use unicode_width::UnicodeWidthChar;

use crate::label::{isolated, shorten};

/// Colour of text. The page is white in light and dark viewers alike.
pub(crate) const INK: &str = "#1f2933";
/// Colour of text that stands back.
pub(crate) const MUTED: &str = "#616e7c";
/// Colour of lines that stand back.
pub(crate) const LINE: &str = "#dde2e8";

/// Space around the drawing, in pixels.
pub(crate) const PADDING: f64 = 24.0;
/// Where the space below the title begins, in pixels.
pub(crate) const BELOW_TITLE: f64 = PADDING + 22.0;

const TITLE_SIZE: f64 = 17.0;
const MAX_TITLE: usize = 72;
const FONTS: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', \
                     'Helvetica Neue', Arial, sans-serif";

/// An SVG page under construction.
#[derive(Default)]
pub(crate) struct Canvas {
    body: String,
}

/// How a text is set; a label at the right of its position by default.
#[derive(Clone, Copy)]
pub(crate) struct TextStyle {
    pub size: f64,
    pub fill: &'static str,
    /// Which part of the text is at its position: `start`, `middle` or `end`.
    pub anchor: &'static str,
    /// Degrees around its position, clockwise.
    pub rotate: f64,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self {
            size: 13.0,
            fill: INK,
            anchor: "start",
            rotate: 0.0,
        }
    }
}

impl Canvas {
    /// Appends SVG as it is.
    pub(crate) fn push(&mut self, svg: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = fmt::write(&mut self.body, svg);
        self.body.push('\n');
    }

    /// Appends a text with its baseline at `(x, y)`.
    pub(crate) fn text(&mut self, x: f64, y: f64, style: TextStyle, text: &str) {
        let TextStyle {
            size,
            fill,
            anchor,
            rotate,
        } = style;
        let (x, y, text) = (Px(x), Px(y), escape(&isolated(text)));
        let transform = if rotate == 0.0 {
            String::new()
        } else {
            format!(r#" transform="rotate({rotate} {x} {y})""#)
        };
        self.push(format_args!(
            r#"<text x="{x}" y="{y}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"{transform}>{text}</text>"#
        ));
    }

    /// Appends a line in the quiet colour of axes and grids.
    pub(crate) fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        let (x1, y1, x2, y2) = (Px(x1), Px(y1), Px(x2), Px(y2));
        self.push(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{LINE}"/>"#
        ));
    }

    /// The whole SVG with its title, which may be empty; at least `min_width` wide, and wide enough for the
    /// title.
    pub(crate) fn finish(self, title: &str, min_width: f64, height: f64) -> String {
        let shown = shorten(title, MAX_TITLE);
        let title_width = match shown.as_str() {
            "" => 0.0,
            shown => text_width(shown, TITLE_SIZE) * 1.05 + 2.0 * PADDING,
        };
        let width = min_width.max(title_width);
        let (width, height) = (Px(width.ceil()), Px(height.ceil()));
        let (title, shown, body) = (escape(title), escape(&isolated(&shown)), self.body);
        let baseline = PADDING + 12.0;
        let heading = match title.as_str() {
            "" => String::new(),
            title => format!(
                r##"<title>{title}</title>
<text x="{PADDING}" y="{baseline}" font-size="{TITLE_SIZE}" font-weight="600" fill="{INK}">{shown}</text>
"##
            ),
        };
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" font-family="{FONTS}" style="max-width:100%;height:auto">
<rect width="100%" height="100%" rx="8" fill="#ffffff"/>
{heading}{body}</svg>
"##
        )
    }
}

/// A length in pixels, written with at most one decimal.
pub(crate) struct Px(pub(crate) f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding 0 turns -0 into 0.
        write!(f, "{}", (self.0 * 10.0).round() / 10.0 + 0.0)
    }
}

/// `text` for XML 1.0 and HTML: markup is escaped, and characters that XML does not allow are replaced.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The width of a text in pixels, estimated after DejaVu Sans, one of the widest of the fonts that
/// a viewer may take, so that nothing is clipped.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 'I' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.33,
            'f' | 'r' | 't' | '-' | '(' | ')' => 0.42,
            'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 0.98,
            'A'..='Z' => 0.73,
            c => match c.width() {
                Some(0) | None => 0.0,
                Some(1) => 0.63,
                Some(_) => 1.02,
            },
        })
        .sum();
    ems * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_markup_and_replaces_what_xml_forbids() {
        assert_eq!(escape(r#"<&">"#), "&lt;&amp;&quot;&gt;");
        assert_eq!(escape("a\0b\u{ffff}\u{1b}"), "a\u{fffd}b\u{fffd}\u{fffd}");
        assert_eq!(escape("naïve 日本"), "naïve 日本");
    }

    #[test]
    fn lengths_are_short() {
        let texts = [36.0, 1.25, -0.01, 7.96].map(|length| Px(length).to_string());
        assert_eq!(texts, ["36", "1.3", "0", "8"]);
    }

    #[test]
    fn text_width_grows_with_the_letters() {
        assert!(text_width("mmm", 10.0) > text_width("aaa", 10.0));
        assert!(text_width("日本", 10.0) > text_width("ab", 10.0));
        assert_eq!(text_width("e\u{301}", 10.0), text_width("e", 10.0));
        assert_eq!(text_width("ab", 20.0), 2.0 * text_width("ab", 10.0));
    }

    #[test]
    fn a_long_title_widens_the_page_until_it_is_cut() {
        let width = |title: &str| {
            let svg = Canvas::default().finish(title, 100.0, 50.0);
            let xml = roxmltree::Document::parse(&svg).unwrap();
            let width = xml.root_element().attribute("width").unwrap();
            width.parse::<f64>().unwrap()
        };
        assert_eq!(width("x"), 100.0);
        assert!(width(&"x".repeat(40)) > 300.0);
        assert!(width(&"x".repeat(4000)) < 1000.0);
    }
}
