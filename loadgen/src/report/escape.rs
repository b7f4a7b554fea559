//! Escapes text for HTML.

/// Escapes `text` so that it may stand in HTML, attributes in quotes included. Control characters other than a line's end
/// have no place there, and come out as U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() && letter != '\n' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_its_place() {
        let text = "</pre><b a='\"'>&\u{1b}\n";
        assert_eq!(escape(text), "&lt;/pre&gt;&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}\n");
    }
}
