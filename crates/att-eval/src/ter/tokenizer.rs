//! How TER splits text into words: sacreBLEU's `tokenizer_ter.py`, after Tercom's.

use super::Ter;
use crate::bleu::tokenizer::{pad_each, set_off_ascii_marks, set_off_points, unescape};
use crate::text::{fold_case, is_space, words};

impl Ter {
    /// The text, with one space between its words.
    pub(super) fn tokenize(&self, text: &str) -> String {
        let mut text = fold_case(text, !self.case_sensitive).into_owned();
        if self.normalized {
            text = set_off_western(text.trim_end_matches(is_space));
            if self.asian_support {
                text = pad_each(&text, |c| is_ideograph(c) || is_asian_mark(c));
            }
        }
        if self.no_punct {
            text.retain(|c| !(is_mark(c) || self.asian_support && is_asian_mark(c)));
        }
        words(&text).join(" ")
    }
}

/// `_normalize_general_and_western`.
fn set_off_western(text: &str) -> String {
    let text = unescape(text.replace("\n-", "").replace('\n', " "));
    let text = set_off_ascii_marks(&format!(" {text} "));
    set_off_points(&text.replace("'s ", " 's "))
}

/// What `_remove_punct` takes out.
fn is_mark(c: char) -> bool {
    matches!(c, '.' | ',' | '?' | ':' | ';' | '!' | '"' | '(' | ')')
}

/// What `_normalize_asian` makes words of. Its expressions for kana match at the start of a text
/// alone, where a space stands, so never; one range reads 3f22 for 32ff and reaches into the next.
fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}'
        | '\u{3200}'..='\u{4dbf}'
        | '\u{31c0}'..='\u{31ef}'
        | '\u{2e80}'..='\u{2eff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}')
}

/// `ASIAN_PUNCT` and `FULL_WIDTH_PUNCT`.
fn is_asian_mark(c: char) -> bool {
    matches!(c,
        '\u{3001}' | '\u{3002}'
        | '\u{3008}'..='\u{3011}'
        | '\u{3014}'..='\u{301f}'
        | '\u{ff61}'..='\u{ff65}'
        | '\u{30fb}'
        | '\u{ff0e}' | '\u{ff0c}' | '\u{ff1f}' | '\u{ff1a}' | '\u{ff1b}'
        | '\u{ff01}' | '\u{ff02}' | '\u{ff08}' | '\u{ff09}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ter: Ter, text: &str, expected: &str) {
        assert_eq!(ter.tokenize(text), expected, "{ter:?}");
    }

    #[test]
    fn each_option_does_its_part() {
        let plain = Ter::default();
        let text = "It's \"5,000.5\" kg, he's said. &amp;";
        check(plain, text, "it's \"5,000.5\" kg, he's said. &amp;");
        let cased = Ter {
            case_sensitive: true,
            ..plain
        };
        check(cased, "Ab ", "Ab");
        let normalized = Ter {
            normalized: true,
            ..plain
        };
        check(normalized, text, "it 's \" 5,000.5 \" kg , he 's said . &");
        let no_punct = Ter {
            no_punct: true,
            ..plain
        };
        check(no_punct, text, "it's 50005 kg he's said &amp");
    }

    #[test]
    fn asian_text_needs_its_own_option() {
        let normalized = Ter {
            normalized: true,
            ..Ter::default()
        };
        check(normalized, "我爱你。ok", "我爱你。ok");
        let asian = Ter {
            asian_support: true,
            ..normalized
        };
        check(asian, "我爱你。ok かな", "我 爱 你 。 ok かな");
        let no_punct = Ter {
            no_punct: true,
            ..asian
        };
        check(no_punct, "我爱,你。", "我 爱 你");
        let alone = Ter {
            asian_support: true,
            ..Ter::default()
        };
        check(alone, "我爱你。", "我爱你。");
    }
}
