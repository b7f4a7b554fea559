//! The times of a log become times since its first line, and never go back.

use std::time::{Duration, SystemTime};

/// Threads write lines that are this much out of order, in microseconds.
const OUT_OF_ORDER: i64 = 1_000_000;

/// The time of a recording.
#[derive(Debug, Default)]
pub(in crate::incident) struct LogClock {
    /// Times are in microseconds; the first one is that of the clock on the wall.
    first: Option<i64>,
    /// How much the clock was set back in all.
    set_back: i64,
    last: i64,
}

impl LogClock {
    /// The time since the first line at which a line was written, by the time that it says; and by how much the clock was set back
    /// before it, if it was. What follows such a step is placed right behind it.
    pub(in crate::incident) fn at(&mut self, said: SystemTime) -> (Duration, Option<Duration>) {
        let said = said.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let said = i64::try_from(said.as_micros()).unwrap_or(i64::MAX / 2);
        let since = said - *self.first.get_or_insert(said) + self.set_back;
        let missing = self.last - since;
        let step = (missing > OUT_OF_ORDER).then_some(missing);
        self.set_back += step.unwrap_or(0);
        self.last = self.last.max(since);
        let span = |micros: i64| Duration::from_micros(micros.unsigned_abs());
        (span(self.last), step.map(span))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn time_goes_on_where_the_clock_is_set_back() {
        let mut clock = LogClock::default();
        let mut at = |millis: u64| {
            let (at, step) = clock.at(UNIX_EPOCH + Duration::from_millis(millis));
            (at.as_millis(), step.map(|step| step.as_millis()))
        };
        assert_eq!(at(5_000_000), (0, None));
        assert_eq!(at(5_002_000), (2_000, None));
        assert_eq!(at(5_001_500), (2_000, None), "threads");
        assert_eq!(at(4_002_000), (2_000, Some(1_000_000)), "a thousand seconds back");
        assert_eq!(at(4_003_000), (3_000, None), "and on from there");
        assert_eq!(at(6_000_000), (2_000_000, None));
    }
}
