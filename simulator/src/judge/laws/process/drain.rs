//! The law `drain`: a proxy that is told to stop does so within its delay and time-out.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyProcess;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "drain",
    text: "A proxy that is told to stop does so within its delay and time-out.",
    check: Check::Told(check),
};

/// How much later its end may come, since the simulated clock goes in steps.
const SLACK: Duration = Duration::from_millis(500);

fn check(history: &History<'_>) -> Checked {
    history.processes.iter().filter_map(|process| judge(history, process)).collect()
}

fn judge<'a>(history: &History<'a>, process: &ProxyProcess<'a>) -> Option<Case> {
    let mut lines = history.proxy_lines(process);
    let (start, began, _) = lines.find(|(.., event)| matches!(event, ProxyEvent::DrainStarted { .. }))?;
    let witnesses = &history.witnesses;
    // What needs a restart keeps its value, the rest follows the newest file.
    let server = &witnesses.configurations.at(began).server;
    let limit = server.drain_delay + server.drain_timeout + SLACK + witnesses.tolerance;
    let ended = lines.find(|(.., event)| matches!(event, ProxyEvent::Drained { .. }));
    Some(match ended {
        Some((_, ended, _)) if ended <= began + limit => Case::Holds,
        Some((end, ..)) => Case::Broken(Violation::found(format!("stopping took longer than {limit:?}"), [start, end])),
        None => match witnesses.disturbances.of_proxy(began, began + limit) {
            Some(why) => Case::Excused(why),
            None => Case::Broken(Violation::found("the proxy never stopped", [start])),
        },
    })
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

    #[test]
    fn a_proxy_that_is_killed_while_it_stops_need_not_say_that_it_has_stopped() {
        let killed = r#"{ "name": "killed", "story": "A stopping proxy is killed.", "duration": "6s", "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "client", "do": "hold:for=9s", "requests": 1 }],
            "timeline": [{ "at": "2s", "do": "drain" }, { "at": "3s", "do": "crash", "host": "proxy" }] }"#;
        Twin::of_scenario(&LAW, killed).excuses(crate::judge::excuse::Excuse::ProxyKilled);
    }
}
