//! What is wrong with a configuration: every problem of a file at once, each with where it is and what to do.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file: `upstream_proxies[2].weight`, `line 3, column 7`, or empty for the file as a whole.
    pub at: String,
    /// What was wrong and what is right.
    pub what: String,
}

/// Everything that is wrong with one file. Prints one problem a line, at most [`Problems::SHOWN`] of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    found: Vec<Problem>,
}

impl Problems {
    /// Lines printed before the rest is only counted.
    pub const SHOWN: usize = 100;

    /// None so far, in the file named `file`.
    pub(super) fn in_file(file: &str) -> Self {
        Problems { file: file.to_owned(), found: Vec::new() }
    }

    /// Notes that at `at` something is wrong.
    pub(super) fn add(&mut self, at: impl Into<String>, what: impl Into<String>) {
        self.found.push(Problem { at: at.into(), what: what.into() });
    }

    /// Whether anything is wrong at `path` or below it: rules over several fields hold their tongue then.
    pub(super) fn touch(&self, path: &str) -> bool {
        self.found.iter().any(|problem| {
            problem.at.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many things are wrong.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Each thing that is wrong.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.found.iter()
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
        let lines = self.found.iter().take(Self::SHOWN).map(|problem| match problem.at.as_str() {
            "" => format!("{}: {}", self.file, problem.what),
            at => format!("{}: {at}: {}", self.file, problem.what),
        });
        let rest = self.found.len().saturating_sub(Self::SHOWN);
        let more = (rest > 0).then(|| format!("{}: and {rest} more problems", self.file));
        f.write_str(&lines.chain(more).collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Problems {}
