//! One run: threads that drive the load, a collector that watches them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use loadgen::action::What;
use loadgen::report::{Stretch, Work};
use loadgen::tally::Times;
use loadgen::{Gauge, Report, Shard, Tally, Workload, drive};
use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cli::{Reports, Settings};
use crate::fault::Stage;
use crate::judge;
use crate::live::Live;
use crate::pages::{self, Stats};
use crate::preflight;
use crate::process::{self, Watch};
use crate::sockets::{self, Tcp};

/// From one line of progress, and point of the plots, to the next.
const STRETCH: Duration = Duration::from_secs(1);

/// From one look at the proxy's statistics to the next; more often where a fault is timed.
const LOOK: Duration = Duration::from_millis(250);
pub(crate) const CLOSE_LOOK: Duration = Duration::from_millis(20);

/// From one check of the own clockwork to the next.
const LAG_TICK: Duration = Duration::from_millis(20);

/// How long the proxy, and upstreams' journals, have to come to rest behind the last request.
pub(crate) const REST: Duration = Duration::from_secs(5);

/// One thread's share.
struct Worker {
    thread: JoinHandle<Work>,
    seen: Arc<Mutex<(Tally, Times)>>,
    stop: Arc<Notify>,
}

/// What the proxy said of itself, and when.
pub(crate) type Looks = Vec<(Duration, Stats)>;

/// What a run was like, for the judges.
pub(crate) struct Ran {
    pub(crate) tally: Tally,
    pub(crate) looks: Looks,
    /// Mock upstreams' counts before the run.
    pub(crate) before: Vec<pages::Counts>,
    pub(crate) fault: Option<(Duration, Option<Duration>)>,
    /// Failures before the fault.
    pub(crate) harmed_before: u64,
}

/// Runs what `settings` ask for, and says whether every bound was kept.
///
/// # Errors
/// A sentence that says what is in the way, before any load starts where it can be known.
pub(crate) fn run(settings: Settings) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no runtime: {error}"))?.block_on(whole(settings))
}

async fn whole(mut settings: Settings) -> Result<bool, String> {
    let workload = settings.workload.clone();
    sockets::fit_descriptors(workload.max_in_flight)?;
    let wants_tls = workload.mix.actions().any(|(_, action)| matches!(action.what, What::Tls { .. }));
    let tls = wants_tls.then(|| sockets::tls(&settings.trust)).transpose()?;
    let proxy = preflight::resolve(&settings.proxy).await?;
    let mut stage = match settings.fault.take() {
        Some(fault) => Some(Stage::set(fault).await?),
        None => None,
    };
    if settings.probe {
        preflight::probe(&workload, proxy, tls.clone()).await?;
    }
    let mut looks = Looks::new();
    if let Err(error) = look(&settings, &mut looks, Duration::ZERO, true).await
        && judge::needs_stats(&settings)
    {
        return Err(format!("the verdicts need the proxy's statistics: {error}; --stats PATH says where they are"));
    }
    judge::check_witnesses(&settings, looks.first().map(|(_, stats)| stats))?;
    settings.reports.check()?;
    let mut before = Vec::new();
    for (upstream, _) in &settings.witnesses.upstreams {
        before.push(pages::counts(upstream).await?);
    }
    let mut watch = settings.witnesses.process.map(|(pid, from)| Watch::new(pid, from)).transpose()?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(|error| format!("no signals: {error}"))?;

    let began = Instant::now();
    let gauge = Arc::new(Gauge::default());
    let mut workers = Vec::new();
    for shard in Shard::all(settings.threads) {
        workers.push(start(&settings, &workload, shard, proxy, tls.clone(), gauge.clone())?);
    }
    let mut ran = Ran {
        tally: if settings.verify.ledger { Tally::with_ledger() } else { Tally::default() },
        looks,
        before,
        fault: None,
        harmed_before: 0,
    };
    let (mut lag, mut series, mut notes) = (Times::default(), Vec::new(), Vec::new());
    let mut live = Live::new(settings.quiet);
    // What was collected before its stretch is over.
    let mut pending = ran.tally.take();
    let (mut interrupted, mut stretch_began) = (false, Duration::ZERO);
    let tick = if settings.verify.failover { CLOSE_LOOK } else { LOOK };
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {
                interrupted = true;
                workers.iter().for_each(|worker| worker.stop.notify_one());
            }
            _ = ticks.tick() => {}
        }
        let now = began.elapsed();
        if let Some(stage) = &mut stage {
            let fault = stage.fault();
            let (at, end) = (fault.at, fault.span.map(|span| fault.at + span));
            match ran.fault {
                None if now >= at => {
                    pending.add(collect(&workers, &mut lag));
                    ran.harmed_before = ran.tally.errors() + pending.errors();
                    ran.fault = Some((began.elapsed(), None));
                    stage.begin().await?;
                }
                Some((from, None)) if end.is_some_and(|end| now >= end) => {
                    stage.end().await?;
                    ran.fault = Some((from, Some(began.elapsed())));
                }
                _ => {}
            }
        }
        let over = workers.iter().all(|worker| worker.thread.is_finished());
        let _ = look(&settings, &mut ran.looks, began.elapsed(), false).await;
        if let Some(watch) = &mut watch {
            watch.look(now);
        }
        if now >= stretch_began + STRETCH || over {
            let mut part = pending.take();
            part.add(collect(&workers, &mut lag));
            let mut stretch = Stretch::new(stretch_began, now - stretch_began, &part);
            let weights = shares(&ran.looks, stretch_began, &mut stretch);
            ran.tally.add(part);
            live.show(&stretch, &ran.tally, gauge.now(), &weights);
            series.push(stretch);
            stretch_began = now;
        }
        if over {
            break;
        }
    }
    let span = began.elapsed();
    let mut work = Vec::new();
    for worker in workers {
        let Ok(of_thread) = worker.thread.join() else {
            return Err("a thread of the load generator panicked; this run says nothing".to_owned());
        };
        work.push(of_thread);
    }
    let rest = Instant::now() + REST;
    while look(&settings, &mut ran.looks, began.elapsed(), false).await.is_ok()
        && ran.looks.last().is_some_and(|(_, stats)| stats.current_requests > 0)
        && Instant::now() < rest
    {
        tokio::time::sleep(CLOSE_LOOK).await;
    }
    if let Some(watch) = &mut watch {
        watch.look(began.elapsed());
    }
    let mut report = Report::new(&workload, &ran.tally, &lag, span, gauge.most());
    report.workload = std::mem::take(&mut settings.words);
    report.interrupted = interrupted;
    report.worked(&work);
    report.process = watch.map(Watch::finish).transpose()?;
    report.series = series;
    report.fault = ran.fault.map(|(from, to)| (from.as_secs_f64(), to.map(|to| to.as_secs_f64())));
    if ran.looks.is_empty() {
        notes.push(format!("no statistics of netdrift at http://{}{}", settings.proxy, settings.witnesses.stats));
    }
    report.notes = notes;
    judge::judge(&settings, ran, &mut report).await?;
    drop(stage);
    print!("{}", loadgen::report::text::render(&report));
    write(&settings.reports, &report)?;
    Ok(report.passed())
}

fn start(
    settings: &Settings,
    workload: &Workload,
    shard: Shard,
    proxy: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    gauge: Arc<Gauge>,
) -> Result<Worker, String> {
    let fresh = if settings.verify.ledger { Tally::with_ledger() } else { Tally::default() };
    let seen = Arc::new(Mutex::new((fresh, Times::default())));
    let stop = Arc::new(Notify::new());
    let (workload, sees, stopped) = (workload.clone(), seen.clone(), stop.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let body = move || {
        let began = Instant::now();
        runtime.block_on(async {
            let net =
                Tcp::new(proxy, tls).expect("timerfd_create fails only for want of descriptors, which were counted");
            let mut observe = |event| lock(&sees).0.on(&event);
            let driving = drive(&workload, shard, &net, &gauge, &mut observe, stopped.notified());
            tokio::select! {
                biased;
                () = driving => {}
                () = watch_lag(&sees) => {}
            }
        });
        process::work(began.elapsed())
    };
    let thread = std::thread::Builder::new().name("load".to_owned()).spawn(body);
    Ok(Worker { thread: thread.map_err(|error| format!("no thread: {error}"))?, seen, stop })
}

fn lock(seen: &Mutex<(Tally, Times)>) -> MutexGuard<'_, (Tally, Times)> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measures, for ever, how late this thread gets to what is due.
async fn watch_lag(seen: &Mutex<(Tally, Times)>) {
    loop {
        let due = Instant::now() + LAG_TICK;
        tokio::time::sleep_until(due).await;
        lock(seen).1.record(due.elapsed());
    }
}

/// Takes what the workers counted since the last time.
fn collect(workers: &[Worker], lag: &mut Times) -> Tally {
    let mut part: Option<Tally> = None;
    for worker in workers {
        let mut seen = lock(&worker.seen);
        lag.add(&std::mem::take(&mut seen.1));
        let tally = seen.0.take();
        drop(seen);
        match &mut part {
            None => part = Some(tally),
            Some(part) => part.add(tally),
        }
    }
    part.unwrap_or_default()
}

/// Looks at the proxy's statistics. Asks only where it answered before, or at `first`.
async fn look(settings: &Settings, looks: &mut Looks, at: Duration, first: bool) -> Result<(), String> {
    if !first && looks.is_empty() {
        return Err("it never answered".to_owned());
    }
    let token = settings.workload.users.first().map(|user| user.basic());
    let stats = pages::stats(&settings.proxy, &settings.witnesses.stats, token).await?;
    looks.push((at, stats));
    Ok(())
}

/// Fills the shares and ejections of `stretch` from the proxy's statistics; returns weights by name.
fn shares(looks: &Looks, from: Duration, stretch: &mut Stretch) -> Vec<(String, u64)> {
    let Some((_, last)) = looks.last() else { return Vec::new() };
    let first = looks.iter().rev().find(|(at, _)| *at <= from).or_else(|| looks.first());
    let before: BTreeMap<&str, u64> = first
        .into_iter()
        .flat_map(|(_, stats)| &stats.total.upstream_metrics)
        .map(|upstream| (upstream.url.as_str(), upstream.total_requests))
        .collect();
    let upstreams = &last.total.upstream_metrics;
    if stretch.shares.is_empty() {
        let share = |upstream: &pages::Upstream| {
            let before = before.get(upstream.url.as_str()).copied().unwrap_or(0);
            (upstream.url.clone(), upstream.total_requests.saturating_sub(before))
        };
        stretch.shares = upstreams.iter().map(share).collect();
    }
    let ejected = upstreams.iter().filter(|upstream| upstream.enabled && !upstream.healthy);
    stretch.ejected = ejected.map(|upstream| upstream.url.clone()).collect();
    upstreams.iter().map(|upstream| (upstream.url.clone(), upstream.weight)).collect()
}

impl Reports {
    /// Finds out whether they can be written while there is nothing yet to lose.
    fn check(&self) -> Result<(), String> {
        for path in [&self.json, &self.html, &self.markdown, &self.junit].into_iter().flatten() {
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
            opened.map_err(|error| format!("the report {} can't be written: {error}", path.display()))?;
        }
        Ok(())
    }
}

fn write(reports: &Reports, report: &Report) -> Result<(), String> {
    use loadgen::report::{html, junit, markdown};
    let json = || serde_json::to_string_pretty(report).expect("a report has text keys and finite numbers only");
    let all: [(_, &dyn Fn() -> String); 4] = [
        (&reports.json, &json),
        (&reports.html, &|| html::render(report)),
        (&reports.markdown, &|| markdown::render(report)),
        (&reports.junit, &|| junit::render(report)),
    ];
    for (path, render) in all {
        if let Some(path) = path {
            std::fs::write(path, render()).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}
