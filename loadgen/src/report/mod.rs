//! What a run found, as data; its renderings stand beside it.

pub mod compare;
mod files;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod text;

pub use files::Reports;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::drive::{Tally, Times};
use crate::verdict::Verdict;
use crate::verdict::failover::Failover;
use crate::watch::{Process, Work};
use crate::workload::Workload;

/// What a run found. Written as JSON, it can be compared with another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version that wrote it.
    pub loadgen: String,
    /// What was asked for, in words.
    pub workload: Vec<String>,
    /// From the seed the run can be repeated.
    pub seed: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// It was stopped before its end.
    pub interrupted: bool,
    /// Requests that began.
    pub began: u64,
    /// Requests that went well.
    pub ok: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Requests that ended for reasons of our own.
    pub not_judged: u64,
    /// All that failed, by what went wrong.
    pub failures: BTreeMap<String, u64>,
    /// Requests and failures, by action.
    pub actions: Vec<ActionCount>,
    /// Answers by the upstream that they say they came through.
    pub exits: BTreeMap<String, u64>,
    /// Bytes to targets.
    pub bytes_up: u64,
    /// Bytes from targets.
    pub bytes_down: u64,
    /// The most tunnels that were open at once.
    pub tunnels: u64,
    /// Times by name; `corrected` first counts from when requests were due.
    pub times: BTreeMap<String, Latency>,
    /// Whether the load generator itself was the limit; nothing it says of rate or latency holds where it was.
    pub saturated: bool,
    /// What the load generator spent.
    #[serde(default)]
    pub effort: Effort,
    /// The run in stretches.
    pub series: Vec<Stretch>,
    /// What the fault in mid-run cost.
    pub failover: Option<Failover>,
    /// When the fault was on, in seconds.
    pub fault: Option<(f64, Option<f64>)>,
    /// What the proxy's process used.
    #[serde(default)]
    pub process: Option<Process>,
    /// The judgements.
    pub verdicts: Vec<Verdict>,
    /// What the reader should know besides.
    pub notes: Vec<String>,
}

/// Processor time of the threads that made the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Of all of them, in seconds.
    pub seconds: f64,
    /// The part of its life in which the busiest of them was on a processor or waited for one.
    pub busiest: f64,
}

/// Requests of one action.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionCount {
    /// The action.
    pub action: String,
    /// Requests.
    pub requests: u64,
    /// Failures among them.
    pub failed: u64,
}

/// A histogram in figures: microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean: u64,
    /// Percentiles by name.
    pub points: BTreeMap<String, u64>,
    /// Every value that occurred, and how often.
    pub recorded: Vec<(u64, u64)>,
}

impl From<&Times> for Latency {
    fn from(times: &Times) -> Self {
        let micros = |span: Duration| span.as_micros() as u64;
        let point = |name: &&str| {
            let percent = name.strip_prefix('p').and_then(|percent| percent.parse().ok());
            let value = match (*name, percent) {
                (_, Some(percent)) => times.percentile(percent),
                ("mean", _) => times.mean(),
                _ => times.max(),
            };
            ((*name).to_owned(), micros(value))
        };
        let points = crate::verdict::expect::POINTS.iter().map(point).collect();
        Latency { count: times.count(), mean: micros(times.mean()), points, recorded: times.recorded() }
    }
}

impl Latency {
    /// A percentile by its name.
    pub fn point(&self, name: &str) -> Duration {
        Duration::from_micros(self.points.get(name).copied().unwrap_or(0))
    }
}

/// A stretch of the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stretch {
    /// Its begin, in seconds.
    pub at: f64,
    /// How long, in seconds.
    pub span: f64,
    /// Requests that went well.
    pub ok: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Corrected latency in microseconds: p50, p90, p99 and the longest.
    pub latency: [u64; 4],
    /// Requests by upstream, where that is known.
    pub shares: BTreeMap<String, u64>,
    /// Upstreams that were ejected at its end.
    pub ejected: Vec<String>,
}

impl Stretch {
    /// From what was counted in it.
    pub fn new(at: Duration, span: Duration, tally: &Tally) -> Self {
        let times = &tally.corrected;
        let micros = |span: Duration| span.as_micros() as u64;
        let latency = [50.0, 90.0, 99.0, 100.0].map(|percent| micros(times.percentile(percent)));
        Stretch {
            at: at.as_secs_f64(),
            span: span.as_secs_f64(),
            ok: tally.ok,
            errors: tally.errors(),
            latency,
            shares: tally.exits.clone(),
            ejected: Vec::new(),
        }
    }
}

/// Above this lag (99th percentile) of its own, the load generator calls itself saturated.
pub const MOST_LAG: Duration = Duration::from_millis(10);

/// Likewise where one of its threads had work for more than this part of its life.
pub const MOST_BUSY: f64 = 0.95;

impl Report {
    /// From a run's `tally`; `lag` is how late the load generator's own clockwork was. Verdicts come later.
    pub fn new(workload: &Workload, tally: &Tally, lag: &Times, span: Duration, tunnels: u64) -> Self {
        let times = [
            ("corrected", &tally.corrected),
            ("uncorrected", &tally.uncorrected),
            ("connect", &tally.connect),
            ("reply", &tally.reply),
            ("tls", &tally.tls),
            ("first_byte", &tally.first_byte),
            ("last_byte", &tally.last_byte),
            ("lag", lag),
        ];
        let name = |place: usize| workload.mix.action(place).to_string();
        let actions = tally.actions.iter().map(|(place, (requests, failed))| ActionCount {
            action: name(*place),
            requests: *requests,
            failed: *failed,
        });
        Report {
            loadgen: env!("CARGO_PKG_VERSION").to_owned(),
            workload: Vec::new(),
            seed: workload.seed,
            seconds: span.as_secs_f64(),
            interrupted: false,
            began: tally.began,
            ok: tally.ok,
            errors: tally.errors(),
            not_judged: tally.not_judged(),
            failures: tally.failed.iter().map(|(failure, count)| (failure.to_string(), *count)).collect(),
            actions: actions.collect(),
            exits: tally.exits.clone(),
            bytes_up: tally.up,
            bytes_down: tally.down,
            tunnels,
            times: times.into_iter().map(|(name, times)| (name.to_owned(), times.into())).collect(),
            saturated: lag.percentile(99.0) > MOST_LAG,
            effort: Effort::default(),
            series: Vec::new(),
            failover: None,
            fault: None,
            process: None,
            verdicts: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Notes what each thread that made the load had to do.
    pub fn worked(&mut self, threads: &[Work]) {
        let busy = |work: &Work| (work.on + work.waited).as_secs_f64() / work.life.as_secs_f64().max(f64::MIN_POSITIVE);
        self.effort.seconds = threads.iter().map(|work| work.on.as_secs_f64()).sum();
        self.effort.busiest = threads.iter().map(busy).fold(0.0, f64::max).min(1.0);
        self.saturated |= self.effort.busiest > MOST_BUSY;
    }

    /// Processor time for each request that began.
    pub fn effort_each(&self) -> Duration {
        Duration::from_secs_f64(self.effort.seconds / self.began.max(1) as f64)
    }

    /// Requests in a second that went well.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.ok as f64 / self.seconds } else { 0.0 }
    }

    /// Times by name; empty ones where there are none.
    pub fn latency(&self, name: &str) -> Latency {
        self.times.get(name).cloned().unwrap_or_default()
    }

    /// The figure of a metric of [`crate::verdict::expect`]; none where this run has none.
    pub fn figure(&self, metric: &str) -> Option<f64> {
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
        let over = (self.ok + self.errors) as f64;
        match metric {
            "errors" => Some(self.errors as f64),
            "requests" => Some(self.began as f64),
            "ok" => Some(self.ok as f64),
            "rate" => Some(self.rate()),
            "tunnels" => Some(self.tunnels as f64),
            "error_rate" => (over > 0.0).then(|| self.errors as f64 / over),
            "throughput" => Some((self.bytes_up + self.bytes_down) as f64 / self.seconds.max(f64::MIN_POSITIVE)),
            "detect" => seconds(self.failover?.detect),
            "avoid" => seconds(self.failover?.avoid),
            "restore" => seconds(self.failover?.restore),
            "memory_growth" => self.process.map(|seen| seen.memory_end as f64 - seen.memory_begin as f64),
            "memory_per_tunnel" => {
                let seen = self.process.filter(|_| self.tunnels > 0)?;
                Some(seen.memory_most.saturating_sub(seen.memory_begin) as f64 / self.tunnels as f64)
            }
            "descriptors_left" => self.process.map(|seen| seen.descriptors_end as f64 - seen.descriptors_begin as f64),
            "harmed" => Some(self.failover?.harmed as f64),
            _ => {
                let (times, point) = metric
                    .split_once('.')
                    .filter(|(times, _)| self.times.contains_key(*times))
                    .unwrap_or(("corrected", metric));
                let latency = self.times.get(times).filter(|latency| latency.count > 0)?;
                latency.points.get(point).map(|micros| *micros as f64 / 1e6)
            }
        }
    }

    /// Whether every verdict is kept.
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Action, Pace, Stop};

    /// Whether a run of 10 s was saturated in which the clockwork was `lag` ms late, and threads were on a processor and
    /// waited for one for so many seconds.
    fn saturated(lag: u64, threads: &[(u64, u64)]) -> bool {
        let action: Action = "connect".parse().unwrap();
        let pace = Pace::Closed { clients: 1, ramp_up: Duration::ZERO, think: Duration::ZERO };
        let workload = Workload::new(1, pace, Stop::default(), action);
        let mut times = Times::default();
        times.record(Duration::from_millis(lag));
        let mut report = Report::new(&workload, &Tally::default(), &times, Duration::from_secs(10), 0);
        let seconds = Duration::from_secs;
        let work = |(on, waited): &(u64, u64)| Work { on: seconds(*on), waited: seconds(*waited), life: seconds(10) };
        let threads: Vec<_> = threads.iter().map(work).collect();
        report.worked(&threads);
        report.saturated
    }

    #[test]
    fn a_late_clockwork_or_one_thread_without_rest_is_saturation() {
        assert!(!saturated(9, &[(9, 0), (5, 4)]));
        assert!(saturated(12, &[(1, 0)]));
        assert!(saturated(1, &[(1, 0), (10, 0)]));
        assert!(saturated(1, &[(5, 5), (1, 0)]));
    }
}
