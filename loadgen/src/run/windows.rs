//! Cuts the run into windows of time, for progress and plots.

use std::time::Duration;

use super::progress::ProgressDisplay;
use super::record::RunRecord;
use super::sample::fill_shares;
use super::threads::LoadThreads;
use crate::drive::{LatencyHistogram, Tally};
use crate::report::Window;

/// How long a window is: from one line of progress, and one point of the plots, to the next.
const WINDOW: Duration = Duration::from_secs(1);

/// The windows that are over, and what was counted since.
pub(super) struct Windows {
    pub(super) past: Vec<Window>,
    pub(super) lag: LatencyHistogram,
    began: Duration,
    pending: Tally,
    display: ProgressDisplay,
}

impl Windows {
    /// Begins with the first window.
    pub(super) fn new(threads: &LoadThreads, quiet: bool) -> Self {
        Windows {
            past: Vec::new(),
            lag: LatencyHistogram::default(),
            began: Duration::ZERO,
            pending: threads.empty_tally(),
            display: ProgressDisplay::new(quiet),
        }
    }

    /// Counts the requests that have failed by now.
    pub(super) fn errors(&mut self, threads: &LoadThreads, record: &RunRecord) -> u64 {
        self.pending.add(threads.collect(&mut self.lag));
        record.tally.errors() + self.pending.errors()
    }

    /// Ends the window if its time is over, or if the run `is_over`; its counts go into `record`.
    pub(super) fn advance(&mut self, threads: &LoadThreads, record: &mut RunRecord, now: Duration, is_over: bool) {
        if now < self.began + WINDOW && !is_over {
            return;
        }
        let mut part = self.pending.take();
        part.add(threads.collect(&mut self.lag));
        let mut window = Window::new(self.began, now - self.began, &part);
        let weights = fill_shares(&record.snapshots, self.began, &mut window);
        record.tally.add(part);
        self.display.show(&window, &record.tally, threads.open_tunnels().now(), &weights);
        self.past.push(window);
        self.began = now;
    }
}
