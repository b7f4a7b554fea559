//! The law `answered`: a client to which nothing was done gets a whole and right answer while a sound upstream exists.

mod standing;

use std::cell::OnceCell;
use std::time::Duration;

use loadgen::FailureKind;
use mock_upstreams::targets::Builtin;

use self::standing::Standing;
use crate::judge::by_hand;
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::laws::requests::failovers::may_be_answered_untold;
use crate::judge::laws::requests::failovers::retry_budget::Taken;
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, JournalEntry, RESERVE, Witnesses};
use crate::scenario::LIVENESS;
use crate::subject::Feature;

pub(in crate::judge) const LAW: Law = Law {
    name: "answered",
    text: "A client to which nothing was done, and who asks with good credentials for a target that works, gets a whole and right \
           answer in time while an upstream exists to which nothing was done and that its attempts reach.",
    check: Check::BlackBox(check),
};

/// How much longer an answer may take than its parts: rounds over the network, and what a harmless fault costs.
const ROUNDS: u32 = 16;
const SLACK: Duration = Duration::from_secs(3);
/// Below this a link takes its time for every body, so that nobody can say when an answer is due.
const NARROW: u64 = 1_000_000;
/// A stopping proxy takes no request that began so shortly before, since it may arrive later.
const ON_THE_WAY: Duration = Duration::from_secs(1);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let asked = witnesses.requests.iter().filter(|(_, asked)| should_work(witnesses, asked));
    let taken = OnceCell::new();
    asked.map(|(id, asked)| judge(witnesses, &taken, id, asked)).collect()
}

/// Whether the target works, the client comes with good credentials, and the proxy is there to be asked.
fn should_work(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> bool {
    let until = witnesses.end_of(asked);
    witnesses.should_succeed(asked)
        // The run's own requests are broken off where they have served their purpose.
        && (asked.end.is_some() || !asked.client.starts_with(LIVENESS))
        && witnesses.reaches_the_proxy(asked)
        && witnesses.is_admitted(asked, until) == Some(true)
}

fn judge(witnesses: &Witnesses<'_>, taken: &OnceCell<Taken>, id: &str, asked: &ClientRequest<'_>) -> Case {
    let (from, until) = (asked.began, witnesses.end_of(asked));
    // What began later was a probe that asked for the same.
    let entries: Vec<_> = witnesses.journals.of(id).iter().filter(|one| one.since <= until).copied().collect();
    let due = match due(witnesses, taken, (id, asked), &entries, until) {
        Ok(due) => due,
        Err(excuse) => return Case::Excused(excuse),
    };
    let broken = |text: String| {
        let lines = [asked.line].into_iter().chain(entries.iter().map(|entry| entry.line)).chain([asked.last_line()]);
        Case::Broken(Violation::found(text, lines))
    };
    let Some(result) = asked.result() else {
        return broken(format!("{id} was never answered, though nothing was done to its client and some upstream"));
    };
    if let Some(failure) = &result.failure {
        return broken(format!("{id} failed ({failure}), though nothing was done to its client and some upstream"));
    }
    let phases = &result.phases;
    let answered = phases.connect_us.unwrap_or(0) + phases.reply_us.or(phases.first_byte_us).unwrap_or(0);
    let answered = Duration::from_micros(answered);
    let narrow = witnesses.scenario.network.bytes_per_second.is_some_and(|rate| rate.get() < NARROW);
    if answered > due + witnesses.tolerance && !narrow {
        return broken(format!("{id} of {from:?} was answered after {answered:?}; {due:?} are enough"));
    }
    Case::Holds
}

/// How long the answer may take; or why it can't be demanded at all.
fn due(
    witnesses: &Witnesses<'_>,
    taken: &OnceCell<Taken>,
    (id, asked): (&str, &ClientRequest<'_>),
    entries: &[JournalEntry<'_>],
    until: Duration,
) -> Result<Duration, Excuse> {
    let from = asked.began;
    let disturbances = &witnesses.disturbances;
    none(disturbances.of_client(asked.client, from, until))?;
    none(disturbances.of_proxy(from, until))?;
    none(by_hand::closed(witnesses, asked, entries))?;
    let failed = asked.result().is_none_or(|result| result.failure.is_some());
    let crowded = witnesses.crowded(asked, if failed { 0 } else { RESERVE });
    // Whom an upstream has heard of was let in, be it late.
    none(crowded.filter(|_| entries.is_empty()))?;
    let config = witnesses.configurations.at(from);
    if let Some(stopped) = disturbances.stopped() {
        let accepts = stopped + config.server.drain_delay;
        let late = from + ON_THE_WAY + witnesses.machine.rests(from, until) >= accepts
            || until >= accepts + config.server.drain_timeout;
        // A stopping proxy answers one request more on each connection, and those that wait behind it go elsewhere.
        let late = late || (until >= accepts && witnesses.may_be_pipelined(asked));
        none(late.then_some(Excuse::ProxyStopping))?;
    }
    // Whoever has begun to answer must go on.
    for entry in entries {
        none((disturbances.harm(entry) == Harm::Answer).then_some(Excuse::RequestStruck))?;
        if entry.is_success() {
            none(disturbances.of_upstream(entry.host, from, until))?;
        }
    }
    let begun = asked.result().is_some_and(|result| {
        // A reset overtakes what was sent before it and was lost, and is itself not sent again.
        let reset = result.failure.is_some_and(|failure| match failure.kind {
            FailureKind::Reset => true,
            FailureKind::Timeout => witnesses.loses_packets(),
            _ => false,
        });
        // Only these statuses are the proxy's own, in the place of an upstream's.
        let own = |status: u16| asked.is_tunnel() && status >= 300 || matches!(status, 407 | 502..=504);
        reset || result.status.is_some_and(|status| !own(status))
    });
    let served = |one: &JournalEntry<'_>| one.is_success() && !asked.is_foreign_to(one.record);
    if begun && !entries.iter().any(served) {
        let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
        none(hosts.find_map(|host| disturbances.of_upstream(host, from, until)))?;
        none(disturbances.any_untold(from, until).then_some(Excuse::Untold))?;
    }
    none(may_be_answered_untold(witnesses, asked))?;
    none(is_overtaken(witnesses, asked).then_some(Excuse::RequestStruck))?;
    let standing = Standing::of(witnesses, asked, entries, until);
    let Standing { bad, waiting, recovering, sound, refused_alone, slowest } = standing;
    // Where a sound one has served it, its answer must be what the client gets, whoever else is at fault.
    let well = |one: &JournalEntry<'_>| {
        one.is_success()
            && disturbances.harm(one) == Harm::Nothing
            && disturbances.of_upstream(one.host, from, until).is_none()
    };
    if !entries.iter().any(|one| well(one) && served(one) && !witnesses.is_slow(one.host, config)) {
        if bad > 0 && sound == 0 {
            return Err(if recovering > 0 { Excuse::Recovering } else { Excuse::NoSoundUpstream });
        }
        none((sound + recovering == 0).then_some(Excuse::NoSoundUpstream))?;
        let limits = witnesses.configurations.during(from, until).map(|config| config.failover.max_attempts);
        none(limits.map(|most| most.get()).min().filter(|most| *most <= bad).map(|_| Excuse::AttemptLimit))?;
        none((bad > 0 && witnesses.machine.out_of_retries(from, until)).then_some(Excuse::MachineFault))?;
        let spent = || taken.get_or_init(|| taken_by_all(witnesses)).may_be_all(witnesses, id, asked);
        none((bad > 0 && spent()).then_some(Excuse::BudgetSpent))?;
    }
    // What was served well at once, nobody else has acted on.
    let astray = entries.is_empty() || !entries.iter().all(well);
    none((bad > 0 && astray && !asked.is_repeatable() && !refused_alone).then_some(Excuse::ActedUpon))?;
    let claimed = if asked.is_tunnel() { Feature::ConnectFailoverByReply } else { Feature::PlainFailoverByReply };
    let unclaimed = bad > 0 && astray && !refused_alone && witnesses.subject.lacks(claimed).is_some();
    none(unclaimed.then_some(Excuse::NotClaimed))?;
    let each = config.timeouts.connect + config.timeouts.reply;
    let waits = each * waiting;
    let due = waits + slowest * 2 + target_takes(asked) + witnesses.one_way() * ROUNDS + SLACK;
    let due = due + witnesses.resending() + witnesses.machine.rests(from, until);
    let patience = witnesses.patience(asked).min(config.timeouts.request);
    none((waiting > 0 && due > patience).then_some(Excuse::NoTime))?;
    Ok(if crowded.is_some() { due + patience } else { due })
}

/// What all requests may have taken out of the retry budget: one for each upstream at fault and each one that may have been probed or
/// have failed, and all that they may have where the target or the proxy's own machine is at fault.
fn taken_by_all(witnesses: &Witnesses<'_>) -> Taken {
    let mentions = witnesses.journals.all_mentions();
    Taken::new(witnesses, |id, asked| {
        let until = witnesses.end_of(asked);
        if !witnesses.should_succeed(asked) || witnesses.disturbances.of_proxy(asked.began, until).is_some() {
            return u64::MAX;
        }
        let entries = witnesses.journals.of(id);
        let set_aside = mentions.get(id).map_or(0, |all| all.saturating_sub(entries.len()));
        u64::from(Standing::of(witnesses, asked, entries, until).bad) + set_aside as u64
    })
}

/// Whether its answer may have been lost, and not sent again because the answer to one that came with it in a pipeline was cut by a reset.
fn is_overtaken(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> bool {
    let failed = asked.result().is_none_or(|result| result.failure.is_some());
    let together = |other: &ClientRequest<'_>| other.client == asked.client && other.began == asked.began;
    let cut = |id: &str| {
        let entries = witnesses.journals.of(id);
        entries.iter().any(|entry| witnesses.disturbances.harm(entry) == Harm::Answer)
    };
    failed
        && witnesses.loses_packets()
        && witnesses.may_be_pipelined(asked)
        && witnesses.requests.iter().any(|(id, other)| together(other) && cut(id))
}

fn none(excuse: Option<Excuse>) -> Result<(), Excuse> {
    excuse.map_or(Ok(()), Err)
}

/// What the target takes by itself before it answers.
fn target_takes(asked: &ClientRequest<'_>) -> Duration {
    match Builtin::named(asked.host()) {
        Some(Builtin::Slow { delay }) => delay,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use loadgen::{Failure, FailureKind, Phase};
    use mock_upstreams::checksum::Transferred;
    use mock_upstreams::journal::{Event, Outcome};

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, ClientResult, Line, ScenarioEvent, What};
    use crate::scenario::HostName;
    use crate::subject::named;

    fn ended(what: &What) -> bool {
        matches!(what, What::Client(ClientEvent::Ended(_)))
    }

    fn change(twin: &mut Twin, how: impl Fn(&mut ClientResult)) {
        let at = twin.find(ended);
        if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what {
            how(result);
        }
    }

    /// A request for a head that fails over behind an answer which comes too late looks as a probe does.
    #[test]
    fn a_reply_that_came_before_its_request_has_struck_it() {
        let text = r#"{ "name": "first", "story": "One answers late, one before it is asked.", "duration": "8s",
            "proxy": { "timeouts": { "reply": "1s" } }, "network": { "latency": "30ms" },
            "upstreams": [{ "name": "late", "plan": { "faults": [{ "fault": "accept-late", "with": { "delay": "1200ms" } }] } },
                { "name": "first", "plan": { "faults": [{ "fault": "reply-first" }] } }, { "name": "sound" }],
            "clients": [{ "name": "client", "do": "http:method=HEAD,bytes=1504,keep-alive", "requests": 30, "rate": 10 }] }"#;
        Twin::of_scenario(&LAW, text).excuses(Excuse::RequestStruck);
    }

    /// It was acted upon behind the time-out, so nobody else could be asked.
    #[test]
    fn a_request_that_was_read_too_late_was_struck() {
        let text = r#"{ "name": "late", "story": "One answers too late.", "duration": "8s", "proxy": { "timeouts": { "reply": "1s" } },
            "upstreams": [{ "name": "late", "plan": { "faults": [{ "fault": "accept-late", "with": { "delay": "1200ms" } }] } }, { "name": "sound" }],
            "clients": [{ "name": "client", "do": "http:method=POST,path=/echo,send=2", "rate": 2 }] }"#;
        Twin::of_scenario(&LAW, text).excuses(Excuse::ActedUpon);
    }

    #[test]
    fn fires_where_a_request_is_dropped_refused_cut_or_late() {
        let mut twin = Twin::of(&LAW);
        twin.remove(ended);
        twin.fires();
        for kind in [FailureKind::Status(503), FailureKind::Cut, FailureKind::Timeout, FailureKind::Refused] {
            let mut twin = Twin::of(&LAW);
            change(&mut twin, |result| result.failure = Some(kind.at(Phase::Reply)));
            twin.fires();
        }
        let mut twin = Twin::of(&LAW);
        change(&mut twin, |result| result.phases.connect_us = Some(20_000_000));
        twin.fires();
    }

    /// One upstream of two goes wrong as the timeline or its plan says.
    pub(super) fn wrong(plan: &str, timeline: &str, proxy: &str, action: &str) -> String {
        format!(
            r#"{{ "name": "wrong", "story": "One upstream goes wrong.", "duration": "6s", "proxy": {{ {proxy} }},
            "upstreams": [{{ "name": "a", "plan": {{ "faults": [{plan}] }} }}, {{ "name": "b" }}],
            "clients": [{{ "name": "client", "do": "{action}", "rate": 10 }}], "timeline": [{timeline}] }}"#
        )
    }

    #[test]
    fn what_was_done_to_the_client_or_the_proxy_excuses() {
        for (timeline, why) in [
            (r#"{ "at": "1s", "do": "crash", "host": "client" }"#, Excuse::ClientKilled),
            (
                r#"{ "at": "1s", "do": "partition", "between": ["proxy", "client"] }, { "at": "2s", "do": "heal" }"#,
                Excuse::ClientCutOff,
            ),
            (r#"{ "at": "1s", "do": "restart", "host": "proxy" }"#, Excuse::ProxyKilled),
            (r#"{ "at": "1s", "do": "drain" }"#, Excuse::ProxyStopping),
        ] {
            Twin::of_scenario(&LAW, &wrong("", timeline, "", "echo")).excuses(why);
        }
    }

    /// By the requests and the failures that clients and upstreams tell of.
    #[test]
    fn a_spent_retry_budget_excuses_and_one_with_room_does_not() {
        let refused = r#"{ "fault": "status-502" }"#;
        let with = |percent: u32| {
            let failover = format!(r#"{{ "retry_budget_percent": {percent}, "retry_budget_min_per_second": 0 }}"#);
            let proxy = format!(r#""health_check": {{ "failure_threshold": 1000 }}, "failover": {failover}"#);
            Twin::of_scenario(&LAW, &wrong(refused, "", &proxy, "echo"))
        };
        with(0).excuses(Excuse::BudgetSpent);
        with(10).excuses(Excuse::BudgetSpent);
        let mut twin = with(300);
        refuse_last(&mut twin);
        twin.fires();
    }

    /// A budget of eleven or so, of which the run itself takes less: what was set aside may have taken the rest.
    #[test]
    fn what_looks_like_a_probe_may_have_spent_the_retry_budget() {
        let refused = r#"{ "fault": "status-502", "when": { "from": "5s" } }"#;
        let proxy = r#""health_check": { "failure_threshold": 1000 },
            "failover": { "retry_budget_percent": 20, "retry_budget_min_per_second": 0 }"#;
        let mut twin = Twin::of_scenario(&LAW, &wrong(refused, "", proxy, "http:method=HEAD,bytes=10"));
        let is_of_b = |line: &&Line| line.host.as_str() == "b" && line.at_us < 5_000_000;
        let served = |line: &&Line| matches!(&line.what, What::Upstream(Event::Request(_)));
        let lines = twin.record.trace.lines.iter();
        let like_probes: Vec<Line> = lines
            .filter(is_of_b)
            .filter(served)
            .cloned()
            .map(|mut line| {
                line.host = HostName::new("a");
                let What::Upstream(Event::Request(record)) = &mut line.what else { panic!() };
                record.status = Some(502);
                line
            })
            .collect();
        refuse_last(&mut twin);
        twin.fires();
        twin.record.trace.lines.extend(like_probes);
        twin.record.trace.lines.sort_by_key(|line| line.at_us);
        twin.excuses(Excuse::BudgetSpent);
    }

    /// The client of the last request that an upstream has refused is refused as well, and nobody else is asked.
    fn refuse_last(twin: &mut Twin) {
        let failed = |what: &What| matches!(what, What::Upstream(Event::Request(record)) if record.status == Some(502));
        let last = twin.record.trace.lines.iter().rposition(|line| failed(&line.what)).unwrap();
        let What::Upstream(Event::Request(record)) = &twin.record.trace.lines[last].what else { panic!() };
        let id = record.id.clone().unwrap();
        let ended = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id == id));
        let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[ended].what else { panic!() };
        (result.status, result.failure) = (Some(502), Some(FailureKind::Status(502).at(Phase::Reply)));
        twin.remove(|what| matches!(what, What::Upstream(Event::Request(one)) if one.status == Some(200) && one.id.as_ref() == Some(&id)));
    }

    #[test]
    fn what_was_done_to_upstreams_excuses_only_where_nobody_else_could_answer() {
        let refused = r#"{ "fault": "refuse" }"#;
        let mut twin = Twin::of_scenario(&LAW, &wrong(refused, "", "", "echo"));
        assert_eq!(twin.checked().excused(), 0, "{:?}", twin.checked());
        change(&mut twin, |result| result.failure = Some(FailureKind::Status(502).at(Phase::Reply)));
        twin.fires();
        let one = r#""failover": { "max_attempts": 1 }"#;
        Twin::of_scenario(&LAW, &wrong(refused, "", one, "echo")).excuses(Excuse::AttemptLimit);
        let post = "http:method=POST,path=/echo,send=10";
        Twin::of_scenario(&LAW, &wrong(r#"{ "fault": "reply-reset" }"#, "", "", post)).excuses(Excuse::ActedUpon);
        let garbage = r#"{ "fault": "garbage" }"#;
        for (action, subject, claimed) in [
            ("echo", "haproxy", false),
            ("echo", "nginx", false),
            ("http:bytes=10", "nginx", false),
            ("http:bytes=10", "haproxy", true),
            ("echo", "squid", true),
        ] {
            let mut twin = Twin::of_scenario(&LAW, &wrong(garbage, "", "", action));
            twin.record.subject = named(subject).unwrap();
            let checked = twin.checked();
            assert_eq!(!checked.excused.contains_key(&Excuse::NotClaimed), claimed, "{action} {subject}: {checked:?}");
        }
        let mut twin = Twin::of_scenario(&LAW, &wrong(refused, "", "", "echo"));
        twin.record.subject = named("nginx").unwrap();
        assert_eq!(twin.checked().excused(), 0, "it claims to ask another where one refuses");
        Twin::of_scenario(&LAW, &wrong(r#"{ "fault": "cut" }"#, "", "", "echo")).excuses(Excuse::RequestStruck);
        let alone = r#""upstream_proxies": [{ "url": "http://a:8080" }]"#;
        Twin::of_scenario(&LAW, &wrong(refused, "", alone, "echo")).excuses(Excuse::NoSoundUpstream);
        let silent = r#"{ "fault": "reply-never" }"#;
        Twin::of_scenario(&LAW, &wrong(silent, "", "", "echo")).excuses(Excuse::NoTime);
    }

    /// The last request that `host` has served before the fifth second fails for its client.
    fn refuse_served_by(twin: &mut Twin, host: &str) -> String {
        let before = twin.record.trace.lines.iter().rev().filter(|line| line.at_us < 5_000_000);
        let mut served = before.filter(|line| line.host.as_str() == host).filter_map(|line| match &line.what {
            What::Upstream(Event::Request(record)) => record.id.clone(),
            _ => None,
        });
        let id = served.next().unwrap();
        refuse(twin, &id);
        id
    }

    /// The request with `id` fails for its client.
    pub(super) fn refuse(twin: &mut Twin, id: &str) {
        let ended = |line: &&mut Line| matches!(&line.what, What::Client(ClientEvent::Ended(one)) if one.id == id);
        if let Some(Line { what: What::Client(ClientEvent::Ended(result)), .. }) =
            twin.record.trace.lines.iter_mut().find(ended)
        {
            (result.failure, result.status) = (Some(FailureKind::Status(502).at(Phase::Reply)), Some(502));
        }
    }

    /// The same, and the upstream has not served it.
    pub(super) fn refuse_instead_of(twin: &mut Twin, host: &str) {
        let id = refuse_served_by(twin, host);
        twin.remove(|what| matches!(what, What::Upstream(Event::Request(record)) if record.id.as_ref() == Some(&id)));
    }

    /// Neither the attempt limit nor what was done before excuses anything where the one that has served it is sound.
    #[test]
    fn fires_where_a_sound_upstream_has_served_whoever_else_is_at_fault() {
        let one = r#""failover": { "max_attempts": 1 }"#;
        let restarted = r#"{ "at": "1s", "do": "crash", "host": "b" }, { "at": "2s", "do": "restart", "host": "b" }"#;
        let late = r#"{ "fault": "refuse", "when": { "from": "3500ms" } }"#;
        for (plan, timeline, proxy) in [(r#"{ "fault": "refuse" }"#, "", one), (late, restarted, "")] {
            let mut twin = Twin::of_scenario(&LAW, &wrong(plan, timeline, proxy, "echo"));
            let sound = twin.checked();
            refuse_served_by(&mut twin, "b");
            twin.fires();
            assert_eq!(twin.checked().excused(), sound.excused(), "what is excused does not follow from what came");
        }
    }

    #[test]
    fn an_answer_that_came_too_late_opened_nothing_for_the_one_that_the_client_saw() {
        let slow = r#""timeouts": { "reply": "1s" }, "failover": { "max_attempts": 2 }"#;
        let both = wrong(r#"{ "fault": "brown-out" }"#, "", slow, "http:method=HEAD,bytes=10")
            .replace(r#"{ "name": "b" }"#, r#"{ "name": "b", "plan": { "faults": [{ "fault": "status-429" }] } }"#);
        Twin::of_scenario(&LAW, &both).excuses(Excuse::RequestStruck);
    }

    /// It waits in the backlog while accept(2) fails, and is reset with it.
    #[test]
    fn what_could_not_be_accepted_before_the_proxy_stops_is_asked_elsewhere() {
        let mut twin = Twin::of_scenario(&LAW, &wrong("", r#"{ "at": "4s", "do": "drain" }"#, "", "echo"));
        let id = "client-1a";
        twin.remove(|what| matches!(what, What::Upstream(Event::Request(record)) if record.id.as_deref() == Some(id)));
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(result)) if result.id == id));
        let line = &mut twin.record.trace.lines[at];
        let What::Client(ClientEvent::Ended(result)) = &mut line.what else { panic!() };
        assert!(line.at_us < 2_900_000, "it was asked long before the proxy stops");
        line.at_us = 4_010_000;
        (result.failure, result.status) = (Some(Failure { kind: FailureKind::Reset, phase: Phase::Reply }), None);
        twin.fires();
        for _ in 0..20 {
            let what = What::Scenario(ScenarioEvent::Chance { of: "accept-error", what: String::new() });
            twin.record.trace.lines.insert(at, Line { at_us: 3_000_000, host: HostName::new("proxy"), what });
        }
        twin.excuses(Excuse::ProxyStopping);
    }

    #[test]
    fn what_waits_in_a_pipeline_of_a_stopping_proxy_is_asked_elsewhere() {
        let drain = r#"{ "at": "1500ms", "do": "drain" }"#;
        let slow = wrong("", drain, "", "http:bytes=10,pipeline=4")
            .replace(r#"{ "name": "b" }"#, r#"{ "name": "b", "latency": "1s" }"#)
            .replace(r#""a", "#, r#""a", "latency": "1s", "#)
            .replace(r#""rate": 10"#, r#""clients": 4, "requests": 4"#);
        Twin::of_scenario(&LAW, &slow).excuses(Excuse::ProxyStopping);
    }

    /// The answer that its client got may not be that of which an upstream tells.
    #[test]
    fn what_is_sent_again_by_a_pipeline_may_be_answered_by_one_that_was_killed_before_it_told() {
        let crash = r#"{ "at": "1s", "do": "crash", "host": "b" }, { "at": "3s", "do": "restart", "host": "b" }"#;
        let slow = wrong("", crash, "", "http:bytes=10,pipeline=4")
            .replace(r#"{ "name": "b" }"#, r#"{ "name": "b", "latency": "1s" }"#)
            .replace(r#""rate": 10"#, r#""clients": 4, "requests": 4"#);
        let mut twin = Twin::of_scenario(&LAW, &slow);
        let lines = &twin.record.trace.lines;
        let by_a = lines.iter().filter(|line| line.host.as_str() == "a");
        let mut ids = by_a.filter_map(|line| match &line.what {
            What::Upstream(Event::Request(record)) => record.id.clone(),
            _ => None,
        });
        let id = ids.rfind(|id| id.starts_with("client")).unwrap();
        let ended = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id == id));
        let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[ended].what else { panic!() };
        result.failure = Some(FailureKind::Corrupt.at(Phase::Data));
        twin.excuses(Excuse::UpstreamKilled);
    }

    /// The reset was lost, so that its client waited to the end of its time; nobody can tell by which of its names the upstream was taken. The
    /// others hear of it late, over a far link.
    #[test]
    fn a_client_need_not_hear_of_its_tunnels_end_by_hand() {
        for (loss, excused) in [(0.0, false), (0.001, true)] {
            let closed = format!(
                r#"{{ "name": "closed", "story": "Tunnels are closed by hand.", "duration": "8s",
                "network": {{ "loss": {loss}, "latency": "100ms", "dns": {{ "also.test": ["a"] }} }},
                "proxy": {{ "upstream_proxies": [{{ "url": "http://also.test:8080" }}, {{ "url": "http://a:8080" }}] }},
                "upstreams": [{{ "name": "a" }}], "clients": [{{ "name": "client", "do": "echo:rounds=3", "rate": 10 }}],
                "timeline": [{{ "at": "3s", "do": "close-tunnels", "which": {{ "upstream": "a" }} }}] }}"#
            );
            let mut twin = Twin::of_scenario(&LAW, &closed);
            let lines = &mut twin.record.trace.lines;
            let reset = |what: &What| matches!(what, What::Client(ClientEvent::Ended(one)) if one.status == Some(200) && one.failure.is_some());
            let at = lines.iter().position(|line| reset(&line.what)).unwrap();
            let mut line = lines.remove(at);
            line.at_us = lines.last().unwrap().at_us;
            let What::Client(ClientEvent::Ended(result)) = &mut line.what else { panic!() };
            result.failure = Some(FailureKind::Timeout.at(Phase::Data));
            lines.push(line);
            if excused { twin.excuses(Excuse::ByHand) } else { twin.fires() }
        }
    }

    /// The answer to one of them was cut by a reset. What was lost of the one before it is not sent again.
    #[test]
    fn a_reset_overtakes_what_was_lost_in_front_of_it_in_a_pipeline() {
        for (loss, excused) in [(0.0, false), (0.01, true)] {
            let cut = wrong(r#"{ "fault": "body-reset" }"#, "", "", "http:bytes=10,pipeline=4")
                .replace(r#""timeline""#, &format!(r#""network": {{ "loss": {loss} }}, "timeline""#))
                .replace(r#""rate": 10"#, r#""clients": 2, "requests": 40"#);
            let mut twin = Twin::of_scenario(&LAW, &cut);
            let lines = &twin.record.trace.lines;
            let asked = |wanted: &str| {
                lines
                    .iter()
                    .find(|line| matches!(&line.what, What::Client(ClientEvent::Asked { id, .. }) if id == wanted))
                    .unwrap()
                    .at_us
            };
            let at = |host: &str| {
                let ids = lines.iter().filter(|line| line.host.as_str() == host).filter_map(|line| match &line.what {
                    What::Upstream(Event::Request(record)) => record.id.clone(),
                    _ => None,
                });
                ids.map(|id| (asked(&id), id)).collect::<Vec<_>>()
            };
            let struck = at("a");
            let (_, id) =
                at("b").into_iter().find(|(began, _)| struck.iter().any(|(other, _)| other == began)).unwrap();
            let ended = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(result)) if result.id == id));
            if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[ended].what {
                (result.failure, result.status) = (Some(FailureKind::Timeout.at(Phase::Reply)), None);
            }
            assert_eq!(twin.checked().violations.is_empty(), excused, "{loss}");
        }
    }

    /// Its own upstream holds it open and tells nothing of it, and a probe asked another for its target.
    #[test]
    fn a_tunnel_that_brought_nothing_was_not_served_by_who_only_answered_a_probe() {
        let quick = r#""timeouts": { "connect": "1s", "reply": "1s" }"#;
        let held = wrong(r#"{ "fault": "never-read", "when": { "nth": 12 } }"#, "", quick, "echo");
        let mut twin = Twin::of_scenario(&LAW, &held);
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(result)) if result.failure.is_some()));
        let What::Client(ClientEvent::Ended(result)) = &twin.record.trace.lines[at].what else { panic!() };
        let id = result.id.clone();
        let asked = |one: &Option<String>| one.as_ref() == Some(&id);
        let struck = twin.find(|what| matches!(what, What::Upstream(Event::Request(record)) if asked(&record.id)));
        let What::Upstream(Event::Request(record)) = twin.record.trace.lines.remove(struck).what else { panic!() };
        twin.record.trace.lines.retain(|line| {
            let closed = |what: &What| matches!(what, What::Upstream(Event::Closed { connection, .. }) if *connection == record.connection);
            line.host.as_str() != "a" || !closed(&line.what)
        });
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(result)) if result.id == id));
        let answered =
            |what: &What| matches!(what, What::Upstream(Event::Request(record)) if record.status == Some(200));
        let mut line = twin.record.trace.lines[twin.find(answered)].clone();
        line.at_us = twin.record.trace.lines[at].at_us;
        line.host = HostName::new("b");
        if let What::Upstream(Event::Request(record)) = &mut line.what {
            (record.id, record.up, record.down) = (Some(id), Transferred::of(b""), Transferred::of(b""));
        }
        twin.record.trace.lines.insert(at, line);
        twin.excuses(Excuse::Untold);
    }

    /// A target's status 500 goes to the client as it is, and whoever answered with it was killed before it told.
    #[test]
    fn a_page_was_not_served_by_who_only_answered_a_probe_for_it_later() {
        let fault = r#"{ "fault": "status-500", "when": { "from": "2s", "until": "2050ms" } }"#;
        let failing = wrong(fault, r#"{ "at": "2050ms", "do": "crash", "host": "a" }"#, "", "http:method=HEAD");
        for (later, excused) in [(true, true), (false, false)] {
            let mut twin = Twin::of_scenario(&LAW, &failing);
            let failed =
                |what: &What| matches!(what, What::Client(ClientEvent::Ended(result)) if result.failure.is_some());
            let at = twin.find(failed);
            let What::Client(ClientEvent::Ended(result)) = &twin.record.trace.lines[at].what else { panic!() };
            let id = result.id.clone();
            let asked =
                |what: &What| matches!(what, What::Upstream(Event::Request(record)) if record.id.as_ref() == Some(&id));
            let mut told = twin.record.trace.lines.remove(twin.find(asked));
            let What::Upstream(Event::Request(record)) = &mut told.what else { panic!() };
            // The same request, on a connection of its own.
            (record.status, record.outcome, record.connection) = (Some(200), Outcome::Completed, 1000);
            record.faults.clear();
            let answered = Line { host: HostName::new("b"), ..told.clone() };
            let opened =
                Line { what: What::Upstream(Event::Opened { connection: 1000, peer: None }), ..answered.clone() };
            let ended = twin.record.trace.lines[twin.find(failed)].at_us;
            let at_us = if later { ended + 1_000_000 } else { ended - 1_000 };
            let at = twin.record.trace.lines.partition_point(|line| line.at_us <= at_us);
            twin.record.trace.lines.splice(at..at, [opened, answered].map(|line| Line { at_us, ..line }));
            if excused { twin.excuses(Excuse::Untold) } else { twin.fires() }
        }
    }

    #[test]
    fn more_clients_than_the_proxy_serves_excuse() {
        let full = r#"{ "name": "full", "story": "More come than the proxy serves.", "duration": "5s",
            "proxy": { "limits": { "max_connections": 2 } }, "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "herd", "do": "hold:for=3s", "requests": 6, "rate": 1000 }, { "name": "late", "do": "echo", "requests": 2, "from": "1s" }] }"#;
        let mut twin = Twin::of_scenario(&LAW, full);
        twin.excuses(Excuse::Crowded);
        // But not who was let in.
        let served = |what: &What| matches!(what, What::Client(ClientEvent::Ended(result)) if result.failure.is_none());
        let at = twin.find(served);
        if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what {
            result.failure = Some(FailureKind::Corrupt.at(Phase::Data));
        }
        twin.fires();
    }

    #[test]
    fn a_harmless_fault_and_one_that_is_disarmed_excuse_nothing() {
        let slices = r#"{ "fault": "slice" }, { "fault": "informational" }"#;
        let twin = Twin::of_scenario(&LAW, &wrong(slices, "", "", "echo"));
        assert_eq!(twin.checked().excused(), 0, "{:?}", twin.checked());
        let disarmed = r#"{ "at": "1s", "do": "disarm", "upstream": "a", "fault": "cut" }"#;
        let twin = Twin::of_scenario(&LAW, &wrong(r#"{ "fault": "cut" }"#, disarmed, "", "echo"));
        let struck = twin.checked().excused[&Excuse::RequestStruck];
        assert!((3..=6).contains(&struck), "half of ten in the first second: {struck}");
    }
}
