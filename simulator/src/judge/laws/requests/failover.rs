//! The law `failover`: a request tries no upstream twice, no more of them than allowed, and has its verdict within its time.

use std::time::Duration;

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::requests::Pick;
use crate::judge::violation::Violation;

pub(in crate::judge) const LAW: Law = Law {
    name: "failover",
    text: "A request tries no upstream twice, no more of them than allowed, and has its verdict within its time.",
    check,
};

/// How much later a time-out may come, since the simulated clock goes in steps.
const SLACK: Duration = Duration::from_millis(50);

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let limit = history.config.timeouts.request + SLACK + history.record.tolerance;
    for asked in history.processes.iter().flat_map(|process| process.requests.values()) {
        let lines = || asked.picks.iter().map(|pick| pick.line);
        // An upstream that reloads have removed and added again counts as another one.
        let at = |pick: &Pick<'_>| history.lines[pick.line].at();
        let again = asked.picks.iter().enumerate().any(|(place, pick)| {
            let before = asked.picks[..place].iter().rev().find(|before| before.upstream == pick.upstream);
            before.is_some_and(|before| !history.removed(pick.upstream, at(before), at(pick)))
        });
        if again {
            violations.push(Violation::found("a request was sent to the same upstream twice", lines()));
        }
        let Some((line, end)) = asked.finished else { continue };
        let most = history.config.failover.max_attempts.get();
        if end.attempts > most {
            let text = format!("request {} took {} attempts of at most {most}", end.request, end.attempts);
            violations.push(Violation::found(text, lines().chain([line])));
        }
        if Duration::from_micros(end.latency_us) > limit {
            let text = format!("request {} had no verdict within {limit:?}", end.request);
            violations.push(Violation::found(text, lines().chain([line])));
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
    fn fires_on_a_second_try_at_the_same_upstream() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::PickMade { .. })));
        let again = twin.record.trace.lines[at].clone();
        twin.record.trace.lines.insert(at + 1, again);
        twin.fires();
    }

    #[test]
    fn fires_on_an_attempt_too_many() {
        let mut twin = Twin::of(&LAW);
        twin.scenario.proxy["failover"] = serde_json::json!({ "max_attempts": 1 });
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            finished.attempts = 2;
        }
        twin.fires();
    }

    #[test]
    fn fires_on_a_late_verdict() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            finished.latency_us = 91_000_000;
        }
        twin.fires();
    }
}
