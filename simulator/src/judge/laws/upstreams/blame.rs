//! The law `blame`: no upstream that was not disturbed is charged with a failure or ejected.

use std::time::Duration;

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;
use crate::scenario::PROXY;

pub(in crate::judge) const LAW: Law =
    Law { name: "blame", text: "No upstream that was not disturbed is charged with a failure or ejected.", check };

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for process in &history.processes {
        for (line, at, event) in history.proxy_lines(process) {
            let charged = match event {
                ProxyEvent::Blamed { upstream, blame: "upstream", rule } => Some((upstream, *rule)),
                ProxyEvent::Ejected { upstream, .. } => Some((upstream, "ejected")),
                _ => None,
            };
            if let Some((upstream, how)) = charged
                && !history.disturbed(upstream.as_str(), Duration::ZERO, at)
                && !history.disturbed(PROXY, Duration::ZERO, at)
                && history.scenario.upstreams.iter().any(|one| one.name == upstream.as_str())
            {
                violations
                    .push(Violation::found(format!("{upstream} was not disturbed, but it is blamed ({how})"), [line]));
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
    fn fires_where_a_sound_upstream_is_blamed() {
        let mut twin = Twin::of(&LAW);
        let upstream = HostName::new("beta");
        let what = What::Proxy(ProxyEvent::Blamed { upstream, blame: "upstream", rule: "unreachable" });
        twin.record.trace.lines.insert(5, Line { at_us: 9, host: HostName::new("proxy"), what });
        twin.fires();
    }
}
