//! The law `idle`: a tunnel through which nothing goes is ended at its time-out, neither later nor sooner; one of which a side has ended,
//! no later than at that of half-closed ones.

use std::time::Duration;

use crate::judge::by_hand;
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "idle",
    text: "A tunnel through which nothing goes is ended once the idle time-out is over, and not before; one of which either \
           side has ended, by the end of the half-closed time-out.",
    check: Check::BlackBox(check),
};

/// How many times a packet may be on its way from the answer to CONNECT to the news of the tunnel's end.
const ROUNDS: u32 = 8;
/// How much later the end may come: the first block has to get through.
const SLACK: Duration = Duration::from_secs(2);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let silent = |(id, asked): (&&str, &ClientRequest<'_>)| judge(witnesses, id, asked);
    let half_closed = |(id, asked): (&&str, &ClientRequest<'_>)| judge_half_closed(witnesses, id, asked);
    let requests = || witnesses.requests.iter();
    let left_open = |(id, asked): (&&str, &ClientRequest<'_>)| judge_left_open(witnesses, id, asked);
    let ended = requests().filter_map(half_closed).chain(requests().filter_map(left_open));
    requests().filter_map(silent).chain(ended).collect()
}

/// `None` for a tunnel that did not stand, or whose client need not be silent for longer than the time-out.
fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Option<Case> {
    let pause = witnesses.pause_of(asked)?;
    let (from, until) = (asked.began, witnesses.end_of(asked));
    let limits = || witnesses.configurations.during(from, until).map(|config| config.timeouts.idle_tunnel);
    let (least, most) = (limits().min()?, limits().max()?);
    let margin = SLACK + witnesses.one_way() * ROUNDS + witnesses.resending() + witnesses.tolerance;
    let result = asked.result().filter(|result| result.status == Some(200))?;
    if pause <= most + margin {
        return None;
    }
    let phases = &result.phases;
    let stood = [phases.connect_us, phases.reply_us].into_iter().flatten().map(Duration::from_micros).sum::<Duration>();
    let lasted = until.saturating_sub(from + stood);
    if lasted <= most + margin && lasted + witnesses.tolerance >= least {
        return Some(Case::Holds);
    }
    let entries = witnesses.journals.of(id);
    // The law `by-hand` judges the tunnels that an operator closes.
    if by_hand::closed(witnesses, asked, entries).is_some() {
        return None;
    }
    let disturbances = &witnesses.disturbances;
    let excuse = excuse(witnesses, asked, from);
    let struck = entries.iter().any(|one| disturbances.harm(one) != Harm::Nothing);
    let excuse = excuse.or_else(|| struck.then_some(Excuse::RequestStruck));
    let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
    let excuse = excuse.or_else(|| hosts.find_map(|host| disturbances.of_upstream(host, from, until)));
    // A fault may have ended it, of which its upstream was killed before it could tell.
    let untold = || disturbances.any_untold(from, until).then_some(Excuse::Untold);
    let excuse = excuse.or_else(untold);
    let text = || format!("the silent tunnel of {id} lasted {lasted:?}; its time-out is {least:?} to {most:?}");
    Some(match excuse {
        Some(why) => Case::Excused(why),
        None => Case::Broken(Violation::found(text(), [asked.line, asked.last_line()])),
    })
}

/// `None` for a tunnel whose client had not ended its side, or that its other end closed before the time-out. Nothing that is done to an
/// upstream excuses: the client has had all that it asked for, and is told by the proxy alone.
fn judge_half_closed(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Option<Case> {
    let (from, until) = (asked.half_closed()?, witnesses.end_of(asked));
    let limits = || witnesses.configurations.during(from, until).map(|config| witnesses.half_closed(config));
    let (least, most) = (limits().min()?, limits().max()?);
    let margin = SLACK + witnesses.one_way() * ROUNDS + witnesses.resending() + witnesses.tolerance;
    let lasted = until.saturating_sub(from);
    if lasted + witnesses.tolerance < least {
        return None;
    }
    if lasted <= most + margin {
        return Some(Case::Holds);
    }
    let text = || format!("the half-closed tunnel of {id} lasted {lasted:?}; its time-out is {least:?} to {most:?}");
    Some(match excuse(witnesses, asked, from) {
        Some(why) => Case::Excused(why),
        None => Case::Broken(Violation::found(text(), [asked.line, asked.last_line()])),
    })
}

/// The same of a tunnel whose other end has ended its side, and whose client says nothing more and stays for longer than the time-out: its
/// upstream tells when it was over.
fn judge_left_open(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>) -> Option<Case> {
    let (from, until, stays) = (asked.began, witnesses.end_of(asked), witnesses.stays_for(asked)?);
    let limits = || witnesses.configurations.during(from, until).map(|config| witnesses.half_closed(config));
    let (least, most) = (limits().min()?, limits().max()?);
    let margin = SLACK + witnesses.one_way() * ROUNDS + witnesses.resending() + witnesses.tolerance;
    let result = asked.result().filter(|result| result.phases.first_byte_us.is_some())?;
    // Its client says more only where all has come.
    let ended = until.checked_sub(stays).filter(|at| *at >= from && stays > most + margin)?;
    // Two upstreams may have opened it, one of them for a probe, which looks like a client that says nothing.
    let [entry] = witnesses.journals.of(id) else { return None };
    if witnesses.journals.mentions(id) > 1 || witnesses.disturbances.any_untold(from, until) {
        return None;
    }
    if by_hand::closed(witnesses, asked, &[*entry]).is_some() {
        return None;
    }
    let phases = [result.phases.connect_us, result.phases.reply_us, result.phases.first_byte_us];
    let began_to_end = from + phases.into_iter().flatten().map(Duration::from_micros).sum::<Duration>();
    let early = entry.at + margin < began_to_end + least;
    if !early && entry.at <= ended + most + margin {
        return Some(Case::Holds);
    }
    let disturbances = &witnesses.disturbances;
    let excuse =
        excuse(witnesses, asked, from).or_else(|| disturbances.of_upstream(entry.host, from, entry.at.max(until)));
    let struck = disturbances.harm(entry) != Harm::Nothing;
    let text = || {
        let lasted = entry.at.saturating_sub(began_to_end);
        format!("the tunnel of {id} lasted {lasted:?} beyond its other end's; its time-out is {least:?} to {most:?}")
    };
    Some(match excuse.or(struck.then_some(Excuse::RequestStruck)) {
        Some(why) => Case::Excused(why),
        None => Case::Broken(Violation::found(text(), [asked.line, entry.line])),
    })
}

/// Why the news of a tunnel's end may not have reached its client in time.
fn excuse(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>, from: Duration) -> Option<Excuse> {
    let (until, disturbances) = (witnesses.end_of(asked), &witnesses.disturbances);
    // A reset that is lost is not sent again.
    let excuse = witnesses.loses_packets().then_some(Excuse::ClientCutOff);
    let excuse = excuse.or_else(|| disturbances.of_client(asked.client, from, until));
    let excuse = excuse.or_else(|| disturbances.of_proxy(from, until));
    excuse.or_else(|| disturbances.stopped().filter(|at| *at <= until).map(|_| Excuse::ProxyStopping))
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, What};

    fn silent(timeline: &str) -> String {
        format!(
            r#"{{ "name": "silent", "story": "Clients say nothing.", "duration": "6s",
            "proxy": {{ "timeouts": {{ "idle_tunnel": "4s" }} }}, "upstreams": [{{ "name": "a" }}],
            "clients": [{{ "name": "client", "do": "hold:for=20s,every=20s", "requests": 4, "rate": 2 }}],
            "timeline": [{timeline}] }}"#
        )
    }

    #[test]
    fn fires_where_a_silent_tunnel_ends_too_late_or_too_soon() {
        for by in [3_000_000, -2_000_000_i64] {
            let mut twin = Twin::of_scenario(&LAW, &silent(""));
            let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
            let line = &mut twin.record.trace.lines[at];
            line.at_us = line.at_us.saturating_add_signed(by);
            twin.fires();
        }
    }

    #[test]
    fn a_tunnel_of_which_its_upstream_could_not_tell_may_have_been_struck() {
        let mut twin = Twin::of_scenario(&LAW, &silent(""));
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
        let What::Client(ClientEvent::Ended(result)) = &twin.record.trace.lines[at].what else { panic!() };
        let id = result.id.clone();
        twin.record.trace.lines[at].at_us -= 2_000_000;
        twin.fires();
        let tells = |what: &What| matches!(what, What::Upstream(Event::Request(one)) if one.id.as_ref() == Some(&id));
        let at = twin.find(tells);
        let What::Upstream(Event::Request(record)) = twin.record.trace.lines.remove(at).what else { panic!() };
        let number = record.connection;
        twin.remove(|what| matches!(what, What::Upstream(Event::Closed { connection, .. }) if *connection == number));
        twin.excuses(Excuse::Untold);
    }

    fn half_closed(timeline: &str) -> String {
        format!(
            r#"{{ "name": "half-closed", "story": "The other end stays open.", "duration": "12s",
            "proxy": {{ "timeouts": {{ "half_closed": "3s" }} }},
            "upstreams": [{{ "name": "a", "plan": {{ "faults": [{{ "fault": "close-late", "with": {{ "delay": "9s" }} }}] }} }}],
            "clients": [{{ "name": "client", "do": "echo:bytes=100", "requests": 4, "rate": 2 }}],
            "timeline": [{timeline}] }}"#
        )
    }

    #[test]
    fn fires_where_a_half_closed_tunnel_stays() {
        let mut twin = Twin::of_scenario(&LAW, &half_closed(""));
        assert_eq!(twin.checked().cases, 4, "each was ended at its time-out");
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
        twin.record.trace.lines[at].at_us += 3_000_000;
        twin.fires();
    }

    fn left_open(timeline: &str) -> String {
        format!(
            r#"{{ "name": "left-open", "story": "Clients stay when all has come.", "duration": "3s",
            "proxy": {{ "timeouts": {{ "half_closed": "3s" }} }}, "upstreams": [{{ "name": "a" }}],
            "clients": [{{ "name": "client", "do": "download:bytes=100,send=10,wait=15s", "requests": 4, "rate": 2 }}],
            "timeline": [{timeline}] }}"#
        )
    }

    /// The upstream has ended first, and its client says nothing more.
    #[test]
    fn fires_where_a_tunnel_that_its_client_leaves_open_stays_or_is_ended_at_once() {
        for by in [9_000_000, -3_000_000_i64] {
            let mut twin = Twin::of_scenario(&LAW, &left_open(""));
            assert_eq!(twin.checked().cases, 4);
            let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
            let line = &mut twin.record.trace.lines[at];
            line.at_us = line.at_us.saturating_add_signed(by);
            twin.fires();
        }
    }

    /// The client says nothing in the second one, which looks as a probe does.
    #[test]
    fn a_tunnel_that_was_opened_twice_is_not_judged_by_the_one_that_came_too_late() {
        let text = r#"{ "name": "twice", "story": "One opens its tunnels too late.", "duration": "3s",
            "proxy": { "timeouts": { "half_closed": "3s", "reply": "1s" } }, "network": { "latency": "30ms" },
            "upstreams": [{ "name": "late", "plan": { "faults": [{ "fault": "accept-late", "with": { "delay": "950ms" } }] } }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "download:bytes=100,send=10,wait=15s", "requests": 4, "rate": 2 }] }"#;
        assert_eq!(Twin::of_scenario(&LAW, text).checked().violations, []);
    }

    /// The client hears of it when it speaks again, and another name leads to the same host.
    #[test]
    fn a_tunnel_that_an_operator_may_have_closed_has_not_ended_too_soon() {
        let text = r#"{ "name": "closed", "story": "An operator closes the tunnels of one of two names.", "duration": "4s",
            "proxy": { "timeouts": { "half_closed": "5s" }, "upstream_proxies": [{ "url": "http://moving.test:8080" }, { "url": "http://a:8080" }] },
            "network": { "dns": { "moving.test": ["a"] } }, "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "client", "do": "download:bytes=100,send=10,wait=15s", "requests": 14, "rate": 4 }],
            "timeline": [{ "at": "2s", "do": "close-tunnels", "which": { "upstream": "a" } }] }"#;
        assert_eq!(Twin::of_scenario(&LAW, text).checked().violations, []);
    }

    /// The upstream of the first tunnel is killed and tells nothing, and another was asked for the same target as a probe.
    #[test]
    fn a_probe_is_not_taken_for_a_tunnel_of_which_nobody_tells() {
        let mut twin = Twin::of_scenario(&LAW, &left_open(""));
        twin.remove(|what| matches!(what, What::Upstream(Event::Closed { .. })));
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        twin.record.trace.lines[at].at_us -= 3_000_000;
        assert_eq!(twin.checked().violations, []);
    }

    #[test]
    fn an_upstream_that_is_cut_off_hears_late_of_the_end() {
        let cut = r#"{ "at": "1s", "do": "partition", "between": ["a", "proxy"] }, { "at": "2900ms", "do": "heal", "between": ["a", "proxy"] }"#;
        let mut twin = Twin::of_scenario(&LAW, &left_open(cut));
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        twin.record.trace.lines[at].at_us += 9_000_000;
        twin.excuses(Excuse::UpstreamCutOff);
    }

    #[test]
    fn a_client_that_is_cut_off_hears_of_no_end() {
        let cut = r#"{ "at": "2500ms", "do": "partition", "between": ["client", "proxy"] }"#;
        Twin::of_scenario(&LAW, &half_closed(cut)).excuses(Excuse::ClientCutOff);
    }

    #[test]
    fn what_was_done_to_its_upstream_excuses() {
        let killed = silent(r#"{ "at": "3s", "do": "crash", "host": "a" }"#);
        Twin::of_scenario(&LAW, &killed).excuses(Excuse::UpstreamKilled);
    }
}
