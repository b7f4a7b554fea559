//! The law `leftovers`: once the proxy has stopped, no task and no connection of it is left.

use crate::judge::checked::{Case, Checked};
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::Witnesses;

pub(in crate::judge) const LAW: Law = Law {
    name: "leftovers",
    text: "Once the proxy has stopped, no task and no connection of it is left.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let found = witnesses.left.iter().map(|(_, left)| Case::Broken(Violation::found(left.clone(), [])));
    [Case::Holds].into_iter().chain(found).collect()
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::scenario::{HostName, PROXY};

    #[test]
    fn fires_on_a_connection_that_is_left() {
        let mut twin = Twin::of(&LAW);
        twin.record.left.push((HostName::new(PROXY), "1 connections of the proxy".to_owned()));
        twin.fires();
    }
}
