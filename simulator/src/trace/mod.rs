//! What happened, in order: the proxy's events, the upstreams' journals, the clients' verdicts and the scenario's own
//! doings, stamped with virtual time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proxy::config::{Config, UpstreamKey};
use proxy::core::time::Timestamp;
use proxy::core::upstream::UpstreamId;
use proxy::event::{Event, Observer};
use serde::Serialize;

use crate::engine::{Clock, HostName};

mod event;

pub use event::{ClientEvent, Finished, Phases, ProxyEvent, ScenarioEvent, Verdict, What, micros};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Virtual time since the start, in microseconds.
    pub at_us: u64,
    /// Where.
    pub host: HostName,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

impl Line {
    /// Virtual time since the start.
    pub fn at(&self) -> Duration {
        Duration::from_micros(self.at_us)
    }

    /// As one line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain strings and numbers always serialise")
    }
}

/// Writes everything down. Clones write the same trace.
#[derive(Clone)]
pub struct Recorder {
    clock: Clock,
    state: Arc<Mutex<State>>,
    /// Whether the process that writes through this has ended.
    ended: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    /// The proxy's upstreams, as it numbers them.
    known: BTreeMap<UpstreamKey, u32>,
    names: BTreeMap<u32, HostName>,
    next: u32,
}

impl Recorder {
    /// An empty trace, stamped by `clock`.
    pub fn new(clock: Clock) -> Self {
        Recorder { clock, state: Arc::default(), ended: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For one process, which can end.
    pub fn process(&self) -> Self {
        Recorder { ended: Arc::default(), ..self.clone() }
    }

    /// The process was killed: what its remains say is not heard.
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
        self.state().lines.push(Line { at_us, host: host.clone(), what });
    }

    /// A new proxy process numbers its upstreams from 0.
    pub fn proxy_starts(&self, config: &Config) {
        let mut state = self.state();
        (state.known, state.names, state.next) = Default::default();
        state.number(config);
    }

    /// A reload keeps the numbers of upstreams that stay and goes on counting for new ones.
    pub fn proxy_reloads(&self, config: &Config) {
        self.state().number(config);
    }

    /// What the proxy's upstream of that number is called.
    pub(crate) fn upstream(&self, id: UpstreamId) -> HostName {
        self.state().name(id)
    }

    /// Shows the lines from `from` on, and moves it behind them.
    pub fn each_from(&self, from: &mut usize, see: impl FnMut(&Line)) {
        let state = self.state();
        state.lines[*from..].iter().for_each(see);
        *from = state.lines.len();
    }

    /// The trace; what is written from now on begins another.
    pub fn take(&self) -> Trace {
        Trace { lines: std::mem::take(&mut self.state().lines) }
    }
}

impl State {
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

/// FNV-1a with 64 bits over a trace's lines. Prints as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// In the order in which things happened.
    pub lines: Vec<Line>,
}

impl Trace {
    /// The same for two runs if, and but for accident only if, all of their lines are equal.
    pub fn digest(&self) -> Digest {
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        for line in &self.lines {
            for byte in line.to_json().bytes().chain([b'\n']) {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        Digest(digest)
    }
}

/// Hears the proxy on `host`.
pub struct ProxyWitness {
    /// Where it runs.
    pub host: HostName,
    /// Where it is written down.
    pub recorder: Recorder,
}

impl Observer for ProxyWitness {
    fn on(&self, _: Timestamp, event: &Event<'_>) {
        let state = self.recorder.state();
        let event = event::owned(event, |id| state.name(id));
        drop(state);
        self.recorder.write(&self.host, What::Proxy(event));
    }
}
