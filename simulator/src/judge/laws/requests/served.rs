//! The law `served`: no request for a working target fails while there is an upstream that was not disturbed.

use mock_upstreams::targets::Builtin;

use crate::judge::history::{History, id_of};
use crate::judge::laws::law::Law;
use crate::judge::violation::Violation;

pub(in crate::judge) const LAW: Law = Law {
    name: "served",
    text: "No request for a working target fails while there is an upstream that was not disturbed.",
    check,
};

/// The failures of attempts in which no byte of the request was sent.
const UNSENT: [&str; 4] = ["connect_refused", "connect_timeout", "connect_failed", "tls_failed"];

fn check(history: &History<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for asked in history.processes.iter().flat_map(|process| process.requests.values()) {
        let Some((line, end)) = asked.finished else { continue };
        let by_client = matches!(end.blame, Some("client"));
        // The limit of attempts may end a request before it reaches an undisturbed upstream.
        let limit = end.attempts >= history.config.failover.max_attempts.get();
        // The proxy does not send a request again that may have been acted upon.
        let unsent = |(_, failure): &(String, &str)| UNSENT.contains(failure);
        let acted_upon = end.method == "POST" && !end.failed_attempts.last().is_some_and(unsent);
        let host = end.target.rsplit_once(':').map_or(end.target.as_str(), |(host, _)| host);
        if end.outcome == "ok"
            || by_client
            || limit
            || acted_upon
            || end.attempts == 0
            || Builtin::named(host).is_none()
        {
            continue;
        }
        let until = history.lines[line].at();
        let from = until.saturating_sub(std::time::Duration::from_micros(end.duration_us));
        // No other upstream can take over an answer that has begun, so then only its own upstream matters.
        let begun = (200..300).contains(&end.status);
        if begun && asked.picks.last().is_some_and(|pick| history.disturbed_behind(pick.upstream, from, until)) {
            continue;
        }
        let sound = history.undisturbed_upstreams(from, until);
        if let Some(upstream) = sound.first()
            && !history.proxy_disturbed(from, until)
        {
            let id = id_of(&end.target).unwrap_or("?");
            let text = format!("{id} failed ({}), but {upstream} was not disturbed", end.outcome);
            violations.push(Violation::found(text, asked.picks.iter().map(|pick| pick.line).chain([line])));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};

    #[test]
    fn fires_where_a_request_failed_for_nothing() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            (finished.outcome, finished.blame) = ("connection_refused", Some("upstream"));
        }
        twin.fires();
    }

    #[test]
    fn fires_where_a_post_that_was_not_sent_is_not_sent_elsewhere() {
        let mut twin = Twin::of(&LAW);
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.record.trace.lines[at].what {
            finished.method = "POST".to_owned();
            (finished.outcome, finished.blame, finished.status) = ("connect_refused", Some("upstream"), 502);
            finished.failed_attempts = vec![("http://alpha:8080".to_owned(), "connect_refused")];
        }
        twin.fires();
    }
}
