use std::time::Duration;

use super::{Invariant, Violation, found};
use crate::history::{History, Pick};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "failover",
    law: "A request tries no upstream twice, no more of them than allowed, and has its verdict within its time.",
    check,
};

/// Steps of the simulated clock that a time-out may come late.
const SLACK: Duration = Duration::from_millis(50);

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let limit = history.config.timeouts.request + SLACK + history.played.late;
    for asked in history.lives.iter().flat_map(|life| life.requests.values()) {
        let lines = || asked.picks.iter().map(|pick| pick.line);
        // One that reloads have taken away and brought back meanwhile is another.
        let at = |pick: &Pick<'_>| history.lines[pick.line].at();
        let again = asked.picks.iter().enumerate().any(|(place, pick)| {
            let before = asked.picks[..place].iter().rev().find(|before| before.upstream == pick.upstream);
            before.is_some_and(|before| !history.removed(pick.upstream, at(before), at(pick)))
        });
        if again {
            violations.push(found("a request was sent to the same upstream twice", lines()));
        }
        let Some((line, end)) = asked.finished else { continue };
        // A probe that a client lends its request for is an attempt on top.
        let lent = u32::from(asked.picks.first().is_some_and(|pick| pick.probe));
        if let Some(most) = history.config.failover.max_attempts.map(|most| most.get() + lent)
            && end.attempts > most
        {
            let text = format!("request {} took {} attempts of at most {most}", end.request, end.attempts);
            violations.push(found(text, lines().chain([line])));
        }
        if Duration::from_micros(end.latency_us) > limit {
            let text = format!("request {} had no verdict within {limit:?}", end.request);
            violations.push(found(text, lines().chain([line])));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use crate::invariant::support::Twin;
    use crate::trace::{ProxyEvent, What};

    #[test]
    fn fires_on_a_second_try_at_the_same_upstream() {
        let mut twin = Twin::sound();
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::PickMade { .. })));
        let again = twin.played.trace.lines[at].clone();
        twin.played.trace.lines.insert(at + 1, again);
        twin.fires("failover");
    }

    #[test]
    fn fires_on_an_attempt_too_many() {
        let mut twin = Twin::sound();
        twin.scenario.proxy["failover"] = serde_json::json!({ "max_attempts": 1 });
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.played.trace.lines[at].what {
            finished.attempts = 2;
        }
        twin.fires("failover");
    }

    #[test]
    fn fires_on_a_late_verdict() {
        let mut twin = Twin::sound();
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.played.trace.lines[at].what {
            finished.latency_us = 91_000_000;
        }
        twin.fires("failover");
    }
}
