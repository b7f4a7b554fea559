//! Holds one upstream while the proxy runs: its configuration, its idle connections, its figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use crate::config;
use crate::core::health::UpstreamHealth;
use crate::core::stats::Counters;
use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;
use crate::core::window::{Tally, Window};
use crate::env::{Env, Held, Lock};
use crate::event::UpstreamLabel;
use crate::http::head::Fields;
use crate::upstream::failed::FailedAttempt;
use crate::upstream::leg::{Leg, TlsSetupError, Wrapper};
use crate::upstream::pool::idle::{Idle, IdlePlaces};
use crate::upstream::pool::latency::Latency;
use crate::upstream::pool::warm::Warm;
use crate::upstream::resolver::{Endpoint, Resolver};

/// How long idle connections may go unswept.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);

/// One upstream proxy. `S` is the stream it is reached by.
pub(crate) struct Upstream<S> {
    pub(crate) id: UpstreamId,
    /// As logs and statistics show it.
    pub(crate) label: Arc<UpstreamLabel>,
    pub(crate) config: Arc<config::Upstream>,
    /// What it knows us by: its credentials, encoded once for all requests.
    pub(crate) authorization: Fields,
    /// The same with the fields that only our CONNECT has.
    pub(crate) connect_fields: Fields,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) wrapper: Wrapper,
    pub(crate) figures: Arc<Figures>,
    /// Between two requests of plain HTTP. Shared with its former self where nothing but its weight or a word for it has changed.
    kept: Arc<Lock<Idle<S>>>,
    /// Opened before a CONNECT asks for one, where that is configured.
    pub(crate) warm: Option<Warm<S>>,
}

/// What is measured of an upstream; survives a change of its weight or tag.
pub(crate) struct Figures {
    /// Of clients' requests. An upstream that leaves hands them over.
    pub(crate) counters: Arc<Counters>,
    /// See [`Figures::is_sound`].
    sound: AtomicBool,
    /// Attempts, requests and tunnels that hold a lease on it now.
    pub(crate) leased: AtomicU64,
    pub(crate) bytes_up: Arc<AtomicU64>,
    pub(crate) bytes_down: Arc<AtomicU64>,
    /// A tunnel brought nothing since one last delivered.
    pub(crate) brought_nothing: AtomicBool,
    pub(crate) latency: Latency,
    failures: Lock<Failures>,
    recent_bytes: Lock<RecentBytes>,
}

impl Default for Figures {
    fn default() -> Self {
        Figures {
            counters: Arc::default(),
            // As its health is.
            sound: AtomicBool::new(true),
            leased: AtomicU64::default(),
            bytes_up: Arc::default(),
            bytes_down: Arc::default(),
            brought_nothing: AtomicBool::default(),
            latency: Latency::default(),
            failures: Lock::default(),
            recent_bytes: Lock::default(),
        }
    }
}

/// Bytes carried both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) up: u64,
    pub(crate) down: u64,
}

impl Tally for Bytes {
    fn add(&mut self, other: &Self) {
        self.up += other.up;
        self.down += other.down;
    }
}

/// The sums as they were last looked at, and what came in between by the time of the look.
#[derive(Default)]
struct RecentBytes {
    seen: Bytes,
    window: Window<Bytes>,
}

/// What failed last: an attempt, a check's among them, or what one had opened.
#[derive(Clone, Debug)]
pub(crate) struct LastFailure {
    /// The word for it.
    pub(crate) failure: &'static str,
    /// In the system's or a library's words.
    pub(crate) cause: Option<Arc<str>>,
    pub(crate) at: Timestamp,
}

#[derive(Default)]
struct Failures {
    last: Option<LastFailure>,
    /// Why the last attempt failed, which is what an ejection tells.
    of_attempt: Option<Arc<str>>,
}

impl Figures {
    /// Another success would change nothing about its health, as far as was known a moment ago.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound.load(Ordering::Relaxed)
    }

    /// Shows what has become of its `health`. Whoever changes that calls this, under the same lock.
    pub(crate) fn set_sound(&self, health: Option<UpstreamHealth>) {
        self.sound.store(health.is_some_and(|health| health.is_sound()), Ordering::Relaxed);
    }

    /// An attempt of a client's request ended, and took so long.
    pub(crate) fn ended(&self, success: bool, took: Duration) {
        self.counters.ended(success, took);
        if success {
            self.latency.record(took);
        }
    }

    /// See [`Pool::sample`](super::Pool::sample).
    pub(crate) fn sample(&self, now: Timestamp) {
        self.counters.read(now);
        self.latency.sample(now);
        self.recent_bytes(now);
    }

    /// An attempt failed, and not because the client went away.
    pub(crate) fn failed(&self, failed: FailedAttempt, at: Timestamp) {
        let mut failures = self.failures();
        failures.of_attempt.clone_from(&failed.cause);
        failures.last = Some(LastFailure { failure: failed.failure.as_str(), cause: failed.cause, at });
    }

    /// What an attempt had opened broke off.
    pub(crate) fn broke_off(&self, last: LastFailure) {
        self.failures().last = Some(last);
    }

    /// Why the last failed attempt failed.
    pub(crate) fn last_cause(&self) -> Option<Arc<str>> {
        self.failures().of_attempt.clone()
    }

    pub(crate) fn last_failure(&self) -> Option<LastFailure> {
        self.failures().last.clone()
    }

    fn failures(&self) -> Held<'_, Failures> {
        self.failures.lock()
    }

    /// Since the start.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes { up: self.bytes_up.load(Ordering::Relaxed), down: self.bytes_down.load(Ordering::Relaxed) }
    }

    /// Of the last 15 minutes. What has come since the last look counts as of `now`, so that carrying bytes costs no look
    /// at the clock; somebody has to look once per bucket of the window.
    pub(crate) fn recent_bytes(&self, now: Timestamp) -> Bytes {
        let mut recent = self.recent_bytes.lock();
        let bytes = self.bytes();
        let more = Bytes { up: bytes.up - recent.seen.up, down: bytes.down - recent.seen.down };
        recent.seen = bytes;
        recent.window.record(now, |tally| tally.add(&more));
        recent.window.sum(now)
    }
}

impl<S> Upstream<S> {
    /// An upstream as configured, taking over the figures of its former self.
    pub(crate) fn new(
        id: UpstreamId,
        config: Arc<config::Upstream>,
        former: Option<&Upstream<S>>,
        resolver: &Resolver,
        env: &impl Env,
    ) -> Result<Self, TlsSetupError> {
        let wrapper = match former {
            // Reading the system's roots anew for each unchanged upstream would make a reload slow.
            Some(former) if former.config.transport == config.transport => former.wrapper.clone(),
            _ => Wrapper::new(&config.transport, env)?,
        };
        let authorization = authorization(&config);
        let mut connect_fields = authorization.clone();
        for (name, value) in &config.connect_headers {
            connect_fields.push(name, value.expose());
        }
        Ok(Upstream {
            id,
            authorization,
            connect_fields,
            label: Arc::new(UpstreamLabel {
                id,
                name: config.name.as_str().into(),
                url: config.url.as_str().into(),
                tag: config.tag.as_deref().map(Arc::from),
            }),
            endpoint: former.map_or_else(
                || Arc::new(resolver.endpoint(&config.host, config.port)),
                |former| Arc::clone(&former.endpoint),
            ),
            wrapper,
            figures: former.map_or_else(Arc::default, |former| Arc::clone(&former.figures)),
            kept: match former {
                Some(former) if former.config.is_known_as(&config) && !config.is_draining() => Arc::clone(&former.kept),
                _ => Arc::default(),
            },
            warm: config.warm_connections.map(|limits| Warm::new(limits, former.and_then(|one| one.warm.as_ref()))),
            config,
        })
    }

    /// The kept connection that was used last, if at `now` it has been idle for less than `idle_for` and `is_dead` does not find it
    /// ended.
    pub(crate) fn take_idle(
        &self,
        (idle_for, now): (Duration, Instant),
        is_dead: impl FnMut(&mut Leg<S>) -> bool,
    ) -> Option<Leg<S>> {
        Some(self.kept.lock().take((idle_for, now), is_dead)?.0)
    }

    /// Keeps a connection that is between requests, unless `most` are kept already or there is no place. Tells whether it
    /// is the first.
    pub(crate) fn keep_idle(&self, leg: Leg<S>, most: usize, places: &IdlePlaces) -> bool {
        let mut kept = self.kept.lock();
        if kept.len() < most
            && let Some(place) = places.take()
        {
            kept.add(leg, place);
        }
        kept.len() == 1
    }

    /// Closes the kept connections that are past `idle_for` or that `is_dead` finds ended. Tells whether any is left.
    pub(crate) fn sweep_idle(&self, idle_for: Duration, is_dead: impl FnMut(&mut Leg<S>) -> bool) -> bool {
        let mut kept = self.kept.lock();
        kept.sweep(idle_for, is_dead);
        kept.len() > 0
    }

    /// Closes the unused connections, kept and warm.
    pub(super) fn give_way(&self) {
        self.kept.lock().clear();
        if let Some(warm) = &self.warm {
            warm.give_way();
        }
    }

    pub(crate) fn idle_count(&self) -> usize {
        self.kept.lock().len()
    }

    /// Closes the unused connections, kept and warm, and holds none from now on; the kept ones that `heir` shares are left to it.
    pub(crate) fn retire(&self, heir: Option<&Self>) {
        if !heir.is_some_and(|heir| Arc::ptr_eq(&heir.kept, &self.kept)) {
            self.kept.lock().retire();
        }
        if let Some(warm) = &self.warm {
            warm.retire();
        }
    }

    /// What it lets us in by, in every form in which we send it: it could show them to us again, and nobody else may see them.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let password = self.config.credentials.iter().map(|credentials| credentials.password.expose());
        let sent = self.connect_fields.iter().filter_map(|(_, value)| std::str::from_utf8(value).ok());
        password.chain(sent.map(|value| value.strip_prefix("Basic ").unwrap_or(value)))
    }

    pub(crate) fn leased(&self) -> u64 {
        self.figures.leased.load(Ordering::Relaxed)
    }
}

/// The field by which an upstream with credentials lets us in.
fn authorization(config: &config::Upstream) -> Fields {
    let mut fields = Fields::new();
    if let Some(credentials) = &config.credentials {
        let pair = format!("{}:{}", credentials.username, credentials.password.expose());
        fields.push("Proxy-Authorization", format!("Basic {}", STANDARD.encode(pair)));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    #[test]
    fn bytes_of_long_ago_are_not_recent() {
        let figures = Figures::default();
        let at = |n| Timestamp::ZERO.after(minutes(n));
        figures.bytes_up.fetch_add(5, Ordering::Relaxed);
        figures.bytes_down.fetch_add(7, Ordering::Relaxed);
        assert_eq!(figures.recent_bytes(at(1)), Bytes { up: 5, down: 7 });
        figures.bytes_down.fetch_add(70, Ordering::Relaxed);
        assert_eq!(figures.recent_bytes(at(10)), Bytes { up: 5, down: 77 });
        assert_eq!(figures.recent_bytes(at(16)), Bytes { up: 0, down: 70 });
        assert_eq!(figures.recent_bytes(at(26)), Bytes::default());
        assert_eq!(figures.bytes(), Bytes { up: 5, down: 77 });
    }
}
