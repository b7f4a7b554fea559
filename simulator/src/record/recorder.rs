//! The recorder writes down what witnesses tell, and stamps it with the time of the run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxy::config::{Config, UpstreamKey};
use proxy::core::upstream::UpstreamId;

use super::clock::{Clock, micros};
use super::event::What;
use super::trace::{Line, Trace};
use crate::scenario::HostName;

/// Writes everything down. Clones write the same trace.
#[derive(Clone)]
pub struct Recorder {
    clock: Clock,
    lines: Arc<Mutex<Vec<Line>>>,
    /// What the process that writes through this calls its upstreams, if it is a proxy.
    upstreams: Arc<Mutex<Upstreams>>,
    /// Whether the process that writes through this has ended.
    ended: Arc<AtomicBool>,
}

/// A proxy's upstreams, as it numbers them.
#[derive(Default)]
struct Upstreams {
    known: BTreeMap<UpstreamKey, u32>,
    names: BTreeMap<u32, HostName>,
    next: u32,
}

impl Recorder {
    /// An empty trace, stamped by `clock`.
    pub fn new(clock: Clock) -> Self {
        Recorder { clock, lines: Arc::default(), upstreams: Arc::default(), ended: Arc::default() }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upstreams(&self) -> MutexGuard<'_, Upstreams> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A recorder of the same trace for one process, which can end.
    pub fn process(&self) -> Self {
        Recorder { upstreams: Arc::default(), ended: Arc::default(), ..self.clone() }
    }

    /// A recorder for what the same process has left behind, which counts when it is read after the end of the process.
    #[must_use]
    pub fn for_what_is_left(&self) -> Self {
        Recorder { ended: Arc::default(), ..self.clone() }
    }

    /// The process was killed. What its remains still tell is not written down.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Writes `what` down, now.
    pub fn write(&self, host: &HostName, what: What) {
        self.write_at(self.clock.now(), host, what);
    }

    /// Writes `what` down, which happened at `at`.
    pub fn write_at(&self, at: Duration, host: &HostName, what: What) {
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        let at_us = micros(at);
        self.lines().push(Line { at_us, host: host.clone(), what });
    }

    /// The proxy is given `config`. Its process numbers its upstreams from 0; a reload keeps the numbers of upstreams that stay, and
    /// goes on counting for new ones.
    pub fn configure(&self, config: &Config) {
        self.upstreams().number(config);
    }

    /// What the proxy's upstream of that number is called.
    pub fn upstream(&self, id: UpstreamId) -> HostName {
        self.upstreams().name(id)
    }

    /// Calls `see` with each line from the place `from` on, and sets `from` to the place behind the last.
    pub fn each_from(&self, from: &mut usize, see: impl FnMut(&Line)) {
        let lines = self.lines();
        lines[*from..].iter().for_each(see);
        *from = lines.len();
    }

    /// The trace; what is written from now on begins another.
    pub fn take(&self) -> Trace {
        Trace { lines: std::mem::take(&mut self.lines()) }
    }
}

impl Upstreams {
    fn number(&mut self, config: &Config) {
        let mut known = BTreeMap::new();
        for upstream in &config.upstreams {
            let number = self.known.get(&upstream.key()).copied().unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            });
            known.insert(upstream.key(), number);
            self.names.insert(number, HostName::new(&upstream.host));
        }
        self.known = known;
    }

    fn name(&self, id: UpstreamId) -> HostName {
        self.names.get(&id.number()).cloned().unwrap_or_else(|| HostName::new(&id.to_string()))
    }
}
