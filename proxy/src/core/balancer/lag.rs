//! Tells how far first picks are from what the weights ask for, beside the bound that the schedule promises.

use std::collections::BTreeMap;

use super::Epoch;
use crate::core::upstream::UpstreamId;

/// The lag of each upstream after so many picks of an epoch: its picks, less its share of all of them by its weight.
///
/// Whole periods of the schedule hold each upstream exactly as often as its weight says. What is counted is the rest, some turns
/// at a time, since a period may have a million.
#[derive(Clone, Debug)]
pub struct Lag<'e> {
    epoch: &'e Epoch,
    /// The picks of the period that has begun, and those of them that are counted.
    picks: u64,
    counted: u64,
    picked: BTreeMap<UpstreamId, u64>,
}

impl<'e> Lag<'e> {
    /// After the first `picks` of `epoch`.
    pub fn after(picks: u64, epoch: &'e Epoch) -> Self {
        let picks = picks.checked_rem(epoch.schedule().period()).unwrap_or(0);
        Lag { epoch, picks, counted: 0, picked: BTreeMap::new() }
    }

    /// Counts up to `turns` turns. Tells whether more are to be counted.
    pub fn count(&mut self, turns: u64) -> bool {
        let until = self.counted.saturating_add(turns).min(self.picks);
        for upstream in (self.counted..until).filter_map(|ticket| self.epoch.pick(ticket)) {
            *self.picked.entry(upstream).or_default() += 1;
        }
        self.counted = until;
        until < self.picks
    }

    /// The lag of each upstream that takes picks, in picks, once all turns are counted: above 0 where it is ahead of its share,
    /// below where it is behind.
    pub fn of_each(&self) -> impl Iterator<Item = (UpstreamId, f64)> {
        let period = self.epoch.schedule().period() as f64;
        self.epoch.schedule().shares().iter().map(move |(upstream, share)| {
            let picked = self.picked.get(upstream).copied().unwrap_or(0);
            (*upstream, picked as f64 - self.picks as f64 * *share as f64 / period)
        })
    }

    /// What every lag stays below, in either direction: 1 in the first epoch, which begins where its schedule does, else 2.
    pub fn bound(&self) -> u64 {
        if self.epoch.number() == 0 { 1 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::core::balancer::Balancer;
    use crate::core::health::HealthPolicy;
    use crate::core::time::Timestamp;
    use crate::core::upstream::{Member, Weight};

    const POLICY: HealthPolicy = HealthPolicy {
        failure_threshold: NonZeroU32::MIN,
        recovery_threshold: NonZeroU32::MIN,
        backoff_base: Duration::from_secs(5),
        backoff_max: Duration::from_secs(60),
        max_ejection_percent: 50,
    };

    fn members(weights: &[u32]) -> Vec<Member> {
        let ids = (0..).map(UpstreamId::new);
        ids.zip(weights).map(|(id, &weight)| Member { id, weight: Weight::new(weight).unwrap() }).collect()
    }

    fn lags(epoch: &Epoch, picks: u64, bite: u64) -> Vec<(UpstreamId, f64)> {
        let mut lag = Lag::after(picks, epoch);
        while lag.count(bite) {}
        lag.of_each().collect()
    }

    #[test]
    fn it_is_picks_less_share() {
        // A B A B A C
        let balancer = Balancer::new(POLICY, &members(&[3, 2, 1])).unwrap();
        let epoch = balancer.epoch();
        let close = |picks: u64, expected: [f64; 3]| {
            let lags = lags(epoch, picks, u64::MAX);
            assert_eq!(lags.len(), 3);
            for ((id, lag), (number, expected)) in lags.iter().zip((0..).zip(expected)) {
                assert!(*id == UpstreamId::new(number) && (lag - expected).abs() < 1e-9, "{picks}: {lags:?}");
            }
        };
        close(0, [0.0; 3]);
        close(1, [0.5, -1.0 / 3.0, -1.0 / 6.0]);
        close(5, [0.5, 1.0 / 3.0, -5.0 / 6.0]);
        close(6_000_000_000_000_000_000, [0.0; 3]);
    }

    #[test]
    fn where_nobody_is_picked_nobody_lags() {
        let balancer = Balancer::new(POLICY, &members(&[0])).unwrap();
        assert_eq!(lags(balancer.epoch(), 7, 1), []);
    }

    proptest! {
        /// Counted by hand from the picks of the epoch, and never at the bound.
        #[test]
        fn it_is_what_the_picks_were_and_stays_below_its_bound(
            weights in prop::collection::vec(0u32..=20, 1..8),
            (ticket, picks) in (0u64..1000, 0u64..200),
            bite in 1u64..20,
        ) {
            let mut balancer = Balancer::new(POLICY, &members(&weights)).unwrap();
            let mut epochs = vec![balancer.epoch().clone()];
            let more: Vec<u32> = weights.iter().copied().chain([3]).collect();
            let renewed = balancer.configure(POLICY, &members(&more), &[], (ticket, Timestamp::ZERO)).unwrap();
            epochs.extend(renewed);
            prop_assert_eq!(epochs.len(), 2);
            for (epoch, weights) in epochs.iter().zip([&weights, &more]) {
                let sum: u32 = weights.iter().sum();
                let bound = Lag::after(picks, epoch).bound();
                prop_assert_eq!(bound, if epoch.number() == 0 { 1 } else { 2 });
                for (id, lag) in lags(epoch, picks, bite) {
                    let picked = (0..picks).filter(|ticket| epoch.pick(*ticket) == Some(id)).count();
                    let share = f64::from(weights[id.number() as usize]) / f64::from(sum) * picks as f64;
                    prop_assert!((lag - (picked as f64 - share)).abs() < 1e-6, "{} {} {}", lag, picked, share);
                    prop_assert!(lag.abs() < bound as f64);
                }
            }
        }
    }
}
