//! The law `drain`: a proxy that is told to stop does so within its delay and time-out.

use std::time::Duration;

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;
use crate::scenario::{Action, PROXY};

pub(in crate::judge) const LAW: Law =
    Law { name: "drain", text: "A proxy that is told to stop does so within its delay and time-out.", check };

/// How much later its end may come, since the simulated clock goes in steps.
const SLACK: Duration = Duration::from_millis(500);

fn check(history: &History<'_>) -> Vec<Violation> {
    let server = &history.config.server;
    let limit = server.drain_delay + server.drain_timeout + SLACK + history.record.tolerance;
    let mut violations = Vec::new();
    for process in &history.processes {
        let lines: Vec<_> = history.proxy_lines(process).collect();
        let started = lines.iter().find(|(.., event)| matches!(event, ProxyEvent::DrainStarted { .. }));
        let Some((start, began, _)) = started else { continue };
        let ended = lines.iter().find(|(.., event)| matches!(event, ProxyEvent::Drained { .. }));
        match ended {
            Some((_, ended, _)) if *ended <= *began + limit => {}
            Some((end, ..)) => {
                violations.push(Violation::found(format!("stopping took longer than {limit:?}"), [*start, *end]))
            }
            None if history
                .scenario
                .timeline
                .iter()
                .any(|entry| matches!(&entry.action, Action::Crash { host } if host == PROXY)) => {}
            None => violations.push(Violation::found("the proxy never stopped", [*start])),
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    #[test]
    fn fires_where_it_never_ends() {
        let mut twin = Twin::of(&LAW);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Drained { .. })));
        twin.fires();
    }
}
