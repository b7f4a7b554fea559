use std::time::Duration;

use super::{Invariant, Violation, found};
use crate::history::History;
use crate::trace::ProxyEvent;

pub(super) const INVARIANT: Invariant =
    Invariant { name: "drain", law: "A proxy that is told to stop does so within its delay and time-out.", check };

/// Steps of the simulated clock that its end may come late.
const SLACK: Duration = Duration::from_millis(500);

fn check(history: &History<'_>) -> Vec<Violation> {
    let server = &history.config.server;
    let limit = server.drain_delay + server.drain_timeout + SLACK + history.played.late;
    let mut violations = Vec::new();
    for life in &history.lives {
        let lines: Vec<_> = history.proxy_lines(life).collect();
        let started = lines.iter().find(|(.., event)| matches!(event, ProxyEvent::DrainStarted { .. }));
        let Some((start, began, _)) = started else { continue };
        let ended = lines.iter().find(|(.., event)| matches!(event, ProxyEvent::Drained { .. }));
        match ended {
            Some((_, ended, _)) if *ended <= *began + limit => {}
            Some((end, ..)) => violations.push(found(format!("stopping took longer than {limit:?}"), [*start, *end])),
            None if history.scenario.timeline.iter().any(|entry| {
                matches!(&entry.action, crate::scenario::Action::Crash { host } if host == crate::scenario::PROXY)
            }) => {}
            None => violations.push(found("the proxy never stopped", [*start])),
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use crate::invariant::support::Twin;
    use crate::trace::{ProxyEvent, What};

    #[test]
    fn fires_where_it_never_ends() {
        let mut twin = Twin::sound();
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Drained { .. })));
        twin.fires("drain");
    }
}
