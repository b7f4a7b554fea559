//! A problem names a place in a scenario file and says what to write there.

use std::fmt;

/// Something that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON path; empty for the whole.
    pub path: String,
    /// What is wrong, and what to write.
    pub text: String,
}

impl Problem {
    pub(super) fn at(path: &str, text: String) -> Self {
        Problem { path: path.to_owned(), text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}

/// The JSON path of the field `name` of what stands at `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
