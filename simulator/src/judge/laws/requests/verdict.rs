//! The law `verdict`: every request is answered, be it with a refusal, whatever is done to upstreams and targets.

use std::time::Duration;

use loadgen::FailureKind;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, Witnesses};
use crate::record::ClientResult;

pub(in crate::judge) const LAW: Law = Law {
    name: "verdict",
    text: "Every request of a client to which nothing was done is answered within its time, be it with a refusal; a CONNECT that fails is \
           told why (RFC 9209).",
    check: Check::BlackBox(check),
};

/// How much later than its attempts allow an answer may come: rounds over the network, and jobs that are offloaded.
const ROUNDS: u32 = 16;
const SLACK: Duration = Duration::from_secs(6);

/// Others may close a connection without a word; no RFC forbids it.
fn check(witnesses: &Witnesses<'_>) -> Checked {
    if !witnesses.subject.tells() {
        return Checked::default();
    }
    let asked = witnesses.requests.iter().filter(|(id, asked)| {
        // The run's own requests are broken off where they have served their purpose.
        (asked.end.is_some() || !Witnesses::is_own(id)) && witnesses.reaches_the_proxy(asked)
    });
    asked.filter_map(|(id, asked)| judge(witnesses, id, asked)).collect()
}

/// `None` for a request whose client gave up before its answer was due, or that waits behind others.
fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Option<Case> {
    // Where one answer closes a connection, those that wait behind it get none.
    if witnesses.may_be_pipelined(asked) {
        return None;
    }
    let (from, until) = (asked.began, witnesses.end_of(asked));
    if let Some(why) = excuse(witnesses, asked, from, until) {
        return Some(Case::Excused(why));
    }
    let due = due(witnesses, asked, from, until);
    let broken = |text: String| Some(Case::Broken(Violation::found(text, [asked.line, asked.last_line()])));
    let result = asked.result();
    let Some((result, status)) = result.and_then(|result| Some((result, result.status?))) else {
        let failure = result.and_then(|result| result.failure);
        // A reset overtakes what was lost on its way, and is itself not sent again.
        let overtaken = failure.is_none_or(|one| matches!(one.kind, FailureKind::Reset | FailureKind::Timeout));
        if overtaken && witnesses.loses_packets() {
            return Some(Case::Excused(Excuse::ClientCutOff));
        }
        // What an upstream wrote in the target's place may be no HTTP to a client that is strict.
        let strange = failure.is_some_and(|one| one.kind == FailureKind::Malformed);
        if strange && witnesses.journals.of(id).iter().any(|one| witnesses.disturbances.harm(one) == Harm::Answer) {
            return Some(Case::Excused(Excuse::RequestStruck));
        }
        if strange && witnesses.disturbances.any_untold(from, until) {
            return Some(Case::Excused(Excuse::Untold));
        }
        let gave_up = failure.is_none_or(|one| matches!(one.kind, FailureKind::Timeout | FailureKind::Unfinished));
        if gave_up && until - from < due {
            return None;
        }
        let how = failure.map_or_else(|| "it never ended".to_owned(), |failure| failure.to_string());
        return broken(format!("{id} was never answered ({how}), though nothing was done to its client"));
    };
    if asked.is_tunnel() && matches!(status, 502..=504) && !result.proxy_status {
        return broken(format!("{id} was answered with {status}, and no Proxy-Status says why"));
    }
    let phases = &result.phases;
    let took = phases.connect_us.unwrap_or(0) + phases.reply_us.or(phases.first_byte_us).unwrap_or(0);
    let took = Duration::from_micros(took);
    // A slow link takes its time for every body.
    let timed = witnesses.scenario.network.bytes_per_second.is_none();
    if timed && took > due {
        // Who waits in the backlog while descriptors are lacking waits for others too, who get each that comes free.
        if witnesses.machine.lacks.iter().any(|at| (from..=until).contains(at)) {
            return Some(Case::Excused(Excuse::MachineFault));
        }
        return broken(format!("{id} was answered after {took:?}; {due:?} are enough"));
    }
    Some(Case::Holds)
}

/// What was done to its client or to the proxy's process. Nothing that is done to upstreams or targets excuses a request that is not
/// answered.
fn excuse(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>, from: Duration, until: Duration) -> Option<Excuse> {
    let disturbances = &witnesses.disturbances;
    let excuse = disturbances.of_client(asked.client, from, until);
    // A connection that was kept may have ended with a former process. Its client hears of that, by a reset, when it uses it.
    let reset = |result: &ClientResult| result.failure.is_some_and(|failure| failure.kind == FailureKind::Reset);
    let found_dead = asked.result().is_some_and(|result| result.reused && result.status.is_none() && reset(result));
    let since = if found_dead { Duration::ZERO } else { from };
    let killed = || disturbances.killed(witnesses.proxy, since, until).then_some(Excuse::ProxyKilled);
    let stopped = || disturbances.stopped().filter(|at| *at <= until).map(|_| Excuse::ProxyStopping);
    excuse.or_else(killed).or_else(stopped).or_else(|| witnesses.crowded(asked, 0))
}

/// How long an answer may take: as long as all attempts that the request may have, or until its deadline.
fn due(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>, from: Duration, until: Duration) -> Duration {
    let configs = || witnesses.configurations.during(from, until);
    let longest = |of: fn(&proxy::config::Timeouts) -> Duration| {
        configs().map(|config| of(&config.timeouts)).max().unwrap_or_default()
    };
    let attempts = configs().map(|config| config.failover.max_attempts.get()).max().unwrap_or(1);
    // The reply's time counts from the last byte of a body, which an upstream may take slowly.
    let body =
        if matches!(asked.method, "CONNECT" | "GET" | "HEAD") { Duration::ZERO } else { longest(|one| one.body) };
    let each = longest(|one| one.dns) + longest(|one| one.connect) + longest(|one| one.reply) + body;
    let attempts = (each * attempts).min(longest(|one| one.request));
    let rounds = witnesses.one_way() * ROUNDS;
    attempts + rounds + SLACK + witnesses.resending() + witnesses.machine.rests(from, until) + witnesses.tolerance
}

#[cfg(test)]
mod tests {
    use loadgen::{Failure, FailureKind, Phase};
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, ClientResult, ScenarioEvent, What};
    use crate::subject::named;

    /// It uses them one after the other, the last one seconds later.
    #[test]
    fn a_client_finds_its_kept_connections_dead_when_it_uses_them() {
        let crashed = r#"{ "name": "crashed", "story": "The proxy is killed.", "duration": "9s", "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "c", "do": "http:method=POST,path=/echo,send=5,keep-alive", "rate": 2, "timeout": "2s" }],
            "timeline": [{ "at": "2600ms", "do": "crash", "host": "proxy" }, { "at": "2700ms", "do": "restart", "host": "proxy" }] }"#;
        for (reused, how, excused) in
            [(true, FailureKind::Reset, true), (false, FailureKind::Reset, false), (true, FailureKind::Refused, false)]
        {
            let mut twin = Twin::of_scenario(&LAW, crashed);
            let last = twin.record.trace.lines.iter().rposition(
                |line| matches!(&line.what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with("c-")),
            );
            let What::Client(ClientEvent::Ended(one)) = &mut twin.record.trace.lines[last.unwrap()].what else {
                panic!()
            };
            (one.reused, one.status) = (reused, None);
            one.failure = Some(how.at(Phase::Reply));
            if excused { twin.excuses(Excuse::ProxyKilled) } else { twin.fires() }
        }
    }

    /// Nobody works, so that every request is refused.
    fn refused(rest: &str) -> String {
        format!(
            r#"{{ "name": "refused", "story": "Nobody works.", "duration": "6s",
            "upstreams": [{{ "name": "a", "plan": {{ "faults": [{{ "fault": "status-502" }}] }} }}],
            "clients": [{{ "name": "tunnel", "do": "echo", "requests": 4, "rate": 1, "timeout": "20s" }},
                {{ "name": "page", "do": "http:", "requests": 4, "rate": 1, "timeout": "20s" }}]{rest} }}"#
        )
    }

    fn changed(client: &str, change: impl Fn(&mut ClientResult)) -> Twin {
        let mut twin = Twin::of_scenario(&LAW, &refused(""));
        let at = twin.find(
            |what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with(client) && one.status == Some(502)),
        );
        if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what {
            change(result);
        }
        twin
    }

    #[test]
    fn fires_where_a_request_that_failed_is_not_answered() {
        for client in ["tunnel", "page"] {
            for kind in [FailureKind::Cut, FailureKind::Reset] {
                changed(client, |result| {
                    (result.status, result.failure) = (None, Some(Failure { kind, phase: Phase::Reply }));
                })
                .fires();
            }
        }
    }

    #[test]
    fn fires_where_it_is_answered_too_late() {
        for client in ["tunnel", "page"] {
            changed(client, |result| result.phases.connect_us = Some(100_000_000)).fires();
        }
    }

    #[test]
    fn who_waits_while_descriptors_are_lacking_waits_for_others_too() {
        let mut twin = changed("tunnel", |result| result.phases.connect_us = Some(100_000_000));
        let late = |what: &What| matches!(what, What::Client(ClientEvent::Ended(one)) if one.phases.connect_us == Some(100_000_000));
        let at = twin.find(late);
        let mut line = twin.record.trace.lines[at].clone();
        line.what = What::Scenario(ScenarioEvent::Chance { of: "no-descriptor", what: "accept".to_owned() });
        twin.record.trace.lines.insert(at, line);
        twin.excuses(Excuse::MachineFault);
    }

    #[test]
    fn fires_where_a_refusal_does_not_say_why() {
        changed("tunnel", |result| result.proxy_status = false).fires();
    }

    /// Other proxies may close without a word.
    #[test]
    fn no_other_subject_is_judged() {
        let mut twin = changed("tunnel", |result| result.proxy_status = false);
        twin.record.subject = named("squid").unwrap();
        assert_eq!(twin.checked().cases, 0);
    }

    #[test]
    fn a_page_that_an_upstream_spoils_excuses() {
        let strange =
            refused("").replace(r#""fault": "status-502""#, r#""fault": "status", "with": { "status": 973 }"#);
        let mut twin = Twin::of_scenario(&LAW, &strange);
        twin.excuses(Excuse::RequestStruck);
        for killed in [false, true] {
            // Killed, it tells not even of the end of its connections.
            let untold = |what: &What| match what {
                What::Upstream(Event::Closed { .. }) => killed,
                what => matches!(what, What::Upstream(Event::Request(_))),
            };
            twin.record.trace.lines.retain(|line| !untold(&line.what));
            if killed { twin.excuses(Excuse::Untold) } else { twin.fires() }
        }
    }

    #[test]
    fn what_is_done_to_the_client_or_the_proxy_excuses() {
        let at_two = |what: &str| refused(&format!(r#", "timeline": [{{ "at": "2s", {what} }}]"#));
        Twin::of_scenario(&LAW, &at_two(r#""do": "crash", "host": "proxy""#)).excuses(Excuse::ProxyKilled);
        Twin::of_scenario(&LAW, &at_two(r#""do": "crash", "host": "page""#)).excuses(Excuse::ClientKilled);
        let cut = at_two(r#""do": "partition", "between": ["page", "proxy"]"#);
        Twin::of_scenario(&LAW, &cut).excuses(Excuse::ClientCutOff);
        Twin::of_scenario(&LAW, &at_two(r#""do": "drain""#)).excuses(Excuse::ProxyStopping);
        let crowd =
            refused("").replace(r#""upstreams""#, r#""proxy": { "limits": { "max_connections": 1 } }, "upstreams""#);
        Twin::of_scenario(&LAW, &crowd.replace(r#""rate": 1,"#, r#""rate": 1000,"#)).excuses(Excuse::Crowded);
    }
}
