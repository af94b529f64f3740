//! Words, white space and case, as every metric here sees them.

use std::borrow::Cow;

/// Whether Python's `str.isspace` holds: Unicode white space and the four ASCII separators.
///
/// sacreBLEU splits by it, and the separators U+001C to U+001F are what Rust leaves out.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The maximal runs of characters that are not white space.
pub(crate) fn words(text: &str) -> Vec<&str> {
    text.split(is_space).filter(|w| !w.is_empty()).collect()
}

/// The text, in lower case if so wanted.
pub(crate) fn fold_case(text: &str, lowercase: bool) -> Cow<'_, str> {
    if lowercase {
        text.to_lowercase().into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_by_any_white_space() {
        assert_eq!(words("  a\tb\u{3000}c\u{1f}d\n"), ["a", "b", "c", "d"]);
        assert!(words(" \n").is_empty());
    }
}
