//! Watches the load until it is over, and injects the fault when it is due.

use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::record::RunRecord;
use super::sample::{CLOSE_SAMPLING, REST, SAMPLING, sample_again};
use super::settings::Settings;
use super::threads::LoadThreads;
use super::windows::Windows;
use crate::inject::FaultInjector;
use crate::watch::ProcessWatch;

/// A run under way.
pub(super) struct Course<'a> {
    pub(super) settings: &'a Settings,
    pub(super) began: Instant,
    pub(super) threads: LoadThreads,
    pub(super) record: RunRecord,
    pub(super) windows: Windows,
    pub(super) injector: Option<FaultInjector>,
    pub(super) watch: Option<ProcessWatch>,
}

impl Course<'_> {
    /// Watches the load until it is over, and does the fault when it is due. Says whether the user stopped it.
    ///
    /// # Errors
    /// The fault can't be done.
    pub(super) async fn until_load_is_over(&mut self, interrupt: &mut Signal) -> Result<bool, String> {
        let mut interrupted = false;
        let mut ticks = interval(if self.settings.verdicts.failover { CLOSE_SAMPLING } else { SAMPLING });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => {
                    interrupted = true;
                    self.threads.stop();
                }
                _ = ticks.tick() => {}
            }
            let now = self.began.elapsed();
            self.do_fault(now).await?;
            let is_over = self.threads.is_over();
            // A proxy that is too busy to answer is asked again at the next tick.
            let _ = self.sample().await;
            if let Some(watch) = &mut self.watch {
                watch.look(now);
            }
            self.windows.advance(&self.threads, &mut self.record, now, is_over);
            if is_over {
                return Ok(interrupted);
            }
        }
    }

    /// Begins or ends the fault, if it is time.
    async fn do_fault(&mut self, now: Duration) -> Result<(), String> {
        let Some(injector) = &mut self.injector else { return Ok(()) };
        match self.record.fault {
            None if now >= injector.fault().at => {
                self.record.errors_before_fault = self.windows.errors(&self.threads, &self.record);
                self.record.fault = Some((self.began.elapsed(), None));
                injector.begin().await
            }
            Some((from, None)) if injector.fault().end().is_some_and(|end| now >= end) => {
                injector.end().await?;
                self.record.fault = Some((from, Some(self.began.elapsed())));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn sample(&mut self) -> Result<(), String> {
        sample_again(self.settings, &mut self.record.snapshots, self.began.elapsed()).await
    }

    /// Waits, for a while at most, until the proxy has no request left.
    pub(super) async fn until_proxy_is_at_rest(&mut self) {
        let until = Instant::now() + REST;
        while self.sample().await.is_ok()
            && self.record.snapshots.last().is_some_and(|last| last.statistics.current_requests > 0)
            && Instant::now() < until
        {
            sleep(CLOSE_SAMPLING).await;
        }
        if let Some(watch) = &mut self.watch {
            watch.look(self.began.elapsed());
        }
    }
}
