//! The law `blame`: an upstream is charged and ejected only for what was done to it, or to a connection or request there.

use std::time::Duration;

use proxy::config::Config;

use crate::judge::by_hand;
use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::Witnesses;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "blame",
    text: "An upstream is charged with a failure or ejected only where something was done to it, or where a fault struck a connection \
           or request there, by its own journal.",
    check: Check::Told(check),
};

/// How long the proxy remembers a failure that may be the target's, in case another upstream opens it.
const MEMORY: Duration = Duration::from_secs(10);
/// An upstream writes a request down once it is over, and the proxy may have judged it before.
const WRITTEN_LATER: Duration = Duration::from_secs(1);

fn check(history: &History<'_>) -> Checked {
    let mut checked = Checked::default();
    for process in &history.processes {
        for (line, at, event) in history.proxy_lines(process) {
            let (name, how) = match event {
                ProxyEvent::Blamed { upstream, blame: "upstream", rule } => (upstream.as_str(), *rule),
                ProxyEvent::Ejected { upstream, .. } => (upstream.as_str(), "ejected"),
                _ => continue,
            };
            let text = || format!("nothing was done to {name}, but it is blamed ({how})");
            let by_hand = how == "ejected" && by_hand::ejected(&history.witnesses, name, at);
            let deserved =
                by_hand || deserved(&history.witnesses, name, at) || opened_by_a_fault(&history.witnesses, at);
            checked.add(Case::of((!deserved).then(|| Violation::found(text(), [line]))));
        }
    }
    checked
}

/// Whether something was done to what `name` leads to so shortly before `at` that a charge may follow from it.
fn deserved(witnesses: &Witnesses<'_>, name: &str, at: Duration) -> bool {
    let config = witnesses.configurations.at(at);
    let each = config.timeouts.connect + config.timeouts.reply;
    let all = u32::try_from(config.upstreams.len()).unwrap_or(u32::MAX);
    let since = at.saturating_sub(MEMORY + (each * all).min(config.timeouts.request));
    let names = &witnesses.configurations;
    let until = at + WRITTEN_LATER + witnesses.one_way() * 4 + witnesses.tolerance;
    let fits = |host: &str| {
        let entries = names.during(since, at).flat_map(|config| config.upstreams.iter().map(move |one| (config, one)));
        entries.filter(|(_, one)| one.host == name).all(|(config, one)| witnesses.serves(one, host, config))
    };
    // The reset that says that a warm connection was closed may be lost, and is not sent again.
    let warm = |config: &Config| config.upstreams.iter().any(|one| one.host == name && one.warm_connections.is_some());
    !names.is_settled(name, since.saturating_sub(config.timeouts.dns), at)
        || (witnesses.loses_packets() && names.during(since, at).any(warm))
        // A kept connection may go on to where its name led before.
        || names.hosts_of(name, Duration::ZERO, at).iter().any(|host| {
            let disturbances = &witnesses.disturbances;
            disturbances.of_anything(host, since, until).is_some()
                || disturbances.untold(host, since, until)
                || !fits(host)
        })
}

/// Whether a fault has answered in the place of a target that does not work, or whose own answer is odd, so shortly before `at` that
/// upstreams which told the truth look as if they were to blame.
fn opened_by_a_fault(witnesses: &Witnesses<'_>, at: Duration) -> bool {
    let request = witnesses.configurations.at(at).timeouts.request;
    let (since, until) = (at.saturating_sub(MEMORY + request), at + request + WRITTEN_LATER);
    let entries = witnesses.journals.by_host.values().flat_map(|journal| &journal.requests);
    let mut lasted = entries.filter(|entry| entry.since <= until && entry.at >= since);
    lasted.any(|entry| {
        let asked = entry.record.id.as_deref().and_then(|id| witnesses.requests.get(id));
        let by_a_fault = entry.reply_came_first || !entry.record.faults.is_empty();
        by_a_fault && asked.is_some_and(|asked| !witnesses.should_succeed(asked))
    })
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, ProxyEvent, What};
    use crate::scenario::HostName;

    const FAULTY: &str = r#"{
        "name": "faulty", "story": "One upstream answers with garbage, and the other is sound.", "duration": "3s",
        "upstreams": [{ "name": "alpha", "plan": { "faults": [{ "fault": "garbage" }] } },
            { "name": "beta", "plan": { "faults": [{ "fault": "slice" }] } }],
        "clients": [{ "name": "client", "do": "echo", "requests": 12, "rate": 10 }]
    }"#;

    #[test]
    fn fires_where_a_sound_upstream_is_blamed() {
        let mut twin = Twin::of_scenario(&LAW, FAULTY);
        let upstream = HostName::new("beta");
        let what = What::Proxy(ProxyEvent::Blamed { upstream, blame: "upstream", rule: "unreachable" });
        twin.record.trace.lines.insert(5, Line { at_us: 9, host: HostName::new("proxy"), what });
        twin.fires();
    }

    /// Its connection was in use all the time, so that it outlived the name's move by far.
    #[test]
    fn a_name_is_blamed_for_where_its_kept_connection_leads() {
        let moved = r#"{ "name": "moved", "story": "A name moves, and its former host is cut off later.", "duration": "40s",
            "network": { "dns": { "moving.test": ["a"] } },
            "proxy": { "timeouts": { "dns": "1s", "connect": "1s", "reply": "1s" }, "upstream_proxies": [{ "url": "http://moving.test:8080" }, { "url": "http://c:8080" }] },
            "upstreams": [{ "name": "a" }, { "name": "b" }, { "name": "c" }],
            "clients": [{ "name": "client", "do": "http:bytes=10", "rate": 10, "until": "35s" }],
            "timeline": [{ "at": "1s", "do": "dns", "name": "moving.test", "hosts": ["b"] },
                { "at": "34750ms", "do": "partition-one-way", "from": "a", "to": "proxy" }] }"#;
        Twin::of_scenario(&LAW, moved);
    }

    /// Its word alone had the proxy probe the others with targets that nobody can reach, and eject them.
    #[test]
    fn an_upstream_that_says_that_it_opens_what_is_dead_ejects_nobody_else() {
        let twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "liar", "story": "One upstream says that it has opened whatever it is asked for, and brings nothing.", "duration": "10s",
            "upstreams": [{ "name": "a" }, { "name": "b" },
                { "name": "liar", "plan": { "faults": [{ "fault": "large-line", "with": { "size": 1 } }] } }],
            "clients": [{ "name": "client", "do": "http:bytes=100", "rate": 2 },
                { "name": "lost", "do": "echo:target={id}.gone.example:80", "rate": 10 }] }"#,
        );
        let told = |wanted: fn(&ProxyEvent) -> bool| {
            twin.record
                .trace
                .lines
                .iter()
                .filter(|line| matches!(&line.what, What::Proxy(event) if wanted(event)))
                .count()
        };
        assert!(told(|event| matches!(event, ProxyEvent::Suspected { .. })) > 0);
        assert_eq!(told(|event| matches!(event, ProxyEvent::Ejected { .. })), 0);
    }
}
