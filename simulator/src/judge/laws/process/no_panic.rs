//! The law `no-panic`: no task panics, and nothing that the scenario asks for fails.

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;
use crate::record::{ScenarioEvent, What};

pub(in crate::judge) const LAW: Law =
    Law { name: "no-panic", text: "No task panics, and nothing that the scenario asks for fails.", check };

fn check(history: &History<'_>) -> Vec<Violation> {
    let panics = history.record.panics.iter().map(|panic| Violation::found(panic.clone(), []));
    let failures = history.lines.iter().enumerate().filter_map(|(place, line)| match &line.what {
        What::Scenario(ScenarioEvent::Failed { what }) => Some(Violation::found(what.clone(), [place])),
        _ => None,
    });
    panics.chain(failures).collect()
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
