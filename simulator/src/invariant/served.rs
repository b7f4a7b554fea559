use super::{Invariant, Violation, found};
use crate::history::{History, id_of};
use mock_upstreams::target::Builtin;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "served",
    law: "No request for a working target fails while an upstream stands that nothing was done to.",
    check,
};

fn check(history: &History<'_>) -> Vec<Violation> {
    if history.config.failover.max_attempts.is_some() {
        // A limit may end a request before the sound upstream's turn.
        return Vec::new();
    }
    let mut violations = Vec::new();
    for asked in history.lives.iter().flat_map(|life| life.requests.values()) {
        let Some((line, end)) = asked.finished else { continue };
        // A request that may have been acted upon is not sent again.
        let by_client = matches!(end.blame, Some("client")) || end.method == "POST";
        let host = end.target.rsplit_once(':').map_or(end.target.as_str(), |(host, _)| host);
        if end.outcome == "ok" || by_client || end.attempts == 0 || Builtin::named(host).is_none() {
            continue;
        }
        let until = history.lines[line].at();
        let from = until.saturating_sub(std::time::Duration::from_micros(end.duration_us));
        let sound = history.sound_upstreams(from, until);
        if let Some(upstream) = sound.first()
            && !history.proxy_troubled(from, until)
        {
            let id = id_of(&end.target).unwrap_or("?");
            let text = format!("{id} failed ({}), but {upstream} was well all the time", end.outcome);
            violations.push(found(text, asked.picks.iter().map(|pick| pick.line).chain([line])));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use crate::invariant::support::Twin;
    use crate::trace::{ProxyEvent, What};

    #[test]
    fn fires_where_a_request_failed_for_nothing() {
        let mut twin = Twin::sound();
        let at = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::Finished(_))));
        if let What::Proxy(ProxyEvent::Finished(finished)) = &mut twin.played.trace.lines[at].what {
            (finished.outcome, finished.blame) = ("connection_refused", Some("upstream"));
        }
        twin.fires("served");
    }
}
