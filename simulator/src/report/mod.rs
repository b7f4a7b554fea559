//! Reports: for people, and for machines that run the scenarios.

mod junit;
mod markdown;
mod text;

pub use junit::junit;
pub use markdown::markdown;
pub use text::{failure, line};

use crate::run::Report;

/// All reports as one JSON value.
pub fn json(reports: &[Report]) -> String {
    let mut text = serde_json::to_string_pretty(reports).expect("plain strings and numbers always serialise");
    text.push('\n');
    text
}
