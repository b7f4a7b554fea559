//! The law `left-alone`: an upstream that fails in a row is ejected, and asked ever more seldom while it goes on failing.

use std::time::Duration;

use proxy::config::{Config, Upstream};

use crate::judge::by_hand::{changed_health, let_in};
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{Harm, HostJournal, JournalEntry, RECOVERY_MARGIN, Witnesses, struck_by};

use super::back_off::back_off;

pub(in crate::judge) const LAW: Law = Law {
    name: "left-alone",
    text: "An upstream that has answered as many requests in a row as the threshold with what only an upstream can get wrong gets \
           nothing but probes from then on, one back-off apart, and each back-off twice the one before.",
    check: Check::BlackBox(check),
};

/// Faults of a reply to CONNECT that only the upstream can have written.
const PLAINLY_ITS_OWN: [&str; 6] =
    ["status-407", "status-407-bare", "garbage", "http-9.9", "absurd-number", "cut-head"];
/// How long a harmless fault may keep the proxy from knowing that a tunnel stands.
const HARMLESS_DELAY: Duration = Duration::from_millis(1500);

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let configs = || witnesses.configurations.given().map(|(_, config)| config);
    let hosts = witnesses.journals.by_host.iter().filter(|(host, _)| {
        // The health of several entries that lead to one host can't be told apart.
        let leads =
            |name: &str| witnesses.configurations.hosts_of(name, Duration::ZERO, Duration::MAX).contains(**host);
        configs().all(|config| config.upstreams.iter().filter(|one| leads(&one.host)).count() <= 1)
    });
    hosts.flat_map(|(host, journal)| cases(witnesses, host, journal)).collect()
}

/// Whether it failed at once, and only the upstream can have caused that. What a fault answered before it read the request counts for the
/// proxy, and not what came behind that. An upstream that answers only once a time-out is over is asked for several
/// targets by one probe.
fn is_plain(entry: &JournalEntry<'_>, known_by: Duration) -> bool {
    !entry.reply_came_first
        && entry.at <= entry.since + known_by
        && entry.record.method == "CONNECT"
        && !entry.is_success()
        && struck_by(entry.record, &PLAINLY_ITS_OWN)
}

/// The cases are the requests that an upstream gets once it must have been ejected, and each time that it must have been.
fn cases(witnesses: &Witnesses<'_>, host: &str, journal: &HostJournal<'_>) -> Vec<Case> {
    let entries = &journal.requests;
    let own = witnesses.scenario.upstreams.iter().find(|one| one.name == host);
    let latency = own.and_then(|one| one.latency).map_or(Duration::ZERO, |span| span.get());
    let on_the_way = witnesses.one_way() * 4 + witnesses.clock_skew + witnesses.tolerance;
    let known_by = latency + HARMLESS_DELAY + on_the_way;
    // When the proxy may have learned of each success.
    let successes: Vec<(Duration, Duration)> = entries
        .iter()
        .map(|entry| (entry, witnesses.disturbances.harm(entry) == Harm::Attempt))
        // A fault may cost an attempt and need not: what was answered well all the same counts for the upstream.
        .filter(|(entry, harmed)| !is_plain(entry, known_by) && (!harmed || entry.is_success()))
        .map(|(entry, harmed)| {
            let id = entry.record.id.as_deref();
            let asked = id.and_then(|id| witnesses.requests.get(id)).map_or(entry.since, |asked| asked.began);
            let since = if entry.record.method == "CONNECT" { entry.since } else { asked };
            let known = if harmed { entry.at } else { entry.at.min(since.max(entry.since) + known_by) };
            (since, known.max(since))
        })
        // A tunnel that stood when its upstream was killed is not written down.
        .chain(journal.connections.iter().filter(|one| one.is_untold()).map(|one| (one.opened, one.opened + known_by)))
        .collect();
    let succeeded = |from: Duration, until: Duration| successes.iter().any(|one| one.0 <= until && one.1 >= from);
    let mut failed: Vec<&JournalEntry<'_>> = entries.iter().filter(|entry| is_plain(entry, known_by)).collect();
    failed.sort_by_key(|entry| entry.since);
    let mut cases = Vec::new();
    let mut next = 0;
    while next < failed.len() {
        let first = failed[next];
        let policy = witnesses.configurations.at(first.since).health.policy;
        let threshold = usize::try_from(policy.failure_threshold.get()).unwrap_or(usize::MAX);
        let Some(row) = failed[next..].get(..threshold) else { break };
        let over = row.iter().map(|entry| entry.at).max().unwrap_or(first.at);
        // What began before it was ejected or let in by hand counts for nothing; once it is out, nobody can eject it again.
        if succeeded(first.since, over) || set_by_hand(witnesses, host, first.since, over) {
            next += 1;
            continue;
        }
        // From here on it must be out, until a request succeeds there.
        let out = over + on_the_way;
        let mut probe: Option<(&JournalEntry<'_>, u32)> = None;
        let mut last = next + threshold;
        cases.push(Case::Holds);
        for entry in &failed[next + threshold..] {
            if succeeded(first.since, entry.at) {
                break;
            }
            last += 1;
            let id = entry.record.id.as_deref();
            let Some(asked) = id.and_then(|id| witnesses.requests.get(id)).filter(|asked| asked.began > out) else {
                continue;
            };
            if let Some(why) = excuse(witnesses, host, (first.since, asked.began), entry.at) {
                // Nobody knows any more how it stands; another row may begin with this one.
                cases.push(Case::Excused(why));
                last -= 1;
                break;
            }
            cases.push(match probe {
                None => Case::Holds,
                Some((before, round)) => {
                    // By whichever configuration was in force when the probe before failed.
                    let configs = witnesses.configurations.during(before.since, before.at + on_the_way);
                    let back_offs = configs.map(|config| back_off(&config.health.policy, round) * 4 / 5);
                    let apart = back_offs.min().unwrap_or_default();
                    let soon = entry.since + on_the_way < before.since + apart;
                    let text = || {
                        let text = format!("{host} failed {threshold} times in a row, and was asked again after");
                        format!("{text} {:?}; {apart:?} is the least", entry.since.saturating_sub(before.since))
                    };
                    Case::of(soon.then(|| Violation::found(text(), [first.line, before.line, entry.line, asked.line])))
                }
            });
            let round = probe.map_or(1, |(_, round)| round + 1);
            probe = Some((entry, round));
        }
        next = last;
    }
    cases
}

/// The upstreams, as configured at the time `from`, that lead to `host` by `until`.
fn led_to<'w>(
    witnesses: &'w Witnesses<'_>,
    host: &str,
    (from, until): (Duration, Duration),
) -> impl Iterator<Item = &'w Upstream> {
    let configurations = &witnesses.configurations;
    let upstreams = configurations.at(from).upstreams.iter().map(|one| &**one);
    upstreams.filter(move |one| configurations.hosts_of(&one.host, from, until).contains(host))
}

/// Whether an operator ejected the upstream on `host` or let it in while attempts of the time from `from` to `until` were under way.
fn set_by_hand(witnesses: &Witnesses<'_>, host: &str, from: Duration, until: Duration) -> bool {
    let began = from.saturating_sub(witnesses.configurations.at(from).timeouts.connect);
    led_to(witnesses, host, (from, until)).any(|one| changed_health(witnesses, &one.host, began, until))
}

/// Why nobody can say whether the upstream is out.
fn excuse(
    witnesses: &Witnesses<'_>,
    host: &str,
    (from, picked): (Duration, Duration),
    until: Duration,
) -> Option<Excuse> {
    let configurations = &witnesses.configurations;
    // A reload that changes how an upstream is reached clears its health, and one may change what is enough to be ejected.
    let config = configurations.at(from);
    let leads = |name: &str| configurations.hosts_of(name, from, until).contains(host);
    let own = led_to(witnesses, host, (from, until)).next();
    let same = |one: &Config| {
        let known = match (own, one.upstreams.iter().find(|one| leads(&one.host))) {
            (Some(own), Some(one)) => own.key() == one.key() && own.is_known_as(one),
            (own, one) => own.is_none() && one.is_none(),
        };
        known && one.health.policy.failure_threshold == config.health.policy.failure_threshold
    };
    if !configurations.during(from, until).all(same) {
        return Some(Excuse::Reloaded);
    }
    // Its health is that of its name, and other hosts may have answered to that.
    if led_to(witnesses, host, (from, until)).any(|one| !configurations.is_settled(&one.host, from, until)) {
        return Some(Excuse::NameMoved);
    }
    if led_to(witnesses, host, (from, until)).any(|one| let_in(witnesses, &one.host, from, until)) {
        return Some(Excuse::ByHand);
    }
    if witnesses.disturbances.killed(witnesses.proxy, from, until) {
        return Some(Excuse::ProxyKilled);
    }
    // What a killed upstream has not written down yet may have been a success.
    if witnesses.disturbances.killed(host, from, until) {
        return Some(Excuse::UpstreamKilled);
    }
    // If all are out, the one that failed least is asked all the same.
    let since = from.saturating_sub(config.health.policy.backoff_max * 6 / 5 + RECOVERY_MARGIN);
    let sound = |config: &Config| {
        let mut others = config.upstreams.iter().filter(|one| !leads(&one.host) && one.weight.get() > 0);
        others.any(|one| {
            let nothing_done = |since: Duration| {
                witnesses.disturbances.of_anything(&one.host, since, until).is_none()
                    && !changed_health(witnesses, &one.host, since, until)
            };
            // Or it has come back, since it has served and nothing was done to it from then on.
            let served = witnesses.journals.at(&one.host).into_iter().flat_map(|journal| &journal.requests);
            let served = served.filter(|entry| entry.is_success() && entry.at < picked && nothing_done(entry.since));
            let enough = usize::try_from(config.health.policy.recovery_threshold.get()).unwrap_or(usize::MAX);
            (nothing_done(since) || served.take(enough).count() == enough) && witnesses.serves(one, &one.host, config)
        })
    };
    (!configurations.during(from, until).all(sound)).then_some(Excuse::NoSoundUpstream)
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;
    use serde_json::json;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, What};

    /// Its own words come long after the time-outs, so that one probe asks for several targets, one soon after the other.
    #[test]
    fn what_one_probe_asks_for_is_one_probe() {
        let late = failing("", "").replace(
            r#"{ "fault": "garbage" }"#,
            r#"{ "fault": "brown-out", "with": { "delay": "9s" }, "when": { "from": "3s" } }, { "fault": "garbage" }"#,
        );
        let late = late.replace(r#""failure_threshold""#, r#""timeout_seconds": 2, "failure_threshold""#);
        Twin::of_scenario(&LAW, &late);
    }

    /// Half of what it gets it answers with garbage, and all the rest late and well.
    #[test]
    fn an_answer_that_is_only_late_ends_a_row_of_failures() {
        let mixed = r#"{ "name": "mixed", "story": "One upstream has two faults.", "duration": "10s",
            "proxy": { "health_check": { "failure_threshold": 2, "backoff_base": "1s", "backoff_max": "8s" } },
            "upstreams": [
                { "name": "a", "plan": { "faults": [{ "fault": "garbage", "when": { "every": 2 } }, { "fault": "brown-out", "with": { "delay": "50ms" } }] } },
                { "name": "b", "plan": { "faults": [{ "fault": "garbage", "when": { "until": "2s" } }] } }, { "name": "c" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 10 }] }"#;
        Twin::of_scenario(&LAW, mixed);
    }

    fn failing(more: &str, other: &str) -> String {
        format!(
            r#"{{ "name": "failing", "story": "One upstream answers with garbage.", "duration": "20s",
            "proxy": {{ "health_check": {{ "failure_threshold": 3, "backoff_base": "1s", "backoff_max": "8s" }} }},
            "upstreams": [{{ "name": "a", "plan": {{ "faults": [{{ "fault": "garbage" }}] }} }}, {{ "name": "b"{other} }}],
            "clients": [{{ "name": "client", "do": "echo", "rate": 10 }}]{more} }}"#
        )
    }

    #[test]
    fn fires_where_it_is_asked_again_too_soon_or_as_soon_as_before() {
        // The proxy follows other figures than those that the law is shown.
        for (field, value) in [("backoff_base", "4s"), ("failure_threshold", "1")] {
            let mut twin = Twin::of_scenario(&LAW, &failing("", ""));
            twin.scenario.proxy["health_check"][field] =
                value.parse::<u32>().map_or(json!(value), |number| json!(number));
            twin.fires();
        }
        let mut twin = Twin::of_scenario(&LAW, &failing("", "").replace("\"8s\"", "\"1s\""));
        twin.scenario.proxy["health_check"]["backoff_max"] = json!("8s");
        twin.fires();
    }

    /// The name's other host served well meanwhile, and its health is the name's.
    #[test]
    fn a_name_that_moves_there_and_back_excuses() {
        let moving = r#"{ "name": "moving", "story": "A name leads to a broken host, to a sound one, and back.", "duration": "20s",
            "network": { "dns": { "moving.test": ["a"] } },
            "proxy": { "upstream_proxies": [{ "url": "http://moving.test:8080" }, { "url": "http://c:8080" }],
                "health_check": { "failure_threshold": 3, "backoff_base": "1s", "backoff_max": "8s" } },
            "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "garbage" }] } }, { "name": "b" }, { "name": "c" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 10 }],
            "timeline": [{ "at": "1s", "do": "dns", "name": "moving.test", "hosts": ["b"] },
                { "at": "12s", "do": "dns", "name": "moving.test", "hosts": ["a"] }] }"#;
        Twin::of_scenario(&LAW, moving).excuses(Excuse::NameMoved);
    }

    #[test]
    fn a_tunnel_that_stands_when_its_upstream_is_killed_was_a_success() {
        let garbage = r#", "plan": { "faults": [{ "fault": "garbage", "when": { "from": "14s" } }] }"#;
        let killed = failing(r#", "timeline": [{ "at": "8s", "do": "crash", "host": "a" }]"#, garbage)
            .replacen("\"garbage\"", "\"garbage\", \"when\": { \"every\": 2 }", 1)
            .replace("\"echo\"", "\"hold:for=20s\"")
            .replace("\"failure_threshold\": 3", "\"failure_threshold\": 2");
        Twin::of_scenario(&LAW, &killed);
    }

    /// The proxy took what came first for the answer: a success, behind which the upstream is asked like any other.
    #[test]
    fn what_is_answered_before_it_was_asked_is_no_failure() {
        let mut twin = Twin::of_scenario(&LAW, &failing("", ""));
        let failed = |line: &Line| {
            let known = |id: &Option<String>| id.as_ref().is_some_and(|id| id.starts_with("client"));
            matches!(&line.what, What::Upstream(Event::Request(record)) if known(&record.id))
                && line.host.as_str() == "a"
        };
        let last = twin.record.trace.lines.iter().rposition(failed).unwrap();
        let of_connection = |number: u64| {
            let mut line = twin.record.trace.lines[last].clone();
            if let What::Upstream(Event::Request(record)) = &mut line.what {
                record.connection = number;
            }
            line
        };
        let (first, again) = (of_connection(98), of_connection(99));
        let of_upstream = |event| Line { what: What::Upstream(event), ..first.clone() };
        let opened = of_upstream(Event::Opened { connection: 98, peer: None });
        let struck = of_upstream(Event::Struck { connection: 98, fault: "reply-first".into() });
        let closed = of_upstream(Event::Closed { connection: 98, requests: 1, reason: None });
        twin.record.trace.lines.splice(last + 1..last + 1, [opened, first.clone(), closed, again]);
        twin.fires();
        twin.record.trace.lines.insert(last + 2, struck);
        assert_eq!(twin.checked().violations, []);
    }

    #[test]
    fn one_that_was_let_in_by_hand_need_not_wait() {
        let restored = r#", "timeline": [{ "at": "1s", "do": "steer", "upstream": "a", "order": "restore" }]"#;
        Twin::of_scenario(&LAW, &failing(restored, "")).excuses(Excuse::ByHand);
        // A probe was under way, and its failure came later.
        let probed = r#"{ "name": "probed", "story": "One upstream is let in by hand while it is probed.", "duration": "20s",
            "network": { "latency": "100ms" },
            "proxy": { "timeouts": { "connect": "1s" }, "health_check": { "failure_threshold": 2, "backoff_base": "2s", "backoff_max": "8s" } },
            "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "garbage", "when": { "from": "3s" } }] } }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 1 }],
            "timeline": [{ "at": "1500ms", "do": "steer", "upstream": "a", "order": "eject" },
                { "at": "3650ms", "do": "steer", "upstream": "a", "order": "restore" }] }"#;
        Twin::of_scenario(&LAW, probed);
    }

    /// Its health goes on, so the law does.
    #[test]
    fn a_reload_that_leaves_health_alone_and_an_ejection_of_one_that_is_out_excuse_nothing() {
        let health = r#""failure_threshold": 3, "backoff_base": "1s", "backoff_max": "8s""#;
        let reload = |proxy: &str| format!(r#"{{ "at": "2s", "do": "reload", "proxy": {{ {proxy} }} }}"#);
        let weights = format!(
            r#""health_check": {{ {health} }}, "upstream_proxies": [{{ "url": "http://a:8080", "weight": 2 }}, {{ "url": "http://b:8080" }}]"#
        );
        let sooner = format!(r#""health_check": {{ {} }}"#, health.replace("1s", "100ms"));
        let ejected = r#"{ "at": "2s", "do": "steer", "upstream": "a", "order": "eject" }"#.to_owned();
        for entry in [reload(&weights), reload(&sooner), ejected] {
            let twin = Twin::of_scenario(&LAW, &failing(&format!(r#", "timeline": [{entry}]"#), ""));
            assert_eq!(twin.checked().excused(), 0, "{entry}: {:?}", twin.checked());
        }
    }

    /// The other one was out as well, and has come back since.
    #[test]
    fn another_that_serves_again_is_sound() {
        let ejected = r#", "timeline": [{ "at": "500ms", "do": "steer", "upstream": "b", "order": "eject" }]"#;
        let later = failing(ejected, "").replace(r#""garbage""#, r#""garbage", "when": { "from": "5s" }"#);
        let twin = Twin::of_scenario(&LAW, &later);
        assert_eq!(twin.checked().excused(), 0, "{:?}", twin.checked());
    }

    #[test]
    fn a_reload_and_a_pool_that_is_out_as_a_whole_excuse() {
        for reload in [
            r#""health_check": { "failure_threshold": 4 }"#,
            r#""health_check": { "failure_threshold": 3, "backoff_base": "1s", "backoff_max": "8s" },
                "upstream_proxies": [{ "url": "http://ann:secret@a:8080" }, { "url": "http://b:8080" }]"#,
        ] {
            let reload = format!(r#", "timeline": [{{ "at": "1s", "do": "reload", "proxy": {{ {reload} }} }}]"#);
            Twin::of_scenario(&LAW, &failing(&reload, "")).excuses(Excuse::Reloaded);
        }
        let out = r#", "plan": { "faults": [{ "fault": "garbage" }] }"#;
        Twin::of_scenario(&LAW, &failing("", out)).excuses(Excuse::NoSoundUpstream);
    }
}
