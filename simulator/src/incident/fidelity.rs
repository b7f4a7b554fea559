//! A replay is held against what was seen on the recorded day.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::day::Sight;
use crate::record::{ScenarioEvent, Trace, What};
use crate::scenario::{PROXY, Percentiles, Piece, Seen, Turn, UpstreamState};

/// An ejection or a recovery is the same if it comes so much earlier or later.
const WITHIN: Duration = Duration::from_secs(2);
/// A recovery also if it is off by this part of the time that the upstream was out: back-offs are drawn.
const WITHIN_PART: f64 = 0.5;
/// Shares of requests, from 0 to 1, are the same up to this.
const SHARE: f64 = 0.05;
/// Of all requests so many may be more or fewer in any case.
const FEW: f64 = 5.0;
/// The same of upstreams in a piece of the day.
const SERVED: f64 = 0.15;
/// Requests of a piece below which shares are chance.
const ENOUGH: u64 = 50;
/// Latencies are the same up to this factor, and up to this difference.
const FACTOR: f64 = 2.5;
const LATENCY: Duration = Duration::from_millis(20);

/// A figure of the day beside that of its replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// Of what.
    pub what: String,
    /// As it was recorded.
    pub recorded: String,
    /// As it was replayed.
    pub replayed: String,
    /// Whether it is not the same.
    pub differs: bool,
}

/// How true a replay is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fidelity {
    /// All that is compared.
    pub figures: Vec<Figure>,
}

/// What a trace shows of the proxy up to the end of the story.
fn sight_of(trace: &Trace) -> Seen {
    let mut sight = Sight::default();
    for line in &trace.lines {
        match &line.what {
            What::Scenario(ScenarioEvent::Phase { name: "liveness" }) => break,
            What::Proxy(event) if line.host.as_str() == PROXY => sight.see(line.at(), event),
            _ => {}
        }
    }
    sight.seen().0
}

/// When the story of a run ended.
fn end_of(trace: &Trace) -> Duration {
    let end =
        trace.lines.iter().find(|line| matches!(&line.what, What::Scenario(ScenarioEvent::Phase { name: "liveness" })));
    end.map_or(Duration::MAX, |line| line.at())
}

impl Fidelity {
    /// What counts as the same, for people.
    pub fn bounds() -> String {
        format!(
            "the same: requests within {:.0} % or {FEW:.0}, ejections within {WITHIN:?}, recoveries within {WITHIN:?} or {:.0} % of the time out, shares within {:.0} points \
             ({:.0} for an upstream's in a piece of the day with {ENOUGH} requests), latencies within a factor of {FACTOR} or {LATENCY:?}",
            SHARE * 100.0,
            WITHIN_PART * 100.0,
            SHARE * 100.0,
            SERVED * 100.0
        )
    }

    /// Holds `trace` against what was seen.
    pub fn of(recorded: &Seen, trace: &Trace) -> Self {
        Self::of_late(recorded, trace, Duration::ZERO)
    }

    /// The same for a day on a machine that may have been late by so much.
    pub(super) fn of_late(recorded: &Seen, trace: &Trace, late: Duration) -> Self {
        let replayed = &sight_of(trace);
        let mut report = Fidelity { figures: Vec::new() };
        let wanted = recorded.requests as f64 / recorded.one_in.max(1.0);
        let off = (wanted - replayed.requests as f64).abs() > (wanted * SHARE).max(FEW);
        report.put(
            "requests",
            format!("{} (one in {:.1} is replayed)", recorded.requests, recorded.one_in),
            replayed.requests,
            off,
        );
        report.share("requests that failed", recorded, replayed, |seen| seen.failed);
        report.share("requests that failed over", recorded, replayed, |seen| seen.failovers);
        report.share("attempts", recorded, replayed, |seen| seen.attempts);
        for word in recorded.outcomes.keys().chain(replayed.outcomes.keys()).collect::<BTreeSet<_>>() {
            report.share(&format!("ended by {word}"), recorded, replayed, |seen| of(&seen.outcomes, word));
        }
        for word in recorded.failures.keys().chain(replayed.failures.keys()).collect::<BTreeSet<_>>() {
            report
                .share(&format!("attempts that failed by {word}"), recorded, replayed, |seen| of(&seen.failures, word));
        }
        report.turns(&recorded.turns, &replayed.turns, end_of(trace));
        report.pieces(recorded, replayed);
        report.latencies(recorded.latency, replayed.latency, LATENCY.max(late));
        report
    }

    /// The figures that are not the same.
    pub fn differences(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(|one| one.differs)
    }

    /// Whether there are any.
    pub fn differs(&self) -> bool {
        self.differences().next().is_some()
    }

    fn put(&mut self, what: &str, recorded: impl ToString, replayed: impl ToString, differs: bool) {
        let (recorded, replayed) = (recorded.to_string(), replayed.to_string());
        self.figures.push(Figure { what: what.to_owned(), recorded, replayed, differs });
    }

    /// A count for each hundred requests.
    fn share(&mut self, what: &str, recorded: &Seen, replayed: &Seen, count: impl Fn(&Seen) -> u64) {
        let share = |seen: &Seen| if seen.requests == 0 { 0.0 } else { count(seen) as f64 / seen.requests as f64 };
        let (one, other) = (share(recorded), share(replayed));
        let shown = |share: f64| format!("{:.1} %", share * 100.0);
        self.put(what, shown(one), shown(other), (one - other).abs() > SHARE);
    }

    /// Pairs the ejections and recoveries of each upstream in their order of time.
    fn turns(&mut self, recorded: &[Turn], replayed: &[Turn], end: Duration) {
        let upstreams: BTreeSet<&str> = recorded.iter().chain(replayed).map(|turn| turn.upstream.as_str()).collect();
        for upstream in upstreams {
            for (to, word) in [(UpstreamState::Ejected, "ejections"), (UpstreamState::Eligible, "recoveries")] {
                let times = |turns: &[Turn]| -> Vec<(Duration, Duration)> { times(turns, upstream, to) };
                let (one, other) = (times(recorded), times(replayed));
                let differs = !are_same(&one, &other, end);
                self.put(&format!("{word} of {upstream}"), shown(&one), shown(&other), differs);
            }
        }
    }

    /// The shares of upstreams in the piece of the day in which they differ most.
    fn pieces(&mut self, recorded: &Seen, replayed: &Seen) {
        if recorded.piece != replayed.piece {
            return;
        }
        let mut most: Option<(f64, usize, &str, f64, f64)> = None;
        for (place, (one, other)) in recorded.pieces.iter().zip(&replayed.pieces).enumerate() {
            if one.requests.min(other.requests) < ENOUGH {
                continue;
            }
            for upstream in one.served.keys().chain(other.served.keys()) {
                let share = |piece: &Piece| {
                    let all: u64 = piece.served.values().sum();
                    of(&piece.served, upstream) as f64 / all.max(1) as f64
                };
                let (first, second) = (share(one), share(other));
                let apart = (first - second).abs();
                if most.is_none_or(|(most, ..)| apart > most) {
                    most = Some((apart, place, upstream, first, second));
                }
            }
        }
        if let Some((apart, place, upstream, one, other)) = most {
            let from = recorded.piece.get() * u32::try_from(place).unwrap_or(u32::MAX);
            let what =
                format!("share of {upstream} from {} on, where shares differ most", humantime::format_duration(from));
            let shown = |share: f64| format!("{:.1} %", share * 100.0);
            self.put(&what, shown(one), shown(other), apart > SERVED);
        }
    }

    fn latencies(&mut self, recorded: Percentiles, replayed: Percentiles, apart: Duration) {
        for (what, one, other) in [
            ("p50", recorded.p50, replayed.p50),
            ("p90", recorded.p90, replayed.p90),
            ("p99", recorded.p99, replayed.p99),
        ] {
            let (less, more) = (one.get().min(other.get()), one.get().max(other.get()));
            let differs = more - less > apart && more.as_secs_f64() > less.as_secs_f64() * FACTOR;
            let shown = |span: Duration| format!("{:.1} ms", span.as_secs_f64() * 1e3);
            self.put(&format!("time to the verdict, {what}"), shown(one.get()), shown(other.get()), differs);
        }
    }
}

fn of(counts: &std::collections::BTreeMap<String, u64>, word: &str) -> u64 {
    counts.get(word).copied().unwrap_or(0)
}

/// When `upstream` turned to that state, and by how much each time may be off.
fn times(turns: &[Turn], upstream: &str, to: UpstreamState) -> Vec<(Duration, Duration)> {
    let mut out = None;
    let mut times = Vec::new();
    for turn in turns.iter().filter(|turn| turn.upstream == upstream) {
        let at = turn.at.get();
        if turn.to == to {
            let was_out: Duration = out.map_or(Duration::ZERO, |out| at.saturating_sub(out));
            let part = if to == UpstreamState::Eligible { was_out.mul_f64(WITHIN_PART) } else { Duration::ZERO };
            times.push((at, WITHIN.max(part)));
        }
        out = (turn.to == UpstreamState::Ejected).then_some(at);
    }
    times
}

/// Whether each pair is close enough. What comes so late that its other may have come behind `end` needs none.
fn are_same(one: &[(Duration, Duration)], other: &[(Duration, Duration)], end: Duration) -> bool {
    let pairs = one.len().min(other.len());
    let mut alone = one[pairs..].iter().chain(&other[pairs..]);
    one.iter().zip(other).all(|((at, within), (then, _))| at.abs_diff(*then) <= *within)
        && alone.all(|(at, within)| *at + *within >= end)
}

fn shown(times: &[(Duration, Duration)]) -> String {
    const MOST: usize = 6;
    let mut shown: Vec<String> = times.iter().take(MOST).map(|(at, _)| format!("{:.1} s", at.as_secs_f64())).collect();
    if times.len() > MOST {
        shown.push(format!("and {} more", times.len() - MOST));
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(seconds: u64, to: UpstreamState) -> Turn {
        Turn { at: Duration::from_secs(seconds).into(), upstream: "a".to_owned(), to }
    }

    #[test]
    fn turns_are_the_same_within_the_stated_time_and_in_number() {
        use UpstreamState::{Ejected, Eligible};
        let recorded = [turn(10, Ejected), turn(40, Eligible)];
        let differing = |replayed: &[Turn]| {
            let mut report = Fidelity { figures: Vec::new() };
            report.turns(&recorded, replayed, Duration::from_secs(60));
            report.differences().map(|one| one.what.clone()).collect::<Vec<_>>()
        };
        assert_eq!(differing(&[turn(12, Ejected), turn(54, Eligible)]), [""; 0]);
        assert_eq!(differing(&[turn(13, Ejected), turn(40, Eligible)]), ["ejections of a"]);
        assert_eq!(differing(&[turn(10, Ejected), turn(56, Eligible)]), ["recoveries of a"]);
        assert_eq!(differing(&[]), ["ejections of a", "recoveries of a"]);
        assert_eq!(differing(&[turn(10, Ejected)]), ["recoveries of a"]);
        assert_eq!(differing(&[turn(10, Ejected), turn(40, Eligible), turn(59, Ejected)]), [""; 0], "right at the end");
    }

    #[test]
    fn shares_and_latencies_have_their_bounds() {
        let seen = |failed, p99: u64| Seen {
            requests: 1000,
            one_in: 1.0,
            failed,
            latency: Percentiles { p99: Duration::from_millis(p99).into(), ..Percentiles::default() },
            ..Seen::default()
        };
        let differing = |one: Seen, other: Seen| {
            let mut report = Fidelity { figures: Vec::new() };
            report.share("failed", &one, &other, |seen| seen.failed);
            report.latencies(one.latency, other.latency, LATENCY);
            report.differences().map(|one| one.what.clone()).collect::<Vec<_>>()
        };
        assert_eq!(differing(seen(100, 100), seen(149, 249)), [""; 0]);
        assert_eq!(differing(seen(100, 100), seen(151, 251)), ["failed", "time to the verdict, p99"]);
        assert_eq!(differing(seen(0, 2), seen(0, 20)), [""; 0]);
    }
}
