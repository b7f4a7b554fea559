//! The law `configured`: a request reaches only upstreams that the configuration gives a weight, where their names lead.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, JournalEntry, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "configured",
    text: "A request reaches only upstreams that have a weight in a configuration that was in force while it lasted, first pick or \
           not, and only where their names led by then.",
    check: Check::BlackBox(check),
};

/// How long a lookup may take that a request at a stale address has begun.
const LOOKUP: Duration = Duration::from_secs(2);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let mut stale: BTreeMap<(&str, Duration), Duration> = BTreeMap::new();
    let mut checked = Checked::default();
    for (id, entries) in witnesses.journals.by_id() {
        if let Some(asked) = witnesses.requests.get(id) {
            for entry in entries {
                checked.add(judge(witnesses, id, asked, entry, &mut stale));
            }
        }
    }
    checked
}

/// `stale` has the first request at each host that came later than its name's address was fresh, by when the name left.
fn judge<'a>(
    witnesses: &Witnesses<'a>,
    id: &str,
    asked: &ClientRequest<'_>,
    entry: &JournalEntry<'a>,
    stale: &mut BTreeMap<(&'a str, Duration), Duration>,
) -> Case {
    let from = asked.began.saturating_sub(witnesses.tolerance);
    // A client that is cut off may take long to get through.
    let connect =
        asked.result().and_then(|result| result.phases.connect_us).map_or(Duration::ZERO, Duration::from_micros);
    let arrived = asked.began + connect;
    // It was picked before the upstream wrote it down, and before its client gave up.
    let until = entry.at.min(witnesses.end_of(asked)).max(from);
    let configurations = &witnesses.configurations;
    let mut left = None;
    for config in configurations.during(from, until) {
        for upstream in config.upstreams.iter().filter(|one| one.weight.get() > 0) {
            if configurations.hosts_of(&upstream.host, from, until).contains(entry.host) {
                return Case::Holds;
            }
            if let Some(at) = configurations.left(&upstream.host, entry.host, from) {
                left = Some((at, config, upstream.host.as_str()));
            }
        }
    }
    let broken = |text: String| Case::Broken(Violation::found(text, [asked.line, entry.line]));
    let Some((at, config, name)) = left else {
        return broken(format!("{} got {id}, but no configuration in force sends anything there", entry.host));
    };
    // An address is used until it is due to be looked up again, a kept connection for as long as it is kept, and a warm one until
    // it is too old.
    let warm = config.upstreams.iter().filter(|one| one.host == name).filter_map(|one| one.warm_connections);
    let warm = warm.map(|limits| limits.max_age).max().unwrap_or_default();
    let fresh = at + config.timeouts.dns + config.timeouts.connect + warm;
    if arrived <= fresh || entry.record.request > 1 {
        return Case::Excused(Excuse::NameMoved);
    }
    // The first request behind that may use the old address still, but has it looked up; so does the first behind a lookup that failed.
    let failed = witnesses.machine.failed_lookups.iter().filter(|(when, whose)| *whose == name && *when <= arrived);
    let failed = failed.map(|(when, _)| *when).max().filter(|when| *when > at);
    let first = *stale.entry((entry.host, at)).and_modify(|first| *first = arrived.min(*first)).or_insert(arrived);
    if arrived > failed.map_or(first, |failed| first.max(failed)) + LOOKUP + config.timeouts.connect + warm {
        return broken(format!("{} got {id}, but the name has led elsewhere since {at:?}", entry.host));
    }
    Case::Excused(Excuse::NameMoved)
}

#[cfg(test)]
mod tests {
    use mock_upstreams::checksum::Transferred;
    use mock_upstreams::journal::Event;
    use serde_json::json;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_where_an_upstream_of_weight_zero_is_asked() {
        let mut twin = Twin::of(&LAW);
        twin.scenario.proxy["upstream_proxies"][2]["weight"] = json!(0);
        twin.fires();
    }

    #[test]
    fn fires_where_an_upstream_is_asked_that_was_disabled_by_hand() {
        let mut twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "sound", "story": "An operator disables an upstream.", "duration": "2s",
            "upstreams": [{ "name": "a" }, { "name": "b" }], "clients": [{ "name": "client", "do": "echo", "rate": 10, "from": "200ms" }],
            "timeline": [{ "at": "100ms", "do": "steer", "upstream": "a", "order": "disable" }] }"#,
        );
        twin.rename_upstream("b", "a");
        twin.fires();
    }

    /// The target of a request serves as a probe's later, whatever a fault does to the tunnel that the probe opened.
    #[test]
    fn a_probe_that_a_fault_struck_is_nobodys_request() {
        let mut twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "sound", "story": "All is well.", "duration": "2s",
            "proxy": { "upstream_proxies": [{ "url": "http://a:8080" }, { "url": "http://b:8080", "weight": 0 }] },
            "upstreams": [{ "name": "a" }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 10 }] }"#,
        );
        let opened = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        let mut line = twin.record.trace.lines[opened].clone();
        line.host = HostName::new("b");
        let What::Upstream(Event::Request(record)) = &mut line.what else { panic!() };
        (record.connection, record.faults) = (99, vec!["tunnel-reset".into()]);
        (record.up, record.down) = (Transferred::of(b""), Transferred::of(b""));
        twin.record.trace.lines.insert(opened + 1, line.clone());
        twin.fires();
        twin.record.trace.lines.remove(opened + 1);
        line.at_us = twin.record.trace.lines.last().unwrap().at_us;
        twin.record.trace.lines.push(line);
        assert_eq!(twin.checked().violations, []);
    }

    /// Whoever carries the tunnel has not told of it by the end of the run, so that the entry of the probe is the only one.
    #[test]
    fn whoever_is_connected_to_once_the_client_has_its_answer_is_probed() {
        for late in [false, true] {
            let mut twin = Twin::of(&LAW);
            twin.scenario.proxy["upstream_proxies"][2]["weight"] = json!(0);
            twin.rename_upstream("gamma", "alpha");
            assert_eq!(twin.checked().violations, []);
            let written = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            let mut probe = twin.record.trace.lines.remove(written);
            let What::Upstream(Event::Request(record)) = &mut probe.what else { panic!() };
            (record.up, record.down) = (Transferred::of(b""), Transferred::of(b""));
            record.connection = 99;
            let what = What::Upstream(Event::Opened { connection: 99, peer: None });
            (probe.host, probe.at_us) = (HostName::new("gamma"), twin.record.trace.lines.last().unwrap().at_us);
            let opened = Line { at_us: if late { probe.at_us } else { 0 }, host: probe.host.clone(), what };
            twin.record.trace.lines.extend([opened, probe]);
            if late { assert_eq!(twin.checked().violations, []) } else { twin.fires() }
        }
    }

    fn moving(seconds: u64) -> String {
        format!(
            r#"{{ "name": "moving", "story": "A name moves.", "duration": "{seconds}s",
            "network": {{ "dns": {{ "moving.test": ["a"] }} }},
            "proxy": {{ "upstream_proxies": [{{ "url": "http://moving.test:8080" }}], "timeouts": {{ "dns": "2s", "connect": "1s" }} }},
            "upstreams": [{{ "name": "a" }}, {{ "name": "b" }}],
            "clients": [{{ "name": "client", "do": "echo", "rate": 10 }}],
            "timeline": [{{ "at": "3s", "do": "dns", "name": "moving.test", "hosts": ["b"] }}] }}"#
        )
    }

    #[test]
    fn a_client_that_gets_through_late_asks_late() {
        let held = moving(16).replace(r#""timeline": ["#, r#""chance": { "dns_delay": "300ms" },
            "timeline": [{ "at": "2500ms", "do": "hold", "between": ["proxy", "client"] }, { "at": "12s", "do": "heal" },"#);
        Twin::of_scenario(&LAW, &held).excuses(Excuse::NameMoved);
    }

    #[test]
    fn an_old_address_is_excused_while_it_may_be_kept_and_no_longer() {
        let twin = Twin::of_scenario(&LAW, &moving(10));
        twin.excuses(Excuse::NameMoved);
        let mut twin = Twin::of_scenario(&LAW, &moving(10));
        twin.rename_upstream("b", "a");
        twin.fires();
    }
}
