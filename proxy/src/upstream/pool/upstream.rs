//! Holds one upstream while the proxy runs: its configuration, its idle connections, its figures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::config;
use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;
use crate::core::window::{Tally, Window};
use crate::event::UpstreamLabel;
use crate::upstream::failed::FailedAttempt;
use crate::upstream::leg::{Leg, TlsSetupError, Wrapper};
use crate::upstream::resolver::{Endpoint, Resolver};

/// How long idle connections may go unswept.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);

/// One upstream proxy. `S` is the stream it is reached by.
pub(crate) struct Upstream<S> {
    pub(crate) id: UpstreamId,
    /// As logs and statistics show it.
    pub(crate) label: Arc<UpstreamLabel>,
    pub(crate) config: Arc<config::Upstream>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) wrapper: Wrapper,
    pub(crate) figures: Arc<Figures>,
    /// `None` once a reload has replaced this upstream: a tunnel may hold it for long, but its idle connections are no
    /// longer swept.
    idle: Mutex<Option<Vec<Idle<S>>>>,
}

/// What is measured of an upstream; survives a change of its weight or tag.
#[derive(Default)]
pub(crate) struct Figures {
    /// Attempts, requests and tunnels that hold a lease on it now.
    pub(crate) leased: AtomicU64,
    pub(crate) bytes_up: Arc<AtomicU64>,
    pub(crate) bytes_down: Arc<AtomicU64>,
    /// Tunnels were cut since one delivered.
    pub(crate) was_cut: AtomicBool,
    pub(crate) latency: Mutex<Latency>,
    last_failure: Mutex<Option<LastFailure>>,
    recent_bytes: Mutex<RecentBytes>,
}

/// Bytes carried both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) up: u64,
    pub(crate) down: u64,
}

impl Tally for Bytes {
    fn add(&mut self, other: &Self) {
        self.up += other.up;
        self.down += other.down;
    }
}

/// The sums as they were last looked at, and what came in between by the time of the look.
#[derive(Default)]
struct RecentBytes {
    seen: Bytes,
    window: Window<Bytes>,
}

/// The last attempt that failed, a check's among them.
#[derive(Clone, Debug)]
pub(crate) struct LastFailure {
    pub(crate) failed: FailedAttempt,
    pub(crate) at: Timestamp,
}

impl Figures {
    /// An attempt failed, and not because the client went away.
    pub(crate) fn failed(&self, failed: &FailedAttempt, at: Timestamp) {
        let last = LastFailure { failed: failed.clone(), at };
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    /// Why the last failed attempt failed.
    pub(crate) fn last_cause(&self) -> Option<Arc<str>> {
        self.last_failure()?.failed.cause
    }

    pub(crate) fn last_failure(&self) -> Option<LastFailure> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Since the start.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes { up: self.bytes_up.load(Ordering::Relaxed), down: self.bytes_down.load(Ordering::Relaxed) }
    }

    /// Of the last 15 minutes. What has come since the last look counts as of `now`, so that carrying bytes costs no look
    /// at the clock; somebody has to look once per bucket of the window.
    pub(crate) fn recent_bytes(&self, now: Timestamp) -> Bytes {
        let mut recent = self.recent_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.bytes();
        let more = Bytes { up: bytes.up - recent.seen.up, down: bytes.down - recent.seen.down };
        recent.seen = bytes;
        recent.window.record(now, |tally| tally.add(&more));
        recent.window.sum(now)
    }
}

/// An unused kept-alive connection.
struct Idle<S> {
    leg: Leg<S>,
    since: Instant,
}

impl<S> Upstream<S> {
    /// An upstream as configured, taking over the figures of its former self.
    pub(crate) fn new(
        id: UpstreamId,
        config: Arc<config::Upstream>,
        former: Option<&Upstream<S>>,
        resolver: &Resolver,
    ) -> Result<Self, TlsSetupError> {
        let wrapper = match former {
            // Reading the system's roots anew for each unchanged upstream would make a reload slow.
            Some(former) if former.config.transport == config.transport => former.wrapper.clone(),
            _ => Wrapper::new(&config.transport)?,
        };
        Ok(Upstream {
            id,
            label: Arc::new(UpstreamLabel { id, name: config.name.as_str().into(), url: config.url.as_str().into() }),
            endpoint: former.map_or_else(
                || Arc::new(resolver.endpoint(&config.host, config.port)),
                |former| Arc::clone(&former.endpoint),
            ),
            wrapper,
            figures: former.map_or_else(Arc::default, |former| Arc::clone(&former.figures)),
            idle: Mutex::new(Some(Vec::new())),
            config,
        })
    }

    /// The connection that was used last, if it is younger than `idle_for`; older ones are closed.
    pub(crate) fn take_idle(&self, idle_for: Duration) -> Option<Leg<S>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = idle.as_mut()?;
        let last = idle.pop()?;
        if last.since.elapsed() < idle_for {
            return Some(last.leg);
        }
        // The rest are older still.
        idle.clear();
        None
    }

    /// Keeps a connection that is between requests, unless `most` are kept already. Tells whether it is the first.
    pub(crate) fn keep_idle(&self, leg: Leg<S>, most: usize) -> bool {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(idle) = idle.as_mut() else { return false };
        if idle.len() < most {
            idle.push(Idle { leg, since: Instant::now() });
        }
        idle.len() == 1
    }

    /// Closes the kept connections that are past `idle_for` or that `is_dead` finds ended. Tells whether any is left.
    pub(crate) fn sweep_idle(&self, idle_for: Duration, mut is_dead: impl FnMut(&mut Leg<S>) -> bool) -> bool {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(idle) = idle.as_mut() else { return false };
        idle.retain_mut(|kept| kept.since.elapsed() < idle_for && !is_dead(&mut kept.leg));
        !idle.is_empty()
    }

    pub(crate) fn idle_count(&self) -> usize {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, Vec::len)
    }

    /// Closes the kept connections and keeps none from now on.
    pub(crate) fn retire(&self) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn leased(&self) -> u64 {
        self.figures.leased.load(Ordering::Relaxed)
    }
}

/// Latencies since the start and of the last 15 minutes, as histograms of microseconds with two digits.
pub(crate) struct Latency {
    total: Histogram<u32>,
    recent: [Option<(u64, Histogram<u32>)>; RECENT_SLOTS],
}

/// Five spans of three minutes, the running one among them. Finer ones would cost memory for each upstream.
const RECENT_SLOTS: usize = 5;
const SLOT: Duration = Duration::from_secs(3 * 60);

/// Longer ones count as this: an hour, in microseconds.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Latency { total: histogram(), recent: Default::default() }
    }
}

#[expect(clippy::expect_used, reason = "the bounds are constants that hdrhistogram documents as valid")]
fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST_MICROS, 2).expect("constant bounds")
}

impl Latency {
    /// `took` ended `now` (since the proxy started).
    pub(crate) fn record(&mut self, took: Duration, now: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.total.saturating_record(micros);
        let number = now.as_secs() / SLOT.as_secs();
        let slot = &mut self.recent[(number % RECENT_SLOTS as u64) as usize];
        match slot {
            Some((held, histogram)) if *held == number => histogram.saturating_record(micros),
            _ => {
                let mut histogram = histogram();
                histogram.saturating_record(micros);
                *slot = Some((number, histogram));
            }
        }
    }

    /// Since the start.
    pub(crate) fn total(&self) -> Percentiles {
        percentiles(&self.total)
    }

    /// Of the last 15 minutes, in steps of three.
    pub(crate) fn recent(&self, now: Duration) -> Percentiles {
        let number = now.as_secs() / SLOT.as_secs();
        let mut sum = histogram();
        for (held, histogram) in self.recent.iter().flatten() {
            if number.saturating_sub(*held) < RECENT_SLOTS as u64 {
                // Equal bounds, so that it can't fail.
                let _ = sum.add(histogram);
            }
        }
        percentiles(&sum)
    }
}

fn percentiles(histogram: &Histogram<u32>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    if histogram.is_empty() {
        return Percentiles::default();
    }
    Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    #[test]
    fn bytes_of_long_ago_are_not_recent() {
        let figures = Figures::default();
        let at = |n| Timestamp::ZERO.after(minutes(n));
        figures.bytes_up.fetch_add(5, Ordering::Relaxed);
        figures.bytes_down.fetch_add(7, Ordering::Relaxed);
        assert_eq!(figures.recent_bytes(at(1)), Bytes { up: 5, down: 7 });
        figures.bytes_down.fetch_add(70, Ordering::Relaxed);
        assert_eq!(figures.recent_bytes(at(10)), Bytes { up: 5, down: 77 });
        assert_eq!(figures.recent_bytes(at(16)), Bytes { up: 0, down: 70 });
        assert_eq!(figures.recent_bytes(at(26)), Bytes::default());
        assert_eq!(figures.bytes(), Bytes { up: 5, down: 77 });
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut latency = Latency::default();
        for ms in 1..=100 {
            latency.record(Duration::from_millis(ms), minutes(0));
        }
        let Percentiles { p50, p90, p99 } = latency.total();
        assert!((49.0..52.0).contains(&p50) && (89.0..92.0).contains(&p90) && (98.0..101.0).contains(&p99));
        assert_eq!(latency.recent(minutes(1)), latency.total());
    }

    #[test]
    fn old_latencies_leave_the_recent_ones() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(9), minutes(0));
        latency.record(Duration::from_millis(1), minutes(14));
        assert!(latency.recent(minutes(14)).p99 > 8000.0);
        assert!(latency.recent(minutes(15)).p99 < 2.0);
        assert!(latency.total().p99 > 8000.0);
    }

    #[test]
    fn a_reader_that_looked_at_the_clock_first_is_no_trouble() {
        let mut latency = Latency::default();
        latency.record(Duration::from_millis(1), minutes(3));
        assert!(latency.recent(minutes(2)).p99 < 2.0);
    }

    #[test]
    fn a_slot_is_cleared_before_it_is_used_again() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(9), minutes(0));
        latency.record(Duration::from_millis(1), minutes(15));
        assert!(latency.recent(minutes(15)).p99 < 2.0);
    }
}
