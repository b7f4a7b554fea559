//! How many connections clients had with a proxy that allows only so many.

use std::time::Duration;

use super::configurations::Configurations;
use super::request::ClientRequest;
use crate::scenario::Action;

/// How long a connection may last at the proxy behind the end that its client saw.
const PARTING: Duration = Duration::from_millis(100);

/// What a proxy allows, and who was there.
#[derive(Debug)]
pub struct Crowd {
    /// How many connections it serves at once: the least and the most that it was ever started with.
    least: usize,
    most: usize,
    /// When each request may have had a connection.
    connected: Vec<(Duration, Duration)>,
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
        let connected = |asked: &ClientRequest<'_>| {
            let Some(end) = &asked.end else { return (asked.began, Duration::MAX) };
            // Where the client left first, the other side of a tunnel may be given time to notice.
            let refused = end.result.status.is_some_and(|status| status >= 400);
            let left = if end.result.failure.is_some() && !refused {
                configurations.at(end.at).timeouts.half_closed
            } else {
                Duration::ZERO
            };
            let parting = one_way * 4 + PARTING + resending;
            (asked.began, end.at + left + parting)
        };
        Some(Crowd {
            least: limits.iter().copied().min()?,
            most: limits.iter().copied().max()?,
            connected: requests.map(connected).collect(),
        })
    }

    /// The most connections that the proxy ever served at once, if it did as it was told.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether more clients than the limit and a `reserve` together may have been there at some time from `from` to `until`.
    pub fn exceeds(&self, reserve: usize, from: Duration, until: Duration) -> bool {
        let there = self.connected.iter().filter(|(began, end)| *began <= until && *end >= from);
        there.count() > self.least + reserve
    }
}
