use std::time::Duration;

use super::{Invariant, Violation, found};
use crate::history::{History, id_of};
use crate::trace::ProxyEvent;

pub(super) const INVARIANT: Invariant =
    Invariant { name: "reload", law: "No tunnel dies through a reload, not even through a removed upstream.", check };

/// A tunnel that ends so soon behind a reload ended through it.
const SOON: Duration = Duration::from_secs(1);

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for life in &history.lives {
        let reloads: Vec<(usize, Duration)> = history
            .proxy_lines(life)
            .filter(|(.., event)| matches!(event, ProxyEvent::Reloaded { .. } | ProxyEvent::ReloadFailed { .. }))
            .map(|(line, at, _)| (line, at))
            .collect();
        for asked in life.requests.values() {
            let Some((line, end)) = asked.finished else { continue };
            let ended = history.lines[line].at();
            let began = ended.saturating_sub(Duration::from_micros(end.duration_us));
            let broken = !matches!(end.end, None | Some("closed"));
            let through = reloads.iter().find(|(_, at)| broken && (began..=ended).contains(at) && ended <= *at + SOON);
            let Some((reload, _)) = through else { continue };
            let troubled = asked.picks.iter().any(|pick| history.troubled_behind(pick.upstream, began, ended))
                || history.proxy_troubled(began, ended)
                || id_of(&end.target).is_some_and(|id| history.troubled(History::client_of(id), began, ended));
            if !troubled {
                let text = format!("the tunnel of request {} ended as {:?} behind a reload", end.request, end.end);
                violations.push(found(text, [*reload, line]));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use crate::engine::HostName;
    use crate::invariant::support::Twin;
    use crate::trace::{Line, ProxyEvent, What};

    #[test]
    fn fires_where_a_tunnel_is_reset_behind_a_reload() {
        let mut twin = Twin::sound();
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.played.trace.lines[at].what {
            finished.end = Some("upstream_reset");
        }
        let at_us = twin.played.trace.lines[at].at_us - 1000;
        let what = What::Proxy(ProxyEvent::Reloaded { epoch: 2, changes: Vec::new(), restart_required: Vec::new() });
        twin.played.trace.lines.insert(at, Line { at_us, host: HostName::new("proxy"), what });
        twin.fires("reload");
    }
}
