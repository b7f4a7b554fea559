//! The law `statistics`: the statistics page says what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use loadgen::{ActionKind, FailureKind};
use mock_upstreams::journal::Record;
use serde_json::Value as Json;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyProcess;
use crate::judge::violation::Violation;
use crate::judge::witnesses::ClientRequest;
use crate::record::ProxyEvent;
use crate::scenario::Action;

pub(in crate::judge) const LAW: Law = Law {
    name: "statistics",
    text: "The statistics page says what happened: requests, successes and failures; it books each attempt to the upstream that had it, \
           which has written it down; and when all is over nothing is under way or open but the page's own connection.",
    check: Check::Told(check),
};

/// What a process told before its page was read.
#[derive(Default)]
struct Told<'a> {
    verdicts: u64,
    successes: u64,
    /// Requests that were refused for what they ask or who asks them.
    rejected: u64,
    /// Attempts and successful attempts, by the upstream that was picked.
    attempts: BTreeMap<&'a str, (u64, u64)>,
    /// Who is ejected, so that a probe of it may be under way.
    ejected: BTreeSet<&'a str>,
}

fn check(history: &History<'_>) -> Checked {
    let mut checked = Checked::default();
    for process in &history.processes {
        let mut told = Told::default();
        let mut decided = BTreeSet::new();
        for (line, at, event) in history.proxy_lines(process) {
            match event {
                ProxyEvent::Decided { request, success } => {
                    decided.insert(*request);
                    told.verdicts += 1;
                    told.successes += u64::from(*success);
                }
                // Health checks are not requests.
                ProxyEvent::AttemptEnded { request: Some(_), failure, upstream, .. } => {
                    let (attempts, served) = told.attempts.entry(upstream.as_str()).or_default();
                    *attempts += 1;
                    *served += u64::from(failure.is_none());
                }
                ProxyEvent::Ejected { upstream, .. } => drop(told.ejected.insert(upstream.as_str())),
                ProxyEvent::Recovered { upstream, .. } => drop(told.ejected.remove(upstream.as_str())),
                // What is refused for what it asks or who asks it has no verdict.
                ProxyEvent::Finished(end) => {
                    let refused = end.attempts == 0 && end.status >= 400 && !decided.contains(&end.request);
                    told.rejected += u64::from(refused);
                }
                ProxyEvent::Statistics { page } => {
                    sums(history, &told, page, (line, at), &mut checked);
                    each(history, process, &told, page, (line, at), &mut checked);
                }
                _ => {}
            }
        }
    }
    checked
}

/// Holds the sums of the page against what the proxy told.
fn sums(history: &History<'_>, told: &Told<'_>, page: &Json, place: (usize, Duration), checked: &mut Checked) {
    let (line, at) = place;
    let may_last = gone(history) + half_closed(history, at);
    let total = |field: &str| number(page, &["total", field]);
    let sum = |field: &str| sum_of_upstreams(page, field);
    let (attempts, served) = told.attempts.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // The window is longer than every run, but for one whose clock jumped.
    let recent = |field: &str| number(page, &["recent_15m", field]);
    let facts = [
        ("rejected_requests", number(page, &["rejected_requests"]), told.rejected),
        ("total_requests of recent_15m", recent("total_requests"), told.verdicts),
        ("total_requests", total("total_requests"), told.verdicts),
        ("success_requests", total("success_requests"), told.successes),
        ("failed_requests", total("failed_requests"), told.verdicts - told.successes),
        ("the upstreams' total_requests", sum("total_requests"), attempts),
        ("the upstreams' success_requests", sum("success_requests"), served),
        ("current_requests", number(page, &["current_requests"]).saturating_sub(may_last), 0),
    ];
    for (name, said, happened) in facts {
        let text = || format!("{name} is {said}, but {happened} happened");
        checked.add(Case::of((said != happened).then(|| Violation::found(text(), [line]))));
    }
    // What the proxy asks upstreams by itself takes a connection there, too.
    let checks = history.witnesses.configurations.at(at).health.active.is_some() || !told.ejected.is_empty();
    let leased = sum_of_present(page, "current_connections").saturating_sub(may_last);
    checked.add(compare(
        checks.then_some(Excuse::Untold),
        "current_connections, but for those that may last,",
        leased,
        0,
        line,
    ));
    // The page was asked for on one. Of a client that has gone the proxy may not have heard.
    let open = number(page, &["open_connections"]).saturating_sub(1 + may_last);
    let unheard = history.witnesses.requests.values().chain(history.witnesses.pages.values());
    let mut unheard =
        unheard.filter_map(|asked| history.witnesses.disturbances.of_client(asked.client, asked.began, at));
    checked.add(compare(
        unheard.next(),
        "open_connections, but for the page's own and those that may last,",
        open,
        0,
        line,
    ));
}

/// Holds what the page says of each upstream against what the proxy told, and against the upstream's own journal.
fn each<'a>(
    history: &History<'a>,
    process: &ProxyProcess<'a>,
    told: &Told<'_>,
    page: &Json,
    (line, at): (usize, Duration),
    checked: &mut Checked,
) {
    let witnesses = &history.witnesses;
    let config = witnesses.configurations.at(at);
    let metrics = page.pointer("/total/upstream_metrics").and_then(Json::as_array);
    let since = history.lines[process.lines.0].at();
    // The page names upstreams in the order of the configuration.
    for (upstream, metrics) in config.upstreams.iter().zip(metrics.into_iter().flatten()) {
        let name = upstream.host.as_str();
        let leads = |name: &str, host: &str| witnesses.configurations.hosts_of(name, Duration::ZERO, at).contains(host);
        let twice = config.upstreams.iter().filter(|one| one.host == name || leads(&one.host, name)).count() > 1;
        let removed = history.removed(name, Duration::ZERO, at);
        let excuse = removed.then_some(Excuse::Reloaded).or(twice.then_some(Excuse::Untold));
        let (attempts, served) = told.attempts.get(name).copied().unwrap_or_default();
        for (field, happened) in [("total_requests", attempts), ("success_requests", served)] {
            let said = number(metrics, &[field]);
            checked.add(compare(excuse, &format!("{field} of {name}"), said, happened, line));
        }
        // A request that its client gave up may have reached the upstream or not.
        let excuse = excuse.or_else(|| witnesses.disturbances.of_anything(name, since, at));
        let excuse = excuse.or_else(|| witnesses.disturbances.of_proxy(Duration::ZERO, at));
        let unknown = witnesses.machine.lookup_failed(name, Duration::ZERO, at);
        let excuse = excuse.or(unknown.then_some(Excuse::MachineFault));
        let unsure = witnesses.configurations.is_alias(name)
            || has_alias(history, name)
            || gone(history) > 0
            || !witnesses.serves(upstream, name, config);
        let excuse = excuse.or(unsure.then_some(Excuse::Untold));
        // Those of hostile clients have no id; the proxy's checks have none either, and come by CONNECT or HEAD.
        let own = |record: &Record| match &record.id {
            Some(id) => witnesses.requests.contains_key(id.as_str()),
            None => matches!(record.method.as_str(), "GET" | "POST"),
        };
        let written = witnesses.journals.at(name).into_iter().flat_map(|journal| &journal.requests);
        let written = written.filter(|entry| own(entry.record) && entry.at <= at).count() as u64;
        let said = number(metrics, &["total_requests"]);
        // The proxy's own probes ask for targets of clients, and are no requests; some get through.
        let probes: usize = witnesses.requests.keys().map(|id| history.probes(id, name)).sum();
        let written = said.clamp(written.saturating_sub(probes as u64), written);
        // An upstream writes a tunnel down once it has learned of its end.
        let connections = witnesses.journals.at(name).into_iter().flat_map(|journal| &journal.connections);
        let open =
            connections.filter(|one| one.opened <= at && one.closed.is_none_or(|closed| closed > at)).count() as u64;
        let late = (written..=written + open).contains(&said).then_some(Excuse::Untold);
        let excuse = excuse.or(late);
        checked.add(compare(excuse, &format!("total_requests of {name}, by its journal,"), said, written, line));
    }
}

/// Whether another name led to the upstream on `host` at some time: its journal has the requests of both.
fn has_alias(history: &History<'_>, host: &str) -> bool {
    let scenario = history.witnesses.scenario;
    let moved = scenario.timeline.iter().filter_map(|entry| match &entry.action {
        Action::Dns { hosts, .. } => Some(hosts),
        _ => None,
    });
    scenario.network.dns.values().chain(moved).flatten().any(|one| one == host)
}

fn compare(excuse: Option<Excuse>, name: &str, said: u64, happened: u64, line: usize) -> Case {
    match excuse {
        _ if said == happened => Case::Holds,
        Some(why) => Case::Excused(why),
        None => Case::Broken(Violation::found(format!("{name} is {said}, but {happened} happened"), [line])),
    }
}

/// How many clients gave their requests up. The proxy may learn late of that: the word was lost, or the client has only ended its
/// own direction while the target still sends.
fn gone(history: &History<'_>) -> u64 {
    let gave_up =
        |kind| matches!(kind, FailureKind::Timeout | FailureKind::Cut | FailureKind::Reset | FailureKind::Corrupt);
    // Nobody reads the body of an answer that does not begin a WebSocket.
    let unread = |asked: &ClientRequest<'_>| {
        history.witnesses.action_of(asked).is_some_and(|action| matches!(action.kind, ActionKind::Websocket { .. }))
    };
    let requests = history.witnesses.requests.values().chain(history.witnesses.pages.values());
    let gone = requests.filter(|asked| match asked.result() {
        Some(result) => result.failure.is_some_and(|failure| match failure.kind {
            FailureKind::Status(_) => unread(asked),
            kind => gave_up(kind),
        }),
        None => true,
    });
    gone.count() as u64
}

/// How many tunnels may be half closed at `at`: their client has ended them, and the word never reached an upstream that was disturbed.
fn half_closed(history: &History<'_>, at: Duration) -> u64 {
    let witnesses = &history.witnesses;
    let limit = witnesses.configurations.at(at).timeouts.half_closed;
    let disturbed = |from: Duration| {
        let mut hosts = witnesses.scenario.upstreams.iter().map(|one| one.name.as_str());
        hosts.any(|host| {
            witnesses.disturbances.of_upstream(host, from, at).is_some()
                || witnesses.disturbances.untold(host, from, at)
        })
    };
    let tunnels = witnesses.requests.values().filter(|asked| asked.is_tunnel());
    let ended = tunnels.filter(|asked| asked.end.is_some_and(|end| end.at + limit > at && disturbed(asked.began)));
    ended.count() as u64
}

fn number(page: &Json, path: &[&str]) -> u64 {
    path.iter().try_fold(page, |json, name| json.get(name)).and_then(Json::as_u64).unwrap_or(u64::MAX)
}

/// The sum over all upstreams, with those that a reload has removed.
fn sum_of_upstreams(page: &Json, field: &str) -> u64 {
    sum_of_present(page, field) + number(page, &["total", "departed", field])
}

fn sum_of_present(page: &Json, field: &str) -> u64 {
    let metrics = page.pointer("/total/upstream_metrics").and_then(Json::as_array);
    metrics.into_iter().flatten().map(|one| number(one, &[field])).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::LAW;
    use serde_json::json;

    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    #[test]
    fn fires_where_a_request_was_counted_twice() {
        for path in [
            "/total/total_requests",
            "/total/upstream_metrics/0/success_requests",
            "/current_requests",
            "/open_connections",
            "/total/upstream_metrics/1/current_connections",
            "/recent_15m/total_requests",
            "/rejected_requests",
        ] {
            let mut twin = Twin::of(&LAW);
            let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Statistics { .. })));
            if let What::Proxy(ProxyEvent::Statistics { page }) = &mut twin.record.trace.lines[at].what {
                *page.pointer_mut(path).unwrap() = json!(99);
            }
            twin.fires();
            // On real sockets the page is read until all is at rest.
            twin.record.tolerance = Duration::from_millis(500);
            twin.fires();
        }
    }

    /// The proxy waits for the body of an answer that its client does not read, since it asked for a WebSocket.
    #[test]
    fn an_answer_that_is_no_websocket_may_still_last() {
        let first = r#"{ "name": "first", "story": "An upstream answers before it is asked.", "duration": "6s",
            "upstreams": [{ "name": "a", "plan": { "faults": [{ "fault": "reply-first", "when": { "from": "1s", "until": "3s" } }] } }],
            "clients": [{ "name": "client", "do": "websocket", "rate": 5 }] }"#;
        Twin::of_scenario(&LAW, first);
    }

    #[test]
    fn fires_where_an_attempt_is_booked_to_another_upstream() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Statistics { .. })));
        if let What::Proxy(ProxyEvent::Statistics { page }) = &mut twin.record.trace.lines[at].what {
            for (place, by) in [(0, 1), (1, -1)] {
                for field in ["total_requests", "success_requests"] {
                    let path = format!("/total/upstream_metrics/{place}/{field}");
                    let value = page.pointer_mut(&path).unwrap();
                    *value = json!(value.as_i64().unwrap() + by);
                }
            }
        }
        twin.fires();
        // If the proxy tells the same lie in its events, the journals still know better.
        let mut twin = Twin::of(&LAW);
        twin.rename_upstream("alpha", "beta");
        twin.fires();
    }
}
