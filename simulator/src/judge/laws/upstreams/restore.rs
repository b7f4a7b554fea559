//! The law `restore`: the first success of an attempt that began after the ejection restores the upstream at once.

use std::time::Duration;

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "restore",
    text: "The first success of an attempt that began after the ejection restores the upstream at once.",
    check,
};

fn check(history: &History<'_>) -> Vec<Violation> {
    if history.config.health.policy.recovery_threshold.get() > 1 {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let apart = history.record.clock_skew;
    for process in &history.processes {
        let lines: Vec<_> = history.proxy_lines(process).collect();
        for (index, (ejection, since, event)) in lines.iter().enumerate() {
            let (ProxyEvent::Suspected { upstream: who, .. } | ProxyEvent::Ejected { upstream: who, .. }) = event
            else {
                continue;
            };
            for (offset, (line, at, event)) in lines[index + 1..].iter().enumerate() {
                match event {
                    ProxyEvent::Recovered { upstream, .. } if upstream == who => break,
                    // A reload may reset the health of the upstream, or remove it.
                    ProxyEvent::Reloaded { .. } => break,
                    ProxyEvent::AttemptEnded { request, upstream, failure: None, took_us }
                        if upstream == who
                            && at.saturating_sub(Duration::from_micros(*took_us)) > *since + apart
                            && !History::proves_nothing(process, *request) =>
                    {
                        // "At once" means before anything else happens; or in the same instant, if threads tell of it.
                        let rest = lines[index + 2 + offset..].iter().enumerate();
                        let mut at_once = rest.take_while(|(place, (_, then, _))| {
                            *place == 0 || (!apart.is_zero() && *then <= *at + apart)
                        });
                        let restored = at_once.any(|(_, (.., event))| {
                            matches!(event, ProxyEvent::Recovered { upstream, .. } if upstream == who)
                        });
                        if !restored {
                            let text = format!("{who} opened a target and is still ejected");
                            violations.push(Violation::found(text, [*ejection, *line]));
                        }
                        break;
                    }
                    _ => {}
                }
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
    fn fires_where_a_success_restores_nothing() {
        let mut twin = Twin::of(&LAW);
        let upstream = HostName::new("alpha");
        let what = What::Proxy(ProxyEvent::Ejected { upstream, failures: 3, until_us: 9 });
        twin.record.trace.lines.insert(2, Line { at_us: 0, host: HostName::new("proxy"), what });
        twin.fires();
    }
}
