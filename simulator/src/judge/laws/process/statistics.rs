//! The law `statistics`: the statistics page counts the requests, their outcomes and the attempts as they happened.

use loadgen::FailureKind;
use serde_json::Value as Json;

use crate::judge::history::History;
use crate::judge::laws::law::Law;
use crate::judge::requests::ClientRequest;
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "statistics",
    text: "The statistics page says what happened: requests, successes and failures, and attempts of each upstream.",
    check,
};

fn check(history: &History<'_>) -> Vec<Violation> {
    // The proxy may learn late that a client gave up: the word was lost, or the client has only ended its own direction while
    // the target still sends.
    let gave_up = |seen: &&ClientRequest<'_>| {
        seen.result
            .failure
            .is_some_and(|failure| matches!(failure.kind, FailureKind::Timeout | FailureKind::Cut | FailureKind::Reset))
    };
    let gone = history.client_requests.values().filter(gave_up).count() as u64;
    let mut violations = Vec::new();
    for process in &history.processes {
        let (mut verdicts, mut successes, mut attempts, mut served) = (0, 0, 0, 0);
        for (line, _, event) in history.proxy_lines(process) {
            match event {
                ProxyEvent::Decided { success, .. } => {
                    verdicts += 1;
                    successes += u64::from(*success);
                }
                // Health checks are not requests.
                ProxyEvent::AttemptEnded { request: Some(_), failure, .. } => {
                    attempts += 1;
                    served += u64::from(failure.is_none());
                }
                ProxyEvent::Statistics { page } => {
                    let total = |field: &str| number(page, &["total", field]);
                    let sum = |field: &str| sum_of_upstreams(page, field);
                    let facts = [
                        ("total_requests", total("total_requests"), verdicts),
                        ("success_requests", total("success_requests"), successes),
                        ("failed_requests", total("failed_requests"), verdicts - successes),
                        ("the upstreams' total_requests", sum("total_requests"), attempts),
                        ("the upstreams' success_requests", sum("success_requests"), served),
                        ("current_requests", number(page, &["current_requests"]).saturating_sub(gone), 0),
                    ];
                    for (name, said, happened) in facts {
                        if said != happened {
                            let text = format!("{name} is {said}, but {happened} happened");
                            violations.push(Violation::found(text, [line]));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    violations
}

fn number(page: &Json, path: &[&str]) -> u64 {
    path.iter().try_fold(page, |json, name| json.get(name)).and_then(Json::as_u64).unwrap_or(u64::MAX)
}

/// The sum over all upstreams, with those that a reload has removed.
fn sum_of_upstreams(page: &Json, field: &str) -> u64 {
    let metrics = page.pointer("/total/upstream_metrics").and_then(Json::as_array);
    let present: u64 = metrics.into_iter().flatten().map(|one| number(one, &[field])).sum();
    present + number(page, &["total", "departed", field])
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use serde_json::json;

    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    #[test]
    fn fires_where_a_request_was_counted_twice() {
        for path in ["/total/total_requests", "/total/upstream_metrics/0/success_requests", "/current_requests"] {
            let mut twin = Twin::of(&LAW);
            let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Statistics { .. })));
            if let What::Proxy(ProxyEvent::Statistics { page }) = &mut twin.record.trace.lines[at].what {
                *page.pointer_mut(path).unwrap() = json!(99);
            }
            twin.fires();
        }
    }
}
