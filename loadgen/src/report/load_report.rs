//! Holds what a load run found, as data.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::latency_summary::LatencySummary;
use super::window::Window;
use crate::drive::{LatencyHistogram, Tally};
use crate::verdict::failover::FailoverFigures;
use crate::verdict::{Finding, Verdict};
use crate::watch::{ProxyProcess, ThreadWork};
use crate::workload::Workload;

/// What a load run found. Written as JSON it can be compared with another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadReport {
    /// The version of loadgen that wrote it.
    pub loadgen: String,
    /// What was asked for, in words.
    pub workload: Vec<String>,
    /// From the seed the run can be repeated.
    pub seed: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether the user stopped it before its end.
    pub interrupted: bool,
    /// Requests that began.
    pub began: u64,
    /// Requests that went well.
    pub ok: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Requests that ended for reasons of the load generator, and so count neither way.
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
    /// Latencies by name; `corrected` counts from when requests were due, `ok` is the same without failures, `lag` is the
    /// load generator's own.
    pub times: BTreeMap<String, LatencySummary>,
    /// Whether the load generator itself was the limit. Then rate and latency are its own, and say nothing of the proxy.
    pub saturated: bool,
    /// The processor time that the load generator spent.
    #[serde(default)]
    pub effort: Effort,
    /// The run in windows of time.
    pub series: Vec<Window>,
    /// What the fault in mid-run cost.
    pub failover: Option<FailoverFigures>,
    /// When the fault began and when it ended, in seconds.
    pub fault: Option<(f64, Option<f64>)>,
    /// What the proxy's process used.
    #[serde(default)]
    pub process: Option<ProxyProcess>,
    /// The verdicts that were asked for, and those that every run gets.
    pub verdicts: Vec<Verdict>,
    /// What else the reader should know.
    pub notes: Vec<String>,
}

/// Processor time of the threads that made the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Of all threads, in seconds.
    pub seconds: f64,
    /// The part of its life in which the busiest thread was on a processor or waited for one.
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

/// Above this lag of its own timers (99th percentile) the load generator calls itself saturated.
const MOST_LAG: Duration = Duration::from_millis(10);

/// The load generator also calls itself saturated where one of its threads had work for more than this part of its life.
const MOST_BUSY: f64 = 0.95;

impl LoadReport {
    /// Makes it from a run's `tally`; `lag` is how late the load generator's own timers were. Verdicts come later.
    ///
    /// `tunnels` is the most tunnels that were open at once.
    pub fn new(workload: &Workload, tally: &Tally, lag: &LatencyHistogram, span: Duration, tunnels: u64) -> Self {
        let times = [
            ("corrected", &tally.corrected.with_slow_failures()),
            ("ok", &tally.corrected.ok),
            ("uncorrected", &tally.uncorrected.with_slow_failures()),
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
        LoadReport {
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

    /// Adds how much work each thread that made load had.
    pub(crate) fn note_work(&mut self, threads: &[ThreadWork]) {
        let busy =
            |work: &ThreadWork| (work.on + work.waited).as_secs_f64() / work.life.as_secs_f64().max(f64::MIN_POSITIVE);
        self.effort.seconds = threads.iter().map(|work| work.on.as_secs_f64()).sum();
        self.effort.busiest = threads.iter().map(busy).fold(0.0, f64::max).min(1.0);
        self.saturated |= self.effort.busiest > MOST_BUSY;
    }

    /// The processor time that the load generator spent on each request that began.
    pub fn effort_each(&self) -> Duration {
        Duration::from_secs_f64(self.effort.seconds / self.began.max(1) as f64)
    }

    /// Requests in a second that went well.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.ok as f64 / self.seconds } else { 0.0 }
    }

    /// The latencies of that name; an empty summary where there are none.
    pub fn latency(&self, name: &str) -> LatencySummary {
        self.times.get(name).cloned().unwrap_or_default()
    }

    /// The figure of a metric of [`crate::verdict::threshold`]; `None` where this run has no such figure.
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

    /// Reads a report that was written as JSON.
    ///
    /// # Errors
    /// The file can't be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text)
            .map_err(|error| format!("{}: this is no report of loadgen: {error}", path.display()))
    }

    /// The worst that a verdict says: what is missed outweighs what can't be judged.
    pub fn finding(&self) -> Finding {
        self.verdicts.iter().map(|verdict| verdict.finding).max().unwrap_or(Finding::Kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Action, Pace, Stop};

    /// Whether a run of 10 s was saturated in which timers were `lag` ms late, and threads were on a processor and
    /// waited for one for so many seconds.
    fn saturated(lag: u64, threads: &[(u64, u64)]) -> bool {
        let action: Action = "connect".parse().unwrap();
        let pace = Pace::Closed { clients: 1, ramp_up: Duration::ZERO, think: Duration::ZERO };
        let workload = Workload::new(1, pace, Stop::default(), action);
        let mut times = LatencyHistogram::default();
        times.record(Duration::from_millis(lag));
        let mut report = LoadReport::new(&workload, &Tally::default(), &times, Duration::from_secs(10), 0);
        let seconds = Duration::from_secs;
        let work =
            |(on, waited): &(u64, u64)| ThreadWork { on: seconds(*on), waited: seconds(*waited), life: seconds(10) };
        let threads: Vec<_> = threads.iter().map(work).collect();
        report.note_work(&threads);
        report.saturated
    }

    #[test]
    fn late_timers_or_one_thread_without_rest_is_saturation() {
        assert!(!saturated(9, &[(9, 0), (5, 4)]));
        assert!(saturated(12, &[(1, 0)]));
        assert!(saturated(1, &[(1, 0), (10, 0)]));
        assert!(saturated(1, &[(5, 5), (1, 0)]));
    }
}
