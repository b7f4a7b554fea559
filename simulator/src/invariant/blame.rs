use std::time::Duration;

use super::{Invariant, Violation, found};
use crate::history::History;
use crate::trace::ProxyEvent;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "blame",
    law: "No upstream that nothing was done to is charged with a failure or ejected.",
    check,
};

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for life in &history.lives {
        for (line, at, event) in history.proxy_lines(life) {
            let charged = match event {
                ProxyEvent::Blamed { upstream, blame: "upstream", rule } => Some((upstream, *rule)),
                ProxyEvent::Ejected { upstream, .. } => Some((upstream, "ejected")),
                _ => None,
            };
            if let Some((upstream, how)) = charged
                && !history.troubled(upstream.as_str(), Duration::ZERO, at)
                && !history.troubled(crate::scenario::PROXY, Duration::ZERO, at)
                && history.scenario.upstreams.iter().any(|one| one.name == upstream.as_str())
            {
                violations.push(found(format!("nothing was done to {upstream}, but it is blamed ({how})"), [line]));
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
    fn fires_where_a_sound_upstream_is_blamed() {
        let mut twin = Twin::sound();
        let upstream = HostName::new("beta");
        let what = What::Proxy(ProxyEvent::Blamed { upstream, blame: "upstream", rule: "unreachable" });
        twin.played.trace.lines.insert(5, Line { at_us: 9, host: HostName::new("proxy"), what });
        twin.fires("blame");
    }
}
