//! The law `retry-budget`: all requests together fail over no more often than the retry budget allows.
//!
//! Nobody but the proxy knows in which order requests came and failed over, so that each is counted by whether it surely did: the law
//! counts the failovers that are sure and all requests that may have come, and [`Taken`] the other way round.

use std::collections::BTreeSet;
use std::time::Duration;

use proxy::config::Config;

use super::{hosts_of_moving_names, may_be_sent_again, upstream_of};
use crate::judge::checked::{Case, Checked};
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, JournalEntry, Witnesses};
use crate::scenario::Action;

pub(in crate::judge) const LAW: Law = Law {
    name: "retry-budget",
    text: "All requests together are tried at another upstream no more often than the retry budget allows, by the journals of \
           upstreams: not in any nine seconds more often than the requests of these and of the second before them give.",
    check: Check::BlackBox(check),
};

/// The proxy looks back on ten whole seconds of its own clock, of which the newest is not over: on nine seconds at least, and on ten at
/// most.
const SURELY: Duration = Duration::from_secs(9);
const AT_MOST: Duration = Duration::from_secs(10);
/// A failover so shortly behind a reload may still follow the configuration before it.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// No other subject has such a budget.
fn check(witnesses: &Witnesses<'_>) -> Checked {
    if !witnesses.subject.tells() {
        return Checked::default();
    }
    let moving = hosts_of_moving_names(witnesses);
    let requests = witnesses.requests.iter();
    let mut all: Vec<_> = requests.filter_map(|(id, asked)| Failovers::of(witnesses, &moving, id, asked)).collect();
    all.sort_by_key(|one| one.until);
    (0..all.len()).map(|last| judge(witnesses, &all[..=last])).collect()
}

/// The last of `all` is the last of the window.
fn judge(witnesses: &Witnesses<'_>, all: &[Failovers<'_>]) -> Case {
    let Some(last) = all.last() else { return Case::Holds };
    // A new process knows nothing of what the one before it has counted.
    let began = last_start(witnesses, last.until).max(last.until.saturating_sub(SURELY - witnesses.clock_skew));
    let within = all.iter().rev().take_while(|one| one.until >= began).filter(|one| one.since >= began);
    let (number, newest) = within.fold((0, began), |(sum, newest), one| (sum + one.number, newest.max(one.since)));
    let requests = witnesses.requests.iter().chain(&witnesses.pages);
    let may_have_come = |(id, asked): &(&&str, &ClientRequest<'_>)| {
        asked.began <= last.until && picked_by(witnesses, id, asked).is_none_or(|by| by + AT_MOST >= newest)
    };
    let configs = || witnesses.configurations.during(newest.saturating_sub(ON_THE_WAY), last.until);
    // Counting requests takes long, and most budgets are ample.
    if configs().any(|config| number <= most(config, 0)) {
        return Case::Holds;
    }
    let requests = requests.filter(may_have_come).count() as u64;
    let most = configs().map(|config| most(config, requests)).max().unwrap_or(u64::MAX);
    let text = || {
        let until = last.until;
        format!("{number} failovers from {began:?} to {until:?}, where {requests} requests allow {most} at most")
    };
    let lines = || last.entries.iter().map(|entry| entry.line).chain([last.asked.last_line()]);
    Case::of((number > most).then(|| Violation::found(text(), lines())))
}

/// How many failovers so many requests allow.
fn most(config: &Config, requests: u64) -> u64 {
    let budget = config.failover.retry_budget;
    requests * u64::from(budget.percent) / 100 + AT_MOST.as_secs() * u64::from(budget.min_per_second)
}

/// When the proxy was killed or started last until `until`.
fn last_start(witnesses: &Witnesses<'_>, until: Duration) -> Duration {
    let kills = |action: &Action| matches!(action, Action::Crash { host } | Action::Restart { host } if host == witnesses.proxy);
    let killed = witnesses.played.iter().filter(|(at, action)| *at <= until && kills(action)).map(|(at, _)| *at);
    killed.max().unwrap_or_default()
}

/// When all picks of a request had been made, if its client was answered.
fn picked_by(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Option<Duration> {
    let end = asked.end?;
    end.result.status?;
    let phases = &end.result.phases;
    let reply = phases.reply_us.filter(|_| witnesses.sends_its_head_at_once(id, asked));
    let opened = reply.map(|us| asked.began + Duration::from_micros(phases.connect_us.unwrap_or(0) + us));
    Some(opened.unwrap_or(end.at).min(end.at))
}

/// The failovers of a request that are sure.
struct Failovers<'a> {
    asked: ClientRequest<'a>,
    entries: &'a [JournalEntry<'a>],
    number: u64,
    /// From when to when they came.
    since: Duration,
    until: Duration,
}

impl<'a> Failovers<'a> {
    fn of(witnesses: &'a Witnesses<'a>, moving: &BTreeSet<&str>, id: &str, asked: &ClientRequest<'a>) -> Option<Self> {
        let until = picked_by(witnesses, id, asked)?;
        let status = asked.result()?.status?;
        let entries = witnesses.journals.of(id);
        // Where it is not known since when its tunnel stood, what came behind that may be probes for the same target; and nobody knows who
        // has opened what a fault answered.
        let unclear = asked.is_tunnel() && !witnesses.sends_its_head_at_once(id, asked);
        let astray = |one: &JournalEntry<'_>| witnesses.disturbances.harm(one) == Harm::Answer;
        if unclear || may_be_sent_again(witnesses, asked) || entries.iter().any(astray) {
            return None;
        }
        // Nobody is probed for what no upstream has opened.
        let refused = matches!(status, 407 | 502..=504);
        let answers = |one: &&JournalEntry<'_>| {
            (one.is_success() && !asked.is_foreign_to(one.record)) || one.record.status == Some(status)
        };
        let answer = entries.iter().find(answers).filter(|_| !refused);
        if !refused && answer.is_none() {
            return None;
        }
        let failed = entries.iter().filter(|one| !one.is_success() && one.at <= until);
        let upstreams: BTreeSet<Option<&str>> =
            failed.chain(answer).map(|entry| upstream_of(moving, entry.host)).collect();
        let number = (upstreams.len() as u64).checked_sub(1).filter(|number| *number > 0)?;
        Some(Failovers { asked: *asked, entries, number, since: asked.began, until })
    }
}

/// What may have been taken out of the retry budget, and what must be in it.
pub(in crate::judge) struct Taken {
    /// From when to when a request may have failed over, and how often at most.
    failovers: Vec<(Duration, Duration, u64)>,
    /// From when to when a request must have come.
    requests: Vec<(Duration, Duration)>,
}

impl Taken {
    /// `failed` says how many attempts of a request may have failed.
    pub(in crate::judge) fn new(witnesses: &Witnesses<'_>, failed: impl Fn(&str, &ClientRequest<'_>) -> u64) -> Self {
        let (mut failovers, mut requests) = (Vec::new(), Vec::new());
        let abuse = witnesses.pages.iter().filter(|(_, asked)| asked.action == "abuse");
        for (id, asked) in witnesses.requests.iter().chain(abuse) {
            let ended = witnesses.end_of(asked);
            let configs = || witnesses.configurations.during(asked.began, ended);
            let most = configs().map(|config| u64::from(config.failover.max_attempts.get()) - 1).max().unwrap_or(0);
            let failed = failed(id, asked).min(most);
            let picked = picked_by(witnesses, id, asked);
            if failed > 0 {
                // The proxy may not learn at once that its client has gone.
                let whole = configs().map(|config| config.timeouts.request).max().unwrap_or_default();
                failovers.push((asked.began, picked.unwrap_or(ended + whole), failed));
            }
            // Who was refused at once counts for nothing.
            requests.extend(picked.filter(|_| !witnesses.journals.of(id).is_empty()).map(|by| (asked.began, by)));
        }
        Taken { failovers, requests }
    }

    /// Whether a request may not have been allowed to fail over.
    pub(in crate::judge) fn may_be_all(&self, witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> bool {
        let from = asked.began;
        let until = picked_by(witnesses, id, asked).unwrap_or_else(|| witnesses.end_of(asked));
        let overlapping = self.failovers.iter().filter(|one| one.0 <= until && one.1 + AT_MOST >= from);
        let taken: u64 = overlapping.map(|one| one.2).sum();
        let since = until.saturating_sub(SURELY).max(last_start(witnesses, until));
        let requests = self.requests.iter().filter(|one| one.0 >= since && one.1 <= from).count() as u64;
        let mut configs = witnesses.configurations.during(from.saturating_sub(ON_THE_WAY), until);
        // No other subject has such a budget.
        witnesses.subject.tells() && configs.any(|config| taken >= most(config, requests))
    }
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;
    use serde_json::json;

    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, ScenarioEvent, What};
    use crate::subject::named;

    /// One of three upstreams refuses all it is asked for, and is never ejected.
    fn tight(percent: u32, min_per_second: u32, action: &str, more: &str) -> Twin {
        let text = format!(
            r#"{{ "name": "tight", "story": "One upstream refuses.", "duration": "14s",
            "proxy": {{ "health_check": {{ "failure_threshold": 1000 }},
                "failover": {{ "retry_budget_percent": {percent}, "retry_budget_min_per_second": {min_per_second} }} }},
            "upstreams": [{{ "name": "a", "plan": {{ "faults": [{{ "fault": "status-502" }}] }} }}, {{ "name": "b" }}, {{ "name": "c" }}],
            "clients": [{{ "name": "client", "do": "{action}", "rate": 10 }}]{more} }}"#
        );
        Twin::of_scenario(&LAW, &text)
    }

    /// The law is shown less than the proxy was given.
    #[test]
    fn fires_where_more_requests_fail_over_than_their_share_or_the_floor_allow() {
        for action in ["echo", "http:bytes=10"] {
            let mut twin = tight(10, 0, action, "");
            twin.scenario.proxy["failover"]["retry_budget_percent"] = json!(5);
            twin.fires();
            let mut twin = tight(0, 1, action, "");
            twin.scenario.proxy["failover"]["retry_budget_min_per_second"] = json!(0);
            twin.fires();
        }
    }

    #[test]
    fn a_new_process_begins_with_a_whole_budget() {
        let mut twin = tight(0, 1, "echo", r#", "timeline": [{ "at": "6s", "do": "restart", "host": "proxy" }]"#);
        twin.remove(|what| matches!(what, What::Scenario(ScenarioEvent::Played { .. })));
        twin.fires();
    }

    /// The looser of two budgets counts for as long as either may be in force.
    #[test]
    fn a_reload_gives_another_budget() {
        let looser = r#", "timeline": [{ "at": "6s", "do": "reload", "proxy": { "health_check": { "failure_threshold": 1000 } } }]"#;
        let mut twin = tight(1, 0, "echo", looser);
        twin.remove(|what| matches!(what, What::Scenario(ScenarioEvent::Played { .. })));
        twin.fires();
    }

    #[test]
    fn what_a_client_may_have_sent_again_counts_for_nothing() {
        let mut twin = tight(10, 0, "http:bytes=10,keep-alive", "");
        for line in &mut twin.record.trace.lines {
            if let What::Client(ClientEvent::Ended(result)) = &mut line.what {
                result.reused = false;
            }
        }
        assert_eq!(twin.checked().cases, 0);
    }

    #[test]
    fn nobody_knows_who_has_opened_what_a_fault_answered() {
        let mut twin = tight(10, 0, "echo", "");
        for line in &mut twin.record.trace.lines {
            if let What::Upstream(Event::Request(record)) = &mut line.what
                && !record.faults.is_empty()
            {
                record.faults = vec!["early-200-reset".to_owned()];
            }
        }
        assert_eq!(twin.checked().cases, 0);
    }

    /// A tunnel whose upstream has not told of it may have had others probed with its target.
    #[test]
    fn a_tunnel_that_no_upstream_tells_of_counts_for_nothing() {
        let mut twin = tight(10, 0, "echo", "");
        let told = |what: &What| matches!(what, What::Upstream(Event::Request(record)) if record.status == Some(200));
        twin.record.trace.lines.retain(|line| !told(&line.what));
        assert_eq!(twin.checked().cases, 0);
    }

    /// The address that a kept connection leads to may be an old one.
    #[test]
    fn the_hosts_to_which_a_name_leads_are_one_upstream() {
        let mut twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "moving", "story": "A name leads to one that refuses, and then to another.", "duration": "14s",
            "network": { "dns": { "moving.test": ["a"] } },
            "proxy": { "upstream_proxies": [{ "url": "http://moving.test:8080" }, { "url": "http://c:8080" }],
                "health_check": { "failure_threshold": 1000 } },
            "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "status-502" }] } }, { "name": "b" }, { "name": "c" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 10 }],
            "timeline": [{ "at": "6s", "do": "dns", "name": "moving.test", "hosts": ["b"] }] }"#,
        );
        twin.rename_upstream("c", "b");
        assert_eq!(twin.checked().cases, 0);
    }

    #[test]
    fn no_other_subject_is_judged() {
        let mut twin = tight(10, 0, "echo", "");
        twin.record.subject = named("haproxy").unwrap();
        assert_eq!(twin.checked().cases, 0);
    }
}
