//! The law `abuse`: whoever says nothing, or nothing that is HTTP, is turned away in time.

use std::time::Duration;

use loadgen::{Abuse, ActionKind, Failure, FailureKind};
use proxy::config::{Timeouts, Upstream};

use super::health::{excuse, in_time};
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "abuse",
    text: "A client that says nothing or stops within a head is turned away by the end of the header time-out, one that stops within a body \
           or asks for nothing more by the end of its own; one that sends a head without end, what is no HTTP, or the end of its side within a \
           head or a body, at once.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let asked = witnesses.pages.iter().filter(|(_, asked)| witnesses.reaches_the_proxy(asked));
    let abuse = asked.filter_map(|(id, asked)| match &witnesses.action_of(asked)?.kind {
        // Of who is refused for its credentials nothing is waited for.
        ActionKind::Abuse { by }
            if !by.reaches_upstreams() || witnesses.is_admitted(asked, witnesses.end_of(asked)) == Some(true) =>
        {
            Some(judge(witnesses, id, asked, *by))
        }
        _ => None,
    });
    abuse.collect()
}

fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>, by: Abuse) -> Case {
    let (from, until) = (asked.began, witnesses.end_of(asked));
    let longest = |of: fn(&Timeouts) -> Duration| {
        let during = witnesses.configurations.during(from, until);
        during.map(|config| of(&config.timeouts)).max().unwrap_or_default()
    };
    let waits = match by {
        Abuse::Silence | Abuse::HalfHead => longest(|timeouts| timeouts.header),
        // Before that somebody has to take its request, or to answer it.
        Abuse::HalfBody => longest(|timeouts| timeouts.body) + longest(|timeouts| timeouts.request),
        Abuse::Lingering => longest(|timeouts| timeouts.keep_alive) + longest(|timeouts| timeouts.request),
        // An upstream takes its request first.
        Abuse::CutBody => longest(|timeouts| timeouts.connect),
        Abuse::CutHead | Abuse::LongHead | Abuse::Garbage => Duration::ZERO,
    };
    let wrong = match asked.result() {
        None => format!("{id} was never turned away"),
        Some(_) if until - from > waits + in_time(witnesses, asked) => {
            format!("{id} was turned away after {:?} only", until - from)
        }
        Some(result) => match &result.failure {
            Some(failure) if turns_away_its_own_way(witnesses, failure) => return Case::Holds,
            // Above the limit the reserve turns away whoever wants to be served.
            Some(Failure { kind: FailureKind::Status(503), .. })
                if by.reaches_upstreams() && witnesses.crowded(asked, 0).is_some() =>
            {
                return Case::Holds;
            }
            Some(failure) => format!("{id} was turned away otherwise: {failure}"),
            None => return Case::Holds,
        },
    };
    match excuse(witnesses, asked).or_else(|| by.reaches_upstreams().then(|| unserved(witnesses, asked)).flatten()) {
        Some(why) => Case::Excused(why),
        None => Case::Broken(Violation::found(wrong, [asked.line, asked.last_line()])),
    }
}

/// Why it may not have been served: something was done to an upstream by then, or one of them serves nobody. Who was not refused, but had to
/// wait, can only have waited for what was done meanwhile.
fn unserved(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> Option<Excuse> {
    let (config, until) = (witnesses.configurations.at(asked.began), witnesses.end_of(asked));
    let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    let refused = asked.result().is_some_and(|result| result.status.is_some_and(|status| status >= 400));
    let since = if refused { Duration::ZERO } else { asked.began };
    let disturbed = hosts.find_map(|host| witnesses.disturbances.of_anything(host, since, until));
    let serves = |upstream: &Upstream| {
        let hosts = witnesses.configurations.hosts_of(&upstream.host, Duration::ZERO, until);
        hosts.iter().all(|host| witnesses.serves(upstream, host, config))
    };
    let all_serve = || config.upstreams.iter().filter(|one| one.weight.get() > 0).all(|one| serves(one));
    let unknown = |upstream: &Upstream| witnesses.machine.lookup_failed(&upstream.host, since, until);
    let disturbed = disturbed.or_else(|| (!all_serve()).then_some(Excuse::NoSoundUpstream));
    disturbed.or_else(|| config.upstreams.iter().any(|one| unknown(one)).then_some(Excuse::MachineFault))
}

/// netdrift says 408 to whoever has begun a head, and nothing to whoever has not; others may do as they like (RFC 9110, 15.5.9).
fn turns_away_its_own_way(witnesses: &Witnesses<'_>, failure: &Failure) -> bool {
    let kind = failure.kind;
    !witnesses.subject.tells() && matches!(kind, FailureKind::Status(408) | FailureKind::Cut | FailureKind::Reset)
}

#[cfg(test)]
mod tests {
    use loadgen::{FailureKind, Phase};

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, ProxyEvent, What};
    use crate::subject::named;

    fn abused(rest: &str) -> Twin {
        let text = format!(
            r#"{{ "name": "abused", "story": "Some are no good clients.", "duration": "6s", "proxy": {{ "timeouts": {{ "header": "2s" }} }},
            "upstreams": [{{ "name": "a" }}], {rest}
            "clients": [{{ "name": "half", "do": "abuse:by=half-head", "requests": 4, "rate": 2 }},
                {{ "name": "cuts", "do": "abuse:by=cut-head", "requests": 4, "rate": 2 }},
                {{ "name": "garbage", "do": "abuse:by=garbage", "requests": 4, "rate": 2 }}] }}"#
        );
        Twin::of_scenario(&LAW, &text)
    }

    #[test]
    fn fires_where_somebody_stays_or_is_answered_otherwise() {
        for (client, late_us) in [("half", 4_000_000), ("garbage", 2_000_000), ("cuts", 2_000_000), ("half", 0)] {
            let mut twin = abused("");
            let at =
                twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with(client)));
            let line = &mut twin.record.trace.lines[at];
            line.at_us += late_us;
            if let What::Client(ClientEvent::Ended(one)) = &mut line.what
                && late_us == 0
            {
                one.failure = Some(FailureKind::Status(200).at(Phase::Reply));
            }
            twin.fires();
        }
    }

    /// Somebody waits for the rest of a body behind the end of who sends it.
    #[test]
    fn fires_where_a_body_that_was_cut_is_waited_for_or_taken() {
        let cut = r#"{ "name": "cut", "story": "Some cut their own uploads.", "duration": "6s",
            "proxy": { "timeouts": { "connect": "1s", "body": "4s" } }, "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "cut", "do": "abuse:by=cut-body", "requests": 4, "rate": 2 }] }"#;
        let outcome = |what: &What| matches!(what, What::Proxy(ProxyEvent::Finished(end)) if end.outcome == "body_cut");
        let twin = Twin::of_scenario(&LAW, cut);
        assert_eq!(twin.record.trace.lines.iter().filter(|line| outcome(&line.what)).count(), 4);
        for (late_us, status) in [(4_000_000, 400), (0, 408), (0, 200)] {
            let mut twin = Twin::of_scenario(&LAW, cut);
            let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
            let line = &mut twin.record.trace.lines[at];
            line.at_us += late_us;
            if let What::Client(ClientEvent::Ended(one)) = &mut line.what
                && status != 400
            {
                one.failure = Some(FailureKind::Status(status).at(Phase::Reply));
            }
            twin.fires();
        }
    }

    fn stalled(rest: &str) -> Twin {
        let text = format!(
            r#"{{ "name": "stalled", "story": "Some stop in the middle.", "duration": "6s",
            "proxy": {{ "timeouts": {{ "body": "2s", "keep_alive": "2s", "request": "4s" }} }}, "upstreams": [{{ "name": "a" }}], {rest}
            "clients": [{{ "name": "half", "do": "abuse:by=half-body", "requests": 4, "rate": 2 }},
                {{ "name": "lingers", "do": "abuse:by=lingering", "requests": 4, "rate": 2 }}] }}"#
        );
        Twin::of_scenario(&LAW, &text)
    }

    #[test]
    fn fires_where_a_body_that_stops_or_a_kept_connection_stays() {
        for client in ["half", "lingers"] {
            let mut twin = stalled("");
            assert_eq!(twin.checked().cases, 8);
            let at =
                twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with(client)));
            twin.record.trace.lines[at].at_us += 8_000_000;
            twin.fires();
        }
    }

    #[test]
    fn what_was_done_to_its_upstream_excuses() {
        let killed = r#""timeline": [{ "at": "700ms", "do": "crash", "host": "a" }],"#;
        stalled(killed).excuses(Excuse::UpstreamKilled);
    }

    #[test]
    fn who_lingers_may_be_refused_because_no_upstream_could_be_looked_up() {
        stalled(r#""chance": { "dns_failures": 0.9 },"#).excuses(Excuse::MachineFault);
    }

    /// Another proxy may close without a word where netdrift says 408.
    #[test]
    fn other_subjects_turn_away_in_their_own_way() {
        let mut twin = abused("");
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with("half")));
        if let What::Client(ClientEvent::Ended(one)) = &mut twin.record.trace.lines[at].what {
            one.failure = Some(FailureKind::Cut.at(Phase::Reply));
        }
        twin.fires();
        twin.record.subject = named("squid").unwrap();
        assert_eq!(twin.checked().violations, []);
    }

    #[test]
    fn a_killed_proxy_excuses() {
        let killed = r#""timeline": [{ "at": "1s", "do": "crash", "host": "proxy" }, { "at": "2s", "do": "restart", "host": "proxy" }],"#;
        abused(killed).excuses(Excuse::ProxyKilled);
    }

    /// One above the limit is told what is wrong, as any other.
    #[test]
    fn fires_where_the_limit_is_the_answer() {
        let full = r#"{ "name": "full", "story": "More come than the proxy serves.", "duration": "5s",
            "proxy": { "limits": { "max_connections": 2 } }, "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "herd", "do": "hold:for=3s", "requests": 2, "rate": 1000 },
                { "name": "garbage", "do": "abuse:by=garbage", "requests": 2, "from": "1s" }] }"#;
        let mut twin = Twin::of_scenario(&LAW, full);
        let at =
            twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with("garbage")));
        if let What::Client(ClientEvent::Ended(one)) = &mut twin.record.trace.lines[at].what {
            one.failure = Some(FailureKind::Status(503).at(Phase::Reply));
        }
        twin.fires();
    }
}
