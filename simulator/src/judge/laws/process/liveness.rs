//! The law `liveness`: once all is healed, requests succeed again.

use crate::judge::checked::{Case, Checked};
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::Witnesses;

pub(in crate::judge) const LAW: Law =
    Law { name: "liveness", text: "Once all is healed, requests succeed again.", check: Check::BlackBox(check) };

fn check(witnesses: &Witnesses<'_>) -> Checked {
    // Nothing is demanded of a proxy that was told to stop.
    let demanded = witnesses.disturbances.stopped().is_none();
    let found = witnesses.stuck.map(|stuck| Violation::found(stuck, []));
    (demanded || found.is_some()).then(|| Case::of(found)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::scenario::{HostName, PROXY};

    #[test]
    fn fires_where_no_progress_was_made() {
        let mut twin = Twin::of(&LAW);
        twin.record.stuck.push((HostName::new(PROXY), "nothing succeeded".to_owned()));
        twin.fires();
    }
}
