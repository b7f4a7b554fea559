//! The times of a log become times since its first line, and never go back.

use std::time::{Duration, SystemTime};

/// Threads write lines that are this much out of order.
const OUT_OF_ORDER: Duration = Duration::from_secs(1);

/// A clock that is this much ahead of the line before was set, since no log has such a gap. It is more than a month.
const LONGEST_GAP: Duration = Duration::from_secs(40 * 24 * 3600);

/// The time of a recording.
#[derive(Debug, Default)]
pub(in crate::incident) struct LogClock {
    /// What the last line said, and what time of the recording that was.
    last: Option<(Duration, Duration)>,
}

impl LogClock {
    /// The time since the first line at which a line was written, by the time that it says; and by how much the clock was set
    /// before it, if it was. What follows such a step is placed right behind the line before.
    pub(in crate::incident) fn at(&mut self, said: SystemTime) -> (Duration, Option<Duration>) {
        let said = said.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let Some((before, at)) = self.last else {
            self.last = Some((said, Duration::ZERO));
            return (Duration::ZERO, None);
        };
        let gap = before.abs_diff(said);
        if said < before {
            let step = (gap > OUT_OF_ORDER).then_some(gap);
            if step.is_some() {
                self.last = Some((said, at));
            }
            return (at, step);
        }
        let step = (gap > LONGEST_GAP).then_some(gap);
        // Far below what a length of time can hold: a log has fewer than 2^40 lines.
        let at = if step.is_some() { at } else { at + gap };
        self.last = Some((said, at));
        (at, step)
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

    #[test]
    fn a_clock_that_jumps_about_makes_no_day_of_centuries() {
        let mut clock = LogClock::default();
        let far = Duration::from_secs(253_402_300_799);
        for _ in 0..100 {
            assert_eq!(clock.at(UNIX_EPOCH).0, Duration::ZERO);
            assert_eq!(clock.at(UNIX_EPOCH + far), (Duration::ZERO, Some(far)));
        }
    }
}
