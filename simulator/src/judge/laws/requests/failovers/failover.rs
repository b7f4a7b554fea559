//! The law `failover`: a request tries no upstream twice, no more of them than allowed, and has its verdict within its time.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::{Pick, ProxyRequest};
use crate::judge::violation::Violation;

pub(in crate::judge) const LAW: Law = Law {
    name: "failover",
    text: "A request tries no upstream twice, no more of them than allowed, and has its verdict within its time.",
    check: Check::Inside(check),
};

/// How much later a time-out may come, since the simulated clock goes in steps.
const SLACK: Duration = Duration::from_millis(50);

fn check(history: &History<'_>) -> Checked {
    let requests = history.processes.iter().flat_map(|process| process.requests.values());
    requests.map(|asked| Case::of(judge(history, asked))).collect()
}

fn judge(history: &History<'_>, asked: &ProxyRequest<'_>) -> Option<Violation> {
    let lines = || asked.picks.iter().map(|pick| pick.line);
    // An upstream that reloads have removed and added again counts as another one.
    let at = |pick: &Pick<'_>| history.lines[pick.line].at();
    let again = asked.picks.iter().enumerate().any(|(place, pick)| {
        let before = asked.picks[..place].iter().rev().find(|before| before.upstream == pick.upstream);
        before.is_some_and(|before| !history.removed(pick.upstream, at(before), at(pick)))
    });
    if again {
        return Some(Violation::found("a request was sent to the same upstream twice", lines()));
    }
    let (line, end) = asked.finished?;
    let ended = history.lines[line].at();
    let began = ended.saturating_sub(Duration::from_micros(end.duration_us));
    let configs = || history.witnesses.configurations.during(began, ended);
    let most = configs().map(|config| config.failover.max_attempts.get()).max().unwrap_or(u32::MAX);
    if end.attempts > most {
        let text = format!("request {} took {} attempts of at most {most}", end.request, end.attempts);
        return Some(Violation::found(text, lines().chain([line])));
    }
    let limit = configs().map(|config| config.timeouts.request).max().unwrap_or_default();
    let limit = limit + SLACK + history.witnesses.tolerance;
    let text = || format!("request {} had no verdict within {limit:?}", end.request);
    (Duration::from_micros(end.latency_us) > limit).then(|| Violation::found(text(), lines().chain([line])))
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
