//! The law `configured`: a request reaches only upstreams that the configuration gives a weight, where their names lead.

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, JournalEntry, Witnesses};

pub(in crate::judge) const LAW: Law = Law {
    name: "configured",
    text: "A request reaches only upstreams that have a weight in a configuration that was in force while it lasted, first pick or \
           not, and only where their names led by then.",
    check: Check::BlackBox(check),
};

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let known = witnesses.journals.by_id().filter_map(|(id, entries)| Some((id, entries, witnesses.requests.get(id)?)));
    known.flat_map(|(id, entries, asked)| entries.iter().map(move |entry| judge(witnesses, id, asked, entry))).collect()
}

fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>, entry: &JournalEntry<'_>) -> Case {
    let from = asked.began.saturating_sub(witnesses.tolerance);
    // It was picked before the upstream wrote it down, and before its client gave up.
    let until = entry.at.min(witnesses.end_of(asked));
    let configurations = &witnesses.configurations;
    let mut weighty = false;
    let mut moved = false;
    for config in configurations.during(from, until) {
        // An address is used until it is due to be asked for again, and a kept connection until it idles for too long.
        let kept =
            if asked.is_tunnel() { config.timeouts.dns } else { config.timeouts.dns + config.timeouts.pool_idle };
        let since = from.saturating_sub(kept + config.timeouts.connect);
        for upstream in config.upstreams.iter().filter(|one| one.weight.get() > 0) {
            weighty |= configurations.hosts_of(&upstream.host, from, until).contains(entry.host);
            moved |= configurations.hosts_of(&upstream.host, since, until).contains(entry.host);
        }
    }
    if weighty {
        Case::Holds
    } else if moved {
        Case::Excused(Excuse::NameMoved)
    } else {
        let text = format!("{} got {id}, but no configuration in force sends anything there", entry.host);
        Case::Broken(Violation::found(text, [entry.line, asked.line]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;

    #[test]
    fn fires_where_an_upstream_of_weight_zero_is_asked() {
        let mut twin = Twin::of(&LAW);
        twin.scenario.proxy["upstream_proxies"][2]["weight"] = json!(0);
        twin.fires();
    }

    fn moving(seconds: u64) -> String {
        format!(
            r#"{{ "name": "moving", "story": "A name moves.", "duration": "{seconds}s",
            "network": {{ "dns": {{ "moving.test": ["a"] }} }},
            "proxy": {{ "upstream_proxies": [{{ "url": "http://moving.test:8080" }}], "timeouts": {{ "dns": "2s", "connect": "1s" }} }},
            "upstreams": [{{ "name": "a" }}, {{ "name": "b" }}],
            "clients": [{{ "name": "client", "do": "echo", "rate": 10 }}],
            "timeline": [{{ "at": "3s", "do": "dns", "name": "moving.test", "hosts": ["b"] }}] }}"#
        )
    }

    #[test]
    fn an_old_address_is_excused_while_it_may_be_kept_and_no_longer() {
        let twin = Twin::of_scenario(&LAW, &moving(10));
        twin.excuses(Excuse::NameMoved);
        let mut twin = Twin::of_scenario(&LAW, &moving(10));
        twin.rename_upstream("b", "a");
        twin.fires();
    }
}
