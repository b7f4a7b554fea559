//! The law `bytes`: a tunnel carries every byte both ways, unaltered and in order; nothing is ever made up.

use loadgen::FailureKind;
use loadgen::client::checksum::Transferred;
use mock_upstreams::checksum::Tally;

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;

pub(in crate::judge) const LAW: Law = Law {
    name: "bytes",
    text: "A tunnel carries every byte both ways, unaltered and in order; nothing is ever made up.",
    check,
};

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (id, seen) in &history.client_requests {
        let verdict = seen.result;
        if seen.method != "CONNECT" {
            continue;
        }
        let failed = verdict.failure.map(|failure| failure.kind);
        if failed == Some(FailureKind::Corrupt) {
            violations.push(Violation::found(format!("{id} got other bytes than its target sent"), [seen.line]));
        }
        // The tunnel went through the upstream that the proxy says served it; others may have answered 200 too late.
        let through = history.served_by(id);
        let records = history.journal.get(id).map_or(&[][..], Vec::as_slice);
        let serves = |host: &str| through.is_none_or(|through| history.leads_to(through, host));
        let opened = || records.iter().filter(|(_, host, record)| record.status == Some(200) && serves(host));
        // A name may lead to several hosts. The one that saw the same bytes as the client served it, if there is one.
        let alike = opened()
            .rfind(|(_, _, record)| (record.up.bytes, record.down.bytes) == (verdict.up.bytes, verdict.down.bytes));
        let opened = alike.or(opened().next_back());
        // No upstream but the one that serves it gets bytes of a tunnel.
        for (line, host, record) in records {
            if !serves(host) && record.up.bytes > 0 {
                violations.push(Violation::found(format!("{host} got bytes of {id}, which it did not serve"), [*line]));
            }
        }
        let Some((line, upstream, record)) = opened else { continue };
        if record.up.bytes > verdict.up.bytes || verdict.down.bytes > record.down.bytes {
            let text = format!("more came out of the tunnel of {id} than went in at {upstream}");
            violations.push(Violation::found(text, [seen.line, *line]));
        }
        // The last bytes may still be on their way when the client has finished.
        let over = seen.ended.max(history.lines[*line].at());
        let excused = !record.faults.is_empty()
            || history.disturbed(upstream, seen.began, over)
            || history.disturbed(History::client_of(id), seen.began, over)
            || history.proxy_disturbed(seen.began, over);
        if excused || failed == Some(FailureKind::Timeout) {
            continue;
        }
        // The action `connect` closes its tunnel at once and does not read what comes.
        let alike = seen.action == "connect" || (same(record.up, verdict.up) && same(record.down, verdict.down));
        if let (Some(200), Some(failure)) = (verdict.status, verdict.failure) {
            let text = format!("{upstream} was not disturbed, but the tunnel of {id} ended: {failure}");
            violations.push(Violation::found(text, [seen.line, *line]));
        } else if failed.is_none() && !alike {
            let text = format!("client and upstream disagree on the bytes of {id}");
            violations.push(Violation::found(text, [seen.line, *line]));
        }
    }
    violations
}

fn same(theirs: Tally, ours: Transferred) -> bool {
    (theirs.bytes, theirs.checksum.value()) == (ours.bytes, ours.checksum)
}

#[cfg(test)]
mod tests {
    use loadgen::Phase;
    use mock_upstreams::journal::Event;

    use super::*;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_where_a_byte_was_lost() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.up = Tally::of(b"short");
        }
        twin.fires();
    }

    #[test]
    fn fires_where_another_upstream_gets_bytes() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        let mut line = twin.record.trace.lines[at].clone();
        let others = ["alpha", "beta"].map(HostName::new);
        line.host = others.into_iter().find(|name| *name != line.host).unwrap();
        if let What::Upstream(Event::Request(record)) = &mut line.what {
            record.status = None;
        }
        twin.record.trace.lines.push(line);
        twin.fires();
    }

    #[test]
    fn fires_where_a_tunnel_is_cut() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
        if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what {
            result.failure = Some(FailureKind::Cut.at(Phase::Data));
        }
        twin.fires();
    }
}
