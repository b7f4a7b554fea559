//! Makes one whole run on this machine: the checks before it, the load, what watches it, the verdicts and the reports.

mod course;
mod judge;
mod preflight;
mod progress;
mod record;
mod sample;
mod settings;
mod threads;
mod windows;
mod witnesses;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use course::Course;
use record::RunRecord;
pub use settings::{Settings, WantedVerdicts, Witnesses};
use threads::LoadThreads;
use windows::Windows;

use crate::inject::{Fault, FaultInjector};
use crate::report::{LoadReport, text};
use crate::sockets::{fit_descriptors, tls};
use crate::verdict::Finding;
use crate::watch::ProcessWatch;
use crate::workload::ActionKind;

/// Runs what `settings` ask for, prints the report, and says the worst that was found.
///
/// # Errors
/// A sentence that says what is in the way, before any load starts where it can be known.
pub fn run(mut settings: Settings) -> Result<Finding, String> {
    let fault = settings.fault.take();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(whole(&settings, fault))
}

async fn whole(settings: &Settings, fault: Option<Fault>) -> Result<Finding, String> {
    fit_descriptors(settings.workload.max_in_flight)?;
    let wants_tls = settings.workload.mix.actions().any(|action| matches!(action.kind, ActionKind::Tls { .. }));
    let tls = wants_tls.then(|| tls(&settings.trust)).transpose()?;
    let proxy = preflight::resolve(&settings.proxy).await?;
    let injector = match fault {
        Some(fault) => Some(FaultInjector::prepare(fault).await?),
        None => None,
    };
    if settings.probe {
        preflight::probe(&settings.workload, proxy, tls.clone()).await?;
    }
    let (snapshots, counts_before) = witnesses::ask_all(settings).await?;
    settings.reports.check()?;
    let watch = settings.witnesses.process.map(|(pid, from)| ProcessWatch::new(pid, from)).transpose()?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| format!("no signals: {error}"))?;

    let began = Instant::now();
    let threads = LoadThreads::start(settings, proxy, tls)?;
    let tally = threads.empty_tally();
    let record = RunRecord { tally, snapshots, counts_before, fault: None, errors_before_fault: 0 };
    let windows = Windows::new(&threads, settings.quiet);
    let mut course = Course { settings, began, threads, record, windows, injector, watch };
    let interrupted = course.until_load_is_over(&mut interrupt).await?;
    let span = began.elapsed();
    course.until_proxy_is_at_rest().await;
    let Course { threads, record, windows, injector, watch, .. } = course;
    let tunnels = threads.open_tunnels().most();
    let work = threads.finish()?;
    let mut report = LoadReport::new(&settings.workload, &record.tally, &windows.lag, span, tunnels);
    report.workload.clone_from(&settings.words);
    report.interrupted = interrupted;
    report.note_work(&work);
    report.process = watch.map(ProcessWatch::finish).transpose()?;
    report.series = windows.past;
    report.fault = record.fault.map(|(from, to)| (from.as_secs_f64(), to.map(|to| to.as_secs_f64())));
    if record.snapshots.is_empty() {
        let page = &settings.witnesses.statistics;
        report.notes.push(format!("no statistics of {} at {}", page.of.name(), page.url(&settings.proxy)));
    }
    judge::judge(settings, record, &mut report).await?;
    drop(injector);
    print!("{}", text::render(&report));
    settings.reports.write(&report)?;
    Ok(report.finding())
}
