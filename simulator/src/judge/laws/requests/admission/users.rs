//! The law `users`: no upstream is shown a user that is not its own.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{JournalEntry, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "users",
    text: "No upstream is shown a user but the one that a configuration in force has for it.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let entries = witnesses.journals.by_host.values().flat_map(|journal| &journal.requests);
    entries.map(|entry| judge(witnesses, entry)).collect()
}

fn judge(witnesses: &Witnesses<'_>, entry: &JournalEntry<'_>) -> Case {
    let Some(user) = &entry.record.user else { return Case::Holds };
    let configurations = &witnesses.configurations;
    // It was picked before it came.
    let asked = entry.record.id.as_deref().and_then(|id| witnesses.requests.get(id));
    let picked = configurations.at(entry.since).timeouts.connect;
    let picked = asked.map_or(entry.since.saturating_sub(picked), |asked| asked.began.min(entry.since));
    let since = picked.saturating_sub(witnesses.tolerance);
    let own = |from: Duration| {
        configurations.during(from, entry.at).any(|config| {
            config.upstreams.iter().any(|one| {
                let leads = one.host == entry.host || configurations.is_alias(&one.host);
                leads && one.credentials.as_ref().is_some_and(|own| own.username == *user)
            })
        })
    };
    if own(since) {
        return Case::Holds;
    }
    // What a cut link held up may have been sent under an earlier configuration.
    let held_up = witnesses.disturbances.of_upstream(entry.host, since, entry.at) == Some(Excuse::UpstreamCutOff);
    if held_up && own(Duration::ZERO) {
        return Case::Excused(Excuse::UpstreamCutOff);
    }
    let text = format!("{} was shown the user {user:?}, who is not its own", entry.host);
    Case::Broken(Violation::found(text, [entry.line]))
}

#[cfg(test)]
mod tests {
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::What;

    #[test]
    fn fires_where_an_upstream_gets_a_clients_name() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Upstream(Event::Request(_))));
        if let What::Upstream(Event::Request(record)) = &mut twin.record.trace.lines[at].what {
            record.user = Some("alice".to_owned());
        }
        twin.fires();
    }

    /// A check was held up by a cut link for longer than its own time, and arrived behind a reload that took its upstream away.
    #[test]
    fn what_a_link_held_up_may_have_been_sent_under_an_earlier_configuration() {
        let reloaded = r#"{ "name": "held", "story": "One upstream is cut off, and taken away meanwhile.", "duration": "14s",
            "network": { "latency": "100ms" },
            "proxy": { "health_check": { "enabled": true, "endpoints": ["echo.mock:80"], "interval_seconds": 1, "timeout_seconds": 1 },
                "timeouts": { "connect": "1s", "reply": "1s" }, "upstream_proxies": [{ "url": "http://u:secret@a:8080" }, { "url": "http://b:8080" }] },
            "upstreams": [{ "name": "a", "auth": "u:secret" }, { "name": "b" }],
            "clients": [{ "name": "client", "do": "echo", "rate": 10 }],
            "timeline": [{ "at": "3780ms", "do": "hold", "between": ["proxy", "a"] }, { "at": "9s", "do": "heal", "between": ["proxy", "a"] },
                { "at": "4200ms", "do": "reload", "proxy": { "timeouts": { "connect": "1s" }, "upstream_proxies": [{ "url": "http://b:8080" }] } }] }"#;
        Twin::of_scenario(&LAW, reloaded).excuses(Excuse::UpstreamCutOff);
    }
}
