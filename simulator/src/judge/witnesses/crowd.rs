//! How many connections clients had with a proxy that allows only so many.

use std::collections::BTreeMap;
use std::time::Duration;

use super::configurations::Configurations;
use super::request::ClientRequest;
use crate::scenario::{Action, Entrance};

/// How long a connection may last at the proxy behind the end that its client saw.
const PARTING: Duration = Duration::from_millis(100);

/// How many connections a proxy serves at the listener of its own pages, whatever crowd there is elsewhere: what configs/README.md promises of
/// `admin`, and not what the proxy's code says.
const PLACES_OF_PAGES: usize = 16;

/// What a proxy allows, and who was there.
#[derive(Debug)]
pub struct Crowd {
    /// How many connections it serves at once: the least and the most that it was ever started with.
    least: usize,
    most: usize,
    /// When each request may have had a connection, by its client.
    connected: BTreeMap<String, Connected>,
}

/// When each request of a client may have had a connection.
#[derive(Debug, Default)]
struct Connected {
    spans: Vec<(Duration, Duration)>,
    /// Whether it comes to the listener of the proxy's own pages.
    at_pages: bool,
    /// Whether it keeps connections for further requests. Then it may have as many as it ever made requests at once.
    keeps: bool,
    /// The most requests that it had made at once, from each of these times on.
    peaks: Vec<(Duration, usize)>,
}

impl Connected {
    /// Notes the peaks, once all spans are known.
    fn count(&mut self) {
        // Who begins at the time at which another ends is there beside it.
        let begins = self.spans.iter().map(|(began, _)| (*began, false));
        let mut changes: Vec<(Duration, bool)> = begins.chain(self.spans.iter().map(|(_, end)| (*end, true))).collect();
        changes.sort_unstable();
        let (mut there, mut most) = (0usize, 0);
        for (at, ends) in changes {
            if ends {
                there = there.saturating_sub(1);
            } else {
                there += 1;
            }
            if there > most {
                most = there;
                self.peaks.push((at, most));
            }
        }
    }

    /// How many connections it may have had at some time from `from` to `until`.
    fn between(&self, from: Duration, until: Duration) -> usize {
        let at_once = self.spans.iter().filter(|(began, end)| *began <= until && *end >= from).count();
        let peak = self.peaks.iter().take_while(|(at, _)| *at <= until).last().filter(|_| self.keeps);
        peak.map_or(at_once, |(_, most)| at_once.max(*most))
    }
}

impl Crowd {
    /// `None` where the proxy was once started with no limit. Packets take up to `one_way`, and `resending` longer if they are lost.
    pub(super) fn new<'r>(
        proxy: &str,
        configurations: &Configurations<'_>,
        played: &[(Duration, &Action)],
        requests: impl Iterator<Item = &'r ClientRequest<'r>>,
        (one_way, resending): (Duration, Duration),
    ) -> Option<Self> {
        let restarts = played.iter().filter(|(_, action)| matches!(action, Action::Restart { host } if host == proxy));
        let starts = restarts.map(|(at, _)| configurations.at(*at)).chain([configurations.first()]);
        let limits: Option<Vec<usize>> =
            starts.map(|config| config.limits.max_connections.map(std::num::NonZero::get)).collect();
        let limits = limits?;
        let span = |asked: &ClientRequest<'_>| {
            let Some(end) = &asked.end else { return (asked.began, Duration::MAX) };
            // Where the client left first, the other side of a tunnel may be given time to notice; a page of which nothing comes any more is
            // waited for, since a client that has ended its own side may still read.
            let refused = end.result.status.is_some_and(|status| status >= 400);
            let timeouts = &configurations.at(end.at).timeouts;
            let left = match end.result.failure.is_some() && !refused {
                true if asked.is_tunnel() => timeouts.half_closed,
                true => timeouts.half_closed.max(timeouts.body),
                false => Duration::ZERO,
            };
            let parting = one_way * 4 + PARTING + resending;
            (asked.began, end.at + left + parting)
        };
        let mut connected: BTreeMap<String, Connected> = BTreeMap::new();
        for asked in requests {
            let of_client = connected.entry(asked.client.to_owned()).or_default();
            of_client.spans.push(span(asked));
            of_client.at_pages = asked.entrance == Entrance::Admin;
            of_client.keeps |= asked.result().is_some_and(|result| result.reused);
        }
        connected.values_mut().for_each(Connected::count);
        Some(Crowd { least: limits.iter().copied().min()?, most: limits.iter().copied().max()?, connected })
    }

    /// The most connections that the proxy ever served at once, if it did as it was told.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether more clients than the limit and a `reserve` together may have been there at some time from `from` to `until`; for who comes
    /// to the listener of the proxy's own pages, more than its own places there.
    pub fn exceeds(&self, (entrance, reserve): (Entrance, usize), from: Duration, until: Duration) -> bool {
        let at_pages = entrance == Entrance::Admin;
        let counted = self.connected.values().filter(|of_client| of_client.at_pages || !at_pages);
        let there: usize = counted.map(|of_client| of_client.between(from, until)).sum();
        there > if at_pages { PLACES_OF_PAGES } else { self.least + reserve }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_keeps_connections_has_as_many_as_it_ever_had_at_once() {
        let second = Duration::from_secs(1);
        let spans =
            vec![(second, second * 3), (second * 2, second * 3), (second * 2, second * 4), (second * 9, second * 10)];
        let mut client = Connected { spans, ..Connected::default() };
        client.count();
        assert_eq!(client.between(second * 5, second * 6), 0);
        assert_eq!(client.between(second * 9, second * 9), 1);
        client.keeps = true;
        assert_eq!(client.between(second * 5, second * 6), 3);
        assert_eq!(client.between(second * 9, second * 9), 3);
        assert_eq!(client.between(Duration::ZERO, second), 1);
    }
}
