//! The law `health`: the proxy says that it is alive, and whether it is ready, whatever happens around it.

use std::time::Duration;

use loadgen::ActionKind;

use crate::judge::by_hand::changed_health;
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::judge::witnesses::{ClientRequest, RESERVE, Witnesses};
use crate::scenario::Entrance;

pub(in crate::judge) const LAW: Law = Law {
    name: "health",
    text: "The proxy says in time that it is alive, and that it is ready while an upstream exists to which nothing was ever done, until it \
           is told to stop; more clients than it serves change nothing. Once all is healed it is ready. Where its pages have a listener of \
           their own, no crowd of clients changes anything there, and nobody gets them where clients connect, or through the proxy by a local name.",
    check: Check::BlackBox(check),
};

/// How many rounds over the network an answer may take, and how much longer.
const ROUNDS: u32 = 8;
const SLACK: Duration = Duration::from_secs(1);
/// The same at the listener of the proxy's own pages, where nobody waits for a place. Above its limit the proxy is rid of most clients within a
/// second, so that a longer one would hide that they share their places.
const SLACK_AT_PAGES: Duration = Duration::from_millis(200);

/// How long the proxy may take for what needs no upstream.
pub(super) fn in_time(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> Duration {
    let rests = witnesses.machine.rests(asked.began, witnesses.end_of(asked));
    let slack = if asked.entrance == Entrance::Admin { SLACK_AT_PAGES } else { SLACK };
    witnesses.one_way() * ROUNDS + slack + witnesses.resending() + rests + witnesses.tolerance
}

/// Why nothing can be demanded of an answer of the proxy itself.
pub(super) fn excuse(witnesses: &Witnesses<'_>, asked: &ClientRequest<'_>) -> Option<Excuse> {
    let (from, until) = (asked.began, witnesses.end_of(asked));
    let disturbances = &witnesses.disturbances;
    let accepts = disturbances.stopped().map(|stopped| stopped + witnesses.configurations.at(from).server.drain_delay);
    // Whoever comes when accepting ends may be told nothing.
    let stopping =
        || accepts.filter(|accepts| until + in_time(witnesses, asked) >= *accepts).map(|_| Excuse::ProxyStopping);
    let excuse = disturbances.of_client(asked.client, from, until).or_else(|| disturbances.of_proxy(from, until));
    excuse.or_else(stopping).or_else(|| witnesses.crowded(asked, RESERVE))
}

fn check(witnesses: &Witnesses<'_>) -> Checked {
    let asked = witnesses.pages.iter().filter(|(_, asked)| witnesses.reaches_the_proxy(asked));
    let pages = asked.filter_map(|(id, asked)| match &witnesses.action_of(asked)?.kind {
        ActionKind::Page { exchange, .. } => judge(witnesses, id, asked, &exchange.path),
        _ => None,
    });
    pages.chain(at_last(witnesses)).chain(through_the_proxy(witnesses)).collect()
}

/// Once all is healed, the proxy is ready if anybody serves.
fn at_last<'w>(witnesses: &'w Witnesses<'_>) -> impl Iterator<Item = Case> + 'w {
    let config = witnesses.configurations.at(witnesses.over);
    let serves = config.upstreams.iter().filter(|one| one.weight.get() > 0).any(|one| {
        let hosts = witnesses.configurations.hosts_of(&one.host, witnesses.over, witnesses.over);
        hosts.iter().any(|host| witnesses.serves(one, host, config))
    });
    let pages = witnesses.last_pages.iter().filter(move |(_, path, _)| serves || *path == "/healthz");
    pages.map(|(line, path, status)| {
        let text = || format!("{path} answered {status} when all was healed and quiet");
        Case::of((*status != 200).then(|| Violation::found(text(), [*line])))
    })
}

/// Who asks the proxy for its own pages, at a name for this very machine, is not sent to an upstream: where that stands on the same machine,
/// it would find them, and the client would pass for a local one.
fn through_the_proxy<'w>(witnesses: &'w Witnesses<'_>) -> impl Iterator<Item = Case> + 'w {
    let port = witnesses.configurations.port_of_pages();
    let local = |host: &str| host == "localhost" || host.ends_with(".localhost");
    let is_at_pages = move |target: &str| {
        target.rsplit_once(':').is_some_and(|(host, of)| local(host) && port.is_some_and(|port| of == port.to_string()))
    };
    let asked = witnesses.requests.iter().filter(move |(_, asked)| is_at_pages(asked.target));
    asked.map(|(id, asked)| {
        let written = witnesses.journals.of(id).first().map(|entry| (entry.host, entry.line));
        let found =
            written.map(|(host, line)| (format!("{id} asks for the proxy's own pages, and was sent to {host}"), line));
        let told = asked.result().and_then(|result| result.status) == Some(200);
        let found = found
            .or_else(|| told.then(|| (format!("{id} got the proxy's own pages through the proxy"), asked.last_line())));
        Case::of(found.map(|(text, line)| Violation::found(text, [asked.line, line])))
    })
}

/// `None` for any other page.
fn judge(witnesses: &Witnesses<'_>, id: &str, asked: &ClientRequest<'_>, path: &str) -> Option<Case> {
    let (from, until) = (asked.began, witnesses.end_of(asked));
    let elsewhere = witnesses.configurations.port_of_pages().is_some() && asked.entrance == Entrance::Clients;
    let right: &[u16] = match (path, witnesses.disturbances.stopped()) {
        ("/healthz" | "/readyz", _) if elsewhere => &[404],
        ("/healthz", _) => &[200],
        ("/readyz", Some(stopped)) if from >= stopped + witnesses.one_way() => &[503],
        ("/readyz", Some(stopped)) if until >= stopped => &[200, 503],
        ("/readyz", _) if somebody_serves(witnesses, from, until) => &[200],
        ("/readyz", _) => &[200, 503],
        _ => return None,
    };
    let status = asked.result().and_then(|result| result.status);
    let broken = |text: String| Some(Case::Broken(Violation::found(text, [asked.line, asked.last_line()])));
    if right == [503] && status == Some(200) {
        return broken(format!("{id} was told that the proxy is ready, though it was told to stop"));
    }
    if elsewhere && status == Some(200) {
        return broken(format!("{id} got {path} where clients connect, though the pages have a listener of their own"));
    }
    let wrong = match status {
        None => format!("{id} was not told by {path} how the proxy is"),
        Some(status) if !right.contains(&status) => format!("{path} told {id} {status}; {right:?} is right"),
        Some(_) if until - from > in_time(witnesses, asked) => {
            format!("{path} kept {id} waiting for {:?}", until - from)
        }
        Some(_) => return Some(Case::Holds),
    };
    excuse(witnesses, asked).map(Case::Excused).or_else(|| broken(wrong))
}

/// Whether nothing was ever done to one of the upstreams that were in force all the time.
fn somebody_serves(witnesses: &Witnesses<'_>, from: Duration, until: Duration) -> bool {
    let configurations = &witnesses.configurations;
    let config = configurations.at(from);
    let sound = |host: &str| witnesses.disturbances.of_anything(host, Duration::ZERO, until).is_none();
    configurations.is_unchanged(Duration::ZERO, until)
        && config.upstreams.iter().filter(|one| one.weight.get() > 0).any(|one| {
            let hosts = configurations.hosts_of(&one.host, Duration::ZERO, until);
            // One that an operator has ejected need not serve.
            !changed_health(witnesses, &one.host, Duration::ZERO, until)
                && hosts.iter().all(|host| sound(host) && witnesses.serves(one, host, config))
        })
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, ProxyEvent, What};

    fn asked(rest: &str) -> Twin {
        let text = format!(
            r#"{{ "name": "asked", "story": "The proxy is asked how it is.", "duration": "8s", {rest}
            "upstreams": [{{ "name": "a" }}, {{ "name": "b" }}],
            "clients": [{{ "name": "alive", "do": "page:path=/healthz", "rate": 5, "until": "8s" }},
                {{ "name": "ready", "do": "page:path=/readyz", "rate": 5, "until": "8s" }}] }}"#
        );
        Twin::of_scenario(&LAW, &text)
    }

    /// Has the last of the answers to `client` be another.
    fn answer(twin: &mut Twin, client: &str, status: Option<u16>, took_us: u64) {
        let last = twin.record.trace.lines.iter_mut().rev().find_map(|line| match &mut line.what {
            What::Client(ClientEvent::Ended(one)) if one.id.starts_with(client) => Some((&mut line.at_us, one)),
            _ => None,
        });
        let (at_us, one) = last.unwrap();
        (one.status, *at_us) = (status, *at_us + took_us);
    }

    #[test]
    fn fires_where_a_page_says_something_else_or_nothing_or_comes_late() {
        for (client, status, took_us) in
            [("alive", Some(503), 0), ("alive", None, 0), ("ready", Some(503), 0), ("ready", Some(200), 5_000_000)]
        {
            let mut twin = asked("");
            answer(&mut twin, client, status, took_us);
            twin.fires();
        }
    }

    #[test]
    fn fires_where_a_stopping_proxy_is_ready() {
        let mut twin =
            asked(r#""proxy": { "server": { "drain_delay": "6s" } }, "timeline": [{ "at": "4s", "do": "drain" }],"#);
        answer(&mut twin, "ready", Some(200), 0);
        twin.fires();
    }

    #[test]
    fn a_proxy_whose_operator_has_ejected_all_need_not_be_ready() {
        let ejected =
            |name: &str| format!(r#"{{ "at": "4s", "do": "steer", "upstream": "{name}", "order": "eject" }}"#);
        let both = format!(r#""timeline": [{}, {}],"#, ejected("a"), ejected("b"));
        let twin = asked(&both);
        let refused = |what: &What| matches!(what, What::Client(ClientEvent::Ended(one)) if one.status == Some(503));
        assert!(twin.record.trace.lines.iter().any(|line| refused(&line.what)), "it has said so");
        // One of them is enough.
        let mut twin = asked(&format!(r#""timeline": [{}],"#, ejected("a")));
        answer(&mut twin, "ready", Some(503), 0);
        twin.fires();
    }

    #[test]
    fn fires_where_a_healed_proxy_is_not_ready() {
        let mut twin = asked("");
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Page { path, .. }) if path == "/readyz"));
        if let What::Proxy(ProxyEvent::Page { status, .. }) = &mut twin.record.trace.lines[at].what {
            *status = 503;
        }
        twin.fires();
    }

    #[test]
    fn a_killed_proxy_and_one_that_ends_and_more_clients_than_the_reserve_excuse() {
        let killed = r#""timeline": [{ "at": "4s", "do": "crash", "host": "proxy" }, { "at": "5s", "do": "restart", "host": "proxy" }],"#;
        asked(killed).excuses(Excuse::ProxyKilled);
        let ends = r#""proxy": { "server": { "drain_delay": "3s" } }, "timeline": [{ "at": "4s", "do": "drain" }],"#;
        asked(ends).excuses(Excuse::ProxyStopping);
        let full = r#"{ "name": "full", "story": "Many come at once.", "duration": "4s", "proxy": { "limits": { "max_connections": 2 } },
            "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "herd", "do": "hold:for=3s", "requests": 20, "rate": 1000, "timeout": "3s" },
                { "name": "alive", "do": "page:path=/healthz", "rate": 50, "until": "60ms" }] }"#;
        let mut full = Twin::of_scenario(&LAW, full);
        answer(&mut full, "alive", None, 0);
        full.excuses(Excuse::Crowded);
    }

    /// The pages have a listener of their own, where `watchers` ask for one at once, while a crowd takes all other places.
    fn crowded(watchers: u32) -> Twin {
        let text = format!(
            r#"{{ "name": "crowded", "story": "A crowd takes all places but the pages' own.", "duration": "4s",
            "proxy": {{ "admin": {{ "listen_address": "0.0.0.0:9100" }}, "limits": {{ "max_connections": 2 }}, "timeouts": {{ "header": "3s" }} }},
            "upstreams": [{{ "name": "a" }}],
            "clients": [{{ "name": "herd", "do": "abuse:by=silence", "requests": 60, "rate": 1000 }},
                {{ "name": "alive", "do": "page:path=/healthz", "entrance": "admin", "clients": {watchers}, "requests": {watchers}, "from": "1s" }}] }}"#
        );
        let twin = Twin::of_scenario(&LAW, &text);
        assert_eq!(twin.checked().violations, []);
        twin
    }

    #[test]
    fn fires_where_a_crowd_of_clients_keeps_the_listener_of_the_pages_from_answering() {
        for (status, took_us) in [(None, 0), (Some(200), 500_000)] {
            let mut twin = crowded(16);
            answer(&mut twin, "alive", status, took_us);
            twin.fires();
        }
    }

    #[test]
    fn more_at_once_at_the_listener_of_the_pages_than_it_has_places_excuse() {
        let mut twin = crowded(17);
        answer(&mut twin, "alive", None, 0);
        twin.excuses(Excuse::Crowded);
    }

    /// The pages have a listener of their own, and nobody asks there.
    fn astray() -> Twin {
        let twin = Twin::of_scenario(
            &LAW,
            r#"{ "name": "astray", "story": "Some ask for the pages where they are not.", "duration": "4s",
            "proxy": { "admin": { "listen_address": "0.0.0.0:9100" } }, "upstreams": [{ "name": "a" }],
            "clients": [{ "name": "alive", "do": "page:path=/healthz", "requests": 4, "rate": 5 },
                { "name": "ready", "do": "page:path=/readyz", "requests": 4, "rate": 5 },
                { "name": "roundabout", "do": "http:target={id}.proxy.localhost:9100,path=/readyz", "requests": 4, "rate": 5 },
                { "name": "good", "do": "http", "requests": 4, "rate": 5 }] }"#,
        );
        assert_eq!(twin.checked().violations, []);
        twin
    }

    #[test]
    fn fires_where_pages_with_a_listener_of_their_own_are_told_where_clients_connect() {
        for (client, status) in [("alive", Some(200)), ("ready", Some(200)), ("ready", Some(503)), ("alive", None)] {
            let mut twin = astray();
            answer(&mut twin, client, status, 0);
            twin.fires();
        }
    }

    #[test]
    fn fires_where_the_pages_are_asked_for_through_the_proxy_and_an_upstream_hears_of_it_or_they_are_told() {
        let mut twin = astray();
        answer(&mut twin, "roundabout", Some(200), 0);
        twin.fires();
        let mut twin = astray();
        let good = |what: &What| matches!(what, What::Client(ClientEvent::Asked { id, .. }) if id.starts_with("good"));
        let at = twin.find(good);
        if let What::Client(ClientEvent::Asked { target, .. }) = &mut twin.record.trace.lines[at].what {
            *target = "good-0.proxy.localhost:9100".to_owned();
        }
        twin.fires();
    }
}
