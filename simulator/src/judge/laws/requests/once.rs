//! The law `once`: each request reaches its upstreams as often as it may.

use std::collections::BTreeSet;
use std::time::Duration;

use loadgen::{Action, ActionKind};
use mock_upstreams::journal::{Outcome, Record};

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, JournalEntry, RequestEnd, Witnesses, struck_by};

pub(in crate::judge) const LAW: Law = Law {
    name: "once",
    text: "What was answered was written down by an upstream; no upstream gets a request that no client made, none gets a CONNECT \
           twice, and nobody gets a POST on which another may have acted.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let known = witnesses.requests.iter().map(|(id, asked)| judge(witnesses, id, asked));
    let strange = witnesses.journals.by_id().filter(|(id, _)| !witnesses.requests.contains_key(id));
    let strange = strange.flat_map(|(id, entries)| entries.iter().map(move |entry| (id, entry)));
    let strange = strange.map(|(id, entry)| {
        let text = format!("{} got {id}, which no client asked for", entry.host);
        Case::Broken(Violation::found(text, [entry.line]))
    });
    known.chain(strange).collect()
}

fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Case {
    let entries = witnesses.journals.of(id);
    let broken = |text: String, entries: &[&JournalEntry<'_>]| {
        Case::Broken(Violation::found(text, entries.iter().map(|entry| entry.line).chain([asked.last_line()])))
    };
    // An upstream that got a POST may have acted on it, unless it asked for credentials with a 407, or the body that it
    // waited for never came.
    let withholds = withholds_bodies(witnesses, asked);
    let waited = |record: &Record| withholds && record.status.is_none() && record.up.bytes == 0;
    let acted: Vec<_> = entries.iter().filter(|one| one.record.status != Some(407) && !waited(one.record)).collect();
    if !asked.is_repeatable() && acted.len() > 1 {
        return broken(format!("{id} may have been acted on {} times", acted.len()), &acted);
    }
    // A client may expect a refusal, which the proxy makes itself.
    let served =
        |end: &RequestEnd<'_>| end.result.failure.is_none() && end.result.status.is_none_or(|status| status < 400);
    if asked.is_tunnel() {
        let mut hosts = BTreeSet::new();
        // It was asked for again on a connection of its own.
        let met_a_closing_one =
            |host: &str| entries.iter().any(|one| one.host == host && witnesses.was_warm(asked, one));
        let again = entries.iter().find(|one| {
            !hosts.insert(one.host) && !may_come_twice(witnesses, asked, one) && !met_a_closing_one(one.host)
        });
        // Who opened it may have been killed before it wrote that down, and a probe has asked for the same target since.
        let probed = |one: &JournalEntry<'_>| one.record.up.bytes == 0 && killed_while(witnesses, asked);
        if again.is_some_and(probed) {
            return Case::Excused(Excuse::UpstreamKilled);
        }
        // The upstream that opened it has not told of it yet, by which it would be seen that the others were probed with its target.
        let is_told = entries.iter().any(JournalEntry::is_success);
        if again.is_some_and(|one| one.record.up.bytes == 0) && asked.end.is_some_and(|end| served(&end)) && !is_told {
            return Case::Excused(Excuse::Untold);
        }
        if let Some(again) = again {
            return broken(format!("{} got {id} twice", again.host), &[again]);
        }
    }
    let Some(end) = asked.end.filter(served) else { return Case::Holds };
    let written = entries.iter().any(|one| one.record.status.is_some());
    // A killed upstream writes nothing down, and one that was cut off may never learn that a tunnel has ended.
    let hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    let lost = |host: &str| witnesses.disturbances.of_upstream(host, asked.began, end.at);
    if written {
        return Case::Holds;
    }
    // What a fault answers has no status in the journal, and the client may take it for a success.
    let faulted = |one: &JournalEntry<'_>| one.record.outcome == Outcome::Faulted;
    let struck = entries.iter().any(|one| faulted(one) || witnesses.disturbances.harm(one) == Harm::Answer);
    match hosts.filter_map(lost).next() {
        Some(why) => Case::Excused(why),
        None if struck => Case::Excused(Excuse::RequestStruck),
        None if killed_later(witnesses, asked) => Case::Excused(Excuse::UpstreamKilled),
        // The news of a tunnel's end was lost, and who would have sent it again is gone.
        None if end_was_lost(witnesses, asked, end.at) => Case::Excused(Excuse::ProxyKilled),
        // A fault may keep an upstream from ever noticing that a tunnel has ended.
        None if may_still_serve(witnesses, asked.began, end.at) => Case::Excused(Excuse::Untold),
        None => broken(format!("{id} was served, but no upstream wrote it down"), &[]),
    }
}

/// Whether the client sends bodies only where it is told to go on.
fn withholds_bodies(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> bool {
    let expects = |action: &Action| matches!(&action.kind, ActionKind::Http { exchange, .. } if exchange.expect);
    witnesses.client(asked).is_some_and(|client| client.actions().any(|one| expects(&one.value().action)))
}

/// Whether an upstream was killed while the request lasted.
fn killed_while(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> bool {
    let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    hosts.any(|host| witnesses.disturbances.killed(host, asked.began, witnesses.end_of(asked)))
}

/// Whether an upstream was killed before it would have written the request down.
fn killed_later(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> bool {
    let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    hosts.any(|host| witnesses.disturbances.killed(host, asked.began, witnesses.over))
}

/// Whether the proxy was killed before it may have sent a lost packet again.
fn end_was_lost(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>, end: Duration) -> bool {
    let until = end + witnesses.resending();
    witnesses.loses_packets() && witnesses.disturbances.killed(witnesses.proxy, asked.began, until)
}

/// Whether a connection that was opened from `from` to `until`, or kept warm until then, has not been closed by the end of the run.
fn may_still_serve(witnesses: &Witnesses<'_>, from: Duration, until: Duration) -> bool {
    let upstreams = witnesses.configurations.during(from, until).flat_map(|config| &config.upstreams);
    let warm = upstreams.filter_map(|one| one.warm_connections).map(|warm| warm.max_age).max().unwrap_or_default();
    let from = from.saturating_sub(warm);
    let journals = witnesses.journals.by_host.values();
    let mut connections = journals.flat_map(|journal| &journal.connections);
    connections.any(|one| one.closed.is_none() && (from..=until).contains(&one.opened))
}

/// Several entries of the configuration may lead to one host, and one that a reload has removed and added again is another one.
fn may_come_twice(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>, entry: &JournalEntry<'_>) -> bool {
    let (from, until) = (asked.began, witnesses.end_of(asked));
    let configurations = &witnesses.configurations;
    let leads = |name: &str| name == entry.host || configurations.is_alias(name);
    let several = configurations
        .during(from, until)
        .any(|config| config.upstreams.iter().filter(|one| leads(&one.host)).count() > 1);
    several || !configurations.is_unchanged(from, until) || struck_by(entry.record, &["reused-close"])
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::{Event, Outcome};
    use serde_json::json;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, Line, What};

    fn written(what: &What) -> bool {
        matches!(what, What::Upstream(Event::Request(_)))
    }

    #[test]
    fn fires_where_a_post_or_a_connect_was_sent_twice() {
        for action in ["http:method=POST,path=/echo,send=100", "echo"] {
            let mut twin = Twin::of_clients_that(&LAW, action);
            let at = twin.find(written);
            let line = twin.record.trace.lines[at].clone();
            twin.record.trace.lines.push(line);
            twin.fires();
        }
    }

    /// Of `Expect: 100-continue`: the upstream died before the body was sent, so that another may be asked.
    #[test]
    fn nobody_acts_on_a_post_whose_body_never_came() {
        for (action, holds) in
            [("http:method=POST,path=/echo,send=100,expect", true), ("http:method=POST,path=/echo,send=100", false)]
        {
            let mut twin = Twin::of_clients_that(&LAW, action);
            let at = twin.find(written);
            let mut line = twin.record.trace.lines[at].clone();
            if let What::Upstream(Event::Request(record)) = &mut line.what {
                (record.up, record.status) = (mock_upstreams::checksum::Transferred::of(b""), None);
            }
            twin.record.trace.lines.insert(at, line);
            if holds { assert_eq!(twin.checked().violations, []) } else { twin.fires() }
        }
    }

    #[test]
    fn what_a_fault_answered_may_have_served() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(written);
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            (record.status, record.outcome, record.faults) = (None, Outcome::Faulted, vec!["many-lines".to_owned()]);
        }
        twin.excuses(Excuse::RequestStruck);
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.outcome = Outcome::Aborted;
        }
        twin.fires();
    }

    #[test]
    fn a_connection_that_was_warm_may_carry_a_tunnel_to_the_end_of_the_run() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(written);
        let host = twin.record.trace.lines.remove(at).host;
        let what = What::Upstream(Event::Opened { connection: 99, peer: None });
        twin.record.trace.lines.insert(0, Line { at_us: 0, host, what });
        let first = twin.find(|what| matches!(what, What::Client(ClientEvent::Asked { .. })));
        for line in &mut twin.record.trace.lines[first..] {
            line.at_us += 1000;
        }
        twin.fires();
        twin.scenario.proxy["upstream_proxies"][0]["warm_connections"] = json!({});
        twin.excuses(Excuse::Untold);
    }

    #[test]
    fn a_connect_that_met_a_closing_warm_connection_may_come_once_more() {
        for (warm, overtaken) in [(true, false), (true, true), (false, false)] {
            let mut twin = Twin::of(&LAW);
            for upstream in twin.scenario.proxy["upstream_proxies"].as_array_mut().unwrap() {
                if warm {
                    upstream["warm_connections"] = json!({});
                }
            }
            let at = twin.find(written);
            let mut line = twin.record.trace.lines[at].clone();
            if let What::Upstream(Event::Request(record)) = &mut line.what {
                if overtaken { record.outcome = Outcome::Faulted } else { record.status = None }
            }
            twin.record.trace.lines.insert(at, line);
            if warm { assert_eq!(twin.checked().violations, []) } else { twin.fires() }
        }
    }

    #[test]
    fn a_probe_may_ask_again_for_what_a_killed_upstream_had_opened() {
        for killed in [true, false] {
            let text = KILLED.replace("\"echo\", \"requests\": 12", "\"hold:for=4s\", \"requests\": 4");
            let text = if killed { text } else { text.replace("\"host\": \"a\"", "\"host\": \"client\"") };
            let mut twin = Twin::of_scenario(&LAW, &text);
            let at = twin.find(written);
            let mut line = twin.record.trace.lines[at].clone();
            if let What::Upstream(Event::Request(record)) = &mut line.what {
                (record.up, record.status) = (mock_upstreams::checksum::Transferred::of(b""), Some(503));
            }
            twin.record.trace.lines.push(line);
            if killed { twin.excuses(Excuse::UpstreamKilled) } else { twin.fires() }
        }
    }

    #[test]
    fn probes_may_ask_twice_for_a_tunnel_of_which_its_upstream_has_not_told() {
        for told in [false, true] {
            let mut twin = Twin::of(&LAW);
            let at = twin.find(written);
            let mut probe = twin.record.trace.lines[at].clone();
            if let What::Upstream(Event::Request(record)) = &mut probe.what {
                (record.up, record.status) = (mock_upstreams::checksum::Transferred::of(b""), Some(502));
            }
            if !told {
                twin.record.trace.lines.remove(at);
            }
            twin.record.trace.lines.extend([probe.clone(), probe]);
            if told { twin.fires() } else { twin.excuses(Excuse::Untold) }
        }
    }

    #[test]
    fn fires_where_no_client_asked() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(written);
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.id = Some("nobody-1".to_owned());
        }
        twin.fires();
    }

    const KILLED: &str = r#"{
        "name": "killed", "story": "An upstream is killed while it serves.", "duration": "6s",
        "upstreams": [{ "name": "a" }, { "name": "b" }],
        "clients": [{ "name": "client", "do": "echo", "requests": 12, "rate": 10 }],
        "timeline": [{ "at": "3s", "do": "crash", "host": "a" }]
    }"#;

    #[test]
    fn fires_where_no_upstream_wrote_it_down_unless_one_was_killed() {
        let mut twin = Twin::of(&LAW);
        twin.remove(written);
        twin.fires();
        let mut twin = Twin::of_scenario(&LAW, KILLED);
        twin.remove(written);
        twin.excuses(Excuse::UpstreamKilled);
    }

    #[test]
    fn the_lost_end_of_a_tunnel_is_not_sent_again_by_a_proxy_that_was_killed() {
        for killed in [true, false] {
            let restart = if killed { r#"{ "at": "2s", "do": "restart", "host": "proxy" }"# } else { "" };
            let text = r#"{ "name": "lost", "story": "The proxy is killed where packets are lost.", "duration": "6s",
                "network": { "loss": 0.001 }, "upstreams": [{ "name": "a" }],
                "clients": [{ "name": "client", "do": "echo", "requests": 8, "rate": 10 }], "timeline": [RESTART] }"#;
            let mut twin = Twin::of_scenario(&LAW, &text.replace("RESTART", restart));
            twin.remove(written);
            if killed { twin.excuses(Excuse::ProxyKilled) } else { twin.fires() }
        }
    }
}
