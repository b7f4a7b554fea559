//! The law `in-a-row`: an upstream is ejected for failures in a row only: a success between them begins the count anew.

use std::collections::BTreeMap;

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "in-a-row",
    text: "An upstream is ejected for failures in a row only: a success between them begins the count anew.",
    check,
};

/// What was charged to an upstream since its last success.
#[derive(Clone, Default)]
struct Row {
    charged: Vec<usize>,
    last_success: Option<usize>,
}

fn check(history: &History<'_>) -> Vec<Violation> {
    let threshold = history.config.health.policy.failure_threshold.get() as usize;
    let reloads = |event: &ProxyEvent| matches!(event, ProxyEvent::Reloaded { .. });
    let mut violations = Vec::new();
    for process in &history.processes {
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        for (line, at, event) in history.proxy_lines(process) {
            match event {
                // The threshold may differ from here on.
                event if reloads(event) => break,
                ProxyEvent::AttemptEnded { request, upstream, failure: None, .. }
                    if !History::proves_nothing(process, *request) =>
                {
                    let row = rows.entry(upstream.as_str()).or_default();
                    // Threads may tell of a success after a failure that came later.
                    row.charged.retain(|line| history.lines[*line].at() + history.record.clock_skew > at);
                    row.last_success = Some(line);
                }
                ProxyEvent::Blamed { upstream, blame: "upstream", .. } => {
                    rows.entry(upstream.as_str()).or_default().charged.push(line);
                }
                ProxyEvent::Recovered { upstream, .. } => drop(rows.remove(upstream.as_str())),
                ProxyEvent::Suspected { upstream, .. } | ProxyEvent::Ejected { upstream, .. } => {
                    let suspected = matches!(event, ProxyEvent::Suspected { .. });
                    let row = rows.entry(upstream.as_str()).or_default();
                    // What a suspicion rests on counts for the ejection that confirms it.
                    let row = if suspected { row.clone() } else { std::mem::take(row) };
                    // Tunnels that brought nothing come behind a success each, so the proxy counts them apart.
                    let cut = row.charged.last().is_some_and(|line| {
                        history.lines[*line].to_json().contains("\"rule\":\"delivered_elsewhere\"")
                    });
                    if row.charged.len() < threshold && !cut {
                        let text = format!(
                            "{upstream} was ejected for {} failures in a row of {threshold}",
                            row.charged.len()
                        );
                        violations.push(Violation::found(
                            text,
                            row.last_success.into_iter().chain(row.charged).chain([line]),
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
    fn fires_where_a_success_lay_between() {
        let mut twin = Twin::of(&LAW);
        let upstream = HostName::new("alpha");
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_)))) + 1;
        let at_us = twin.record.trace.lines[at].at_us;
        let what = What::Proxy(ProxyEvent::Ejected { upstream, failures: 3, until_us: 9 });
        twin.record.trace.lines.insert(at, Line { at_us, host: HostName::new("proxy"), what });
        twin.fires();
    }
}
