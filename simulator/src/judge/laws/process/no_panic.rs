//! The law `no-panic`: no task panics, and nothing that the scenario asks for fails.

use crate::judge::checked::{Case, Checked};
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::Witnesses;

pub(in crate::judge) const LAW: Law = Law {
    name: "no-panic",
    text: "No task panics, and nothing that the scenario asks for fails.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let panics = witnesses.panics.iter().map(|panic| Violation::found(panic.clone(), []));
    let failures = witnesses.failed_actions.iter().map(|(place, what)| Violation::found(*what, [*place]));
    let found = panics.chain(failures).map(Case::Broken);
    [Case::Holds].into_iter().chain(found).collect()
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;

    #[test]
    fn fires_on_a_panic() {
        let mut twin = Twin::of(&LAW);
        twin.record.panics.push("proxy: index out of bounds".to_owned());
        twin.fires();
    }
}
