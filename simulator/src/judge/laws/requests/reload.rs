//! The law `reload`: no tunnel dies through a reload, not even through a removed upstream.

use std::time::Duration;

use crate::judge::history::{History, id_of};
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law =
    Law { name: "reload", text: "No tunnel dies through a reload, not even through a removed upstream.", check };

/// A tunnel that ends this soon after a reload is taken to have ended because of it.
const SOON: Duration = Duration::from_secs(1);

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
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
            let broken = !matches!(end.end, None | Some("closed"));
            let through = reloads.iter().find(|(_, at)| broken && (began..=ended).contains(at) && ended <= *at + SOON);
            let Some((reload, _)) = through else { continue };
            let disturbed = asked.picks.iter().any(|pick| history.disturbed_behind(pick.upstream, began, ended))
                || history.proxy_disturbed(began, ended)
                || id_of(&end.target).is_some_and(|id| history.disturbed(History::client_of(id), began, ended));
            if !disturbed {
                let text = format!("the tunnel of request {} ended as {:?} behind a reload", end.request, end.end);
                violations.push(Violation::found(text, [*reload, line]));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, ProxyEvent, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_where_a_tunnel_is_reset_behind_a_reload() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            finished.end = Some("upstream_reset");
        }
        let at_us = twin.record.trace.lines[at].at_us - 1000;
        let what = What::Proxy(ProxyEvent::Reloaded { epoch: 2, changes: Vec::new(), restart_required: Vec::new() });
        twin.record.trace.lines.insert(at, Line { at_us, host: HostName::new("proxy"), what });
        twin.fires();
    }
}
