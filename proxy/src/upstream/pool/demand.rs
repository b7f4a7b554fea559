//! Decides how many connections to an upstream should be open before a request asks for them.
//!
//! While one is being opened, further requests come: rate times connect time of them on average. As many have to be open
//! already so that each finds one, and some more, since requests that know nothing of each other come in clusters. They
//! scatter by the root of their number.

use std::time::Duration;

use crate::core::time::Timestamp;

/// Whole seconds over which the rate is measured.
const SECONDS: u64 = 10;

/// For how long behind the last request one connection is still wanted.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How often an upstream was asked of late, and how long a connection to it takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Demand {
    seconds: [Second; SECONDS as usize],
    last: Option<Timestamp>,
    /// Smoothed, as TCP smooths its round trips (RFC 6298): an eighth of each new one.
    connect_time: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    asked: u32,
}

impl Demand {
    /// A request asked for a connection.
    pub(super) fn asked(&mut self, now: Timestamp) {
        let number = number(now);
        let second = &mut self.seconds[(number % SECONDS) as usize];
        if second.number != number {
            *second = Second { number, asked: 0 };
        }
        second.asked = second.asked.saturating_add(1);
        self.last = Some(now);
    }

    /// A connection took so long to open, TLS included.
    pub(super) fn connected(&mut self, took: Duration) {
        self.connect_time = Some(self.connect_time.map_or(took, |smoothed| (smoothed * 7 + took) / 8));
    }

    /// How many connections should be open, or opening, at `now`: none where nobody has asked for a minute, else at least one.
    pub(super) fn wanted(&self, now: Timestamp) -> usize {
        if self.last.is_none_or(|last| now.since(last) >= REMEMBERED) {
            return 0;
        }
        let meanwhile = f64::from(self.busiest(now)) * self.connect_time.unwrap_or_default().as_secs_f64();
        // At most four billion, times an hour or so: it fits.
        ((meanwhile + meanwhile.sqrt()).ceil() as usize).max(1)
    }

    /// How many asked in the busiest of the last seconds.
    fn busiest(&self, now: Timestamp) -> u32 {
        let newest = number(now);
        let recent = self.seconds.iter().filter(|second| newest.saturating_sub(second.number) < SECONDS);
        recent.map(|second| second.asked).max().unwrap_or(0)
    }
}

fn number(now: Timestamp) -> u64 {
    now.since(Timestamp::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_millis(millis))
    }

    /// `count` requests in the second that begins at `seconds`.
    fn ask(demand: &mut Demand, count: u64, seconds: u64) {
        for one in 0..count {
            demand.asked(at(seconds * 1000 + one * 1000 / count));
        }
    }

    fn with_connect_time(millis: u64) -> Demand {
        let mut demand = Demand::default();
        demand.connected(Duration::from_millis(millis));
        demand
    }

    #[test]
    fn nobody_asked_so_none_is_wanted() {
        assert_eq!(with_connect_time(100).wanted(at(5000)), 0);
    }

    #[test]
    fn one_is_wanted_for_a_minute_behind_the_last_request() {
        let mut demand = with_connect_time(100);
        demand.asked(at(5000));
        for (now, wanted) in [(5000, 1), (64_999, 1), (65_000, 0), (66_000, 0)] {
            assert_eq!(demand.wanted(at(now)), wanted, "{now}");
        }
    }

    #[test]
    fn as_many_are_wanted_as_come_while_one_opens_and_their_scatter() {
        for (rate, millis, wanted) in [(10, 100, 2), (40, 100, 6), (100, 100, 14), (100, 10, 2), (100, 0, 1)] {
            let mut demand = with_connect_time(millis);
            ask(&mut demand, rate, 3);
            assert_eq!(demand.wanted(at(4000)), wanted, "{rate} a second, {millis} ms");
        }
    }

    #[test]
    fn the_busiest_of_the_last_seconds_counts_until_it_is_old() {
        let mut demand = with_connect_time(100);
        ask(&mut demand, 100, 3);
        for second in 4..13 {
            ask(&mut demand, 1, second);
        }
        assert_eq!(demand.wanted(at(12_999)), 14);
        assert_eq!(demand.wanted(at(13_000)), 1);
    }

    #[test]
    fn an_eighth_of_each_new_connect_time_counts() {
        let mut demand = with_connect_time(80);
        demand.connected(Duration::from_millis(160));
        assert_eq!(demand.connect_time, Some(Duration::from_millis(90)));
    }
}
