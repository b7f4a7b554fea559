//! Reports: for people, and for machines that run the scenarios.

mod junit;
mod markdown;
mod text;

pub use junit::junit;
pub use markdown::markdown;
pub use text::{again, failure, line};

use crate::run::Report;

/// All reports as one JSON value.
pub fn json(reports: &[Report]) -> String {
    let mut text = serde_json::to_string_pretty(reports).expect("plain strings and numbers always serialise");
    text.push('\n');
    text
}

/// `text` in XML or HTML, as content or in a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 (section 2.2) has no way to write most control characters, nor these two.
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
