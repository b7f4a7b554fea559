//! The law `conservation`: what the proxy tells of requests is what clients and upstreams saw of them.

use std::collections::BTreeMap;
use std::time::Duration;

use loadgen::{ActionKind, ConnectionUse};

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::history::{History, id_of};
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyRequest;
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, JournalEntry, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "conservation",
    text: "The proxy tells of the requests that clients and upstreams tell of: none is lost, doubled or without an author, and each \
           has the status that its client saw.",
    check: Check::Told(check),
};

/// A client may finish so much before its last bytes have reached the proxy.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// A proxy that is killed has not written yet what it gathered for its log.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The line of a request's end, and the status that the proxy tells of.
type Ends<'a> = BTreeMap<&'a str, Vec<(usize, u16)>>;

fn check(history: &History<'_>) -> Checked {
    let mut ends: Ends<'_> = BTreeMap::new();
    for asked in history.processes.iter().flat_map(|process| process.requests.values()) {
        if let Some((line, end)) = asked.finished
            && let Some(id) = id_of(&end.target)
        {
            ends.entry(id).or_default().push((line, end.status));
        }
    }
    let requests = &history.witnesses.requests;
    let known = requests.iter().map(|(id, asked)| ended(history, id, asked, &ends));
    let strange = ends.iter().filter(|(id, _)| !requests.contains_key(*id)).map(|(id, ends)| {
        let text = format!("the proxy finished {id}, which no client asked for");
        Case::Broken(Violation::found(text, ends.iter().map(|end| end.0)))
    });
    // The proxy tells the id of a request only at its end, so any request without an end may be the one.
    let untold = history.processes.iter().flat_map(|process| process.requests.values());
    let untold: Vec<&ProxyRequest<'_>> = untold.filter(|asked| asked.finished.is_none()).collect();
    let journals = history.witnesses.journals.by_id().filter(|(id, _)| requests.contains_key(id));
    let written = journals.flat_map(|(id, entries)| entries.iter().map(move |entry| (id, entry)));
    let again = |id: &str| requests.get(id).is_some_and(|asked| may_ask_again(&history.witnesses, asked));
    let killed = |entry: &JournalEntry<'_>| {
        let witnesses = &history.witnesses;
        witnesses.disturbances.killed(witnesses.proxy, entry.since, entry.at + LAST_LINES)
    };
    let written = written.map(|(id, entry)| match picked(history, id, entry, &untold) {
        Case::Broken(_) if again(id) => Case::Excused(Excuse::Untold),
        Case::Broken(_) if killed(entry) => Case::Excused(Excuse::ProxyKilled),
        case => case,
    });
    known.chain(strange).chain(written).collect()
}

/// The proxy tells once of the end of a client's request, and with the status that the client saw.
fn ended(history: &History<'_>, id: &str, asked: &ClientRequest<'_>, ends: &Ends<'_>) -> Case {
    let ends = ends.get(id).map_or(&[][..], Vec::as_slice);
    if ends.len() > 1 && may_ask_again(&history.witnesses, asked) {
        return Case::Excused(Excuse::Untold);
    }
    if ends.len() > 1 {
        let text = format!("the proxy finished {id} {} times", ends.len());
        return Case::Broken(Violation::found(text, ends.iter().map(|end| end.0)));
    }
    let Some(end) = asked.end.filter(|end| end.result.status.is_some()) else { return Case::Holds };
    let Some((line, status)) = ends.first() else {
        let witnesses = &history.witnesses;
        // It tells of a tunnel when both ends are closed.
        let half_closed = witnesses.configurations.at(asked.began).timeouts.half_closed;
        let until = end.at + witnesses.clock_skew + LAST_BYTES.max(half_closed);
        // A fault may have answered the client, and have the proxy wait for the rest for as long as a body may take.
        let struck = witnesses.journals.of(id).iter().any(|one| witnesses.disturbances.harm(one) == Harm::Answer);
        // The end of a tunnel whose client is cut off comes later than that, and the proxy may be killed before.
        let cut_off = || witnesses.disturbances.of_client(asked.client, asked.began, until);
        return match witnesses.disturbances.of_proxy(asked.began, until).or_else(cut_off) {
            Some(why) => Case::Excused(why),
            None if struck => Case::Excused(Excuse::RequestStruck),
            None if witnesses.disturbances.stopped().is_some() => Case::Excused(Excuse::ProxyStopping),
            None => Case::Broken(Violation::found(
                format!("{id} was answered, but the proxy does not tell of it"),
                [end.line],
            )),
        };
    };
    if end.result.status == Some(*status) {
        return Case::Holds;
    }
    let text = format!("the client of {id} saw status {:?}, the proxy sent {status}", end.result.status);
    Case::Broken(Violation::found(text, [end.line, *line]))
}

/// Whether a client may send the same request once more, on another connection: those of a pipeline that breaks off, and one that
/// was the first on a new connection, since the kept one may have ended under it.
fn may_ask_again(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> bool {
    witnesses.action_of(asked).is_some_and(|action| match action.kind {
        ActionKind::Http { connection: ConnectionUse::Pipelined { .. }, .. } => true,
        ActionKind::Http { connection: ConnectionUse::KeepAlive, .. } => asked.result().is_none_or(|one| !one.reused),
        _ => false,
    })
}

/// What an upstream wrote down was sent there by the proxy, which tells of it.
fn picked(history: &History<'_>, id: &str, entry: &JournalEntry<'_>, untold: &[&ProxyRequest<'_>]) -> Case {
    let told = history.proxy_request(id);
    let picks = told.into_iter().chain(untold.iter().copied()).flat_map(|asked| &asked.picks);
    // The proxy's own probes ask for targets of clients.
    let probes = history.probes(id, entry.host);
    if !picks.into_iter().any(|pick| history.leads_to(pick.upstream, entry.host)) && probes == 0 {
        let text = format!("{} got {id}, but was never picked for it", entry.host);
        return Case::Broken(Violation::found(text, [entry.line]));
    }
    let Some(asked) = told.filter(|_| entry.record.method == "CONNECT" && entry.record.status == Some(200)) else {
        return Case::Holds;
    };
    // An upstream whose answer came too late, or never, has opened a tunnel as well; the proxy then tells of a failed attempt.
    let entries = history.witnesses.journals.of(id).iter();
    // Nor does it tell of a warm connection that was reset in front of its answer: the same attempt goes on with another.
    let client = history.witnesses.requests.get(id);
    let unheard = |one: &JournalEntry<'_>| client.is_some_and(|client| history.witnesses.was_warm(client, one));
    let opened = |one: &JournalEntry<'_>| one.record.status == Some(200) && !unheard(one);
    let here = entries.filter(|one| opened(one) && one.host == entry.host).count();
    let failed = asked.failed.iter().filter(|one| history.leads_to(one, entry.host)).count();
    let serves = asked.picks.last().is_some_and(|pick| history.leads_to(pick.upstream, entry.host));
    if here > failed + probes + usize::from(serves) {
        let text = format!("{} opened a tunnel for {id} that the proxy does not tell of", entry.host);
        return Case::Broken(Violation::found(text, [entry.line]));
    }
    Case::Holds
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mock_upstreams::journal::{Event, Outcome};

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::history::id_of;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, ProxyEvent, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_where_a_request_is_told_of_twice() {
        let mut twin = Twin::of(&LAW);
        let again = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        let mut line = twin.record.trace.lines[again].clone();
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut line.what {
            finished.request = 999;
        }
        twin.record.trace.lines.push(line);
        twin.fires();
    }

    /// A kept connection may have ended under a request, whose client then asks once more.
    #[test]
    fn the_first_request_of_a_new_connection_may_have_been_asked_before() {
        for (new, action) in
            [(true, "http:bytes=10,keep-alive"), (false, "http:bytes=10,keep-alive"), (true, "http:bytes=10")]
        {
            let mut twin = Twin::of_clients_that(&LAW, action);
            let again = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
            let mut line = twin.record.trace.lines[again].clone();
            let What::Proxy(ProxyEvent::Finished(finished)) = &mut line.what else { continue };
            finished.request = 999;
            let id = id_of(&finished.target).unwrap().to_owned();
            let ended = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(result)) if result.id == id));
            if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[ended].what {
                result.reused = !new;
            }
            twin.record.trace.lines.push(line);
            if new && action.ends_with("keep-alive") { twin.excuses(Excuse::Untold) } else { twin.fires() }
        }
    }

    #[test]
    fn fires_where_the_proxy_does_not_tell_of_a_request() {
        let mut twin = Twin::of(&LAW);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        twin.fires();
    }

    #[test]
    fn a_fault_that_answers_has_the_proxy_wait_for_the_rest_while_its_client_is_gone() {
        let mut twin = Twin::of_clients_that(&LAW, "http:bytes=10");
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        let What::Proxy(ProxyEvent::Finished(finished)) = twin.record.trace.lines.remove(at).what else { return };
        let id = id_of(&finished.target);
        let written =
            twin.find(|what| matches!(what, What::Upstream(Event::Request(record)) if record.id.as_deref() == id));
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[written].what {
            record.faults = vec!["status-429".to_owned()];
        }
        twin.excuses(Excuse::RequestStruck);
    }

    /// The reset overtook the answer, and the attempt went on with a connection of its own.
    #[test]
    fn a_warm_connection_that_was_reset_is_no_tunnel_of_its_own() {
        for warm in [true, false] {
            let mut twin = Twin::of(&LAW);
            for upstream in twin.scenario.proxy["upstream_proxies"].as_array_mut().unwrap() {
                if warm {
                    upstream["warm_connections"] = serde_json::json!({});
                }
            }
            let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            let mut line = twin.record.trace.lines[at].clone();
            if let What::Upstream(Event::Request(record)) = &mut line.what {
                record.outcome = Outcome::Faulted;
            }
            twin.record.trace.lines.insert(at, line);
            if warm { assert_eq!(twin.checked().violations, []) } else { twin.fires() }
        }
    }

    /// Its end never reached the proxy, which was killed long after it would have told of it.
    #[test]
    fn nobody_tells_of_a_tunnel_whose_client_is_cut_off_until_the_proxy_is_killed() {
        for cut_off in [true, false] {
            let cut =
                r#"{ "at": "1s", "do": "partition", "between": ["proxy", "client"] }, { "at": "29s", "do": "heal" }, "#;
            let text = r#"{ "name": "cut", "story": "A client is cut off.", "duration": "30s",
                "proxy": { "timeouts": { "half_closed": "1s" } }, "upstreams": [{ "name": "a" }],
                "clients": [{ "name": "client", "do": "echo", "rate": 2, "until": "3s" }],
                "timeline": [CUT{ "at": "28s", "do": "restart", "host": "proxy" }] }"#;
            let mut twin = Twin::of_scenario(&LAW, &text.replace("CUT", if cut_off { cut } else { "" }));
            twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
            if cut_off { twin.excuses(Excuse::ClientCutOff) } else { twin.fires() }
        }
    }

    #[test]
    fn fires_where_two_upstreams_opened_a_tunnel() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        let mut line = twin.record.trace.lines[at].clone();
        let others = ["alpha", "beta"].map(HostName::new);
        line.host = others.into_iter().find(|name| *name != line.host).unwrap();
        twin.record.trace.lines.push(line);
        twin.fires();
    }

    /// On real sockets the lines of the last moments go with the process: the restart of a proxy was a violation once in a while.
    #[test]
    fn what_a_killed_proxy_did_last_need_not_be_in_its_log() {
        for (killed, bound) in [(true, 1500), (true, 500), (false, 1500)] {
            let restart = if killed { r#"{ "at": "2s", "do": "restart", "host": "proxy" }"# } else { "" };
            let text = r#"{ "name": "killed", "story": "The proxy is killed.", "duration": "6s", "upstreams": [{ "name": "a" }],
                "clients": [{ "name": "client", "do": "echo", "rate": 10, "until": "3s" }], "timeline": [RESTART] }"#;
            let mut twin = Twin::of_scenario(&LAW, &text.replace("RESTART", restart));
            let lost = Duration::from_millis(bound)..Duration::from_secs(2);
            twin.record.trace.lines.retain(|line| !(matches!(line.what, What::Proxy(_)) && lost.contains(&line.at())));
            if killed && bound == 1500 { twin.excuses(Excuse::ProxyKilled) } else { twin.fires() }
        }
    }

    #[test]
    fn a_proxy_that_was_killed_need_not_tell_of_a_request() {
        let killed = r#"{ "name": "killed", "story": "The proxy is killed.", "duration": "6s", "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 10, "until": "2s" }],
            "timeline": [{ "at": "2500ms", "do": "restart", "host": "proxy" }] }"#;
        let mut twin = Twin::of_scenario(&LAW, killed);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        twin.excuses(Excuse::ProxyKilled);
    }
}
