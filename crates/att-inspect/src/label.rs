use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A token as it is drawn: what cannot be seen gets a sign, what could harm the drawing is replaced.
///
/// - the empty token is `∅`, a space at either end `␣`;
/// - control characters and those that turn the direction of the text are what [`visible`] makes of them;
/// - a combining mark that stands first gets the circle `◌` to sit on;
/// - what is wider than `max_width` columns ends in `…`.
pub(crate) fn label(token: &str, max_width: usize) -> String {
    if token.is_empty() {
        return "∅".to_string();
    }
    let inner = token.trim_matches(' ');
    let spaces = |n: usize| "␣".repeat(n);
    let mut label = if inner.is_empty() {
        spaces(token.len())
    } else {
        let before = token.len() - token.trim_start_matches(' ').len();
        let after = token.len() - before - inner.len();
        spaces(before) + &visible(inner) + &spaces(after)
    };
    if label.chars().next().and_then(UnicodeWidthChar::width) == Some(0) {
        label.insert(0, '◌');
    }
    shorten(&label, max_width)
}

/// The [`label`] of each token.
pub(crate) fn labels(tokens: &[String], max_width: usize) -> Vec<String> {
    tokens.iter().map(|token| label(token, max_width)).collect()
}

/// `text` so that what is written from right to left keeps its own direction, and that of what stands around it
/// does not change: such text is put between FIRST STRONG ISOLATE and its end (Unicode's annex 9). A [`label`]
/// has no such characters of its own.
pub(crate) fn isolated(text: &str) -> String {
    if text.chars().any(is_right_to_left) {
        format!("\u{2068}{text}\u{2069}")
    } else {
        text.to_string()
    }
}

/// Whether a character lies in the blocks of Hebrew, Arabic, and the other scripts that run to the left.
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
        || matches!(c, '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// `text` cut to `max_width` columns, the last of them `…` when anything is cut.
pub(crate) fn shorten(text: &str, max_width: usize) -> String {
    if text.width() <= max_width {
        return text.to_string();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if short.width() >= max_width {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

/// Text that can be printed whatever it holds:
///
/// - control characters are their pictures (`␛`, `␊`), so nothing can send a terminal an escape sequence;
/// - characters that turn the direction of the text or break the line are `�`.
///
/// ```
/// assert_eq!(att_inspect::visible("a\u{1b}[2Jb"), "a␛[2Jb");
/// ```
pub fn visible(text: &str) -> String {
    text.chars().map(sign).collect()
}

fn sign(c: char) -> char {
    match c {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '␡',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' => '\u{fffd}',
        '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_the_invisible_visible() {
        let cases = [
            ("", "∅"),
            (" ", "␣"),
            (" the", "␣the"),
            ("New York  ", "New York␣␣"),
            ("\n", "␊"),
            ("\u{1b}[31m", "␛[31m"),
            ("\u{7f}\u{85}\u{202e}x", "␡\u{fffd}\u{fffd}x"),
            ("\u{301}", "◌\u{301}"),
            ("e\u{301}", "e\u{301}"),
            ("日本", "日本"),
        ];
        for (token, expected) in cases {
            assert_eq!(label(token, 30), expected);
        }
    }

    #[test]
    fn what_runs_to_the_left_keeps_its_direction() {
        for text in ["سلام.", "שלום", "3 كتب"] {
            assert_eq!(isolated(text), format!("\u{2068}{text}\u{2069}"));
            assert_eq!(isolated(text).width(), text.width());
        }
        assert_eq!(isolated("naïve 日本"), "naïve 日本");
    }

    #[test]
    fn cuts_at_columns_not_characters() {
        assert_eq!(label("abcdef", 6), "abcdef");
        assert_eq!(label("abcdefg", 6), "abcde…");
        assert_eq!(label("日本語日本語", 6), "日本…");
        assert!(label("日本語日本語", 6).width() <= 6);
    }
}
