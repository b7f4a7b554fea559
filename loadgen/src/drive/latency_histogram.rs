//! Keeps latencies in a histogram.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(3600);

/// A histogram of latencies, in microseconds with three significant figures. What is longer than an hour counts as an hour.
#[derive(Clone, Debug)]
pub struct LatencyHistogram(Histogram<u64>);

impl Default for LatencyHistogram {
    fn default() -> Self {
        let most = LONGEST.as_micros() as u64;
        LatencyHistogram(
            Histogram::new_with_bounds(1, most, 3).expect("1 is below an hour, and 3 is a precision there is"),
        )
    }
}

impl LatencyHistogram {
    /// Counts one latency.
    pub fn record(&mut self, span: Duration) {
        self.0.saturating_record(u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Counts all that `other` has.
    pub fn add(&mut self, other: &LatencyHistogram) {
        if !other.0.is_empty() {
            self.0.add(&other.0).expect("both have the same bounds");
        }
    }

    /// Counts all that `other` has above `span`.
    pub(crate) fn add_above(&mut self, other: &LatencyHistogram, span: Duration) {
        let least = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        for value in other.0.iter_recorded().filter(|value| value.value_iterated_to() > least) {
            self.0.saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
    }

    /// How many latencies it holds.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that `percent` of them do not exceed; zero where there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(if self.0.is_empty() { 0 } else { self.0.value_at_percentile(percent) })
    }

    /// The longest; zero where there are none.
    pub fn max(&self) -> Duration {
        Duration::from_micros(if self.0.is_empty() { 0 } else { self.0.max() })
    }

    /// Their mean; zero where there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos((self.0.mean() * 1000.0) as u64)
    }

    /// Every value that occurred, in microseconds, and how often.
    pub fn recorded(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
    }
}
