//! The law `by-hand`: what an operator orders is done at once, and to those whom it means.

use std::time::Duration;

use loadgen::FailureKind;
use proxy::config::Upstream;

use crate::judge::by_hand::{changed_health, closures, done_by, of_health, seen_by, stood, takes};
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, Harm, JournalEntry, RECOVERY_MARGIN, Witnesses};
use crate::scenario::{Action, ByHand, WhichTunnels};

pub(in crate::judge) const LAW: Law = Law {
    name: "by-hand",
    text: "An upstream that is ejected by hand, and not together with all others, gets no request until its first probe is due, and one that \
           is let in by hand takes its turns at once; tunnels that are closed by hand end at once, as resets.",
    check: Check::BlackBox(check),
};

/// So many rounds hold each upstream, whatever came before them.
const ROUNDS: u64 = 4;
/// How much later than its reset a client may tell of it.
const SLACK: Duration = Duration::from_secs(1);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let ejections = orders_to_eject(witnesses).filter_map(|(at, name)| Ejection::of(witnesses, at, name));
    let ejected = ejections.flat_map(|ejection| [Some(ejection.judge()), ejection.judge_restoration()]).flatten();
    let closed = closures(witnesses).flat_map(|closure| {
        let requests = witnesses.requests.iter();
        requests.filter_map(move |(id, asked)| judge_tunnel(witnesses, closure, id, asked))
    });
    ejected.chain(closed).collect()
}

/// When upstreams were ejected by hand, and the host in the URL of each.
fn orders_to_eject<'b, 'a>(witnesses: &'b Witnesses<'a>) -> impl Iterator<Item = (Duration, &'a str)> + use<'a, 'b> {
    of_health(witnesses).filter(|(.., order)| *order == ByHand::Eject).map(|(at, name, _)| (at, name))
}

/// An ejection by hand of an upstream that served until then.
struct Ejection<'b, 'a> {
    witnesses: &'b Witnesses<'a>,
    at: Duration,
    upstream: &'b Upstream,
    /// Its only host.
    host: &'a str,
    /// No probe is due before.
    probe: Duration,
    /// When something else was ordered, and whether that lets it in.
    next: Option<(Duration, bool)>,
}

impl<'b, 'a> Ejection<'b, 'a> {
    /// `None` where clients and upstreams can't tell how the upstream stood, or which host is meant.
    fn of(witnesses: &'b Witnesses<'a>, at: Duration, name: &'a str) -> Option<Self> {
        let config = witnesses.configurations.at(at);
        let policy = &config.health.policy;
        let mut entries = config.upstreams.iter().filter(|one| *one.host == *name && one.weight.get() > 0);
        let upstream = entries.next()?;
        let before = at.saturating_sub(policy.backoff_max * 6 / 5 + RECOVERY_MARGIN);
        let hosts = witnesses.configurations.hosts_of(name, Duration::ZERO, witnesses.over);
        let host = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str()).find(|one| hosts.contains(one))?;
        let leads = |one: &Upstream| {
            witnesses.configurations.hosts_of(&one.host, Duration::ZERO, witnesses.over).contains(host)
        };
        let alone = hosts.len() == 1 && config.upstreams.iter().filter(|one| leads(one)).count() == 1;
        // It may have been out already, and its probe be due sooner.
        let earlier = at.saturating_sub(Duration::from_micros(1));
        let served = witnesses.disturbances.of_anything(host, before, at).is_none()
            && !changed_health(witnesses, name, before, earlier)
            && witnesses.configurations.is_unchanged(before, at)
            && witnesses.serves(upstream, host, config);
        let others = |(when, action): &&(Duration, &Action)| {
            *when > at
                && (action.told().is_some()
                    || matches!(action, Action::Crash { host } | Action::Restart { host } if host == witnesses.proxy))
        };
        let restores = |action: &Action| matches!(action, Action::Steer { upstream, order: ByHand::Restore, .. } if upstream == name);
        let next = witnesses.played.iter().find(others).map(|(when, action)| (*when, restores(action)));
        let probe = at + policy.backoff_base.min(policy.backoff_max) * 4 / 5;
        let running = witnesses.disturbances.of_proxy(at, at).is_none()
            && witnesses.disturbances.stopped().is_none_or(|stopped| stopped > at);
        // Where all are ejected, somebody has to serve.
        let together = |name: &str| {
            let soon = done_by(witnesses);
            let mut ejections = orders_to_eject(witnesses).filter(|(_, other)| *other == name);
            ejections.any(|(when, _)| when <= at + soon && at <= when + soon)
        };
        let left = |one: &Upstream| one.weight.get() > 0 && one.key() != upstream.key() && !together(&one.host);
        let known = alone && served && running && config.upstreams.iter().any(|one| left(one));
        known.then_some(Ejection { witnesses, at, upstream, host, probe, next })
    }

    /// Nothing that clients asked for afterwards gets there before a probe may.
    fn judge(&self) -> Case {
        let Ejection { witnesses, at, host, .. } = *self;
        let margin = seen_by(witnesses);
        let over = self.next.map_or(self.probe, |(next, _)| next.min(self.probe)).saturating_sub(margin);
        if !self.others_serve(over.max(at)) {
            return Case::Excused(Excuse::NoSoundUpstream);
        }
        let entries = witnesses.journals.at(host).map_or(&[][..], |journal| &journal.requests);
        let asked = |id: &Option<String>| id.as_deref().and_then(|id| witnesses.requests.get(id));
        // Its own check, where it has any, may let it in.
        let checked = entries.iter().filter(|one| asked(&one.record.id).is_none() && one.since + margin > at);
        let over = checked.filter(|one| one.is_success()).map(|one| one.since).min().map_or(over, |in_| over.min(in_));
        // When a further request came on a connection is known from its end alone.
        let came_by = |one: &JournalEntry<'_>| if one.record.request > 1 { one.at } else { one.since };
        let late = entries.iter().filter(|one| one.since > at + margin && came_by(one) < over);
        let mut late = late.filter_map(|one| Some((one, asked(&one.record.id)?)));
        let found = late.find(|(_, asked)| asked.began > at + margin);
        Case::of(found.map(|(entry, asked)| {
            let text =
                format!("{host} was ejected by hand at {at:?}, but got a request that began at {:?}", asked.began);
            Violation::found(text, [asked.line, entry.line])
        }))
    }

    /// Where it is let in before a probe may have been: the next rounds hold it. `None` where too few requests come meanwhile.
    fn judge_restoration(&self) -> Option<Case> {
        let Ejection { witnesses, host, .. } = *self;
        let (at, _) = self.next.filter(|(_, restores)| *restores)?;
        let over = self.probe.saturating_sub(seen_by(witnesses));
        let settled = witnesses.played.iter().all(|(when, action)| {
            *when <= at || *when > over || (action.told().is_none() && !matches!(action, Action::Dns { .. }))
        });
        let config = witnesses.configurations.at(at);
        let sum: u64 = config.upstreams.iter().map(|one| u64::from(one.weight.get())).sum();
        let began = |asked: &ClientRequest<'_>| asked.began > at + seen_by(witnesses) && asked.began < over;
        // What a client asks for while it is cut off comes later.
        let in_time = |entry: &JournalEntry<'_>| entry.is_success() && (at..over).contains(&entry.since);
        let served = |id: &str| witnesses.journals.of(id).iter().any(in_time);
        let picks = witnesses.requests.iter().filter(|(id, asked)| began(asked) && served(id));
        let lines: Vec<usize> = picks.map(|(_, asked)| asked.line).collect();
        if !settled || lines.len() as u64 * u64::from(self.upstream.weight.get()) <= ROUNDS * sum {
            return None;
        }
        let began = at.saturating_sub(config.timeouts.connect + config.timeouts.reply);
        let disturbed = witnesses.disturbances.of_anything(host, began, over);
        let disturbed = disturbed.or_else(|| witnesses.disturbances.of_proxy(at, over));
        if let Some(why) = disturbed {
            return Some(Case::Excused(why));
        }
        if witnesses.disturbances.untold(host, at, over) {
            return Some(Case::Excused(Excuse::Untold));
        }
        let got = witnesses
            .journals
            .at(host)
            .is_some_and(|one| one.requests.iter().any(|one| (at..over).contains(&one.since)));
        let text = || format!("{host} was let in by hand at {at:?}, but got none of the next {} requests", lines.len());
        Some(Case::of((!got).then(|| Violation::found(text(), lines.iter().copied()))))
    }

    /// Whether another upstream was sound all the time, so that nobody has to ask one that is ejected.
    fn others_serve(&self, until: Duration) -> bool {
        let witnesses = self.witnesses;
        let config = witnesses.configurations.at(self.at);
        let since = self.at.saturating_sub(config.health.policy.backoff_max * 6 / 5 + RECOVERY_MARGIN);
        config.upstreams.iter().any(|one| {
            let hosts = witnesses.configurations.hosts_of(&one.host, since, until);
            one.key() != self.upstream.key()
                && one.weight.get() > 0
                && !changed_health(witnesses, &one.host, since, until)
                && hosts.iter().all(|host| {
                    witnesses.disturbances.of_anything(host, since, until).is_none()
                        && witnesses.serves(one, host, config)
                })
        })
    }
}

/// `None` for a tunnel that need not have stood at that time, that ended by itself, or that may not be meant.
fn judge_tunnel(
    witnesses: &Witnesses<'_>,
    closure: (Duration, &WhichTunnels),
    id: &str,
    asked: &ClientRequest<'_>,
) -> Option<Case> {
    let at = closure.0;
    let (soon, until) = (seen_by(witnesses) + SLACK, witnesses.end_of(asked));
    let reads = matches!(asked.action, "echo" | "hold")
        && witnesses.action_of(asked).is_some_and(|action| action.throttle.is_none());
    let stood = stood(asked).filter(|stood| asked.is_tunnel() && reads && *stood <= at && until > at)?;
    let entries = witnesses.journals.of(id);
    if takes(witnesses, closure, asked, entries) != Some(true) {
        return None;
    }
    let failure = asked.result().and_then(|result| result.failure);
    let wrong = match failure {
        _ if until > at + soon => {
            format!("the tunnel of {id} was closed by hand at {at:?}, but lasted until {until:?}")
        }
        None => return None,
        Some(failure) if failure.kind == FailureKind::Reset => return Some(Case::Holds),
        Some(failure) => {
            format!("the tunnel of {id} was closed by hand at {at:?}, and ended not as a reset: {failure}")
        }
    };
    let disturbances = &witnesses.disturbances;
    let struck = entries.iter().any(|one| disturbances.harm(one) != Harm::Nothing);
    let excuse = disturbances.of_client(asked.client, stood, at + soon);
    let excuse = excuse.or_else(|| disturbances.of_proxy(stood, at + soon));
    // A reset that is lost is not sent again.
    let excuse = excuse.or_else(|| witnesses.loses_packets().then_some(Excuse::ClientCutOff));
    let excuse = excuse.or_else(|| struck.then_some(Excuse::RequestStruck));
    let excuse = excuse.or_else(|| entries.iter().find_map(|one| disturbances.of_upstream(one.host, stood, at + soon)));
    let excuse = excuse
        .or_else(|| disturbances.stopped().filter(|stopped| *stopped <= at + soon).map(|_| Excuse::ProxyStopping));
    let broken = || Case::Broken(Violation::found(wrong.clone(), [asked.line, asked.last_line()]));
    Some(excuse.map_or_else(broken, Case::Excused))
}

#[cfg(test)]
mod tests {
    use loadgen::{FailureKind, Phase};
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::requests::{answered, bytes};
    use crate::judge::laws::twin::Twin;
    use crate::judge::laws::upstreams::{blame, in_a_row};
    use crate::record::{ClientEvent, What};
    use crate::scenario::HostName;

    fn steered(timeline: &str, other: &str) -> String {
        format!(
            r#"{{ "name": "steered", "story": "An operator ejects an upstream and closes tunnels.", "duration": "12s",
            "proxy": {{ "health_check": {{ "backoff_base": "5s", "backoff_max": "10s" }} }},
            "upstreams": [{{ "name": "a" }}, {{ "name": "b"{other} }}],
            "clients": [{{ "name": "c", "do": "echo", "rate": 20 }}, {{ "name": "h", "do": "hold:for=9s", "requests": 6, "rate": 6 }}],
            "timeline": [{timeline}] }}"#
        )
    }

    const EJECT: &str = r#"{ "at": "4s", "do": "steer", "upstream": "a", "order": "eject" }"#;
    const CLOSE: &str = r#"{ "at": "3s", "do": "close-tunnels", "which": { "upstream": "a" } }"#;

    fn with_restoration(at: &str) -> String {
        format!(r#"{EJECT}, {{ "at": "{at}", "do": "steer", "upstream": "a", "order": "restore" }}"#)
    }

    #[test]
    fn fires_where_an_upstream_that_was_ejected_by_hand_goes_on() {
        let mut twin = Twin::of_scenario(&LAW, &steered(EJECT, ""));
        twin.rename_upstream("b", "a");
        twin.fires();
    }

    #[test]
    fn fires_where_one_that_was_let_in_by_hand_gets_nothing() {
        let mut twin = Twin::of_scenario(&LAW, &steered(&with_restoration("5s"), ""));
        assert_eq!(twin.checked().cases, 2);
        for line in &mut twin.record.trace.lines {
            let late = matches!(&line.what, What::Upstream(Event::Request(_))) && line.at_us > 5_000_000;
            if late && line.host.as_str() == "a" {
                line.host = HostName::new("b");
            }
        }
        twin.fires();
    }

    #[test]
    fn what_clients_ask_for_while_they_are_cut_off_need_not_reach_who_was_let_in() {
        let cut_off = r#"{ "at": "3s", "do": "partition", "between": ["proxy", "c"] }, { "at": "11s", "do": "heal" }"#;
        let twin = Twin::of_scenario(&LAW, &steered(&format!("{}, {cut_off}", with_restoration("4500ms")), ""));
        assert_eq!(twin.checked().cases, 1, "the ejection alone");
    }

    #[test]
    fn fires_where_a_tunnel_that_was_closed_by_hand_goes_on_or_ends_in_order() {
        let mut twin = Twin::of_scenario(&LAW, &steered(CLOSE, ""));
        let reset = |what: &What| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with("h-") && one.failure.is_some());
        let at = twin.find(reset);
        let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what else { panic!() };
        result.failure.as_mut().unwrap().kind = FailureKind::Cut;
        twin.fires();
        let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what else { panic!() };
        result.failure.as_mut().unwrap().kind = FailureKind::Reset;
        assert_eq!(twin.checked().violations, []);
        twin.record.trace.lines[at].at_us += 3_000_000;
        twin.fires();
    }

    /// They go on as if nothing had happened: the order names an upstream, and not the host that it shares with a former one.
    #[test]
    fn tunnels_of_a_removed_name_that_led_to_the_same_host_are_not_meant() {
        let renamed = r#"{ "name": "renamed", "story": "An upstream gets another name.", "duration": "12s",
            "network": { "dns": { "former.test": ["a"] } },
            "proxy": { "upstream_proxies": [{ "url": "http://former.test:8080" }, { "url": "http://b:8080" }] },
            "upstreams": [{ "name": "a" }, { "name": "b" }],
            "clients": [{ "name": "h", "do": "hold:for=9s", "requests": 6, "rate": 6 }],
            "timeline": [{ "at": "2s", "do": "reload", "proxy": { "upstream_proxies": [{ "url": "http://a:8080" }, { "url": "http://b:8080" }] } }, CLOSE,
                { "at": "4s", "do": "close-tunnels", "which": { "upstream": "b" } }] }"#;
        Twin::of_scenario(&LAW, &renamed.replace("CLOSE", CLOSE));
    }

    /// The others are judged as if no operator were there.
    #[test]
    fn a_tunnel_that_was_closed_by_hand_is_excused_and_no_other() {
        for law in [&answered::LAW, &bytes::LAW] {
            let mut twin = Twin::of_scenario(law, &steered(CLOSE, ""));
            twin.excuses(Excuse::ByHand);
            let whole = |what: &What| matches!(what, What::Client(ClientEvent::Ended(one)) if one.id.starts_with("h-") && one.failure.is_none());
            let at = twin.find(whole);
            let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what else { panic!() };
            result.failure = Some(FailureKind::Reset.at(Phase::Data));
            twin.record.trace.lines[at].at_us = 3_010_000;
            twin.fires();
        }
    }

    #[test]
    fn an_ejection_by_hand_is_nobodys_fault_and_needs_no_failures() {
        for law in [&blame::LAW, &in_a_row::LAW] {
            let failing = steered(
                &EJECT.replace("4s", "8s"),
                r#", "plan": { "faults": [{ "fault": "garbage", "when": { "until": "2s" } }] }"#,
            );
            let mut twin = Twin::of_scenario(law, &failing);
            twin.scenario.timeline.clear();
            twin.fires();
        }
    }

    #[test]
    fn where_all_are_ejected_at_once_it_says_nothing_of_who_is_asked() {
        let all = format!("{CLOSE}, {EJECT}, {}", EJECT.replace(r#""a""#, r#""b""#));
        let checked = Twin::of_scenario(&LAW, &steered(&all, "")).checked();
        assert_eq!(checked.excused(), 0, "{checked:?}");
    }

    #[test]
    fn where_nobody_else_is_sound_the_ejected_one_may_be_asked() {
        let refuses = r#", "plan": { "faults": [{ "fault": "refuse" }] }"#;
        Twin::of_scenario(&LAW, &steered(EJECT, refuses)).excuses(Excuse::NoSoundUpstream);
    }
}
