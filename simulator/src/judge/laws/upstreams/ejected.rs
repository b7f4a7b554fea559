//! The law `ejected`: while another is eligible, an ejected upstream is picked for probes only.

use std::time::Duration;

use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "ejected",
    text: "While another is eligible, an ejected upstream is picked for probes only.",
    check: Check::Inside(check),
};

fn check(history: &History<'_>) -> Checked {
    let mut checked = Checked::default();
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
                ProxyEvent::PickMade { request: Some(_), upstream, probe: false, .. } if !out.is_empty() => {
                    out.retain(|(name, _, since)| !history.removed(name, *since, at));
                    let ejected = out.iter().find(|(name, ..)| *name == upstream.as_str());
                    let others = members.iter().any(|member| out.iter().all(|(name, ..)| name != member));
                    // The proxy may tell of an earlier pick after the ejection.
                    let apart = history.witnesses.clock_skew;
                    let found = ejected.filter(|(_, _, since)| others && at >= *since + apart);
                    checked.add(Case::of(found.map(|(name, line_of, _)| {
                        Violation::found(format!("{name} was picked while it was ejected"), [*line_of, line])
                    })));
                }
                _ => {}
            }
        }
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, ProxyEvent, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_on_a_pick_of_an_ejected_upstream() {
        let mut twin = Twin::of_ejection(&LAW);
        let upstream = HostName::new("alpha");
        let what = What::Proxy(ProxyEvent::Ejected { upstream, failures: 3, until_us: 9 });
        twin.record.trace.lines.insert(2, Line { at_us: 0, host: HostName::new("proxy"), what });
        twin.fires();
    }
}
