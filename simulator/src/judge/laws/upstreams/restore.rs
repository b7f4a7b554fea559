//! The law `restore`: the first success of an attempt that began after the ejection restores the upstream at once.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyProcess;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "restore",
    text: "The first success of an attempt that began after the ejection restores the upstream at once.",
    check: Check::Inside(check),
};

type Lines<'a> = Vec<(usize, Duration, &'a ProxyEvent)>;

fn check(history: &History<'_>) -> Checked {
    let mut checked = Checked::default();
    for process in &history.processes {
        let lines: Lines<'_> = history.proxy_lines(process).collect();
        for index in 0..lines.len() {
            if let Some(case) = judge(history, process, &lines, index) {
                checked.add(case);
            }
        }
    }
    checked
}

/// `None` where the event at `index` is no ejection.
fn judge(history: &History<'_>, process: &ProxyProcess<'_>, lines: &Lines<'_>, index: usize) -> Option<Case> {
    let (ejection, since, ProxyEvent::Suspected { upstream: who, .. } | ProxyEvent::Ejected { upstream: who, .. }) =
        lines[index]
    else {
        return None;
    };
    let witnesses = &history.witnesses;
    let apart = witnesses.clock_skew;
    // Whose attempts began since: how long one took is told by a clock that may lag behind that of the trace.
    let mut picked = Vec::new();
    for (offset, (line, at, event)) in lines[index + 1..].iter().enumerate() {
        match event {
            ProxyEvent::Recovered { upstream, .. } if upstream == who => return Some(Case::Holds),
            // The ejection that confirms a suspicion is judged by itself.
            ProxyEvent::Ejected { upstream, .. } if upstream == who => return Some(Case::Holds),
            ProxyEvent::PickMade { request, upstream, .. } if upstream == who => picked.push(*request),
            ProxyEvent::AttemptEnded { request, upstream, failure: None, took_us }
                if upstream == who
                    && picked.contains(request)
                    && at.saturating_sub(Duration::from_micros(*took_us)) > since + apart
                    && !History::proves_nothing(process, *request) =>
            {
                let mut configs = witnesses.configurations.during(since, *at);
                if history.removed(who.as_str(), since, *at)
                    || configs.any(|config| config.health.policy.recovery_threshold.get() > 1)
                {
                    return Some(Case::Excused(Excuse::Reloaded));
                }
                // "At once" means before anything else happens; or in the same instant, if threads tell of it.
                let rest = lines[index + 2 + offset..].iter().enumerate();
                let mut at_once =
                    rest.take_while(|(place, (_, then, _))| *place == 0 || (!apart.is_zero() && *then <= *at + apart));
                let restored = at_once
                    .any(|(_, (.., event))| matches!(event, ProxyEvent::Recovered { upstream, .. } if upstream == who));
                let text = || format!("{who} opened a target and is still ejected");
                return Some(Case::of((!restored).then(|| Violation::found(text(), [ejection, *line]))));
            }
            _ => {}
        }
    }
    Some(Case::Holds)
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    #[test]
    fn fires_where_a_success_restores_nothing() {
        let mut twin = Twin::of_ejection(&LAW);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Recovered { .. })));
        twin.fires();
    }

    /// Its clock lagged behind that of the trace, so that it seemed to have begun later.
    #[test]
    fn an_attempt_that_was_picked_before_the_ejection_restores_nothing() {
        let mut twin = Twin::of_ejection(&LAW);
        let restores = |what: &What| matches!(what, What::Proxy(ProxyEvent::Recovered { .. }));
        let ejected = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Ejected { .. })));
        twin.remove(restores);
        let lines = &mut twin.record.trace.lines;
        let What::Proxy(ProxyEvent::Ejected { upstream: who, .. }) = &lines[ejected].what else { panic!() };
        let who = who.clone();
        let first = lines.iter().skip(ejected).position(
            |line| matches!(&line.what, What::Proxy(ProxyEvent::AttemptEnded { upstream, failure: None, .. }) if *upstream == who),
        );
        let ended = ejected + first.unwrap();
        let What::Proxy(ProxyEvent::AttemptEnded { request: of, .. }) = lines[ended].what else { panic!() };
        let pick = lines.iter().skip(ejected).position(
            |line| matches!(&line.what, What::Proxy(ProxyEvent::PickMade { request, upstream, .. }) if *upstream == who && *request == of),
        );
        lines.truncate(ended + 1);
        lines.remove(ejected + pick.unwrap());
        assert_eq!(twin.checked().violations, []);
    }

    #[test]
    fn more_successes_may_be_asked_for() {
        let mut twin = Twin::of_ejection(&LAW);
        twin.scenario.proxy["health_check"]["recovery_threshold"] = serde_json::json!(2);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Recovered { .. })));
        twin.excuses(Excuse::Reloaded);
    }
}
