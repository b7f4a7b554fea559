//! The law `ejected`: while another is eligible, an ejected upstream is picked for probes only.

use std::time::Duration;

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law =
    Law { name: "ejected", text: "While another is eligible, an ejected upstream is picked for probes only.", check };

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for process in &history.processes {
        let mut members: Vec<&str> = Vec::new();
        let mut out: Vec<(&str, usize, Duration)> = Vec::new();
        for (line, at, event) in history.proxy_lines(process) {
            match event {
                ProxyEvent::EpochStarted { members: now, .. } => {
                    members = now.iter().map(|(name, _)| name.as_str()).collect();
                }
                ProxyEvent::Suspected { upstream, .. } | ProxyEvent::Ejected { upstream, .. } => {
                    out.push((upstream.as_str(), line, at))
                }
                ProxyEvent::Recovered { upstream, .. } => out.retain(|(name, ..)| *name != upstream.as_str()),
                ProxyEvent::PickMade { request: Some(_), upstream, probe: false, .. } => {
                    out.retain(|(name, _, since)| !history.removed(name, *since, at));
                    let ejected = out.iter().find(|(name, ..)| *name == upstream.as_str());
                    let others = members.iter().any(|member| out.iter().all(|(name, ..)| name != member));
                    if let Some((name, line_of, since)) = ejected
                        && others
                        // The proxy may tell of an earlier pick after the ejection.
                        && at >= *since + history.record.clock_skew
                    {
                        violations.push(Violation::found(
                            format!("{name} was picked while it was ejected"),
                            [*line_of, line],
                        ));
                    }
                }
                _ => {}
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
    fn fires_on_a_pick_of_an_ejected_upstream() {
        let mut twin = Twin::of(&LAW);
        let upstream = HostName::new("alpha");
        let what = What::Proxy(ProxyEvent::Ejected { upstream, failures: 3, until_us: 9 });
        twin.record.trace.lines.insert(2, Line { at_us: 0, host: HostName::new("proxy"), what });
        twin.fires();
    }
}
