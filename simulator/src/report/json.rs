//! Reports of runs as JSON.

use crate::judge::RunReport;

/// All reports as one JSON value.
pub fn json(reports: &[RunReport]) -> String {
    let mut text = serde_json::to_string_pretty(reports).expect("plain strings and numbers always serialise");
    text.push('\n');
    text
}
