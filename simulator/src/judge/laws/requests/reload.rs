//! The law `reload`: no tunnel dies through a reload, not even through a removed upstream.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::excuse::Excuse;
use crate::judge::history::{History, id_of};
use crate::judge::laws::law::{Check, Law};
use crate::judge::requests::ProxyRequest;
use crate::judge::violation::Violation;
use crate::record::{Finished, ProxyEvent};

pub(in crate::judge) const LAW: Law = Law {
    name: "reload",
    text: "No tunnel dies through a reload, not even through a removed upstream.",
    check: Check::Told(check),
};

/// A tunnel that ends this soon after a reload is taken to have ended because of it.
const SOON: Duration = Duration::from_secs(1);

fn check(history: &History<'_>) -> Checked {
    let mut checked = Checked::default();
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

fn judge(
    history: &History<'_>,
    asked: &ProxyRequest<'_>,
    reload: usize,
    (line, end): (usize, &Finished),
    began: Duration,
    soon: bool,
) -> Case {
    if end.end == Some("closed") || !soon {
        return Case::Holds;
    }
    let disturbances = &history.witnesses.disturbances;
    let ended = history.lines[line].at();
    let hosts = || history.scenario.upstreams.iter().map(|one| one.name.as_str());
    let behind = |name: &str| {
        hosts()
            .filter(|host| history.leads_to(name, host))
            .find_map(|host| disturbances.of_anything(host, began, ended))
    };
    let excuse = asked.picks.last().and_then(|pick| behind(pick.upstream));
    let excuse = excuse.or_else(|| disturbances.of_proxy(began, ended));
    let excuse = excuse.or_else(|| disturbances.stopped().filter(|at| *at <= ended).map(|_| Excuse::ProxyStopping));
    let client = || {
        let asked = history.witnesses.requests.get(id_of(&end.target)?)?;
        disturbances.of_client(asked.client, began, ended)
    };
    match excuse.or_else(client) {
        Some(why) => Case::Excused(why),
        None => {
            let text = format!("the tunnel of request {} ended as {:?} behind a reload", end.request, end.end);
            Case::Broken(Violation::found(text, [reload, line]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, ProxyEvent, What};
    use crate::scenario::HostName;

    const RELOADED: &str = r#"{
        "name": "reloaded", "story": "A reload in the middle of a tunnel.", "duration": "3s", "upstreams": [{ "name": "a" }],
        "clients": [{ "name": "client", "do": "hold:for=2s", "requests": 1 }],
        "timeline": [{ "at": "1s", "do": "reload", "proxy": {} }]
    }"#;

    #[test]
    fn fires_where_a_tunnel_is_reset_behind_a_reload() {
        let mut twin = Twin::of_scenario(&LAW, RELOADED);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            finished.end = Some("upstream_reset");
        }
        let at_us = twin.record.trace.lines[at].at_us - 1000;
        let what =
            What::Proxy(ProxyEvent::Reloaded { config_epoch: 2, changes: Vec::new(), restart_required: Vec::new() });
        twin.record.trace.lines.insert(at, Line { at_us, host: HostName::new("proxy"), what });
        twin.fires();
    }
}
