//! What an operator did by hand: to whom, and what that excuses.

use std::time::Duration;

use loadgen::FailureKind;
use proxy::config::Authentication;

use super::excuse::Excuse;
use super::witnesses::{ClientRequest, JournalEntry, Witnesses};
use crate::record::ClientResult;
use crate::scenario::{Action, ByHand, WhichTunnels};

/// How long what is done by hand may take to be seen: an engine plays it in a step of its own, and the live one by a command.
const PLAYED: Duration = Duration::from_millis(100);
/// How many times the engine may be late for such a command.
const LATE: u32 = 4;

/// How much later than its order what is done by hand may come to pass in the proxy.
pub(super) fn done_by(witnesses: &Witnesses<'_>) -> Duration {
    PLAYED + witnesses.clock_skew + witnesses.tolerance * LATE
}

/// The same until clients and upstreams have heard of it.
pub(super) fn seen_by(witnesses: &Witnesses<'_>) -> Duration {
    done_by(witnesses) + witnesses.one_way() * 4 + witnesses.resending()
}

/// When upstreams were ejected and let in by hand, and the host in the URL of each.
pub(super) fn of_health<'b, 'a>(
    witnesses: &'b Witnesses<'a>,
) -> impl Iterator<Item = (Duration, &'a str, ByHand)> + use<'a, 'b> {
    witnesses.played.iter().filter_map(|(at, action)| match action {
        Action::Steer { upstream, order: order @ (ByHand::Eject | ByHand::Restore), .. } => {
            Some((*at, upstream.as_str(), *order))
        }
        _ => None,
    })
}

/// Whether the upstream with `host` in its URL was ejected or let in by hand at some time from `from` to `until`.
pub(super) fn changed_health(witnesses: &Witnesses<'_>, host: &str, from: Duration, until: Duration) -> bool {
    of_health(witnesses).any(|(at, name, _)| name == host && from <= at && at <= until)
}

/// Whether the upstream with `host` in its URL was let in by hand at some time from `from` to `until`.
pub(super) fn let_in(witnesses: &Witnesses<'_>, host: &str, from: Duration, until: Duration) -> bool {
    let let_in = |(at, name, order)| name == host && order == ByHand::Restore && from <= at && at <= until;
    of_health(witnesses).any(let_in)
}

/// Whether an ejection of which the proxy told at `at` was by hand.
pub(super) fn ejected(witnesses: &Witnesses<'_>, host: &str, at: Duration) -> bool {
    let so = |(when, name, order): (Duration, &str, ByHand)| {
        name == host && order == ByHand::Eject && when <= at + witnesses.clock_skew && at <= when + done_by(witnesses)
    };
    of_health(witnesses).any(so)
}

/// When tunnels were closed by hand, and which.
pub(super) fn closures<'b, 'a>(
    witnesses: &'b Witnesses<'a>,
) -> impl Iterator<Item = (Duration, &'a WhichTunnels)> + use<'a, 'b> {
    witnesses.played.iter().filter_map(|(at, action)| match action {
        Action::CloseTunnels { which, .. } => Some((*at, which)),
        _ => None,
    })
}

/// When the tunnel of a request stood, for its client.
pub(super) fn stood(asked: &ClientRequest<'_>) -> Option<Duration> {
    let result = asked.result().filter(|result| matches!(result.status, Some(200 | 101)))?;
    let phases = [result.phases.connect_us, result.phases.reply_us];
    Some(asked.began + phases.into_iter().flatten().map(Duration::from_micros).sum::<Duration>())
}

/// Whether `which` means the tunnel of a request at the time `at`. `None` where clients and upstreams can't tell.
pub(super) fn takes(
    witnesses: &Witnesses<'_>,
    (at, which): (Duration, &WhichTunnels),
    asked: &ClientRequest<'_>,
    entries: &[JournalEntry<'_>],
) -> Option<bool> {
    let WhichTunnels { upstream, user, target, idle_for } = which;
    let config = witnesses.configurations.at(at);
    let leads = |wanted: &str| asked.target.eq_ignore_ascii_case(wanted) || asked.host().eq_ignore_ascii_case(wanted);
    if target.as_deref().is_some_and(|wanted| !leads(wanted))
        || user.as_deref().is_some_and(|name| asked.user != Some(name))
    {
        return Some(false);
    }
    // Of whom it asks for no credentials, the proxy need not know who it is.
    let mut known = user.is_none() || matches!(config.authentication, Authentication::Basic { .. });
    if let Some(name) = upstream {
        if config.upstreams.iter().all(|one| *one.host != **name) {
            return Some(false);
        }
        let hosts = witnesses.configurations.hosts_of(name, Duration::ZERO, at);
        let untold = hosts.iter().any(|host| witnesses.disturbances.untold(host, asked.began, at));
        let carried = entries.iter().filter(|entry| entry.is_success());
        let (there, elsewhere): (Vec<&JournalEntry<'_>>, Vec<_>) =
            carried.partition(|entry| hosts.contains(entry.host));
        // One that looks like a probe may have carried it.
        let mut ids = entries.iter().filter_map(|entry| entry.record.id.as_deref());
        let doubtful = untold || ids.any(|id| witnesses.journals.mentions(id) > entries.len());
        if !doubtful && there.is_empty() && !elsewhere.is_empty() {
            return Some(false);
        }
        // Another name may have led there, one that a reload has removed since among them, and the order does not mean its tunnels.
        let began = asked.began.saturating_sub(done_by(witnesses));
        let configs = witnesses.configurations.during(began, at);
        let alias = configs.flat_map(|config| &config.upstreams).filter(|one| *one.host != **name).any(|one| {
            let others = witnesses.configurations.hosts_of(&one.host, Duration::ZERO, at);
            hosts.iter().any(|host| others.contains(host))
        });
        known &= !alias && hosts.len() == 1 && !there.is_empty() && elsewhere.is_empty();
    }
    (known && idle_for.is_none()).then_some(true)
}

/// Why the tunnel of a request may have been cut: an operator closed it.
pub(super) fn closed(
    witnesses: &Witnesses<'_>,
    asked: &ClientRequest<'_>,
    entries: &[JournalEntry<'_>],
) -> Option<Excuse> {
    closed_before(witnesses, asked, entries, Duration::ZERO)
}

/// The same of one of which somebody else saw the end later than its client, at `over`.
pub(super) fn closed_before(
    witnesses: &Witnesses<'_>,
    asked: &ClientRequest<'_>,
    entries: &[JournalEntry<'_>],
    over: Duration,
) -> Option<Excuse> {
    if !(asked.is_tunnel() || asked.action == "websocket") {
        return None;
    }
    // The last bytes of a client that has finished may still be on their way.
    let on_the_way = witnesses.one_way() * 4;
    let (soon, ended) = (seen_by(witnesses), over.max(witnesses.end_of(asked)));
    // A reset that is lost is not sent again; the upstream has heard of the end.
    let waited = |result: &ClientResult| result.failure.is_some_and(|failure| failure.kind == FailureKind::Timeout);
    let lost = witnesses.loses_packets() && asked.result().is_some_and(waited);
    let never_told = |by: Duration| lost && entries.iter().any(|entry| entry.at <= by);
    let by = |(at, which): &(Duration, &WhichTunnels)| {
        if asked.began > *at + witnesses.clock_skew || ended + on_the_way + witnesses.clock_skew < *at {
            return false;
        }
        match (takes(witnesses, (*at, which), asked, entries), stood(asked)) {
            (Some(false), _) => false,
            // Who reads slowly hears of it late, and so does who says nothing.
            (Some(true), Some(stood)) => stood <= *at + soon,
            (None, Some(stood)) if witnesses.stays_for(asked).is_some() || never_told(*at + soon) => {
                stood <= *at + soon
            }
            _ => ended <= *at + soon,
        }
    };
    closures(witnesses).any(|closure| by(&closure)).then_some(Excuse::ByHand)
}
