//! How BLEU splits text into tokens.

use crate::error::{Result, parse_name};
use crate::text::is_space;
use std::fmt;
use std::str::FromStr;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// A tokeniser of sacreBLEU's; scores of different tokenisers must not be compared.
///
/// `Display` and `FromStr` use sacreBLEU's names: `13a`, `intl`, `zh`, `char`, `none`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BleuTokenizer {
    /// The one of WMT, from mteval-v13a: sets off ASCII punctuation, except within numbers.
    #[default]
    V13a,
    /// From mteval-v14: sets off all of Unicode's punctuation and symbols, except within numbers.
    Intl,
    /// For Chinese: each Chinese character is a token, and the rest is split as by 13a.
    Zh,
    /// Every character is a token: for scripts that do not separate words.
    Char,
    /// White space alone separates tokens: for text that is tokenised already.
    None,
}

impl BleuTokenizer {
    /// All tokenisers.
    pub const ALL: [Self; 5] = [Self::V13a, Self::Intl, Self::Zh, Self::Char, Self::None];

    /// Puts white space between the tokens of `line`.
    pub fn tokenize(self, line: &str) -> String {
        match self {
            Self::V13a => tokenize_13a(line),
            Self::Intl => tokenize_intl(line),
            Self::Zh => tokenize_zh(line),
            Self::Char => pad_each(line, |_| true),
            Self::None => line.to_owned(),
        }
    }
}

impl fmt::Display for BleuTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::V13a => "13a",
            Self::Intl => "intl",
            Self::Zh => "zh",
            Self::Char => "char",
            Self::None => "none",
        })
    }
}

impl FromStr for BleuTokenizer {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<Self> {
        parse_name("tokenizer", name, &Self::ALL)
    }
}

/// The regular expressions of sacreBLEU's `tokenizer_13a.py`, by hand.
fn tokenize_13a(line: &str) -> String {
    let text = line
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ");
    set_off_western_marks(&format!(" {} ", unescape(text)))
}

/// `&quot;`, `&amp;`, `&lt;` and `&gt;`, in this order.
pub(crate) fn unescape(text: String) -> String {
    if !text.contains('&') {
        return text;
    }
    text.replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
}

/// The regular expressions of sacreBLEU's `tokenizer_re.py`, by hand: sets off ASCII marks, and
/// periods, commas and dashes but within numbers.
fn set_off_western_marks(text: &str) -> String {
    set_off_points(&set_off_ascii_marks(text))
}

/// `[{-~[-` -&(-+:-@/]`: ASCII punctuation and the space, but neither apostrophe nor comma, dash or
/// period.
pub(crate) fn set_off_ascii_marks(text: &str) -> String {
    pad_each(text, |c| {
        c == ' ' || c.is_ascii_punctuation() && !matches!(c, '\'' | ',' | '-' | '.')
    })
}

/// Periods and commas unless between digits, and dashes behind a digit.
pub(crate) fn set_off_points(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit();
    let is_point = |c: char| matches!(c, '.' | ',');
    let text = set_off_second(text, |a, b| !is_digit(a) && is_point(b));
    let text = set_off_first(&text, |a, b| is_point(a) && !is_digit(b));
    set_off_second(&text, |a, b| is_digit(a) && b == '-')
}

/// sacreBLEU's `tokenizer_zh.py`.
fn tokenize_zh(line: &str) -> String {
    let line = line.trim_matches(is_space);
    set_off_western_marks(&pad_each(line, is_chinese_to_sacrebleu))
}

/// The ranges of `tokenizer_zh.py`. Two of them were meant for U+20000 to U+2A6D6 and U+2F800 to
/// U+2FA1D, but are written with four digits and so hold U+2001 to U+2A6D, with general punctuation
/// and arrows, and U+2F81 to U+2FA1.
fn is_chinese_to_sacrebleu(c: char) -> bool {
    matches!(c,
        '\u{2001}'..='\u{2a6d}'
        | '\u{2e80}'..='\u{2eff}'
        | '\u{2f00}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{303f}'
        | '\u{3100}'..='\u{312f}'
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31c0}'..='\u{31ef}'
        | '\u{3200}'..='\u{4db5}'
        | '\u{4e00}'..='\u{9fbb}'
        | '\u{f900}'..='\u{fa2d}'
        | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}'
        | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}')
}

/// The regular expressions of sacreBLEU's `tokenizer_intl.py`, by hand.
fn tokenize_intl(line: &str) -> String {
    use GeneralCategoryGroup::{Number, Punctuation, Symbol};
    let is = |group, c: char| c.general_category_group() == group;

    let text = set_off_second(line, |a, b| !is(Number, a) && is(Punctuation, b));
    let text = set_off_first(&text, |a, b| is(Punctuation, a) && !is(Number, b));
    pad_each(&text, |c| is(Symbol, c))
}

/// `re.sub("(c)", r" \1 ", text)`.
pub(crate) fn pad_each(text: &str, is_match: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if is_match(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
    out
}

/// `re.sub("(a)(b)", r"\1 \2 ", text)`.
fn set_off_second(text: &str, is_match: impl Fn(char, char) -> bool) -> String {
    rewrite_pairs(text, is_match, |a, b| [a, ' ', b, ' '])
}

/// `re.sub("(a)(b)", r" \1 \2", text)`.
fn set_off_first(text: &str, is_match: impl Fn(char, char) -> bool) -> String {
    rewrite_pairs(text, is_match, |a, b| [' ', a, ' ', b])
}

/// Replaces pairs of neighbours from left to right; as with `re.sub`, pairs do not overlap.
fn rewrite_pairs(
    text: &str,
    is_match: impl Fn(char, char) -> bool,
    rewrite: impl Fn(char, char) -> [char; 4],
) -> String {
    let mut out = String::with_capacity(2 * text.len());
    let mut chars = text.chars().peekable();
    while let Some(a) = chars.next() {
        match chars.next_if(|&b| is_match(a, b)) {
            Some(b) => out.extend(rewrite(a, b)),
            None => out.push(a),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::words;

    fn check(tokenizer: BleuTokenizer, line: &str, expected: &str) {
        assert_eq!(words(&tokenizer.tokenize(line)).join(" "), expected);
    }

    #[test]
    fn v13a_sets_off_punctuation_but_not_within_numbers() {
        let check = |line, expected| check(BleuTokenizer::V13a, line, expected);
        check("Hello, world!", "Hello , world !");
        check("It's 1,000.5 kg.", "It's 1,000.5 kg .");
        check("well-known 3-4", "well-known 3 - 4");
        check("&quot;A &amp; B&quot; &lt;b&gt;", "\" A & B \" < b >");
        check("a-\nb\nc<skipped>d", "ab cd");
    }

    #[test]
    fn pairs_do_not_overlap() {
        check(BleuTokenizer::V13a, "wait...", "wait . . .");
        check(BleuTokenizer::V13a, "1.,.2", "1 . , .2");
    }

    #[test]
    fn intl_knows_the_punctuation_of_all_scripts() {
        let check = |line, expected| check(BleuTokenizer::Intl, line, expected);
        check("«Ça va?»", "« Ça va ? »");
        check("你好。", "你好 。");
        check("1.5€", "1.5 €");
    }

    #[test]
    fn zh_parts_chinese_characters_and_splits_the_rest_like_13a() {
        let check = |line, expected| check(BleuTokenizer::Zh, line, expected);
        check("我爱BLEU!", "我 爱 BLEU !");
        check("约1,000人。", "约 1,000 人 。");
        check("“引号”", "“ 引 号 ”");
        check("\u{20000}\u{20001}", "\u{20000}\u{20001}");
    }

    #[test]
    fn char_and_none() {
        check(BleuTokenizer::Char, "你好 ok", "你 好 o k");
        check(BleuTokenizer::None, "a,  b", "a, b");
    }

    #[test]
    fn names_round_trip() {
        for tokenizer in BleuTokenizer::ALL {
            assert_eq!(tokenizer.to_string().parse(), Ok(tokenizer));
        }
        let error = "13b".parse::<BleuTokenizer>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown tokenizer `13b`: use one of 13a, intl, zh, char, none"
        );
    }
}
