//! The law `shares`: while the eligible set is unchanged, first picks follow the weights.

use std::collections::BTreeMap;

use crate::judge::checked::{Case, Checked};
use crate::judge::history::History;
use crate::judge::laws::law::{Check, Law};
use crate::judge::violation::Violation;
use crate::record::ProxyEvent;

pub(in crate::judge) const LAW: Law = Law {
    name: "shares",
    text: "Every first pick has a ticket and no other pick has one; while the eligible set is unchanged, tickets follow the weights: \
           exact at every full round, and never more than the bound apart between.",
    check: Check::Inside(check),
};

/// An epoch's schedule, as the proxy told of it.
struct Epoch<'a> {
    line: usize,
    offset: u64,
    weights: BTreeMap<&'a str, u64>,
    /// The ticket, the upstream and the line of each pick.
    picks: Vec<(u64, &'a str, usize)>,
}

fn check(history: &History<'_>) -> Checked {
    let mut checked = Checked::default();
    for process in &history.processes {
        let mut epochs: BTreeMap<u64, Epoch<'_>> = BTreeMap::new();
        for (line, _, event) in history.proxy_lines(process) {
            if let ProxyEvent::EpochStarted { number, offset, members } = event {
                let weights = members.iter().map(|(name, weight)| (name.as_str(), u64::from(*weight))).collect();
                epochs.insert(*number, Epoch { line, offset: *offset, weights, picks: Vec::new() });
            }
        }
        // A thread of a real proxy may pick in an epoch before another thread has told of it.
        for (line, _, event) in history.proxy_lines(process) {
            let ProxyEvent::PickMade { request: Some(_), attempt, epoch, ticket, upstream, probe } = event else {
                continue;
            };
            let Some(known) = epochs.get_mut(epoch) else {
                checked
                    .add(Case::Broken(Violation::found(format!("a pick in epoch {epoch}, which never began"), [line])));
                continue;
            };
            // A lent probe and a pick while nobody is eligible take no turn.
            let first = *attempt == 0 && !probe && !known.weights.is_empty();
            if first != ticket.is_some() {
                let text =
                    if first { "a first pick has no ticket" } else { "a pick that is no first one has a ticket" };
                checked.add(Case::Broken(Violation::found(text, [known.line, line])));
            }
            known.picks.extend(ticket.map(|ticket| (ticket, upstream.as_str(), line)));
        }
        for (number, epoch) in epochs.into_iter().filter(|(_, epoch)| !epoch.picks.is_empty()) {
            checked.add(Case::of(judge(number, epoch)));
        }
    }
    checked
}

fn judge(number: u64, mut epoch: Epoch<'_>) -> Option<Violation> {
    epoch.picks.sort();
    let divisor = epoch.weights.values().copied().fold(0, gcd).max(1);
    let round: u64 = epoch.weights.values().sum::<u64>() / divisor;
    // Counted from an offset, a stretch is the difference of two prefixes, so the bound doubles.
    let bound = if epoch.offset == 0 { round } else { 2 * round };
    let mut picked: BTreeMap<&str, u64> = BTreeMap::new();
    for (index, (ticket, upstream, line)) in epoch.picks.iter().enumerate() {
        let made = index as u64 + 1;
        if *ticket != index as u64 {
            return Some(Violation::found(
                format!("epoch {number} has no ticket {index}, but {ticket}"),
                [epoch.line, *line],
            ));
        }
        *picked.entry(upstream).or_default() += 1;
        for (name, weight) in &epoch.weights {
            let share = made * (weight / divisor);
            let got = picked.get(name).copied().unwrap_or(0) * round;
            let apart = share.abs_diff(got);
            if apart >= bound || (made.is_multiple_of(round) && apart > 0) {
                let text = format!(
                    "epoch {number}: after {made} picks {name} of weight {weight} had {} of {made}",
                    got / round
                );
                return Some(Violation::found(text, [epoch.line, *line]));
            }
        }
    }
    None
}

pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::LAW;
    use crate::judge::laws::twin::Twin;
    use crate::record::{ProxyEvent, What};
    use crate::scenario::HostName;

    #[test]
    fn fires_where_one_upstream_got_anothers_pick() {
        let mut twin = Twin::of(&LAW);
        for line in &mut twin.record.trace.lines {
            if let What::Proxy(ProxyEvent::PickMade { upstream, .. }) = &mut line.what {
                *upstream = HostName::new("alpha");
            }
        }
        twin.fires();
    }

    #[test]
    fn fires_where_a_ticket_is_missing() {
        let mut twin = Twin::of(&LAW);
        twin.remove(|what| matches!(what, What::Proxy(ProxyEvent::PickMade { ticket: Some(1), .. })));
        twin.fires();
    }

    #[test]
    fn fires_where_a_first_pick_takes_no_turn_or_another_one_does() {
        let mut twin = Twin::of(&LAW);
        let last = twin.find(|what| matches!(what, What::Proxy(ProxyEvent::PickMade { ticket: Some(11), .. })));
        if let What::Proxy(ProxyEvent::PickMade { ticket, .. }) = &mut twin.record.trace.lines[last].what {
            *ticket = None;
        }
        twin.fires();
        let mut twin = Twin::of(&LAW);
        if let What::Proxy(ProxyEvent::PickMade { attempt, .. }) = &mut twin.record.trace.lines[last].what {
            *attempt = 1;
        }
        twin.fires();
    }
}
