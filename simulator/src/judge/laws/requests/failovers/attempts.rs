//! The law `attempts`: a request is tried through no more upstreams than the configuration allows.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{hosts_of_moving_names, may_be_sent_again, upstream_of};
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "attempts",
    text: "No request reaches more upstreams than it may be tried through, by their journals.",
    check: Check::BlackBox(check),
};

/// A request that began so shortly behind a reload may still be of the configuration before it.
const ON_THE_WAY: Duration = Duration::from_secs(1);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let moving = hosts_of_moving_names(witnesses);
    let reached = witnesses.requests.iter().filter(|(id, _)| !witnesses.journals.of(id).is_empty());
    reached.filter_map(|(id, asked)| judge(witnesses, &moving, id, asked)).collect()
}

/// `None` where the subject has no such limit, and of what may have come to the proxy more than once.
fn judge(witnesses: &Witnesses<'_>, moving: &BTreeSet<&str>, id: &str, asked: &ClientRequest<'_>) -> Option<Case> {
    if may_be_sent_again(witnesses, asked) {
        return None;
    }
    let (from, until) = (asked.began, witnesses.end_of(asked));
    let during = witnesses.configurations.during(from.saturating_sub(ON_THE_WAY), until);
    let most = during.map(|config| config.failover.max_attempts.get()).max()?;
    let entries = witnesses.journals.of(id);
    // An attempt may ask its upstream a second time, on a connection of its own, where a kept one was closing.
    let asked_there: BTreeSet<Option<&str>> = entries.iter().map(|entry| upstream_of(moving, entry.host)).collect();
    if asked_there.len() as u64 <= u64::from(most) {
        return Some(Case::Holds);
    }
    // Who opened it may have been killed before it wrote that down, and a probe has asked for the same target since.
    let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    if hosts.any(|host| witnesses.disturbances.killed(host, from, witnesses.over)) {
        return Some(Case::Excused(Excuse::UpstreamKilled));
    }
    let hosts: BTreeSet<&str> = entries.iter().map(|entry| entry.host).collect();
    let text = format!("{id} was tried through {} upstreams of at most {most}: {hosts:?}", asked_there.len());
    let lines = entries.iter().map(|entry| entry.line).chain([asked.last_line()]);
    Some(Case::Broken(Violation::found(text, lines)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, Line, What};
    use crate::scenario::HostName;

    fn limited(most: u32, timeline: &str) -> String {
        let refuses = r#"{ "faults": [{ "fault": "status-502" }] }"#;
        format!(
            r#"{{ "name": "limited", "story": "Most upstreams fail.", "duration": "4s",
            "proxy": {{ "failover": {{ "max_attempts": {most} }} }},
            "upstreams": [{{ "name": "a", "plan": {refuses} }}, {{ "name": "b", "plan": {refuses} }}, {{ "name": "c" }}],
            "clients": [{{ "name": "client", "do": "http:bytes=100", "requests": 8, "rate": 2 }}],
            "timeline": [{timeline}] }}"#
        )
    }

    /// Has a request that was tried through two upstreams be tried through the third as well.
    fn tried_once_more(twin: &mut Twin) {
        let lines = twin.record.trace.lines.clone();
        let id = |what: &What| match what {
            What::Upstream(Event::Request(record)) => record.id.clone(),
            _ => None,
        };
        let mut tried: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
        for line in &lines {
            tried.entry(id(&line.what).unwrap_or_default()).or_default().push(line);
        }
        let (_, twice) = tried.iter().find(|(id, lines)| !id.is_empty() && lines.len() == 2).unwrap();
        let hosts: Vec<&HostName> = twice.iter().map(|line| &line.host).collect();
        let mut more = twice[0].clone();
        // At the end, so that nothing witnessed comes later.
        more.at_us = lines.last().unwrap().at_us;
        let all = ["a", "b", "c"].map(HostName::new);
        more.host = all.into_iter().find(|host| !hosts.contains(&host)).unwrap();
        twin.record.trace.lines.push(more);
    }

    #[test]
    fn fires_where_one_upstream_more_was_tried() {
        let mut twin = Twin::of_scenario(&LAW, &limited(2, ""));
        tried_once_more(&mut twin);
        twin.fires();
        let mut twin = Twin::of_scenario(&LAW, &limited(3, ""));
        twin.scenario.proxy["failover"]["max_attempts"] = 1.into();
        twin.fires();
    }

    /// The connection on which it went first was closing.
    #[test]
    fn what_a_client_sent_again_on_another_connection_was_tried_anew() {
        let kept = limited(2, "").replace("http:bytes=100", "http:bytes=100,keep-alive");
        for reused in [true, false] {
            let mut twin = Twin::of_scenario(&LAW, &kept);
            tried_once_more(&mut twin);
            for line in &mut twin.record.trace.lines {
                if let What::Client(ClientEvent::Ended(result)) = &mut line.what {
                    result.reused = reused;
                }
            }
            if reused { twin.fires() } else { assert_eq!(twin.checked().violations, []) }
        }
    }

    /// A kept connection that was closing led to where the name of its upstream had led before.
    #[test]
    fn an_attempt_may_reach_both_hosts_to_which_its_upstreams_name_has_led() {
        let named = r#""proxy": { "upstream_proxies": [{ "url": "http://moving.test:8080" }, { "url": "http://b:8080" }, { "url": "http://c:8080" }],"#;
        let named = limited(2, r#"{ "at": "3s", "do": "dns", "name": "moving.test", "hosts": ["b"] }"#)
            .replace(r#""proxy": {"#, &format!(r#""network": {{ "dns": {{ "moving.test": ["a"] }} }}, {named}"#));
        let mut twin = Twin::of_scenario(&LAW, &named);
        tried_once_more(&mut twin);
        assert_eq!(twin.checked().violations, []);
        twin.scenario.timeline.clear();
        twin.fires();
    }

    /// A target that has said anything of a page is one that works, by which another upstream is probed then.
    #[test]
    fn a_probe_for_a_page_that_was_refused_by_its_target_is_no_attempt() {
        let mut twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "refused", "story": "Targets refuse.", "duration": "2s",
            "proxy": { "failover": { "max_attempts": 1 } }, "upstreams": [{ "name": "a" }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "http:method=HEAD", "rate": 10 }] }"#,
        );
        let answered = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        let ended = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
        let lines = &mut twin.record.trace.lines;
        let What::Client(ClientEvent::Ended(result)) = &mut lines[ended].what else { panic!() };
        result.status = Some(401);
        let What::Upstream(Event::Request(record)) = &mut lines[answered].what else { panic!() };
        record.status = Some(401);
        let mut probe = lines[answered].clone();
        let other = if probe.host == HostName::new("a") { "b" } else { "a" };
        (probe.host, probe.at_us) = (HostName::new(other), lines.last().unwrap().at_us);
        let What::Upstream(Event::Request(record)) = &mut probe.what else { panic!() };
        (record.connection, record.status) = (99, Some(200));
        lines.push(probe);
        assert_eq!(twin.checked().violations, []);
        // What a gateway says opens nothing: this was another attempt.
        let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[answered].what else { panic!() };
        record.status = Some(502);
        twin.fires();
    }

    #[test]
    fn a_killed_upstream_excuses() {
        let killed = r#"{ "at": "3s", "do": "crash", "host": "b" }"#;
        let mut twin = Twin::of_scenario(&LAW, &limited(2, killed));
        tried_once_more(&mut twin);
        twin.excuses(Excuse::UpstreamKilled);
    }
}
