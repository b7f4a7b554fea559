//! Runs the threads that make the load, each with its part of the workload.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::settings::Settings;
use crate::client::OpenTunnels;
use crate::drive::{LatencyHistogram, Shard, Tally, drive};
use crate::sockets::TcpConnector;
use crate::watch::{ThreadWork, thread_work};

/// From one check of a thread's own timers to the next.
const LAG_TICK: Duration = Duration::from_millis(20);

/// All threads that make the load.
pub(super) struct LoadThreads {
    workers: Vec<Worker>,
    open_tunnels: Arc<OpenTunnels>,
    ledger: bool,
}

/// One thread.
struct Worker {
    thread: JoinHandle<ThreadWork>,
    uncollected: Arc<Mutex<Uncollected>>,
    stop: Arc<Notify>,
}

/// What a thread counted and nobody collected yet, and how late its own timers were.
struct Uncollected {
    tally: Tally,
    lag: LatencyHistogram,
}

impl LoadThreads {
    /// Starts the load that `settings` ask for.
    ///
    /// # Errors
    /// The system gives no thread, or no runtime.
    pub(super) fn start(
        settings: &Settings,
        proxy: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, String> {
        let mut load = LoadThreads {
            workers: Vec::new(),
            open_tunnels: Arc::new(OpenTunnels::default()),
            ledger: settings.verdicts.ledger,
        };
        for shard in Shard::all(settings.threads) {
            let worker = load.worker(settings, shard, proxy, tls.clone())?;
            load.workers.push(worker);
        }
        Ok(load)
    }

    fn worker(
        &self,
        settings: &Settings,
        shard: Shard,
        proxy: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Worker, String> {
        let uncollected =
            Arc::new(Mutex::new(Uncollected { tally: self.empty_tally(), lag: LatencyHistogram::default() }));
        let stop = Arc::new(Notify::new());
        let (workload, counts, stopped) = (settings.workload.clone(), uncollected.clone(), stop.clone());
        let open_tunnels = self.open_tunnels.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        let body = move || {
            let began = Instant::now();
            runtime.block_on(async {
                let connector = TcpConnector::new(proxy, tls)
                    .expect("timerfd_create fails only for want of descriptors, which were counted");
                let mut observe = |event| lock(&counts).tally.on(&event);
                let driving = drive(&workload, shard, &connector, &open_tunnels, &mut observe, stopped.notified());
                tokio::select! {
                    biased;
                    // First: what the other leaves of its turn may be too little for a timer (tokio's cooperative budget).
                    () = watch_lag(&counts) => {}
                    () = driving => {}
                }
            });
            thread_work(began.elapsed())
        };
        let thread = std::thread::Builder::new().name("load".to_owned()).spawn(body);
        Ok(Worker { thread: thread.map_err(|error| format!("no thread: {error}"))?, uncollected, stop })
    }

    /// Makes an empty tally, with a ledger where this run needs one.
    pub(super) fn empty_tally(&self) -> Tally {
        if self.ledger { Tally::with_ledger() } else { Tally::default() }
    }

    /// The tunnels that all threads have open.
    pub(super) fn open_tunnels(&self) -> &OpenTunnels {
        &self.open_tunnels
    }

    /// Begins no further request and drops those that are in flight.
    pub(super) fn stop(&self) {
        self.workers.iter().for_each(|worker| worker.stop.notify_one());
    }

    /// Whether all threads are done.
    pub(super) fn is_over(&self) -> bool {
        self.workers.iter().all(|worker| worker.thread.is_finished())
    }

    /// Takes what the threads counted since the last time; their lag goes into `lag`.
    pub(super) fn collect(&self, lag: &mut LatencyHistogram) -> Tally {
        let mut part = self.empty_tally();
        for worker in &self.workers {
            let mut counts = lock(&worker.uncollected);
            lag.add(&std::mem::take(&mut counts.lag));
            let tally = counts.tally.take();
            drop(counts);
            part.add(tally);
        }
        part
    }

    /// Waits for all threads, and says how much work each had.
    ///
    /// # Errors
    /// One of them panicked.
    pub(super) fn finish(self) -> Result<Vec<ThreadWork>, String> {
        let panicked = |_| "a thread of the load generator panicked; this run says nothing".to_owned();
        self.workers.into_iter().map(|worker| worker.thread.join().map_err(panicked)).collect()
    }
}

fn lock(counts: &Mutex<Uncollected>) -> MutexGuard<'_, Uncollected> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measures, for ever, how late this thread gets to what is due.
async fn watch_lag(counts: &Mutex<Uncollected>) {
    loop {
        let due = Instant::now() + LAG_TICK;
        tokio::time::sleep_until(due).await;
        lock(counts).lag.record(due.elapsed());
    }
}
