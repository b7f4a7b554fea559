//! How the upstreams stood while a request waited for its answer.

use std::time::Duration;

use mock_upstreams::journal::Record;
use proxy::config::{Config, Upstream};

use crate::judge::by_hand;
use crate::judge::witnesses::{ClientRequest, Harm, JournalEntry, RECOVERY_MARGIN, Witnesses, fault_of, harm_of};

/// An old address is used once more, while its name is looked up: for as long as the upstream was not picked.
const NOT_PICKED: Duration = Duration::from_secs(5);

/// How the upstreams stood that a request could be sent to.
pub(super) struct Standing {
    /// Those to which something was done while the request lasted.
    pub(super) bad: u32,
    /// Those of them that may have had the request wait for them.
    pub(super) waiting: u32,
    /// Those to which something was done before, or that an operator ejected, so that they may still be left alone.
    pub(super) recovering: u32,
    /// The others.
    pub(super) sound: u32,
    /// All that was done to the bad ones is that they refused connections all the time.
    pub(super) refused_alone: bool,
    /// The longest that one takes by itself before it answers.
    pub(super) slowest: Duration,
}

impl Standing {
    /// While `asked` waited for its answer, of which the journals have `entries`.
    pub(super) fn of(
        witnesses: &Witnesses<'_>,
        asked: &ClientRequest<'_>,
        entries: &[JournalEntry<'_>],
        until: Duration,
    ) -> Self {
        let from = asked.began;
        let mut standing =
            Standing { bad: 0, waiting: 0, recovering: 0, sound: 0, refused_alone: true, slowest: Duration::ZERO };
        let first = witnesses.configurations.at(from);
        let mut keys: Vec<_> = Vec::new();
        for config in witnesses.configurations.during(from, until) {
            for upstream in config.upstreams.iter().filter(|one| one.weight.get() > 0) {
                if !keys.contains(&upstream.key()) {
                    keys.push(upstream.key());
                    standing.count(witnesses, asked, entries, until, upstream, first);
                }
            }
        }
        // A kept connection may lead to where a name led before.
        let leads = |host: &str| {
            let known = witnesses.configurations.during(from, until).flat_map(|config| {
                let since = known_since(config, from);
                config.upstreams.iter().flat_map(move |one| witnesses.configurations.hosts_of(&one.host, since, until))
            });
            known.into_iter().any(|one| one == host)
        };
        for entry in entries.iter().filter(|one| witnesses.disturbances.harm(one) != Harm::Nothing && !leads(one.host))
        {
            standing.bad += 1;
            standing.refused_alone = false;
            standing.waiting += u32::from(!answers_at_once(entry.record));
        }
        standing
    }

    fn count(
        &mut self,
        witnesses: &Witnesses<'_>,
        asked: &ClientRequest<'_>,
        entries: &[JournalEntry<'_>],
        until: Duration,
        upstream: &Upstream,
        config: &Config,
    ) {
        let from = asked.began;
        let before = from.saturating_sub(config.health.policy.backoff_max * 6 / 5 + RECOVERY_MARGIN);
        let names = &witnesses.configurations;
        let hosts = names.hosts_of(&upstream.host, known_since(config, from), until);
        // What its name led to before may have had it left alone.
        let led = names.hosts_of(&upstream.host, known_since(config, before), from);
        for host in &hosts {
            let own = witnesses.scenario.upstreams.iter().find(|one| one.name == *host);
            self.slowest = self.slowest.max(own.and_then(|one| one.latency).map_or(Duration::ZERO, |span| span.get()));
        }
        let struck = |host: &str| {
            entries.iter().any(|one| one.host == host && witnesses.disturbances.harm(one) != Harm::Nothing)
        };
        let asked_there = |host: &str| entries.iter().any(|one| one.host == host);
        let harmed = |host: &str| {
            witnesses.disturbances.of_upstream(host, from, until).is_some()
                || struck(host)
                // A connection that was struck before its head was read carries no id, and neither does one whose end nobody tells.
                || (!asked_there(host) && witnesses.disturbances.of_connections(host, from, until).is_some())
                || (!asked_there(host) && witnesses.disturbances.unasked(host, from, until))
                || !witnesses.serves(upstream, host, config)
        };
        // One strike less than the threshold ejects nobody; one that is out stays out with every probe that fails.
        let policies = names.during(before, until).map(|config| config.health.policy.failure_threshold.get());
        let threshold = policies.min().and_then(|least| usize::try_from(least).ok()).unwrap_or(1);
        let may_be_out = |host: &str| {
            witnesses.disturbances.of_upstream(host, before, from).is_some()
                || (witnesses.disturbances.strikes(host, before, until) > 0
                    && witnesses.disturbances.strikes(host, Duration::ZERO, until) >= threshold)
        };
        let unsettled = !names.is_settled(&upstream.host, known_since(config, from), until);
        // Nothing is sent to whoever could not be looked up, and that is known at once.
        let unknown = witnesses.machine.lookup_failed(&upstream.host, known_since(config, from), until);
        let harmed = unsettled || hosts.iter().any(|host| harmed(host));
        if harmed {
            let refused = |host: &str| witnesses.disturbances.only_refused(host, from, until);
            let refused_alone = !unsettled && hosts.iter().all(|host| refused(host));
            self.refused_alone &= refused_alone;
            let at_once = |one: &JournalEntry<'_>| {
                witnesses.disturbances.of_upstream(one.host, from, until).is_none() && answers_at_once(one.record)
            };
            let mut asked = hosts.iter().map(|host| entries.iter().filter(|one| one.host == *host));
            let at_once = !unsettled && asked.all(|mut mine| mine.clone().next().is_some() && mine.all(at_once));
            self.waiting += u32::from(!refused_alone && !at_once);
        }
        if harmed || unknown {
            self.bad += 1;
        } else if led.iter().any(|host| may_be_out(host))
            || by_hand::changed_health(witnesses, &upstream.host, before, until)
        {
            self.recovering += 1;
        } else if witnesses
            .configurations
            .during(from, until)
            .all(|config| config.upstreams.iter().any(|one| one.key() == upstream.key() && one.weight.get() > 0))
        {
            self.sound += 1;
        }
    }
}

/// When an address may have been learned that is used at that time.
fn known_since(config: &Config, at: Duration) -> Duration {
    at.saturating_sub(config.timeouts.dns + NOT_PICKED)
}

/// Whether the faults that struck a request had it fail at once.
fn answers_at_once(record: &Record) -> bool {
    let at_once =
        |fault: &str| fault.starts_with("status") || matches!(fault, "redirect" | "reply-reset" | "reply-close");
    record.faults.iter().all(|label| at_once(fault_of(label)) || harm_of(fault_of(label), true) == Harm::Nothing)
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;

    use super::super::LAW;
    use super::super::tests::{refuse, refuse_instead_of, wrong};
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::What;

    /// The other upstream was killed before its probe was due.
    #[test]
    fn an_upstream_that_was_ejected_by_hand_may_be_left_alone() {
        let text = r#"{ "name": "by-hand", "story": "One is ejected by hand, and then the other is killed.", "duration": "4s",
            "upstreams": [{ "name": "a" }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "echo", "requests": 30, "rate": 10 }],
            "timeline": [{ "at": "1s", "do": "steer", "upstream": "a", "order": "eject" },
                { "at": "1100ms", "do": "crash", "host": "b" }, { "at": "1500ms", "do": "restart", "host": "b" }] }"#;
        Twin::of_scenario(&LAW, text).excuses(Excuse::Recovering);
    }

    /// It fails at each of its probes, one at a time, and the other is killed.
    #[test]
    fn an_upstream_that_was_ejected_long_ago_may_still_be_out() {
        let text = r#"{ "name": "out", "story": "One is out for long, and then the other is killed.", "duration": "20s",
            "proxy": { "health_check": { "failure_threshold": 8, "backoff_base": "8s", "backoff_max": "8s" } },
            "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "http-9.9", "when": { "until": "18s" } }] } }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 10 }],
            "timeline": [{ "at": "18s", "do": "crash", "host": "b" }, { "at": "19s", "do": "restart", "host": "b" }] }"#;
        Twin::of_scenario(&LAW, text).excuses(Excuse::Recovering);
    }

    /// The connection is kept to where the name of the upstream led before, and that host goes wrong.
    #[test]
    fn a_fault_behind_a_kept_connection_uses_up_an_attempt_though_the_name_has_moved() {
        let moved = r#"{ "name": "moved", "story": "A name moves.", "duration": "8s",
            "network": { "dns": { "moving.test": ["a"] } },
            "proxy": { "failover": { "max_attempts": 1 }, "upstream_proxies": [
                { "url": "http://moving.test:8080" }, { "url": "http://c:8080" }] },
            "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "tls-bytes", "when": { "from": "6s" } }] } },
                { "name": "b" }, { "name": "c" }],
            "clients": [{ "name": "client", "do": "http:method=HEAD,bytes=24", "rate": 10 }],
            "timeline": [{ "at": "2s", "do": "dns", "name": "moving.test", "hosts": ["b"] }] }"#;
        Twin::of_scenario(&LAW, moved).excuses(Excuse::AttemptLimit);
    }

    #[test]
    fn a_connection_whose_end_nobody_tells_may_have_been_struck() {
        let one = r#""failover": { "max_attempts": 1 }, "timeouts": { "reply": "1s" }"#;
        let held = r#"{ "fault": "brown-out", "with": { "delay": "60s" } }"#;
        Twin::of_scenario(&LAW, &wrong(held, "", one, "http:bytes=10")).excuses(Excuse::AttemptLimit);
    }

    #[test]
    fn names_that_nobody_can_look_up_and_an_upstream_that_may_still_be_out_excuse() {
        let lookups =
            wrong("", "", "", "echo").replace(r#""timeline""#, r#""chance": { "dns_failures": 1 }, "timeline""#);
        Twin::of_scenario(&LAW, &lookups).excuses(Excuse::NoSoundUpstream);
        let both = r#"{ "at": "1s", "do": "crash", "host": "a" }, { "at": "2s", "do": "restart", "host": "a" },
            { "at": "2500ms", "do": "crash", "host": "b" }"#;
        let mut twin = Twin::of_scenario(&LAW, &wrong("", both, "", "echo"));
        refuse_instead_of(&mut twin, "a");
        twin.excuses(Excuse::Recovering);
    }

    #[test]
    fn an_address_that_is_old_is_used_once_more() {
        let moved = r#"{ "name": "moved", "story": "A name leads away from a dead host.", "duration": "6s",
            "network": { "dns": { "moving.test": ["a"] } },
            "proxy": { "failover": { "max_attempts": 1 }, "timeouts": { "dns": "500ms", "connect": "1s", "reply": "1s" },
                "upstream_proxies": [{ "url": "http://moving.test:8080" }, { "url": "http://c:8080" }] },
            "upstreams": [{ "name": "a" }, { "name": "b" }, { "name": "c" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 1 }],
            "timeline": [{ "at": "500ms", "do": "partition-one-way", "from": "a", "to": "proxy" },
                { "at": "600ms", "do": "dns", "name": "moving.test", "hosts": ["b"] }] }"#;
        Twin::of_scenario(&LAW, moved).excuses(Excuse::AttemptLimit);
    }

    #[test]
    fn an_upstream_may_still_be_out_for_the_host_that_its_name_led_to_before() {
        let moved = r#"{ "name": "moved", "story": "A name leads away from a dead host.", "duration": "8s",
            "network": { "dns": { "moving.test": ["a"] } },
            "proxy": { "health_check": { "failure_threshold": 2, "backoff_base": "4s", "backoff_max": "4s" }, "timeouts": { "connect": "1s", "dns": "1s", "reply": "1s" },
                "upstream_proxies": [{ "url": "http://moving.test:8080" }, { "url": "http://c:8080" }] },
            "upstreams": [{ "name": "a" }, { "name": "b" }, { "name": "c" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 10 }],
            "timeline": [{ "at": "1s", "do": "crash", "host": "a" },
                { "at": "1500ms", "do": "dns", "name": "moving.test", "hosts": ["b"] },
                { "at": "4s", "do": "crash", "host": "c" }, { "at": "6s", "do": "restart", "host": "c" }] }"#;
        let mut twin = Twin::of_scenario(&LAW, moved);
        let served = |what: &What| matches!(what, What::Upstream(Event::Request(record)) if record.id.is_some());
        let lines = twin.record.trace.lines.clone();
        let places = (0..lines.len()).filter(|place| served(&lines[*place].what));
        // Some of what was served then might have been refused.
        let excused = places.filter(|place| {
            twin.record.trace.lines.clone_from(&lines);
            let What::Upstream(Event::Request(record)) = twin.record.trace.lines.remove(*place).what else { panic!() };
            refuse(&mut twin, record.id.as_deref().unwrap());
            twin.checked().excused.contains_key(&Excuse::Recovering)
        });
        assert!(excused.count() > 0);
    }
}
