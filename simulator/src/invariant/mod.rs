//! What must hold in every run, whatever its scenario asks. One file each, with a test that makes it fire.

mod blame;
mod bytes;
mod conservation;
mod credentials;
mod drain;
mod ejected;
mod failover;
mod in_a_row;
mod leftovers;
mod liveness;
mod no_panic;
mod reload;
mod restore;
mod served;
mod shares;
mod statistics;
#[cfg(test)]
mod support;

use serde::Serialize;

use crate::history::History;

/// Something that must hold.
pub struct Invariant {
    /// What reports call it.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub law: &'static str,
    check: fn(&History<'_>) -> Vec<Violation>,
}

/// Something that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Of which invariant or expectation.
    pub of: String,
    /// What was found.
    pub text: String,
    /// Lines of the trace that disagree, by place.
    pub lines: Vec<usize>,
}

/// Found, with the lines that show it.
fn found(text: impl Into<String>, lines: impl IntoIterator<Item = usize>) -> Violation {
    Violation { of: String::new(), text: text.into(), lines: lines.into_iter().collect() }
}

/// All of them.
pub const INVARIANTS: &[Invariant] = &[
    no_panic::INVARIANT,
    conservation::INVARIANT,
    bytes::INVARIANT,
    ejected::INVARIANT,
    shares::INVARIANT,
    served::INVARIANT,
    failover::INVARIANT,
    restore::INVARIANT,
    blame::INVARIANT,
    in_a_row::INVARIANT,
    statistics::INVARIANT,
    reload::INVARIANT,
    drain::INVARIANT,
    credentials::INVARIANT,
    leftovers::INVARIANT,
    liveness::INVARIANT,
];

/// What does not hold of `history`.
pub fn check(history: &History<'_>) -> Vec<Violation> {
    let named = |invariant: &'static Invariant| {
        let violations = (invariant.check)(history).into_iter();
        violations.map(|violation| Violation { of: invariant.name.to_owned(), ..violation })
    };
    INVARIANTS.iter().flat_map(named).collect()
}
