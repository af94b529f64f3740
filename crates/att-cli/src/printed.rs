//! What is printed.

/// Text of several lines that has parts of users' files in it, as it can be printed: none of them can send an escape
/// sequence ([`att_inspect::visible`]).
pub fn visible_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(att_inspect::visible).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_nothing_steers() {
        assert_eq!(
            visible_lines("a\u{1b}[2J -> b\n  (gold: \r)"),
            "a␛[2J -> b\n  (gold: ␍)"
        );
    }
}
