//! What is seen of a day is counted in the same way from its log and from the trace of its replay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::{Finished, ProxyEvent};
use crate::scenario::{Percentiles, Piece, Seen, Turn, UpstreamState};

/// The most pieces of a day. They get longer where there would be more.
const MOST_PIECES: u64 = 1440;
/// The most turns that are told.
const MOST_TURNS: usize = 10_000;
/// Buckets for each doubling of a latency, so that percentiles are right within 5 %.
const BUCKETS: f64 = 16.0;
const MINUTE: Duration = Duration::from_secs(60);

/// Counts what the events of a day say.
#[derive(Debug)]
pub(in crate::incident) struct Sight {
    seen: Seen,
    piece: Duration,
    pieces: BTreeMap<u64, Piece>,
    latencies: BTreeMap<u32, u64>,
    /// Who is out. One that was put aside for a probe comes back too, which is no recovery.
    out: BTreeSet<String>,
    /// Turns beyond [`MOST_TURNS`].
    untold: u64,
}

impl Default for Sight {
    fn default() -> Self {
        Self::in_pieces_of(MINUTE)
    }
}

/// When the request began that `end` tells of, which was told at `at`.
pub(in crate::incident) fn begun(at: Duration, end: &Finished) -> Duration {
    at.saturating_sub(Duration::from_micros(end.duration_us))
}

/// The host in `http://host:port`.
pub(in crate::incident) fn host_of(url: &str) -> &str {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    place.rsplit_once(':').map_or(place, |(host, _)| host)
}

impl Sight {
    /// One that tells the day in pieces as long as `piece`, or longer ones where the day is long.
    pub(in crate::incident) fn in_pieces_of(piece: Duration) -> Self {
        let (seen, pieces, latencies, out, untold) = Default::default();
        Sight { seen, piece, pieces, latencies, out, untold }
    }

    /// `event` was told at `at`.
    pub(in crate::incident) fn see(&mut self, at: Duration, event: &ProxyEvent) {
        match event {
            ProxyEvent::Finished(end) => self.finished(begun(at, end), end),
            ProxyEvent::Ejected { upstream, .. } => self.turned(at, upstream.as_str(), UpstreamState::Ejected),
            // The next process has all upstreams in.
            ProxyEvent::Started { .. } => self.out.clear(),
            ProxyEvent::Recovered { upstream, .. } => self.turned(at, upstream.as_str(), UpstreamState::Eligible),
            _ => {}
        }
    }

    fn turned(&mut self, at: Duration, upstream: &str, to: UpstreamState) {
        let turns = match to {
            UpstreamState::Ejected => self.out.insert(upstream.to_owned()),
            UpstreamState::Eligible => self.out.remove(upstream),
        };
        if !turns {
            return;
        }
        if self.seen.turns.len() < MOST_TURNS {
            self.seen.turns.push(Turn { at: at.into(), upstream: upstream.to_owned(), to });
        } else {
            self.untold += 1;
        }
    }

    fn finished(&mut self, begun: Duration, end: &Finished) {
        let ok = end.outcome == "ok";
        self.seen.requests += 1;
        self.seen.failed += u64::from(!ok);
        self.seen.failovers += u64::from(end.attempts > 1);
        self.seen.attempts += u64::from(end.attempts);
        *self.seen.outcomes.entry(end.outcome.to_owned()).or_default() += 1;
        for (_, failure) in &end.failed_attempts {
            *self.seen.failures.entry((*failure).to_owned()).or_default() += 1;
        }
        let piece = self.piece_at(begun);
        piece.requests += 1;
        piece.failed += u64::from(!ok);
        if let Some(upstream) = end.upstream.as_deref().filter(|_| ok) {
            *piece.served.entry(host_of(upstream).to_owned()).or_default() += 1;
        }
        if ok {
            *self.latencies.entry(bucket(end.latency_us)).or_default() += 1;
        }
    }

    fn piece_at(&mut self, at: Duration) -> &mut Piece {
        let place = |piece: Duration| u64::try_from(at.as_micros() / piece.as_micros()).unwrap_or(u64::MAX);
        while place(self.piece) >= MOST_PIECES {
            self.piece *= 2;
            for (place, piece) in std::mem::take(&mut self.pieces) {
                let whole = self.pieces.entry(place / 2).or_default();
                whole.requests += piece.requests;
                whole.failed += piece.failed;
                for (upstream, served) in piece.served {
                    *whole.served.entry(upstream).or_default() += served;
                }
            }
        }
        self.pieces.entry(place(self.piece)).or_default()
    }

    /// What was seen, and how many turns were too many to tell.
    pub(in crate::incident) fn seen(mut self) -> (Seen, u64) {
        let last = self.pieces.last_key_value().map_or(0, |(place, _)| place + 1);
        self.seen.pieces = (0..last).map(|place| self.pieces.remove(&place).unwrap_or_default()).collect();
        self.seen.piece = self.piece.into();
        self.seen.one_in = 1.0;
        let rank = |percent| percentile(&self.latencies, percent).into();
        self.seen.latency = Percentiles { p50: rank(50), p90: rank(90), p99: rank(99) };
        (self.seen, self.untold)
    }
}

fn bucket(micros: u64) -> u32 {
    ((micros.max(1) as f64).log2() * BUCKETS).round() as u32
}

fn percentile(latencies: &BTreeMap<u32, u64>, percent: u64) -> Duration {
    let mut left = (latencies.values().sum::<u64>() * percent).div_ceil(100);
    let found = latencies.iter().find(|(_, count)| {
        left = left.saturating_sub(**count);
        left == 0
    });
    found.map_or(Duration::ZERO, |(bucket, _)| {
        let micros = (f64::from(*bucket) / BUCKETS).exp2();
        // More digits than it is good for would only pretend.
        Duration::from_micros(((micros / 10.0).round() as u64).saturating_mul(10))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::HostName;

    fn end(latency_us: u64, outcome: &'static str, attempts: u32) -> ProxyEvent {
        ProxyEvent::Finished(Finished {
            request: 1,
            client: String::new(),
            user: None,
            method: "CONNECT".to_owned(),
            target: "x:1".to_owned(),
            status: 200,
            outcome,
            blame: None,
            upstream: Some("http://b:8080".to_owned()),
            failed_attempts: (1..attempts).map(|_| ("http://a:8080".to_owned(), "connect_refused")).collect(),
            attempts,
            bytes_up: 0,
            bytes_down: 0,
            latency_us,
            duration_us: 2_000_000,
            end: None,
        })
    }

    #[test]
    fn a_day_in_numbers() {
        let mut sight = Sight::default();
        let at = |seconds| Duration::from_secs(seconds);
        (0..99).for_each(|_| sight.see(at(61), &end(10_000, "ok", 1)));
        sight.see(at(63), &end(1_000_000, "ok", 2));
        sight.see(at(64), &end(5, "connect_refused", 3));
        let upstream = HostName::new("a");
        sight.see(at(70), &ProxyEvent::Ejected { upstream: upstream.clone(), failures: 3, until_us: 0 });
        sight.see(at(80), &ProxyEvent::Recovered { upstream: upstream.clone(), after_us: 0 });
        sight.see(at(85), &ProxyEvent::Suspected { upstream: upstream.clone(), failures: 3 });
        sight.see(at(86), &ProxyEvent::Recovered { upstream, after_us: 0 });
        let (seen, untold) = sight.seen();
        assert_eq!((seen.requests, seen.failed, seen.failovers, seen.attempts, untold), (101, 1, 2, 104, 0));
        assert_eq!((seen.outcomes["ok"], seen.failures["connect_refused"]), (100, 3));
        assert_eq!(seen.turns.iter().map(|turn| turn.at.get().as_secs()).collect::<Vec<_>>(), [70, 80]);
        let pieces: Vec<_> = seen.pieces.iter().map(|piece| (piece.requests, piece.failed)).collect();
        assert_eq!(pieces, [(99, 0), (2, 1)], "by when they began");
        assert_eq!(seen.pieces[1].served["b"], 1);
        let within =
            |span: crate::scenario::Span, micros: f64| (span.get().as_micros() as f64 / micros - 1.0).abs() < 0.05;
        assert!(within(seen.latency.p99, 10_000.0) && within(seen.latency.p50, 10_000.0), "{:?}", seen.latency);
    }

    #[test]
    fn a_long_day_has_longer_pieces_and_loses_nothing() {
        let mut sight = Sight::default();
        (0..5000).for_each(|minute| sight.see(MINUTE * minute, &end(1, "ok", 1)));
        let (seen, _) = sight.seen();
        assert!(seen.pieces.len() <= MOST_PIECES as usize && seen.piece.get() == MINUTE * 4);
        assert_eq!(seen.pieces.iter().map(|piece| piece.served["b"]).sum::<u64>(), 5000);
    }
}
