//! Texts that came from files are shown without what a terminal or a pipeline could take for an order.

use std::borrow::Cow;

/// `text` with its control characters written as escapes, but for the ends of lines and tabs.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() && c != '\n' && c != '\t')
}

/// The same in one line: an order of GitHub's runner begins with a line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, char::is_control)
}

fn escaped(text: &str, is_order: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_order) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_order(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_shown_and_the_rest_stays() {
        let text = "it's \u{1b}[2J Grüße\n::error::x\t\u{9b}1m\r";
        assert_eq!(printable(text), "it's \\u{1b}[2J Grüße\n::error::x\t\\u{9b}1m\\r");
        assert_eq!(one_line(text), "it's \\u{1b}[2J Grüße\\n::error::x\\t\\u{9b}1m\\r");
    }
}
