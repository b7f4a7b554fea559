//! The law `conservation`: client, proxy and upstreams tell of the same requests: none is lost, doubled or without an author.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::judge::disturbance::AFTERMATH;
use crate::judge::history::{History, id_of};
use crate::judge::laws::law::Law;
use crate::judge::requests::ProxyRequest;
use crate::judge::violation::Violation;
use crate::record::{ClientEvent, What};
use crate::scenario::PROXY;

pub(in crate::judge) const LAW: Law = Law {
    name: "conservation",
    text: "Client, proxy and upstreams tell of the same requests: none is lost, doubled or without an author.",
    check,
};

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut finished: BTreeMap<&str, Vec<(usize, u16, bool)>> = BTreeMap::new();
    for process in &history.processes {
        for asked in process.requests.values() {
            let Some((line, end)) = asked.finished else { continue };
            if let Some(id) = id_of(&end.target) {
                finished.entry(id).or_default().push((line, end.status, end.upstream.is_some()));
                if !asked_for(history, id) {
                    violations
                        .push(Violation::found(format!("the proxy finished {id}, which no client asked for"), [line]));
                }
            }
        }
    }
    for (id, ends) in &finished {
        if ends.len() > 1 {
            let lines = ends.iter().map(|end| end.0);
            violations.push(Violation::found(format!("the proxy finished {id} {} times", ends.len()), lines));
        }
    }
    for (id, seen) in &history.client_requests {
        let answered = seen.result.status.is_some();
        let told = finished.get(id).and_then(|ends| ends.first());
        match told {
            // A killed proxy tells nothing, and a client may finish before its last bytes have reached the proxy.
            None if answered
                && !history.proxy_disturbed(seen.began, seen.ended + history.record.clock_skew)
                && !history.killed(PROXY, seen.began, seen.ended + AFTERMATH) =>
            {
                violations.push(Violation::found(
                    format!("{id} was answered, but the proxy does not tell of it"),
                    [seen.line],
                ));
            }
            Some((line, status, _)) if answered && seen.result.status != Some(*status) => {
                let text = format!("the client of {id} saw status {:?}, the proxy sent {status}", seen.result.status);
                violations.push(Violation::found(text, [seen.line, *line]));
            }
            _ => {}
        }
        let records = history.journal.get(id).map_or(&[][..], Vec::as_slice);
        let opened: Vec<_> = records.iter().filter(|(_, _, record)| record.status == Some(200)).collect();
        let through = history.served_by(id);
        let serves = |host: &str| through.is_some_and(|through| history.leads_to(through, host));
        if let Some(asked) = history.proxy_request(id).filter(|_| seen.method == "CONNECT") {
            // An upstream whose answer came too late, or never, has opened a tunnel as well; the proxy then tells of a failed attempt.
            for (line, host, _) in &opened {
                let here = opened.iter().filter(|(_, one, _)| one == host).count();
                let failed = asked.failed.iter().filter(|one| history.leads_to(one, host)).count();
                if here > failed + usize::from(serves(host)) {
                    violations.push(Violation::found(
                        format!("{host} opened a tunnel for {id} that the proxy does not tell of"),
                        [*line],
                    ));
                }
            }
        }
        // An upstream that got a POST may have acted on it, unless it asked for credentials with a 407.
        if seen.method == "POST" {
            let got: Vec<_> = records.iter().filter(|(_, _, record)| record.status != Some(407)).collect();
            if got.len() > 1 {
                let lines = got.iter().map(|(line, ..)| *line);
                violations.push(Violation::found(format!("{id} may have been acted on {} times", got.len()), lines));
            }
        }
        // A killed upstream writes nothing down. One that was cut off may never learn that the proxy has reset a connection, and
        // then it waits for ever.
        let upstreams = history.scenario.upstreams.iter().map(|one| one.name.as_str());
        let ended = history
            .proxy_request(id)
            .and_then(|asked| asked.finished)
            .map(|(line, end)| (history.lines[line].at(), end));
        let (over, orderly) = ended.map_or((seen.ended, false), |(at, end)| (at, end.end == Some("closed")));
        let killed = upstreams.filter(|host| serves(host)).any(|host| {
            let reset = !orderly || history.killed(PROXY, seen.began, Duration::MAX);
            history.killed(host, seen.began, Duration::MAX)
                || (reset && history.cut_off(host, seen.began, over + AFTERMATH))
        });
        let kept = opened.iter().any(|(_, host, _)| serves(host));
        if seen.result.failure.is_none() && through.is_some() && !kept && !killed {
            violations.push(Violation::found(format!("{id} was served, but no upstream wrote it down"), [seen.line]));
        }
    }
    // The proxy tells the id of a request only at its end, so any request without an end may be the one.
    let untold =
        history.processes.iter().flat_map(|process| process.requests.values()).filter(|asked| asked.finished.is_none());
    let untold: Vec<&ProxyRequest<'_>> = untold.collect();
    for (id, records) in &history.journal {
        for (line, upstream, _) in records {
            let picked = history.proxy_request(id).into_iter().chain(untold.iter().copied());
            let picked = picked.flat_map(|asked| &asked.picks).any(|pick| history.leads_to(pick.upstream, upstream));
            if !picked && asked_for(history, id) {
                violations.push(Violation::found(format!("{upstream} got {id}, but was never picked for it"), [*line]));
            }
        }
    }
    violations
}

fn asked_for(history: &History<'_>, id: &str) -> bool {
    history.client_requests.contains_key(id)
        || history
            .lines
            .iter()
            .any(|line| matches!(&line.what, What::Client(ClientEvent::Asked { id: asked, .. }) if asked == id))
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};
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

    #[test]
    fn fires_where_the_proxy_does_not_tell_of_a_request() {
        let mut twin = Twin::of(&LAW);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        twin.fires();
    }

    #[test]
    fn fires_where_two_upstreams_opened_a_tunnel() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(mock_upstreams::journal::Event::Request(_))));
        let mut line = twin.record.trace.lines[at].clone();
        let others = ["alpha", "beta"].map(HostName::new);
        line.host = others.into_iter().find(|name| *name != line.host).unwrap();
        twin.record.trace.lines.push(line);
        twin.fires();
    }

    #[test]
    fn fires_where_a_post_was_sent_twice() {
        let mut twin = Twin::of_clients_that(&LAW, "http:method=POST,path=/echo,send=100");
        let at = twin.find(|what| matches!(what, What::Upstream(mock_upstreams::journal::Event::Request(_))));
        let line = twin.record.trace.lines[at].clone();
        twin.record.trace.lines.push(line);
        let violations = twin.violations();
        assert!(
            violations.iter().any(|one| one.text.starts_with("client-0 may have been acted on 2 times")),
            "{violations:#?}"
        );
    }

    #[test]
    fn fires_where_no_upstream_has_it() {
        let mut twin = Twin::of(&LAW);
        twin.remove(|what| matches!(what, What::Upstream(mock_upstreams::journal::Event::Request(_))));
        twin.fires();
    }
}
