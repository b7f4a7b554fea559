//! Something that does not hold of a run.

use serde::{Deserialize, Serialize};

/// Something that does not hold of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// The name of the law, or the place of the expectation, such as `expect[0]`.
    pub of: String,
    /// What was found.
    pub text: String,
    /// The lines of the trace that show it, by place.
    pub lines: Vec<usize>,
}

impl Violation {
    /// What a law has found, with the lines of the trace that show it. Whoever asked the law adds its name.
    pub fn found(text: impl Into<String>, lines: impl IntoIterator<Item = usize>) -> Self {
        Violation { of: String::new(), text: text.into(), lines: lines.into_iter().collect() }
    }
}
