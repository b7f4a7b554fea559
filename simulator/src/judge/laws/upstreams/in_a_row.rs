//! The law `in-a-row`: an upstream is ejected for failures in a row only: a success between them begins the count anew.

use std::collections::BTreeMap;

use super::ejects::CERTAIN;
use crate::judge::by_hand;
use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::record::{ProxyEvent, What};

pub(in crate::judge) const LAW: Law = Law {
    name: "in-a-row",
    text: "An upstream is ejected for failures in a row only: a success between them begins the count anew, and what a target could have \
           caused counts for a suspicion alone.",
    check: Check::Inside(check),
};

/// What was charged to an upstream since its last success.
#[derive(Default)]
struct Row {
    charged: Vec<usize>,
    last_success: Option<usize>,
    suspected: bool,
}

fn check(history: &History<'_>) -> Checked {
    let apart = history.witnesses.clock_skew;
    let mut checked = Checked::default();
    for process in &history.processes {
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        for (line, at, event) in history.proxy_lines(process) {
            match event {
                ProxyEvent::AttemptEnded { request, upstream, failure: None, .. }
                    if !History::proves_nothing(process, *request) =>
                {
                    let row = rows.entry(upstream.as_str()).or_default();
                    // Threads may tell of a success after a failure that came later.
                    row.charged.retain(|line| history.lines[*line].at() + apart > at);
                    row.last_success = Some(line);
                }
                ProxyEvent::Blamed { upstream, blame: "upstream", .. } => {
                    rows.entry(upstream.as_str()).or_default().charged.push(line);
                }
                ProxyEvent::Recovered { upstream, .. } => drop(rows.remove(upstream.as_str())),
                ProxyEvent::Suspected { upstream, .. } => {
                    // The failures are held against the suspicion. The probe alone decides whether an ejection follows.
                    let row = rows.insert(upstream.as_str(), Row { suspected: true, ..Row::default() });
                    checked.add(Case::of(judge(history, upstream.as_str(), row.unwrap_or_default(), line)));
                }
                ProxyEvent::Ejected { upstream, .. } => {
                    let row = rows.remove(upstream.as_str()).unwrap_or_default();
                    // What a target could have caused ejects by way of a suspicion alone.
                    let certain = |line: &usize| match &history.lines[*line].what {
                        What::Proxy(ProxyEvent::Blamed { rule, .. }) => CERTAIN.contains(rule),
                        _ => false,
                    };
                    let row = Row { charged: row.charged.into_iter().filter(certain).collect(), ..row };
                    if !row.suspected && !by_hand::ejected(&history.witnesses, upstream.as_str(), at) {
                        checked.add(Case::of(judge(history, upstream.as_str(), row, line)));
                    }
                }
                _ => {}
            }
        }
    }
    checked
}

fn judge(history: &History<'_>, upstream: &str, row: Row, line: usize) -> Option<Violation> {
    let at = history.lines[line].at();
    // A reload may have changed the threshold, but the count goes on.
    let first = row.charged.first().map_or(at, |line| history.lines[*line].at());
    let thresholds = history.witnesses.configurations.during(first, at);
    let threshold = thresholds.map(|config| config.health.policy.failure_threshold.get() as usize).min()?;
    // Tunnels that brought nothing come behind a success each, so the proxy counts them apart.
    let cut = row.charged.last().is_some_and(|line| {
        matches!(&history.lines[*line].what, What::Proxy(ProxyEvent::Blamed { rule: "delivered_elsewhere", .. }))
    });
    let text = || format!("{upstream} was ejected for {} failures in a row of {threshold}", row.charged.len());
    let lines = || row.last_success.into_iter().chain(row.charged.clone()).chain([line]);
    (row.charged.len() < threshold && !cut).then(|| Violation::found(text(), lines()))
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{Line, ProxyEvent, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_where_a_success_lay_between() {
        let mut twin = Twin::of_ejection(&LAW);
        let upstream = HostName::new("alpha");
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_)))) + 1;
        let at_us = twin.record.trace.lines[at].at_us;
        let what = What::Proxy(ProxyEvent::Ejected { upstream, failures: 3, until_us: 9 });
        twin.record.trace.lines.insert(at, Line { at_us, host: HostName::new("proxy"), what });
        twin.fires();
    }
    #[test]
    fn fires_where_what_a_target_could_have_caused_ejects_at_once() {
        let mut twin = Twin::of_ejection(&LAW);
        for line in &mut twin.record.trace.lines {
            if let What::Proxy(ProxyEvent::Blamed { rule, .. }) = &mut line.what {
                *rule = "opened_elsewhere";
            }
        }
        twin.fires();
    }
}
