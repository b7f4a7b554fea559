//! Reads how far first picks are from what the weights ask for.

use std::collections::BTreeMap;

use super::Pool;
use crate::core::balancer::lag::Lag;
use crate::core::upstream::UpstreamId;
use crate::env::Env;

/// Turns that are counted at a time: nobody else whom this thread serves should have to wait for a long schedule.
const BITE: u64 = 4096;

/// How far first picks are from what the weights ask for, in the epoch that is in force.
#[derive(Debug)]
pub(crate) struct ScheduleLag {
    /// What every lag stays below, in either direction.
    pub(crate) bound: u64,
    /// Of those that take picks, in picks.
    pub(crate) of_each: BTreeMap<UpstreamId, f64>,
}

impl<E: Env> Pool<E> {
    /// Counted from the tickets that were handed out: picks do nothing for it.
    pub(crate) async fn schedule_lag(&self) -> ScheduleLag {
        let current = self.current.load_full();
        let mut lag = Lag::after(current.turns.taken(), current.turns.epoch());
        while lag.count(BITE) {
            tokio::task::yield_now().await;
        }
        ScheduleLag { bound: lag.bound(), of_each: lag.of_each().collect() }
    }
}
