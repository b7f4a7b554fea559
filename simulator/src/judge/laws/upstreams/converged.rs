//! The law `converged`: once everything is healed, whole rounds of requests hold each upstream exactly as often as its weight says.

use std::collections::BTreeSet;
use std::time::Duration;

use proxy::config::Upstream;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{Convergence, Harm, JournalEntry, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "converged",
    text: "Once everything is healed and the longest back-off is over, whole rounds of requests reach each upstream exactly as often as its \
           weight says, by the upstreams' journals.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let Some(convergence) = witnesses.convergence.filter(|one| one.rounds > 0) else { return Checked::default() };
    let config = witnesses.configurations.at(convergence.at);
    // Those that refuse the proxy's credentials go on failing, and others take over.
    let hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    let leads = |upstream: &Upstream, host: &str| {
        witnesses.configurations.hosts_of(&upstream.host, convergence.at, witnesses.over).contains(host)
    };
    let mut pairs = hosts.flat_map(|host| config.upstreams.iter().map(move |upstream| (upstream, host)));
    let healed = pairs.all(|(upstream, host)| {
        upstream.weight.get() == 0 || !leads(upstream, host) || witnesses.serves(upstream, host, config)
    });
    if !healed {
        return Checked::default();
    }
    let sum: u64 = config.upstreams.iter().map(|one| u64::from(one.weight.get())).sum();
    groups(witnesses, &convergence).iter().map(|hosts| judge(witnesses, &convergence, hosts, sum)).collect()
}

/// The upstreams, each alone but for those to which one name has led: while its address is stale it may lead to either.
fn groups<'a>(witnesses: &Witnesses<'a>, convergence: &Convergence) -> Vec<BTreeSet<&'a str>> {
    let configurations = &witnesses.configurations;
    let mut groups: Vec<BTreeSet<&str>> = Vec::new();
    for upstream in &witnesses.scenario.upstreams {
        let mut group = BTreeSet::from([upstream.name.as_str()]);
        for one in &configurations.at(convergence.at).upstreams {
            let led = configurations.hosts_of(&one.host, Duration::ZERO, witnesses.over);
            if led.contains(upstream.name.as_str()) {
                let names = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
                group.extend(names.filter(|name| led.contains(name)));
            }
        }
        let (mine, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(|other| !other.is_disjoint(&group));
        group.extend(mine.into_iter().flatten());
        groups = rest;
        groups.push(group);
    }
    groups
}

fn judge(witnesses: &Witnesses<'_>, convergence: &Convergence, hosts: &BTreeSet<&str>, sum: u64) -> Case {
    let Convergence { line, at, round, rounds } = *convergence;
    let configurations = &witnesses.configurations;
    let leads = |name: &str| !configurations.hosts_of(name, at, witnesses.over).is_disjoint(hosts);
    let entries = configurations.at(at).upstreams.iter().filter(|one| leads(&one.host));
    let weight: u64 = entries.map(|one| u64::from(one.weight.get())).sum();
    let asked = |id: &str| Witnesses::is_own(id) && witnesses.requests.get(id).is_some_and(|asked| asked.line > line);
    let written = hosts.iter().filter_map(|host| witnesses.journals.at(host)).flat_map(|journal| &journal.requests);
    let got = written.filter(|entry| entry.record.id.as_deref().is_some_and(asked)).count() as u64;
    // A round holds each weight, divided by what all have in common.
    let wanted = rounds * round * weight / sum.max(1);
    let text = || {
        format!("{hosts:?} of weight {weight} got {got} of {} requests, and should have got {wanted}", rounds * round)
    };
    if got == wanted {
        return Case::Holds;
    }
    match still_failing(witnesses, at) {
        Some(why) => Case::Excused(why),
        None => Case::Broken(Violation::found(text(), [line])),
    }
}

/// What was done to an upstream so shortly before `at` that it may be ejected for it in the middle of a round: an attempt of that time may
/// still fail then, and only then may another upstream open the endpoint of a check that failed, which charges the failed one with that.
fn still_failing(witnesses: &Witnesses<'_>, at: Duration) -> Option<Excuse> {
    let config = witnesses.configurations.at(at);
    let under_way = at.saturating_sub(config.timeouts.connect + config.timeouts.reply);
    let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    let whole = hosts.find_map(|host| witnesses.disturbances.of_upstream(host, under_way, at));
    let Some(checks) = &config.health.active else { return whole };
    // It waits for those of all others: for a round of the endpoints, and an interval more.
    let endpoints = if checks.rotate { checks.endpoints.len() } else { 1 };
    let waiting = at.saturating_sub(checks.interval * u32::try_from(endpoints + 1).unwrap_or(u32::MAX));
    let mut written = witnesses.journals.by_host.values().flat_map(|journal| &journal.requests);
    let struck = |entry: &JournalEntry<'_>| {
        entry.record.id.is_none()
            && (waiting..=at).contains(&entry.at)
            && witnesses.disturbances.harm(entry) != Harm::Nothing
    };
    whole.or_else(|| written.any(struck).then_some(Excuse::RequestStruck))
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::What;

    #[test]
    fn fires_where_one_upstream_gets_anothers_request() {
        let mut twin = Twin::of_ejection(&LAW);
        let lines = twin.record.trace.lines.iter_mut().rev();
        let mut written = lines.filter(|line| matches!(line.what, What::Upstream(Event::Request(_))));
        let last = written.next().unwrap();
        let others = ["alpha", "beta"].map(crate::scenario::HostName::new);
        last.host = others.into_iter().find(|name| *name != last.host).unwrap();
        twin.fires();
    }

    /// An attempt of the time before the restart may time out behind it.
    #[test]
    fn an_upstream_that_was_just_killed_may_be_ejected_in_the_middle_of_a_round() {
        for (back, excused) in [("9900ms", true), ("1s", false)] {
            let text = r#"{ "name": "late", "story": "One is killed at the end.", "duration": "10s",
                "proxy": { "timeouts": { "connect": "2s", "reply": "3s" }, "health_check": { "backoff_base": "1s", "backoff_max": "1s" } },
                "upstreams": [{ "name": "alpha" }, { "name": "beta" }],
                "clients": [{ "name": "client", "do": "echo", "rate": 4, "until": "10s" }],
                "timeline": [{ "at": "500ms", "do": "crash", "host": "alpha" }, { "at": "BACK", "do": "restart", "host": "alpha" }] }"#;
            let mut twin = Twin::of_scenario(&LAW, &text.replace("BACK", back));
            let lines = twin.record.trace.lines.iter_mut().rev();
            let mut written = lines.filter(|line| matches!(line.what, What::Upstream(Event::Request(_))));
            let last = written.next().unwrap();
            let others = ["alpha", "beta"].map(crate::scenario::HostName::new);
            last.host = others.into_iter().find(|name| *name != last.host).unwrap();
            if excused { twin.excuses(Excuse::UpstreamKilled) } else { twin.fires() }
        }
    }
    /// A check that failed under a fault was held against its upstream when that of another succeeded, two seconds into the rounds.
    #[test]
    fn a_failure_that_waits_for_a_second_opinion_may_eject_in_the_middle_of_a_round() {
        for (until, excused) in [("10s", true), ("500ms", false)] {
            let text = r#"{ "name": "late", "story": "One fails at the end.", "duration": "10s",
                "proxy": { "timeouts": { "connect": "2s", "reply": "3s" }, "health_check": { "failure_threshold": 1000,
                    "enabled": true, "endpoints": ["echo.mock:80"], "interval_seconds": 3, "timeout_seconds": 1 } },
                "upstreams": [{ "name": "alpha", "plan": { "faults": [{ "fault": "status-401", "when": { "until": "UNTIL" } }] } }, { "name": "beta" }],
                "clients": [{ "name": "client", "do": "echo", "rate": 4, "until": "10s" }] }"#;
            let mut twin = Twin::of_scenario(&LAW, &text.replace("UNTIL", until));
            let lines = twin.record.trace.lines.iter_mut().rev();
            let mut written = lines
                .filter(|line| matches!(&line.what, What::Upstream(Event::Request(record)) if record.id.is_some()));
            let last = written.next().unwrap();
            let others = ["alpha", "beta"].map(crate::scenario::HostName::new);
            last.host = others.into_iter().find(|name| *name != last.host).unwrap();
            if excused { twin.excuses(Excuse::RequestStruck) } else { twin.fires() }
        }
    }
}
