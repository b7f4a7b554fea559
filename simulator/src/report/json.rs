//! Writes the results of many runs as JSON.

use crate::explore::results::Results;

/// Results as one JSON value.
pub fn json(results: &Results) -> String {
    let mut text = serde_json::to_string_pretty(results).expect("plain strings and numbers always serialise");
    text.push('\n');
    text
}
