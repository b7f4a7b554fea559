//! A law is a rule that must hold in every run; a history is held against a list of them.

use crate::judge::checked::{Checked, Kind, LawCounts};
use crate::judge::history::History;
use crate::judge::violation::Violation;
use crate::judge::witnesses::Witnesses;

/// Something that must hold in every run.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    /// Its name in reports.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub text: &'static str,
    /// How a run is held against it.
    pub check: Check,
}

/// How a run is held against a law, by what the law may look at. Violations are made with [`Violation::found`].
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Clients and upstreams alone, as for a proxy that tells nothing. Such a law can't believe the proxy, since it is shown
    /// nothing that the proxy told.
    BlackBox(fn(&Witnesses<'_>) -> Checked),
    /// What the proxy says of itself is held against clients and upstreams.
    Told(fn(&History<'_>) -> Checked),
    /// What the proxy says of itself is held against what else it says.
    Inside(fn(&History<'_>) -> Checked),
}

impl Law {
    /// Which witnesses it believes.
    pub const fn kind(&self) -> Kind {
        match self.check {
            Check::BlackBox(_) => Kind::BlackBox,
            Check::Told(_) => Kind::Told,
            Check::Inside(_) => Kind::Inside,
        }
    }

    /// Holds `history` against it.
    pub fn hold(&self, history: &History<'_>) -> Checked {
        match self.check {
            Check::BlackBox(check) => check(&history.witnesses),
            Check::Told(check) | Check::Inside(check) => check(history),
        }
    }
}

/// What does not hold of `history`, with the names of the laws; and the counts of each law.
pub fn check(history: &History<'_>, laws: &[Law]) -> (Vec<Violation>, Vec<LawCounts>) {
    let mut violations = Vec::new();
    let mut counts = Vec::new();
    for law in laws {
        let Checked { cases, excused, violations: found } = law.hold(history);
        let (name, kind) = (law.name.to_owned(), law.kind());
        counts.push(LawCounts { law: name, kind, cases, excused, found: found.len() as u64 });
        violations.extend(found.into_iter().map(|one| Violation { of: law.name.to_owned(), ..one }));
    }
    (violations, counts)
}
