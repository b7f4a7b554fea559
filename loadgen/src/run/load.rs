//! The threads that make the load, each with its part of the workload.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::settings::Settings;
use crate::client::Gauge;
use crate::drive::{Shard, Tally, Times, drive};
use crate::sockets::Tcp;
use crate::watch::{Work, work};

/// From one check of the own clockwork to the next.
const LAG_TICK: Duration = Duration::from_millis(20);

/// All threads that make the load.
pub(super) struct Load {
    workers: Vec<Worker>,
    gauge: Arc<Gauge>,
    ledger: bool,
}

/// One thread.
struct Worker {
    thread: JoinHandle<Work>,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<Notify>,
}

/// What a thread counted since it was last asked, and how late its own clockwork was.
struct Seen {
    tally: Tally,
    lag: Times,
}

impl Load {
    /// Starts the load that `settings` ask for.
    ///
    /// # Errors
    /// The system gives no thread, or no runtime.
    pub(super) fn start(
        settings: &Settings,
        proxy: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, String> {
        let mut load = Load { workers: Vec::new(), gauge: Arc::new(Gauge::default()), ledger: settings.verify.ledger };
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
        let seen = Arc::new(Mutex::new(Seen { tally: self.empty_tally(), lag: Times::default() }));
        let stop = Arc::new(Notify::new());
        let (workload, sees, stopped) = (settings.workload.clone(), seen.clone(), stop.clone());
        let gauge = self.gauge.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        let body = move || {
            let began = Instant::now();
            runtime.block_on(async {
                let net = Tcp::new(proxy, tls)
                    .expect("timerfd_create fails only for want of descriptors, which were counted");
                let mut observe = |event| lock(&sees).tally.on(&event);
                let driving = drive(&workload, shard, &net, &gauge, &mut observe, stopped.notified());
                tokio::select! {
                    biased;
                    () = driving => {}
                    () = watch_lag(&sees) => {}
                }
            });
            work(began.elapsed())
        };
        let thread = std::thread::Builder::new().name("load".to_owned()).spawn(body);
        Ok(Worker { thread: thread.map_err(|error| format!("no thread: {error}"))?, seen, stop })
    }

    /// A tally with nothing in it yet, of the kind that this run needs.
    pub(super) fn empty_tally(&self) -> Tally {
        if self.ledger { Tally::with_ledger() } else { Tally::default() }
    }

    /// How many tunnels are open.
    pub(super) fn gauge(&self) -> &Gauge {
        &self.gauge
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
    pub(super) fn collect(&self, lag: &mut Times) -> Tally {
        let mut part = self.empty_tally();
        for worker in &self.workers {
            let mut seen = lock(&worker.seen);
            lag.add(&std::mem::take(&mut seen.lag));
            let tally = seen.tally.take();
            drop(seen);
            part.add(tally);
        }
        part
    }

    /// Waits for all threads, and says what each had to do.
    ///
    /// # Errors
    /// One of them panicked.
    pub(super) fn finish(self) -> Result<Vec<Work>, String> {
        let panicked = |_| "a thread of the load generator panicked; this run says nothing".to_owned();
        self.workers.into_iter().map(|worker| worker.thread.join().map_err(panicked)).collect()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measures, for ever, how late this thread gets to what is due.
async fn watch_lag(seen: &Mutex<Seen>) {
    loop {
        let due = Instant::now() + LAG_TICK;
        tokio::time::sleep_until(due).await;
        lock(seen).lag.record(due.elapsed());
    }
}
