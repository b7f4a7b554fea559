//! One whole run on this machine: the checks before it, the load, what watches it, the verdicts and the reports.

mod judge;
mod load;
mod look;
mod preflight;
mod progress;
mod record;
mod series;
mod settings;

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::inject::{Fault, Stage};
use crate::report::{Report, text};
use crate::sockets::{fit_descriptors, tls};
use crate::watch::{Counts, Looks, Watch, counts};
use crate::workload::What;

use load::Load;
use look::{CLOSE_LOOK, LOOK, REST, look, look_again};
use record::Ran;
use series::Series;
pub use settings::{Settings, Verify, Witnesses};

/// Runs what `settings` ask for, prints the report, and says whether every bound was kept.
///
/// # Errors
/// A sentence that says what is in the way, before any load starts where it can be known.
pub fn run(mut settings: Settings) -> Result<bool, String> {
    let fault = settings.fault.take();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(whole(&settings, fault))
}

async fn whole(settings: &Settings, fault: Option<Fault>) -> Result<bool, String> {
    fit_descriptors(settings.workload.max_in_flight)?;
    let wants_tls = settings.workload.mix.actions().any(|(_, action)| matches!(action.what, What::Tls { .. }));
    let tls = wants_tls.then(|| tls(&settings.trust)).transpose()?;
    let proxy = preflight::resolve(&settings.proxy).await?;
    let stage = match fault {
        Some(fault) => Some(Stage::set(fault).await?),
        None => None,
    };
    if settings.probe {
        preflight::probe(&settings.workload, proxy, tls.clone()).await?;
    }
    let (looks, before) = ask_witnesses(settings).await?;
    settings.reports.check()?;
    let watch = settings.witnesses.process.map(|(pid, from)| Watch::new(pid, from)).transpose()?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| format!("no signals: {error}"))?;

    let began = Instant::now();
    let load = Load::start(settings, proxy, tls)?;
    let ran = Ran { tally: load.empty_tally(), looks, before, fault: None, harmed_before: 0 };
    let series = Series::new(&load, settings.quiet);
    let mut course = Course { settings, began, load, ran, series, stage, watch };
    let interrupted = course.until_load_is_over(&mut interrupt).await?;
    let span = began.elapsed();
    let tunnels = course.load.gauge().most();
    course.until_proxy_is_at_rest().await;
    let Course { load, ran, series, stage, watch, .. } = course;
    let work = load.finish()?;
    let mut report = Report::new(&settings.workload, &ran.tally, &series.lag, span, tunnels);
    report.workload.clone_from(&settings.words);
    report.interrupted = interrupted;
    report.worked(&work);
    report.process = watch.map(Watch::finish).transpose()?;
    report.series = series.stretches;
    report.fault = ran.fault.map(|(from, to)| (from.as_secs_f64(), to.map(|to| to.as_secs_f64())));
    if ran.looks.is_empty() {
        let (proxy, path) = (&settings.proxy, &settings.witnesses.stats);
        report.notes.push(format!("no statistics of netdrift at http://{proxy}{path}"));
    }
    judge::judge(settings, ran, &mut report).await?;
    drop(stage);
    print!("{}", text::render(&report));
    settings.reports.write(&report)?;
    Ok(report.passed())
}

/// Asks all witnesses once, before the load: the proxy for its statistics, mock upstreams for their counts.
async fn ask_witnesses(settings: &Settings) -> Result<(Looks, Vec<Counts>), String> {
    let mut looks = Looks::new();
    if let Err(error) = look(settings, &mut looks, Duration::ZERO).await
        && judge::needs_stats(settings)
    {
        return Err(format!("the verdicts need the proxy's statistics: {error}; --stats PATH says where they are"));
    }
    judge::check_witnesses(settings, looks.first().map(|(_, stats)| stats))?;
    let mut before = Vec::new();
    for (upstream, _) in &settings.witnesses.upstreams {
        before.push(counts(upstream).await?);
    }
    Ok((looks, before))
}

/// A run under way: the load, all that watches it, and the fault that comes in the middle of it.
struct Course<'a> {
    settings: &'a Settings,
    began: Instant,
    load: Load,
    ran: Ran,
    series: Series,
    stage: Option<Stage>,
    watch: Option<Watch>,
}

impl Course<'_> {
    /// Watches the load until it is over, and does the fault when it is due. Says whether the user stopped it.
    async fn until_load_is_over(&mut self, interrupt: &mut Signal) -> Result<bool, String> {
        let mut interrupted = false;
        let mut ticks = interval(if self.settings.verify.failover { CLOSE_LOOK } else { LOOK });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => {
                    interrupted = true;
                    self.load.stop();
                }
                _ = ticks.tick() => {}
            }
            let now = self.began.elapsed();
            self.do_fault(now).await?;
            let is_over = self.load.is_over();
            // A proxy that is too busy for its statistics is looked at next time.
            let _ = self.look().await;
            if let Some(watch) = &mut self.watch {
                watch.look(now);
            }
            self.series.advance(&self.load, &mut self.ran, now, is_over);
            if is_over {
                return Ok(interrupted);
            }
        }
    }

    /// Begins or ends the fault, if it is time.
    async fn do_fault(&mut self, now: Duration) -> Result<(), String> {
        let Some(stage) = &mut self.stage else { return Ok(()) };
        match self.ran.fault {
            None if now >= stage.fault().at => {
                self.ran.harmed_before = self.series.errors(&self.load, &self.ran);
                self.ran.fault = Some((self.began.elapsed(), None));
                stage.begin().await
            }
            Some((from, None)) if stage.fault().end().is_some_and(|end| now >= end) => {
                stage.end().await?;
                self.ran.fault = Some((from, Some(self.began.elapsed())));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn look(&mut self) -> Result<(), String> {
        look_again(self.settings, &mut self.ran.looks, self.began.elapsed()).await
    }

    /// Looks at the proxy until it has no request left, for a while at most.
    async fn until_proxy_is_at_rest(&mut self) {
        let until = Instant::now() + REST;
        while self.look().await.is_ok()
            && self.ran.looks.last().is_some_and(|(_, stats)| stats.current_requests > 0)
            && Instant::now() < until
        {
            sleep(CLOSE_LOOK).await;
        }
        if let Some(watch) = &mut self.watch {
            watch.look(self.began.elapsed());
        }
    }
}
