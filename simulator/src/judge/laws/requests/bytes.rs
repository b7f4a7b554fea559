//! The law `bytes`: every byte gets through both ways, unaltered and in order; nothing is ever made up.

use loadgen::FailureKind;
use loadgen::client::checksum::Transferred;
use mock_upstreams::checksum;
use mock_upstreams::journal::Outcome;

use crate::judge::by_hand;
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::laws::requests::failovers::may_be_answered_untold;
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, JournalEntry, RESERVE, RequestEnd, Witnesses, struck_by};

pub(in crate::judge) const LAW: Law = Law {
    name: "bytes",
    text: "Every byte of a tunnel, an upload or a reply gets through both ways, unaltered and in order; nothing is ever made up.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let ended = witnesses.requests.iter().filter_map(|(id, asked)| Some((*id, asked, asked.end?)));
    ended.filter_map(|(id, asked, end)| judge(witnesses, id, asked, &end)).collect()
}

/// Faults that end a page before it is whole, so that whoever reads it by its framing can tell.
const CUT_SHORT: [&str; 4] = ["cut-body", "body-reset", "length-too-long", "broken-chunk"];

/// Whether a client got a page for a whole one that no upstream sent to its end. It can't tell by itself where only the end of its
/// connection says how long a page is.
fn took_short_for_whole(entries: &[JournalEntry<'_>], asked: &ClientRequest<'_>, end: &RequestEnd<'_>) -> bool {
    let mut answers = entries.iter().filter(|one| one.is_success()).peekable();
    let may_have_bodies = !asked.is_tunnel() && asked.method != "HEAD";
    may_have_bodies
        && end.result.failure.is_none()
        && end.result.status.is_some_and(|status| (200..300).contains(&status))
        && answers.peek().is_some()
        // What came before the request was whole.
        && answers.all(|one| struck_by(one.record, &CUT_SHORT) && !one.reply_came_first)
}

/// `None` where no upstream answered with what the client saw, so that there is nothing to compare.
fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>, end: &RequestEnd<'_>) -> Option<Case> {
    let entries = witnesses.journals.of(id);
    let entry = answering(entries, asked, end)?;
    let (seen, record) = (end.result, entry.record);
    let broken = |text: String| Some(Case::Broken(Violation::found(text, [end.line, entry.line])));
    // A client counts what is inside its session with the target, and an upstream what the session makes of it. Its ends notice each
    // byte that is lost or altered by themselves.
    let sealed = asked.action == "tls";
    let alike = sealed || (same(record.up, seen.up) && same(record.down, seen.down));
    if took_short_for_whole(entries, asked, end) {
        return broken(format!("{id} took for whole what {} had cut short", entry.host));
    }
    // What a fault answers in the upstream's place is not written down. Where it is that upstream's answer which the client got, the
    // entry may be another's.
    let struck = |one: &JournalEntry<'_>| witnesses.disturbances.harm(one) == Harm::Answer;
    if struck(entry)
        || record.outcome == Outcome::Faulted
        || ((!alike || seen.failure.is_some()) && entries.iter().any(struck))
    {
        return Some(Case::Excused(Excuse::RequestStruck));
    }
    // Where an upstream never told what it carried, this entry may be a probe's: be it this one, which was killed and came back. A page that
    // was answered only when its client had an answer is another's too.
    let late = !asked.is_tunnel() && !alike && entry.at > end.at + witnesses.clock_skew + witnesses.tolerance;
    if (asked.is_foreign_to(record) || late) && witnesses.disturbances.any_untold(asked.began, end.at) {
        return Some(Case::Excused(Excuse::Untold));
    }
    if let Some(why) = may_be_answered_untold(witnesses, asked).filter(|_| !alike) {
        return Some(Case::Excused(why));
    }
    // Whatever was done to anybody, nothing is made up.
    if seen.failure.is_some_and(|failure| failure.kind == FailureKind::Corrupt) {
        return broken(format!("{id} got other bytes than its target sent"));
    }
    if !sealed && (record.up.bytes > seen.up.bytes || seen.down.bytes > record.down.bytes) {
        return broken(format!("more came out for {id} than went in at {}", entry.host));
    }
    // No upstream but the one that answers gets bytes of a tunnel.
    if asked.is_tunnel() && entries.iter().filter(|one| one.record.up.bytes > 0).count() > 1 {
        return broken(format!("more than one upstream got bytes of {id}"));
    }
    // The action `connect` closes its tunnel at once and does not read what comes.
    let alike = alike || asked.action == "connect";
    // An answer that came whole may not be the one that was expected.
    let whole = seen.failure.is_none_or(|failure| matches!(failure.kind, FailureKind::Status(_)));
    // Nothing was under way in a tunnel that has fallen idle.
    let whole = whole || witnesses.may_fall_idle(asked);
    if whole && alike {
        return Some(Case::Holds);
    }
    // The last bytes may still be on their way when the client has finished.
    let over = end.at.max(entry.at);
    let disturbances = &witnesses.disturbances;
    let excuse = disturbances.of_upstream(entry.host, asked.began, over);
    let excuse = excuse.or_else(|| disturbances.of_client(asked.client, asked.began, over));
    let excuse = excuse.or_else(|| disturbances.of_proxy(asked.began, over));
    // Who had to wait for room may have no time left.
    let excuse = excuse.or_else(|| witnesses.crowded(asked, RESERVE));
    let excuse = excuse.or_else(|| witnesses.may_fall_idle(asked).then_some(Excuse::FellIdle));
    let excuse = excuse.or_else(|| by_hand::closed_before(witnesses, asked, entries, over));
    let stopped = || disturbances.stopped().filter(|stopped| *stopped <= over).map(|_| Excuse::ProxyStopping);
    match (excuse.or_else(stopped), seen.failure) {
        (Some(why), _) => Some(Case::Excused(why)),
        (None, Some(failure)) if !whole => {
            broken(format!("{} was not disturbed, but {id} ended: {failure}", entry.host))
        }
        (None, _) => broken(format!("client and upstream disagree on the bytes of {id}")),
    }
}

/// The entry of the upstream whose answer the client got. An upstream may have answered too late, and another was asked then; the
/// one that saw the same bytes as the client served it, if there is one.
fn answering<'b, 'a>(
    entries: &'b [JournalEntry<'a>],
    asked: &ClientRequest<'_>,
    end: &RequestEnd<'_>,
) -> Option<&'b JournalEntry<'a>> {
    let status = end.result.status?;
    let answers = |entry: &&JournalEntry<'_>| match asked.is_tunnel() {
        true => status == 200 && entry.is_success(),
        false => entry.record.status == Some(status),
    };
    let tallies =
        |entry: &&JournalEntry<'_>| same(entry.record.up, end.result.up) && same(entry.record.down, end.result.down);
    // What a client sent last may be lost with its connection, so that what came out says more.
    let came = |entry: &&JournalEntry<'_>| same(entry.record.down, end.result.down);
    // And what it got last may be lost with it as well.
    let went = |entry: &&JournalEntry<'_>| same(entry.record.up, end.result.up);
    let mut answered = entries.iter().filter(answers);
    let likely = answered.clone().rfind(tallies).or_else(|| answered.clone().rfind(came));
    likely.or_else(|| answered.clone().rfind(went)).or_else(|| answered.next_back())
}

fn same(theirs: checksum::Transferred, ours: Transferred) -> bool {
    (theirs.bytes, theirs.checksum.value()) == (ours.bytes, ours.checksum)
}

#[cfg(test)]
mod tests {
    use loadgen::Phase;
    use mock_upstreams::journal::Event;

    use super::*;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, Line, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_where_a_byte_was_lost() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.up = checksum::Transferred::of(b"short");
        }
        twin.fires();
    }

    /// It was answered twice, and who answered the client was killed before it told.
    #[test]
    fn what_is_sent_again_by_a_pipeline_may_bring_what_no_upstream_tells_of() {
        for (crash, excused) in [(r#"{ "at": "1s", "do": "crash", "host": "b" }"#, true), ("", false)] {
            let text = format!(
                r#"{{ "name": "again", "story": "One is slow, and killed.", "duration": "6s",
                "upstreams": [{{ "name": "a" }}, {{ "name": "b", "latency": "1s" }}],
                "clients": [{{ "name": "client", "do": "http:bytes=10,pipeline=4", "clients": 4, "requests": 4 }}], "timeline": [{crash}] }}"#
            );
            let mut twin = Twin::of_scenario(&LAW, &text);
            let lines = &mut twin.record.trace.lines;
            let by_a = lines.iter().filter(|line| line.host.as_str() == "a");
            let mut ids = by_a.filter_map(|line| match &line.what {
                What::Upstream(Event::Request(record)) => record.id.clone(),
                _ => None,
            });
            let id = ids.rfind(|id| id.starts_with("client")).unwrap();
            let results = lines.iter_mut().filter_map(|line| match &mut line.what {
                What::Client(ClientEvent::Ended(result)) => Some(result),
                _ => None,
            });
            let result = results.into_iter().find(|result| result.id == id).unwrap();
            result.failure = Some(FailureKind::Corrupt.at(Phase::Data));
            result.down.add(b"odd");
            if excused { twin.excuses(Excuse::UpstreamKilled) } else { twin.fires() }
        }
    }

    #[test]
    fn an_operator_may_close_a_tunnel_whose_last_bytes_were_lost_and_not_yet_sent_again() {
        let mut twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "closed", "story": "Tunnels are closed by hand.", "duration": "3s", "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "client", "do": "echo", "requests": 8, "rate": 10 }],
            "timeline": [{ "at": "1500ms", "do": "close-tunnels", "which": { "upstream": "a" } }] }"#,
        );
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.up = checksum::Transferred::of(b"short");
        }
        twin.fires();
        let mut line = twin.record.trace.lines.remove(at);
        line.at_us = twin.record.trace.lines.last().unwrap().at_us;
        twin.record.trace.lines.push(line);
        twin.excuses(Excuse::ByHand);
    }

    /// One answered too late, and had nothing of it; the last bytes were lost one way.
    #[test]
    fn of_two_that_answered_the_one_whose_bytes_came_served() {
        for down in [false, true] {
            let mut twin = Twin::of(&LAW);
            let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            let mut late = twin.record.trace.lines[at].clone();
            let served = late.host.clone();
            late.host = ["alpha", "beta"].map(HostName::new).into_iter().find(|name| *name != served).unwrap();
            let What::Upstream(Event::Request(record)) = &mut late.what else { panic!() };
            (record.up, record.down) = (checksum::Transferred::of(b""), checksum::Transferred::of(b""));
            let id = record.id.clone().unwrap();
            record.connection = 99;
            let what = What::Upstream(Event::Opened { connection: record.connection, peer: None });
            twin.record.trace.lines.insert(0, Line { at_us: 0, host: late.host.clone(), what });
            let ended = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(result)) if result.id == id));
            if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[ended].what {
                // What the client sent last, or what it was to get last.
                if down { result.down.bytes -= 1 } else { result.up.bytes += 1 }
            }
            twin.record.trace.lines.push(late);
            let history = crate::judge::history::History::new(&twin.scenario, &twin.record);
            let (asked, entries) = (&history.witnesses.requests[id.as_str()], history.witnesses.journals.of(&id));
            let found = answering(entries, asked, &asked.end.unwrap()).unwrap();
            assert_eq!((entries.len(), found.host), (2, served.as_str()));
        }
    }

    /// A probe with the same target is all that was written down, since whoever carries the tunnel was cut off to the end.
    #[test]
    fn an_upstream_that_never_told_what_it_carried_excuses_an_entry_without_bytes() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        let line = &mut twin.record.trace.lines[at];
        let What::Upstream(Event::Request(record)) = &mut line.what else { panic!() };
        (record.up, record.down) = (checksum::Transferred::of(b""), checksum::Transferred::of(b""));
        let probed = line.host.clone();
        twin.fires();
        let other = ["alpha", "beta"].map(HostName::new).into_iter().find(|name| *name != probed).unwrap();
        for host in [other, probed] {
            let what = What::Upstream(Event::Opened { connection: 99, peer: None });
            twin.record.trace.lines.insert(0, Line { at_us: 0, host, what });
            twin.excuses(Excuse::Untold);
            twin.record.trace.lines.remove(0);
        }
    }

    /// It answered when the time-out was over; whoever answered before keeps its connection open to the end, and has not told of it.
    #[test]
    fn a_page_that_was_answered_when_its_client_had_another_excuses() {
        for (late, excused) in [(true, true), (false, false)] {
            let mut twin = Twin::of_clients_that(&LAW, "http:bytes=100");
            let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            let mut told = twin.record.trace.lines.remove(at);
            let What::Upstream(Event::Request(record)) = &told.what else { panic!() };
            let id = record.id.clone();
            let ended = |what: &What| matches!(what, What::Client(ClientEvent::Ended(result)) if Some(&result.id) == id.as_ref());
            let end = twin.find(ended);
            let line = &mut twin.record.trace.lines[end];
            let What::Client(ClientEvent::Ended(result)) = &mut line.what else { panic!() };
            result.failure = Some(FailureKind::Corrupt.at(Phase::Data));
            result.down.bytes = 2;
            told.at_us = line.at_us + if late { 1_000_000 } else { 0 };
            let place = twin.record.trace.lines.partition_point(|line| line.at_us < told.at_us);
            twin.record.trace.lines.insert(place, told);
            if excused { twin.excuses(Excuse::Untold) } else { twin.fires() }
        }
    }

    /// An attempt that opened the tunnel when its time was over is all that was written down, since whoever carried it was killed.
    #[test]
    fn an_upstream_that_was_killed_behind_its_tunnel_excuses_one_that_opened_too_late() {
        for action in ["download:bytes=4,send=2", "websocket"] {
            let mut twin = Twin::of_clients_that(&LAW, action);
            let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            let line = &mut twin.record.trace.lines[at];
            let What::Upstream(Event::Request(record)) = &mut line.what else { panic!() };
            record.up = checksum::Transferred::of(b"");
            let late = line.host.clone();
            twin.fires();
            let host = ["alpha", "beta"].map(HostName::new).into_iter().find(|name| *name != late).unwrap();
            let what = What::Upstream(Event::Opened { connection: 99, peer: None });
            twin.record.trace.lines.insert(0, Line { at_us: 0, host, what });
            twin.excuses(Excuse::Untold);
        }
    }

    /// The second block was on its way to a proxy that had just given the tunnel up.
    #[test]
    fn what_was_sent_into_a_tunnel_that_fell_idle_may_be_lost() {
        let silent = |idle: &str| {
            format!(
                r#"{{ "name": "silent", "story": "Clients pause.", "duration": "9s",
                "proxy": {{ "timeouts": {{ "idle_tunnel": "{idle}" }} }}, "upstreams": [{{ "name": "a" }}],
                "clients": [{{ "name": "c", "do": "hold:for=6s,every=4s,bytes=10", "requests": 1 }}] }}"#
            )
        };
        for (idle, excused) in [("4s", true), ("20s", false)] {
            let mut twin = Twin::of_scenario(&LAW, &silent(idle));
            let is_its =
                |what: &What| matches!(what, What::Upstream(Event::Request(one)) if one.id.as_deref() == Some("c-0"));
            let at = twin.find(is_its);
            if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
                record.up = checksum::Transferred::of(b"less");
            }
            if excused { twin.excuses(Excuse::FellIdle) } else { twin.fires() }
        }
    }

    #[test]
    fn one_that_had_to_wait_for_room_may_have_no_time_left() {
        let full = r#"{ "name": "full", "story": "More come than the proxy serves.", "duration": "5s",
            "proxy": { "limits": { "max_connections": 2 } }, "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "herd", "do": "hold:for=3s", "requests": 20, "clients": 20 }] }"#;
        let mut twin = Twin::of_scenario(&LAW, full);
        let served = |what: &What| matches!(what, What::Client(ClientEvent::Ended(one)) if one.status == Some(200));
        let at = twin.find(served);
        if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what {
            result.failure = Some(FailureKind::Timeout.at(Phase::Data));
        }
        twin.excuses(Excuse::Crowded);
        twin.scenario.proxy["limits"]["max_connections"] = serde_json::json!(20);
        twin.fires();
    }

    #[test]
    fn fires_where_another_upstream_gets_bytes() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        let mut line = twin.record.trace.lines[at].clone();
        let others = ["alpha", "beta"].map(HostName::new);
        line.host = others.into_iter().find(|name| *name != line.host).unwrap();
        twin.record.trace.lines.push(line);
        twin.fires();
    }

    #[test]
    fn fires_where_a_page_that_was_cut_short_is_taken_for_a_whole_one() {
        for (action, is_found) in [("http:version=1.0,path=/chunked/3000", true), ("http:method=HEAD", false)] {
            let mut twin = Twin::of_clients_that(&LAW, action);
            let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what else { panic!() };
            (record.faults, record.outcome) = (vec!["cut-body".into()], Outcome::Faulted);
            record.down = checksum::Transferred::of(b"ten bytes.");
            if is_found { twin.fires() } else { twin.excuses(Excuse::RequestStruck) }
        }
    }

    #[test]
    fn fires_where_a_tunnel_is_cut() {
        for action in ["echo", "tls"] {
            let mut twin = Twin::of_clients_that(&LAW, action);
            let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
            if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what {
                result.failure = Some(FailureKind::Cut.at(Phase::Data));
            }
            twin.fires();
        }
    }

    #[test]
    fn fires_where_an_upload_or_a_reply_of_plain_http_is_altered() {
        for up in [true, false] {
            let mut twin = Twin::of_clients_that(&LAW, "http:method=POST,path=/echo,send=100");
            let at =
                twin.find(|what| matches!(what, What::Upstream(Event::Request(record)) if record.method == "POST"));
            if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
                *if up { &mut record.up } else { &mut record.down } = checksum::Transferred::of(&[7; 100]);
            }
            twin.fires();
        }
    }

    /// The second fault writes the head once more, behind the one that has opened the tunnel.
    #[test]
    fn a_reply_that_came_first_excuses_where_another_fault_answers_as_well() {
        let two = r#"{ "name": "two", "story": "Two faults answer one request.", "duration": "3s",
            "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "reply-first" }, { "fault": "drip" }] } }],
            "clients": [{ "name": "client", "do": "echo", "rate": 5 }] }"#;
        Twin::of_scenario(&LAW, two).excuses(Excuse::RequestStruck);
    }

    #[test]
    fn a_fault_that_alters_bytes_excuses_its_own_request_and_a_harmless_one_does_not() {
        for (fault, excused) in [("corrupt", true), ("slice", false)] {
            let mut twin = Twin::of(&LAW);
            let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
                record.up = checksum::Transferred::of(b"short");
                record.faults = vec![fault.to_owned()];
            }
            if excused { twin.excuses(Excuse::RequestStruck) } else { twin.fires() }
        }
    }

    /// The reply that came first was whole, and nobody reads the one behind it.
    #[test]
    fn a_reply_that_came_first_is_not_the_one_that_was_cut() {
        let text = r#"{ "name": "first", "story": "Upstreams answer before they are asked, and cut what comes then.", "duration": "4s",
            "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "cut-body" }, { "fault": "reply-first" }] } }],
            "clients": [{ "name": "client", "do": "http:version=1.0,path=/chunked/4", "requests": 8, "rate": 4 }] }"#;
        Twin::of_scenario(&LAW, text);
    }
}
