//! The law `back-off`: an ejected upstream is left alone for longer after each probe that fails.

use std::collections::BTreeMap;
use std::time::Duration;

use proxy::core::health::HealthPolicy;

use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyProcess;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "back-off",
    text: "The first back-off of an ejected upstream is the configured one, each failed probe doubles it up to the longest, and each \
           is within a fifth of that.",
    check: Check::Inside(check),
};

/// How much a back-off may be off besides, since times are told in whole microseconds.
const SLACK: Duration = Duration::from_millis(2);

fn check(history: &History<'_>) -> Checked {
    history.processes.iter().flat_map(|process| cases(history, process)).collect()
}

fn cases<'a>(history: &History<'a>, process: &ProxyProcess<'a>) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut rounds: BTreeMap<&str, (u32, Duration)> = BTreeMap::new();
    // The proxy counts from its own start.
    let started = history.began(process);
    for (line, at, event) in history.proxy_lines(process) {
        let (name, round, since, until) = match event {
            ProxyEvent::Ejected { upstream, until_us, .. } => (upstream.as_str(), 0, at, until_us),
            ProxyEvent::BackedOff { upstream, until_us } => {
                let (round, since) = rounds.get(upstream.as_str()).copied().unwrap_or((0, at));
                (upstream.as_str(), round + 1, since, until_us)
            }
            _ => continue,
        };
        rounds.insert(name, (round, since));
        let told = (started + Duration::from_micros(*until)).saturating_sub(at);
        let slack = SLACK + history.witnesses.tolerance;
        let right = |whole: Duration| told + slack >= whole * 4 / 5 && told <= whole * 6 / 5 + slack;
        let configs = history.witnesses.configurations.during(since, at);
        let wholes: Vec<Duration> = configs.map(|config| back_off(&config.health.policy, round)).collect();
        let text = || format!("{name} is left alone for {told:?} after {round} failed probes; {wholes:?} is right");
        cases.push(Case::of((!wholes.iter().any(|whole| right(*whole))).then(|| Violation::found(text(), [line]))));
    }
    cases
}

/// The back-off of a round, before it is spread.
pub(super) fn back_off(policy: &HealthPolicy, round: u32) -> Duration {
    policy.backoff_base.saturating_mul(1_u32.checked_shl(round).unwrap_or(u32::MAX)).min(policy.backoff_max)
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    fn until(twin: &mut Twin) -> &mut u64 {
        let lines = twin.record.trace.lines.iter_mut();
        let mut ejections = lines.filter_map(|line| match &mut line.what {
            What::Proxy(ProxyEvent::Ejected { until_us, .. }) => Some(until_us),
            _ => None,
        });
        ejections.next().unwrap()
    }

    #[test]
    fn fires_where_it_is_too_short_too_long_or_does_not_grow() {
        for change in [-500_000, 500_000] {
            let mut twin = Twin::of_ejection(&LAW);
            *until(&mut twin) = until(&mut twin).checked_add_signed(change).unwrap();
            twin.fires();
        }
        let mut twin = Twin::of_ejection(&LAW);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Ejected { .. })));
        let mut line = twin.record.trace.lines[at].clone();
        if let What::Proxy(ProxyEvent::Ejected { upstream, until_us, .. }) = line.what {
            line.what = What::Proxy(ProxyEvent::BackedOff { upstream, until_us });
        }
        twin.record.trace.lines.insert(at + 1, line);
        twin.fires();
    }

    #[test]
    fn a_reload_may_have_changed_it() {
        let mut twin = Twin::of_ejection(&LAW);
        let text = r#"{ "at": "10ms", "do": "reload", "proxy": { "health_check": { "backoff_base": "40s", "backoff_max": "99s" } } }"#;
        twin.scenario.timeline.push(serde_json::from_str(text).unwrap());
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Ejected { .. })));
        let played = crate::record::ScenarioEvent::Played { entry: 0, does: String::new() };
        let mut line = twin.record.trace.lines[at].clone();
        line.what = What::Scenario(played);
        // Before the ejection it counts alone, behind it what was in force then counts as well.
        line.at_us -= 1;
        twin.record.trace.lines.insert(at, line.clone());
        twin.fires();
        twin.record.trace.lines.remove(at);
        line.at_us += 2;
        twin.record.trace.lines.insert(at + 1, line);
        assert_eq!(twin.checked().violations, []);
    }
}
