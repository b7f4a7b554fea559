//! The laws `drain` and `stops`: a proxy that is told to stop does so within its delay and time-out, by its own word and by its clients'.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyProcess;
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Witnesses};
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "drain",
    text: "A proxy that is told to stop does so within its delay and time-out.",
    check: Check::Told(check),
};

/// The same for those whom the proxy tells nothing.
pub(in crate::judge) const STOPS: Law = Law {
    name: "stops",
    text: "From its order to stop on, nobody is served for longer by the proxy than its delay and time-out together.",
    check: Check::BlackBox(stops),
};

/// How much later its end may come, since the simulated clock goes in steps.
const SLACK: Duration = Duration::from_millis(500);
/// How many times a packet may be on its way until a client has heard of it.
const ROUNDS: u32 = 4;

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

fn stops(witnesses: &Witnesses<'_>) -> Checked {
    let Some(stopped) = witnesses.disturbances.stopped() else { return Checked::default() };
    let server = &witnesses.configurations.at(stopped).server;
    let takes = witnesses.subject.file().stop.as_ref().map_or(Duration::ZERO, |order| order.takes.get());
    let limit = (server.drain_delay + server.drain_timeout).max(takes);
    let until = stopped + limit + SLACK + witnesses.one_way() * ROUNDS + witnesses.tolerance;
    let asked = witnesses.requests.values().chain(witnesses.pages.values());
    asked.filter_map(|asked| served_until(witnesses, asked, stopped, until)).collect()
}

/// `None` for a request that was over before the order, or whose client takes its time to hear of its end.
fn served_until(
    witnesses: &Witnesses<'_>,
    asked: &ClientRequest<'_>,
    stopped: Duration,
    until: Duration,
) -> Option<Case> {
    let end = witnesses.end_of(asked);
    // Whoever waits behind others in a pipeline tells of its answer when all are over.
    let slow =
        witnesses.may_be_pipelined(asked) || witnesses.action_of(asked).is_none_or(|action| action.throttle.is_some());
    // So does whoever says nothing for long behind the other end's.
    let slow = slow || witnesses.stays_for(asked).is_some();
    if end < stopped || slow {
        return None;
    }
    // Who waited to be accepted when the proxy went is told nothing, for as long as it has patience.
    let answered = asked.result().is_some_and(|result| result.status.is_some());
    if !answered || end <= until {
        return Some(Case::Holds);
    }
    let disturbances = &witnesses.disturbances;
    // The end may have been lost while its client was cut off, be it before the order.
    let excuse = disturbances.of_client(asked.client, asked.began, until);
    let excuse = excuse.or_else(|| disturbances.of_proxy(stopped, end));
    // A reset that is lost is not sent again.
    let excuse = excuse.or_else(|| witnesses.loses_packets().then_some(Excuse::ClientCutOff));
    let text = || {
        format!(
            "the proxy was told to stop at {stopped:?}, but served a request until {end:?}; {until:?} is the latest"
        )
    };
    let broken = || Case::Broken(Violation::found(text(), [asked.line, asked.last_line()]));
    Some(excuse.map_or_else(broken, Case::Excused))
}

#[cfg(test)]
mod tests {
    use super::{LAW, STOPS};
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    #[test]
    fn fires_where_it_never_ends() {
        let mut twin = Twin::of(&LAW);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Drained { .. })));
        twin.fires();
    }

    /// The proxy keeps another time-out than the one that the law is shown.
    #[test]
    fn fires_where_somebody_is_served_for_longer() {
        let held = r#"{ "name": "held", "story": "A proxy stops under tunnels.", "duration": "8s", "upstreams": [{ "name": "a" }],
            "proxy": { "server": { "drain_timeout": "4s" } },
            "clients": [{ "name": "client", "do": "hold:for=60s", "requests": 2, "clients": 2, "timeout": "90s" }],
            "timeline": [{ "at": "2s", "do": "drain" }] }"#;
        let mut twin = Twin::of_scenario(&STOPS, held);
        twin.scenario.proxy["server"]["drain_timeout"] = serde_json::json!("2s");
        twin.fires();
    }

    /// It has ended long before, and its client was cut off then.
    #[test]
    fn who_was_cut_off_before_the_order_may_never_hear_of_the_end() {
        let held = r#"{ "name": "held", "story": "A proxy stops under tunnels.", "duration": "8s", "upstreams": [{ "name": "a" }],
            "proxy": { "server": { "drain_timeout": "4s" } },
            "clients": [{ "name": "client", "do": "hold:for=60s", "requests": 2, "clients": 2, "timeout": "90s" }],
            "timeline": [{ "at": "200ms", "do": "partition", "between": ["proxy", "client"] }, { "at": "500ms", "do": "heal" },
                { "at": "2s", "do": "drain" }] }"#;
        let mut twin = Twin::of_scenario(&STOPS, held);
        twin.scenario.proxy["server"]["drain_timeout"] = serde_json::json!("2s");
        twin.excuses(Excuse::ClientCutOff);
    }

    #[test]
    fn a_proxy_that_is_killed_while_it_stops_need_not_say_that_it_has_stopped() {
        let killed = r#"{ "name": "killed", "story": "A stopping proxy is killed.", "duration": "6s", "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "client", "do": "hold:for=9s", "requests": 1 }],
            "timeline": [{ "at": "2s", "do": "drain" }, { "at": "3s", "do": "crash", "host": "proxy" }] }"#;
        Twin::of_scenario(&LAW, killed).excuses(Excuse::ProxyKilled);
    }
}
