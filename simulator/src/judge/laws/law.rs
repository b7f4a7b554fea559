//! A law is a rule that must hold in every run; a history is held against a list of them.

use crate::judge::history::History;
use crate::judge::violation::Violation;

/// Something that must hold in every run.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    /// Its name in reports.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub text: &'static str,
    /// What does not hold of a run; made with [`Violation::found`].
    pub check: fn(&History<'_>) -> Vec<Violation>,
}

/// What does not hold of `history`, with the names of the laws.
pub fn check(history: &History<'_>, laws: &[Law]) -> Vec<Violation> {
    let named = |law: &Law| {
        let violations = (law.check)(history).into_iter();
        violations.map(|violation| Violation { of: law.name.to_owned(), ..violation }).collect::<Vec<_>>()
    };
    laws.iter().flat_map(named).collect()
}
