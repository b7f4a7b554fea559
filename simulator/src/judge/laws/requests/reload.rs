//! The law `reload`: a reload is told, whether it was taken or refused, and no tunnel dies through it.

use std::time::Duration;

use loadgen::FailureKind;

use crate::judge::by_hand;
use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::history::{History, id_of};
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyRequest;
use crate::judge::violation::Violation;
use crate::record::{Finished, ProxyEvent};

pub(in crate::judge) const LAW: Law = Law {
    name: "reload",
    text: "Each reload is told, whether it was taken or refused, and no tunnel dies through it, not even through a removed upstream.",
    check: Check::Told(check),
};

/// A reload is told this soon, and a tunnel that ends this soon after it is taken to have ended because of it.
const SOON: Duration = Duration::from_secs(1);

fn check(history: &History<'_>) -> Checked {
    let mut checked: Checked =
        history.witnesses.configurations.reloads().iter().map(|asked| told(history, *asked)).collect();
    for process in &history.processes {
        let reloads: Vec<(usize, Duration)> = history
            .proxy_lines(process)
            .filter(|(.., event)| matches!(event, ProxyEvent::Reloaded { .. } | ProxyEvent::ReloadFailed { .. }))
            .map(|(line, at, _)| (line, at))
            .collect();
        for asked in process.requests.values() {
            let Some((line, end)) = asked.finished else { continue };
            let ended = history.lines[line].at();
            let began = ended.saturating_sub(Duration::from_micros(end.duration_us));
            // The cases are the tunnels through which a reload went.
            let next = reloads.partition_point(|(_, at)| *at < began);
            let through = reloads[next..].iter().take_while(|(_, at)| *at <= ended).last();
            if let Some((reload, at)) = through
                && end.end.is_some()
            {
                let soon = ended <= *at + SOON;
                checked.add(judge(history, asked, *reload, (line, end), began, soon));
            }
        }
    }
    checked
}

/// Whether the proxy tells of the reload that it was told to do at `at`, and that it is `good` enough to be taken or not.
fn told(history: &History<'_>, (at, good): (Duration, bool)) -> Case {
    let (witnesses, until) = (&history.witnesses, at + SOON + history.witnesses.tolerance);
    let within = |time: &Duration| (at..=until).contains(time);
    let others = witnesses.configurations.reloads().iter().filter(|(other, _)| within(other)).count() > 1;
    let lines = history.processes.iter().flat_map(|process| history.proxy_lines(process));
    let holds = lines.filter(|(_, time, _)| within(time)).any(|(.., event)| match event {
        // Of several at once the last may stand for all.
        ProxyEvent::Reloaded { .. } => good || others,
        ProxyEvent::ReloadFailed { .. } => !good || others,
        _ => false,
    });
    if holds {
        return Case::Holds;
    }
    let stopping =
        || witnesses.disturbances.stopped().filter(|stopped| *stopped <= until).map(|_| Excuse::ProxyStopping);
    match witnesses.disturbances.of_proxy(at, until).or_else(stopping) {
        Some(why) => Case::Excused(why),
        None => {
            let word = if good { "done" } else { "refused" };
            let line = history.lines.partition_point(|line| line.at() < at);
            Case::Broken(Violation::found(format!("nobody told that the reload of {at:?} was {word}"), [line]))
        }
    }
}

fn judge(
    history: &History<'_>,
    asked: &ProxyRequest<'_>,
    reload: usize,
    (line, end): (usize, &Finished),
    began: Duration,
    soon: bool,
) -> Case {
    // Where the target ended first, what a client says in farewell finds nobody any more, and who has what it wanted need not read on.
    let client = id_of(&end.target).and_then(|id| history.witnesses.requests.get(id));
    let seen = client.and_then(|client| client.result());
    let served = || seen.is_some_and(|result| result.failure.is_none());
    // A client hangs up on bytes that it did not expect; the law of bytes says whose they are.
    let hung_up = || seen.and_then(|result| result.failure).is_some_and(|why| why.kind == FailureKind::Corrupt);
    if end.end == Some("client_reset") && hung_up() {
        return Case::Excused(Excuse::RequestStruck);
    }
    let idle = || client.is_some_and(|client| history.witnesses.may_fall_idle(client));
    if end.end == Some("idle") && idle() {
        return Case::Holds;
    }
    if end.end == Some("closed") || !soon || matches!(end.end, Some("upstream_closed" | "client_reset")) && served() {
        return Case::Holds;
    }
    let disturbances = &history.witnesses.disturbances;
    let ended = history.lines[line].at();
    // Who waits so long for the other side is given up at that time, reload or not.
    let half_closed = history.witnesses.configurations.during(began, ended).map(|config| config.timeouts.half_closed);
    if end.end == Some("half_closed_idle") && half_closed.min().is_some_and(|span| began + span <= ended) {
        return Case::Holds;
    }
    let hosts = || history.scenario.upstreams.iter().map(|one| one.name.as_str());
    // A fault may keep an upstream from ever noticing that a tunnel has ended, and from telling that it struck it.
    let untold = |host: &str| disturbances.untold(host, began, ended).then_some(Excuse::Untold);
    let behind = |name: &str| {
        hosts()
            .filter(|host| history.leads_to(name, host))
            .find_map(|host| disturbances.of_anything(host, began, ended).or_else(|| untold(host)))
    };
    let excuse = asked.picks.last().and_then(|pick| behind(pick.upstream));
    let excuse = excuse.or_else(|| disturbances.of_proxy(began, ended));
    let by_hand =
        |client| by_hand::closed(&history.witnesses, client, history.witnesses.journals.of(id_of(&end.target)?));
    let excuse = excuse.or_else(|| client.and_then(by_hand));
    let excuse = excuse.or_else(|| disturbances.stopped().filter(|at| *at <= ended).map(|_| Excuse::ProxyStopping));
    match excuse.or_else(|| disturbances.of_client(client?.client, began, ended)) {
        Some(why) => Case::Excused(why),
        None => {
            let text = format!("the tunnel of request {} ended as {:?} behind a reload", end.request, end.end);
            Case::Broken(Violation::found(text, [reload, line]))
        }
    }
}

#[cfg(test)]
mod tests {
    use loadgen::{Failure, FailureKind, Phase};
    use mock_upstreams::journal::Event;

    use super::LAW;
    use crate::judge::excuse::Excuse;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ClientEvent, Line, ProxyEvent, What};
    use crate::scenario::HostName;

    const RELOADED: &str = r#"{
        "name": "reloaded", "story": "A reload in the middle of a tunnel.", "duration": "3s", "upstreams": [{ "name": "a" }],
        "clients": [{ "name": "client", "do": "hold:for=2s", "requests": 1 }],
        "timeline": [{ "at": "1s", "do": "reload", "proxy": {} }]
    }"#;

    /// A run in which the proxy says that its tunnel ended so, right behind a reload, and its client that it failed so.
    fn ended_behind_a_reload(end: &'static str, failure: Option<FailureKind>) -> Twin {
        ended_so(RELOADED, end, failure)
    }

    fn ended_so(scenario: &str, end: &'static str, failure: Option<FailureKind>) -> Twin {
        let mut twin = Twin::of_scenario(&LAW, scenario);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            finished.end = Some(end);
        }
        let at_us = twin.record.trace.lines[at].at_us - 1000;
        let what =
            What::Proxy(ProxyEvent::Reloaded { config_epoch: 2, changes: Vec::new(), restart_required: Vec::new() });
        twin.record.trace.lines.insert(at, Line { at_us, host: HostName::new("proxy"), what });
        let at = twin.find(|what| matches!(what, What::Client(ClientEvent::Ended(_))));
        if let What::Client(ClientEvent::Ended(result)) = &mut twin.record.trace.lines[at].what {
            result.failure = failure.map(|kind| Failure { kind, phase: Phase::Data });
        }
        twin
    }

    #[test]
    fn a_client_that_hangs_up_on_strange_bytes_ends_its_tunnel_itself() {
        ended_behind_a_reload("client_reset", Some(FailureKind::Corrupt)).excuses(Excuse::RequestStruck);
        ended_behind_a_reload("client_reset", Some(FailureKind::Reset)).fires();
    }

    #[test]
    fn a_half_closed_tunnel_that_has_waited_for_long_enough_ends_reload_or_not() {
        let waits = |span: &str| {
            RELOADED.replace(
                "\"upstreams\"",
                &format!("\"proxy\": {{ \"timeouts\": {{ \"half_closed\": {span} }} }}, \"upstreams\""),
            )
        };
        assert_eq!(ended_so(&waits("\"1s\""), "half_closed_idle", None).checked().violations, []);
        ended_so(&waits("\"30s\""), "half_closed_idle", None).fires();
    }

    #[test]
    fn fires_where_a_tunnel_is_reset_behind_a_reload() {
        ended_behind_a_reload("upstream_reset", None).fires();
    }

    /// The farewell of a client's TLS came when its target had closed: that is no doing of the reload.
    #[test]
    fn a_served_client_whose_last_words_find_nobody_lost_nothing() {
        assert_eq!(ended_behind_a_reload("upstream_closed", None).checked().violations, []);
        ended_behind_a_reload("upstream_closed", Some(FailureKind::Reset)).fires();
    }

    /// An upstream that never reads does not see the end.
    #[test]
    fn a_tunnel_of_which_its_upstream_has_not_told_may_have_been_struck() {
        let mut twin = ended_behind_a_reload("idle", Some(FailureKind::Reset));
        twin.fires();
        let told = |what: &What| matches!(what, What::Upstream(Event::Closed { .. } | Event::Request(_)));
        twin.record.trace.lines.retain(|line| !told(&line.what));
        twin.excuses(Excuse::Untold);
    }

    #[test]
    fn fires_where_a_broken_file_is_refused_without_a_word() {
        let mut twin = Twin::of_scenario(&LAW, &RELOADED.replace("\"proxy\": {}", "\"text\": \"{\""));
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::ReloadFailed { .. })));
        twin.fires();
    }

    /// The upstream that carried it looks like one that was probed, because the client said nothing.
    #[test]
    fn a_silent_tunnel_that_failed_over_may_have_been_closed_by_hand() {
        let text = r#"{ "name": "closed", "story": "One opens its tunnels too late, and the other's are closed.", "duration": "5s",
            "proxy": { "timeouts": { "half_closed": "9s", "reply": "1s" } }, "network": { "latency": "30ms" },
            "upstreams": [{ "name": "late", "plan": { "faults": [{ "fault": "accept-late", "with": { "delay": "950ms" } }] } }, { "name": "b" }, { "name": "gone" }],
            "clients": [{ "name": "client", "do": "download:bytes=100,send=10,wait=15s", "requests": 6, "rate": 4 }],
            "timeline": [{ "at": "3s", "do": "reload", "proxy": { "timeouts": { "half_closed": "9s", "reply": "1s" }, "upstream_proxies": [{ "url": "http://late:8080" }, { "url": "http://b:8080" }] } },
                { "at": "3500ms", "do": "close-tunnels", "which": { "upstream": "b" } }] }"#;
        Twin::of_scenario(&LAW, text);
    }
}
