//! The run in stretches of time, for progress and plots.

use std::time::Duration;

use super::load::Load;
use super::look::shares;
use super::progress::Live;
use super::record::Ran;
use crate::drive::{Tally, Times};
use crate::report::Stretch;

/// From one line of progress, and point of the plots, to the next.
const STRETCH: Duration = Duration::from_secs(1);

/// The stretches so far, and what the one that is on has counted.
pub(super) struct Series {
    pub(super) stretches: Vec<Stretch>,
    pub(super) lag: Times,
    began: Duration,
    pending: Tally,
    live: Live,
}

impl Series {
    /// None so far.
    pub(super) fn new(load: &Load, quiet: bool) -> Self {
        Series {
            stretches: Vec::new(),
            lag: Times::default(),
            began: Duration::ZERO,
            pending: load.empty_tally(),
            live: Live::new(quiet),
        }
    }

    /// Requests that have failed by now.
    pub(super) fn errors(&mut self, load: &Load, ran: &Ran) -> u64 {
        self.pending.add(load.collect(&mut self.lag));
        ran.tally.errors() + self.pending.errors()
    }

    /// Ends the stretch if its time is over, or if the run `is_over`; its counts go into `ran`.
    pub(super) fn advance(&mut self, load: &Load, ran: &mut Ran, now: Duration, is_over: bool) {
        if now < self.began + STRETCH && !is_over {
            return;
        }
        let mut part = self.pending.take();
        part.add(load.collect(&mut self.lag));
        let mut stretch = Stretch::new(self.began, now - self.began, &part);
        let weights = shares(&ran.looks, self.began, &mut stretch);
        ran.tally.add(part);
        self.live.show(&stretch, &ran.tally, load.gauge().now(), &weights);
        self.stretches.push(stretch);
        self.began = now;
    }
}
