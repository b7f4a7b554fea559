//! Computes when the requests of an open loop are due.

use std::collections::VecDeque;
use std::time::Duration;

use super::draw::Draw;
use super::pace::Stage;

/// One request, in units of what a rate of a thousandth of a request a second gives in a nanosecond.
const REQUEST: u128 = 1_000_000_000_000;

/// The stream of the seed's draws that arrivals use; requests use those of their numbers.
const ARRIVALS: u64 = u64::MAX;

/// The times at which the requests of an open loop are due, in order, from the run's begin.
///
/// The method is inversion of the rate's integral (Çinlar 1975, *Introduction to Stochastic Processes*), in integers so that
/// every machine gets the same times:
///
/// 1. The integral of the rate over time says how many requests are due by then. It is kept in units of [`REQUEST`].
/// 2. The next request is due where the integral reaches the present sum of gaps. Gaps are 1 for even arrivals, and
///    exponential with mean 1 for independent ones, which makes them a Poisson process.
/// 3. Within a stage the rate is linear in time, so the integral is a parabola, and the time is its root.
/// 4. Where the integral does not get there in this stage, the next stage goes on from the integral's value at its end.
pub(crate) struct Arrivals {
    stages: VecDeque<Stage>,
    /// The present stage, when it began, and the integral at its beginning.
    current: Option<(Stage, Duration, u128)>,
    /// The integral at which the next request is due.
    due: u128,
    poisson: Option<Draw>,
}

impl Arrivals {
    /// Begins with the first of `stages`; arrivals are independent where `poisson`.
    pub(crate) fn new(stages: &[Stage], poisson: bool, seed: u64) -> Self {
        let mut stages: VecDeque<Stage> = stages.iter().copied().collect();
        let current = stages.pop_front().map(|stage| (stage, Duration::ZERO, 0));
        let mut arrivals = Arrivals { stages, current, due: 0, poisson: poisson.then(|| Draw::new(seed, ARRIVALS)) };
        if poisson {
            arrivals.due = arrivals.gap();
        }
        arrivals
    }

    fn gap(&mut self) -> u128 {
        match &mut self.poisson {
            None => REQUEST,
            Some(draw) => (u128::from(draw.exponential()) * REQUEST) >> 32,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        loop {
            let (stage, began, before) = self.current?;
            if let Some(at) = stage.reach(self.due - before) {
                self.due += self.gap();
                return Some(began + at);
            }
            let behind = before + stage.whole();
            self.current = self.stages.pop_front().map(|next| (next, began + stage.span, behind));
        }
    }
}

impl Stage {
    /// The integral over the whole stage.
    fn whole(&self) -> u128 {
        (u128::from(self.from) + u128::from(self.to)) * self.span.as_nanos() / 2
    }

    /// When the integral over this stage reaches `amount`, if it does so before the stage ends.
    fn reach(&self, amount: u128) -> Option<Duration> {
        if amount >= self.whole() {
            return None;
        }
        let (from, to, span) = (u128::from(self.from), u128::from(self.to), self.span.as_nanos());
        // from·t + (to − from)·t² / 2·span = amount, solved for t so that nothing cancels out; 16 binary places.
        let turn = 2 * (from.abs_diff(to)) * amount / span;
        let square = if to >= from { from * from + turn } else { (from * from).saturating_sub(turn) };
        let nanos = ((2 * amount) << 16) / ((from << 16) + (square << 32).isqrt()).max(1);
        Some(Duration::from_nanos(u64::try_from(nanos.min(span)).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stage(from: u64, to: u64, seconds: u64) -> Stage {
        Stage { from: from * 1000, to: to * 1000, span: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_constant_rate_is_even() {
        let times: Vec<_> = Arrivals::new(&[stage(4, 4, 1)], false, 0).collect();
        assert_eq!(times, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn a_ramp_is_denser_where_its_rate_is_higher() {
        let times: Vec<_> = Arrivals::new(&[stage(0, 100, 10)], false, 0).collect();
        assert_eq!(times.len(), 500);
        // A quarter of the requests lie in the first half of the time.
        let early = times.iter().filter(|time| **time < Duration::from_secs(5)).count();
        assert!((124..=126).contains(&early), "{early}");
        let down = Arrivals::new(&[stage(100, 0, 10)], false, 0).filter(|time| *time < Duration::from_secs(5)).count();
        assert!((374..=376).contains(&down), "{down}");
    }

    #[test]
    fn stages_follow_each_other_and_may_pause() {
        let stages = [stage(2, 2, 1), stage(0, 0, 5), stage(1, 1, 2)];
        let times: Vec<_> = Arrivals::new(&stages, false, 0).map(|time| time.as_millis()).collect();
        assert_eq!(times, [0, 500, 6000, 7000]);
    }

    #[test]
    fn poisson_keeps_the_rate_but_not_the_gaps() {
        let times: Vec<_> = Arrivals::new(&[stage(1000, 1000, 20)], true, 3).collect();
        assert!((19_500..20_500).contains(&times.len()), "{}", times.len());
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let long = gaps.iter().filter(|gap| **gap > Duration::from_millis(2)).count() as f64 / gaps.len() as f64;
        assert!((long - (-2.0f64).exp()).abs() < 0.01, "{long}");
    }

    proptest! {
        #[test]
        fn times_never_go_back_and_their_number_is_the_integral(
            stages in prop::collection::vec((0u64..400, 0u64..400, 0u64..5).prop_map(|(a, b, s)| stage(a, b, s)), 1..5),
        ) {
            let times: Vec<_> = Arrivals::new(&stages, false, 0).collect();
            prop_assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
            let whole: u128 = stages.iter().map(Stage::whole).sum();
            prop_assert_eq!(times.len() as u128, whole.div_ceil(REQUEST));
        }
    }
}
