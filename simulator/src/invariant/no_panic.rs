use super::{Invariant, Violation, found};
use crate::history::History;
use crate::trace::{ScenarioEvent, What};

pub(super) const INVARIANT: Invariant =
    Invariant { name: "no-panic", law: "No task panics, and nothing that the scenario asks for fails.", check };

fn check(history: &History<'_>) -> Vec<Violation> {
    let panics = history.played.panics.iter().map(|panic| found(panic.clone(), []));
    let failures = history.lines.iter().enumerate().filter_map(|(place, line)| match &line.what {
        What::Scenario(ScenarioEvent::Failed { what }) => Some(found(what.clone(), [place])),
        _ => None,
    });
    panics.chain(failures).collect()
}

#[cfg(test)]
mod tests {
    use crate::invariant::support::Twin;

    #[test]
    fn fires_on_a_panic() {
        let mut twin = Twin::sound();
        twin.played.panics.push("proxy: index out of bounds".to_owned());
        twin.fires("no-panic");
    }
}
