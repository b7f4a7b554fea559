//! Collects what is wrong with a file, each problem with its place and a hint.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file: `upstream_proxies[2].weight`, `line 3, column 7`, or empty for the file as a whole.
    pub at: String,
    /// What was wrong and what is right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.at, self.what) }
    }
}

/// Everything that is wrong with one file. Prints one problem a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    kept: Vec<Problem>,
    total: usize,
}

impl Problems {
    /// Problems kept and printed; those beyond are only counted, so that a huge wrong file stays cheap.
    pub const MAX_KEPT: usize = 100;

    /// None so far, in the file named `file`.
    pub fn in_file(file: &str) -> Self {
        Problems { file: file.to_owned(), kept: Vec::new(), total: 0 }
    }

    /// Notes that at `at` something is wrong.
    pub fn add(&mut self, at: impl Into<String>, what: impl Into<String>) {
        self.total += 1;
        if self.kept.len() < Self::MAX_KEPT {
            self.kept.push(Problem { at: at.into(), what: what.into() });
        }
    }

    /// Whether anything is wrong at `path` or below it: rules over several fields are not checked then.
    pub(in crate::config) fn touch(&self, path: &str) -> bool {
        self.kept.iter().any(|problem| {
            problem.at.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many things are wrong, those not kept among them.
    pub fn len(&self) -> usize {
        self.total
    }

    /// The problems kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.kept.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.kept.iter().map(|problem| format!("{}: {problem}", self.file));
        let rest = self.total - self.kept.len();
        let more = (rest > 0).then(|| format!("{}: and {rest} more", self.file));
        f.write_str(&lines.chain(more).collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Problems {}
