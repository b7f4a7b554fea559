use loadgen::FailureKind;
use loadgen::client::checksum::Transferred;
use mock_upstreams::checksum::Tally;

use super::{Invariant, Violation, found};
use crate::history::History;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "bytes",
    law: "A tunnel carries every byte both ways, unaltered and in order; nothing is ever made up.",
    check,
};

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (id, seen) in &history.clients {
        let verdict = seen.verdict;
        if seen.method != "CONNECT" {
            continue;
        }
        let failed = verdict.failure.map(|failure| failure.kind);
        if failed == Some(FailureKind::Corrupt) {
            violations.push(found(format!("{id} got other bytes than its target sent"), [seen.line]));
        }
        // Through the upstream that the proxy says served it: others may have said 200 too late.
        let through = history.served_by(id);
        let records = history.records.get(id).map_or(&[][..], Vec::as_slice);
        let serves = |host: &str| through.is_none_or(|through| history.leads_to(through, host));
        let opened = || records.iter().filter(|(_, host, record)| record.status == Some(200) && serves(host));
        // A name of its own leads to several; that one served which saw the same, if there is one.
        let alike = opened()
            .rfind(|(_, _, record)| (record.up.bytes, record.down.bytes) == (verdict.up.bytes, verdict.down.bytes));
        let opened = alike.or(opened().next_back());
        // Bytes go nowhere before a 2xx, and after it nowhere else.
        for (line, host, record) in records {
            if !serves(host) && record.up.bytes > 0 {
                violations.push(found(format!("{host} got bytes of {id}, which it did not serve"), [*line]));
            }
        }
        let Some((line, upstream, record)) = opened else { continue };
        if record.up.bytes > verdict.up.bytes || verdict.down.bytes > record.down.bytes {
            let text = format!("more came out of the tunnel of {id} than went in at {upstream}");
            violations.push(found(text, [seen.line, *line]));
        }
        // The last bytes may still be on their way when the client has written them.
        let over = seen.ended.max(history.lines[*line].at());
        let excused = !record.faults.is_empty()
            || history.troubled(upstream, seen.began, over)
            || history.troubled(History::client_of(id), seen.began, over)
            || history.proxy_troubled(seen.began, over);
        if excused || failed == Some(FailureKind::Timeout) {
            continue;
        }
        // One that was opened only to be closed does not read what comes.
        let alike = seen.action == "connect" || (same(record.up, verdict.up) && same(record.down, verdict.down));
        if let (Some(200), Some(failure)) = (verdict.status, verdict.failure) {
            let text = format!("nothing was done to {upstream}, but the tunnel of {id} ended: {failure}");
            violations.push(found(text, [seen.line, *line]));
        } else if failed.is_none() && !alike {
            let text = format!("client and upstream disagree on the bytes of {id}");
            violations.push(found(text, [seen.line, *line]));
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
    use crate::engine::HostName;
    use crate::invariant::support::Twin;
    use crate::trace::{ClientEvent, What};

    #[test]
    fn fires_where_a_byte_was_lost() {
        let mut twin = Twin::sound();
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        if let What::Upstream(Event::Request(record)) = &mut twin.played.trace.lines[at].what {
            record.up = Tally::of(b"short");
        }
        twin.fires("bytes");
    }

    #[test]
    fn fires_where_another_upstream_gets_bytes() {
        let mut twin = Twin::sound();
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        let mut line = twin.played.trace.lines[at].clone();
        let others = ["alpha", "beta"].map(HostName::new);
        line.host = others.into_iter().find(|name| *name != line.host).unwrap();
        if let What::Upstream(Event::Request(record)) = &mut line.what {
            record.status = None;
        }
        twin.played.trace.lines.push(line);
        twin.fires("bytes");
    }

    #[test]
    fn fires_where_a_tunnel_is_cut() {
        let mut twin = Twin::sound();
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
        if let What::Client(ClientEvent::Ended(verdict)) = &mut twin.played.trace.lines[at].what {
            verdict.failure = Some(FailureKind::Cut.at(Phase::Data));
        }
        twin.fires("bytes");
    }
}
