//! The law `ejects`: as many failures as the threshold that are the upstream's own for certain, with no success between them, eject it at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyProcess;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "ejects",
    text: "As many failures as the threshold that only the upstream can have caused, with no success between them, eject it at once, \
           whatever comes between them in doubt.",
    check: Check::Inside(check),
};

/// The rules by which a failure is the upstream's own for certain.
pub(super) const CERTAIN: [&str; 4] = ["unreachable", "tls", "malformed_head", "credentials_refused"];

/// An upstream, as far as it was told of.
#[derive(Default)]
struct Row {
    /// The lines of its certain failures since its last success.
    certain: Vec<usize>,
    /// It is out.
    out: bool,
    /// When it came back. A failure that began before counts no more, so for a while nobody knows which ones count.
    back: Option<Duration>,
    /// How long its last failed attempt took.
    took: Duration,
    /// When it must have been ejected.
    due: Option<Duration>,
}

fn check(history: &History<'_>) -> Checked {
    history.processes.iter().flat_map(|process| cases(history, process)).collect()
}

fn cases<'a>(history: &History<'a>, process: &ProxyProcess<'a>) -> Vec<Case> {
    let witnesses = &history.witnesses;
    let mut cases = Vec::new();
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut reloaded = history.began(process);
    let overdue = |rows: &mut BTreeMap<&str, Row>, now: Duration, cases: &mut Vec<Case>| {
        for (name, row) in rows.iter_mut() {
            if row.due.is_some_and(|due| now > due + witnesses.clock_skew) {
                let text = format!("{name} failed {} times in a row and is not ejected", row.certain.len());
                cases.push(Case::Broken(Violation::found(text, std::mem::take(&mut row.certain))));
                row.due = None;
            }
        }
    };
    for (line, at, event) in history.proxy_lines(process) {
        overdue(&mut rows, at, &mut cases);
        match event {
            ProxyEvent::AttemptEnded { upstream, failure: None, .. } => {
                let row = rows.entry(upstream.as_str()).or_default();
                (row.certain, row.due) = (Vec::new(), None);
            }
            ProxyEvent::AttemptEnded { upstream, failure: Some(_), took_us, .. } => {
                rows.entry(upstream.as_str()).or_default().took = Duration::from_micros(*took_us);
            }
            ProxyEvent::Blamed { upstream, blame: "upstream", rule } => {
                let row = rows.entry(upstream.as_str()).or_default();
                let config = witnesses.configurations.at(at);
                let begun_before = row.took.max(config.timeouts.connect + config.timeouts.reply);
                // One that was removed can't be ejected, and what began before it came back counts no more.
                let gone = history.removed(upstream.as_str(), at.saturating_sub(begun_before), at);
                if row.out || gone || row.back.is_some_and(|back| at <= back + begun_before) {
                    continue;
                }
                if !CERTAIN.contains(rule) {
                    continue;
                }
                row.certain.push(line);
                if row.certain.len() >= threshold(history, &row.certain, at) {
                    row.due = row.due.or(Some(at));
                }
            }
            ProxyEvent::Ejected { upstream, .. } | ProxyEvent::Suspected { upstream, .. } => {
                let row = rows.entry(upstream.as_str()).or_default();
                cases.extend(row.due.map(|_| Case::Holds));
                *row = Row { out: true, ..Row::default() };
            }
            ProxyEvent::Recovered { upstream, .. } => {
                rows.insert(upstream.as_str(), Row { back: Some(at), ..Row::default() });
            }
            // One that was removed and comes back begins anew.
            ProxyEvent::Reloaded { .. } => {
                let since = std::mem::replace(&mut reloaded, at);
                rows.retain(|name, _| !history.removed(name, since, at));
            }
            _ => {}
        }
    }
    cases
}

/// The highest threshold that was in force while these failures came.
fn threshold(history: &History<'_>, certain: &[usize], at: Duration) -> usize {
    let since = certain.first().map_or(at, |line| history.lines[*line].at());
    let configs = history.witnesses.configurations.during(since, at);
    let thresholds = configs.map(|config| config.health.policy.failure_threshold.get() as usize);
    thresholds.max().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, ProxyEvent, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_where_nobody_is_ejected() {
        let mut twin = Twin::of_ejection(&LAW);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Ejected { .. })));
        twin.fires();
    }

    #[test]
    fn fires_where_failures_in_doubt_lay_between() {
        let mut twin = Twin::of_scenario(&LAW, include_str!("../../../../../scenarios/failures-of-both-kinds.json"));
        let beta = |name: &HostName| name.as_str() == "beta";
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Ejected { upstream, .. }) if beta(upstream)));
        twin.fires();
    }

    #[test]
    fn what_began_before_its_upstream_was_removed_counts_no_more_however_long_it_took() {
        let removed = r#"{ "name": "removed", "story": "A reload removes an upstream.", "duration": "12s",
            "proxy": { "health_check": { "failure_threshold": 1 } }, "upstreams": [{ "name": "a" }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 5 }],
            "timeline": [{ "at": "1s", "do": "reload", "proxy": { "upstream_proxies": [{ "url": "http://a:8080" }],
                "health_check": { "failure_threshold": 1 }, "timeouts": { "connect": "1s", "reply": "1s" } } }] }"#;
        for (took, counts) in [(8, false), (0, true)] {
            let mut twin = Twin::of_ejection(&LAW);
            (twin.scenario, twin.record) = {
                let scenario = crate::scenario::parse(removed).unwrap();
                let record = crate::world::EngineKind::default().play(&scenario, 1).unwrap();
                (scenario, record)
            };
            let at_us = 9_000_000;
            let place = twin.record.trace.lines.partition_point(|line| line.at_us <= at_us);
            let upstream = HostName::new("b");
            let tell = |what| Line { at_us, host: HostName::new("proxy"), what: What::Proxy(what) };
            let failure = Some("connect_timeout");
            let ended = ProxyEvent::AttemptEnded {
                request: None,
                upstream: upstream.clone(),
                failure,
                took_us: took * 1_000_000,
            };
            let blamed = ProxyEvent::Blamed { upstream, blame: "upstream", rule: "unreachable" };
            twin.record.trace.lines.splice(place..place, [tell(ended), tell(blamed)]);
            if counts { twin.fires() } else { assert_eq!(twin.checked().violations, []) }
        }
    }

    #[test]
    fn one_that_a_former_process_was_without_stays_ejected_behind_a_reload() {
        let upstreams = |names: &[&str]| {
            let url = |name| format!(r#"{{ "url": "http://{name}:8080" }}"#);
            let urls = names.iter().map(url).collect::<Vec<_>>().join(", ");
            format!(
                r#""do": "reload", "proxy": {{ "upstream_proxies": [{urls}], "health_check": {{ "failure_threshold": 1 }},
                "timeouts": {{ "connect": "1s", "reply": "1s" }} }}"#
            )
        };
        let story = format!(
            r#"{{ "name": "restarted", "story": "A process had no b.", "duration": "12s",
            "proxy": {{ "health_check": {{ "failure_threshold": 1 }} }}, "upstreams": [{{ "name": "a" }}, {{ "name": "b" }}],
            "clients": [{{ "name": "client", "do": "echo", "rate": 5 }}],
            "timeline": [{{ "at": "1s", {without} }}, {{ "at": "2s", {with} }}, {{ "at": "3s", "do": "crash", "host": "proxy" }},
                {{ "at": "4s", "do": "restart", "host": "proxy" }}, {{ "at": "6s", {with} }}] }}"#,
            without = upstreams(&["a"]),
            with = upstreams(&["a", "b"]),
        );
        let mut twin = Twin::of_ejection(&LAW);
        twin.scenario = crate::scenario::parse(&story).unwrap();
        twin.record = crate::world::EngineKind::default().play(&twin.scenario, 1).unwrap();
        let upstream = || HostName::new("b");
        let mut tell = |at_us, what| {
            let place = twin.record.trace.lines.partition_point(|line| line.at_us <= at_us);
            twin.record
                .trace
                .lines
                .insert(place, Line { at_us, host: HostName::new("proxy"), what: What::Proxy(what) });
        };
        tell(5_000_000, ProxyEvent::Ejected { upstream: upstream(), failures: 1, until_us: 5_500_000 });
        tell(8_000_000, ProxyEvent::Blamed { upstream: upstream(), blame: "upstream", rule: "malformed_head" });
        assert_eq!(twin.checked().violations, []);
    }

    #[test]
    fn a_success_between_begins_the_count_anew() {
        let mut twin = Twin::of_ejection(&LAW);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Ejected { .. })));
        let blamed = |what: &What| matches!(what, What::Proxy(ProxyEvent::Blamed { .. }));
        let first = twin.find(blamed);
        let mut line = twin.record.trace.lines[first].clone();
        if let What::Proxy(ProxyEvent::Blamed { upstream, .. }) = line.what {
            line.what = What::Proxy(ProxyEvent::AttemptEnded { request: None, upstream, failure: None, took_us: 0 });
        }
        twin.record.trace.lines.insert(first + 1, line);
        // Only the first two are looked at: what comes behind fails again.
        let rest = twin.record.trace.lines.iter().rposition(|line| blamed(&line.what)).unwrap();
        while twin.record.trace.lines.iter().filter(|line| blamed(&line.what)).count() > 2 {
            let last = twin.record.trace.lines.iter().rposition(|line| blamed(&line.what)).unwrap_or(rest);
            twin.record.trace.lines.remove(last);
        }
        assert_eq!(twin.checked().violations, []);
    }
}
