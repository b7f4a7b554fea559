//! Defines the events of a running proxy, and the [`Observer`] that hears them in the order in which they happen.
//!
//! Logs are rendered from these, and the simulator checks its invariants on them. Nothing here carries a secret.

pub(crate) mod health_events;
pub(crate) mod memory;
pub mod metrics;
mod summary;

use std::sync::Arc;
use std::time::Duration;

use crate::core::attribution::{Blame, Rule};
use crate::core::time::Timestamp;
use crate::core::upstream::UpstreamId;

pub use summary::{
    AttemptSummary, Excluded, Exclusion, FailedAttemptSummary, Phase, Phases, Pick, RequestId, Standing, Summary,
    UpstreamLabel,
};

/// Hears the events of a proxy. It is called inline, on the task in which the event happens, so it must not block.
pub trait Observer: Send + Sync + 'static {
    /// `event` happened at `at` (since the proxy started).
    fn on(&self, at: Timestamp, event: &Event<'_>);

    /// How many events it has lost, because it must not block; shown in the statistics.
    fn dropped(&self) -> u64 {
        0
    }

    /// How many requests it has not told of, because it was asked to tell of some that went well alone; shown in the
    /// statistics.
    fn left_out(&self) -> u64 {
        0
    }
}

/// An observer that ignores every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn on(&self, _: Timestamp, _: &Event<'_>) {}
}

impl Observer for Vec<Arc<dyn Observer>> {
    fn on(&self, at: Timestamp, event: &Event<'_>) {
        for observer in self {
            observer.on(at, event);
        }
    }

    fn dropped(&self) -> u64 {
        self.iter().map(|observer| observer.dropped()).sum()
    }

    fn left_out(&self) -> u64 {
        self.iter().map(|observer| observer.left_out()).sum()
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The eligible upstreams changed; picks follow a new schedule.
    EpochStarted {
        /// Counted from 0.
        number: u64,
        /// The schedule's position that ticket 0 stands for.
        offset: u64,
        /// Who is in it with what weight, by id.
        members: &'a [(UpstreamId, u32)],
    },
    /// An upstream was chosen for an attempt.
    PickMade {
        /// For which request; `None` for a check by the prober.
        request: Option<RequestId>,
        /// Attempts of this request before this one.
        attempt: u32,
        /// The epoch that was in force.
        epoch: u64,
        /// The ticket of a first pick; `None` for failover, probes and least-failed picks.
        ticket: Option<u64>,
        /// Who was chosen.
        upstream: UpstreamId,
        /// Chosen to find out whether it has recovered.
        probe: bool,
    },
    /// A probe asks an upstream for a target.
    ProbeAsked {
        /// Whom.
        upstream: UpstreamId,
        /// For what: `host:port`.
        target: &'a str,
    },
    /// An attempt has ended.
    AttemptEnded {
        /// Of which request; `None` for a check.
        request: Option<RequestId>,
        /// Through whom.
        upstream: UpstreamId,
        /// `None`: it opened the target or brought a response head.
        failure: Option<&'static str>,
        /// Why it failed, where there is more to say: the system's, a library's or the upstream's words, of bounded length.
        cause: Option<&'a str>,
        /// How far it came.
        phases: Phases,
        /// From its start to its verdict.
        took: Duration,
    },
    /// A failed attempt was blamed.
    Blamed {
        /// Through whom it went.
        upstream: UpstreamId,
        /// Whose fault it was.
        blame: Blame,
        /// By which rule.
        rule: Rule,
    },
    /// An upstream failed as often as ejects, but a target could have caused that: it takes no more traffic until the
    /// probe that is sent now.
    Suspected {
        /// Who.
        upstream: UpstreamId,
        /// How it is called.
        name: &'a str,
        /// Its URL without credentials.
        url: &'a str,
        /// Failures in a row that were charged to it.
        failures: u32,
        /// Why the last attempt failed, where there is more to say.
        cause: Option<&'a str>,
    },
    /// An upstream takes no more traffic.
    Ejected {
        /// Who.
        upstream: UpstreamId,
        /// How it is called.
        name: &'a str,
        /// Its URL without credentials.
        url: &'a str,
        /// Failures in a row that were charged to it.
        failures: u32,
        /// Why the last attempt through it failed.
        cause: Option<&'a str>,
        /// When it will be probed.
        until: Timestamp,
    },
    /// A probe failed; the next one comes later.
    BackedOff {
        /// Who.
        upstream: UpstreamId,
        /// How it is called.
        name: &'a str,
        /// Its URL without credentials.
        url: &'a str,
        /// Why the last attempt through it failed.
        cause: Option<&'a str>,
        /// When it will be probed again.
        until: Timestamp,
    },
    /// An upstream takes traffic again.
    Recovered {
        /// Who.
        upstream: UpstreamId,
        /// How it is called.
        name: &'a str,
        /// Its URL without credentials.
        url: &'a str,
        /// How long it was out.
        after: Duration,
    },
    /// A request has its verdict: it will be answered by a target, or not at all.
    Verdict {
        /// Which.
        request: RequestId,
        /// A 2xx to CONNECT, or a response head.
        success: bool,
    },
    /// A request is over, its tunnel included.
    Finished(&'a Summary),
    /// The configuration in force was replaced.
    Reloaded {
        /// Counted from 1, the configuration at start.
        config_epoch: u64,
        /// What changed, a line each.
        changes: &'a [String],
        /// What keeps its old value until a restart.
        restart_required: &'a [String],
    },
    /// Somebody has set an upstream by hand, over the control socket.
    Steered {
        /// Which.
        upstream: UpstreamId,
        /// How it is called.
        name: &'a str,
        /// Its URL without credentials.
        url: &'a str,
        /// What changed, for people.
        change: &'a str,
        /// The user id of whoever did.
        uid: u32,
        /// Their process id, as far as the system tells.
        pid: Option<i32>,
    },
    /// Somebody has closed tunnels by hand, over the control socket. Each of them is told of by its own end as well.
    TunnelsClosed {
        /// Which, for people.
        filter: &'a str,
        /// How many.
        closed: usize,
        /// The user id of whoever did.
        uid: u32,
        /// Their process id, as far as the system tells.
        pid: Option<i32>,
    },
    /// A new configuration was refused; the old one stays in force.
    ReloadFailed {
        /// All problems.
        problems: &'a str,
    },
    /// The proxy has become unready and will stop.
    DrainStarted {
        /// Connections open.
        open: usize,
    },
    /// Nothing is left.
    Drained {
        /// Connections that had to be reset.
        reset: usize,
    },
    /// A connection could not be accepted; accepting goes on after a pause.
    AcceptFailed {
        /// What this machine lacked, where that is why: a bounded set of words.
        reason: &'static str,
        /// The operating system's error.
        error: &'a str,
    },
}

impl Event<'_> {
    /// Its name in logs and traces.
    pub const fn word(&self) -> &'static str {
        match self {
            Event::EpochStarted { .. } => "epoch_started",
            Event::PickMade { .. } => "pick_made",
            Event::ProbeAsked { .. } => "probe_asked",
            Event::AttemptEnded { .. } => "attempt_ended",
            Event::Blamed { .. } => "blamed",
            Event::Suspected { .. } => "suspected",
            Event::Ejected { .. } => "ejected",
            Event::BackedOff { .. } => "backed_off",
            Event::Recovered { .. } => "recovered",
            Event::Verdict { .. } => "verdict",
            Event::Finished(_) => "finished",
            Event::Reloaded { .. } => "reloaded",
            Event::Steered { .. } => "steered",
            Event::TunnelsClosed { .. } => "tunnels_closed",
            Event::ReloadFailed { .. } => "reload_failed",
            Event::DrainStarted { .. } => "drain_started",
            Event::Drained { .. } => "drained",
            Event::AcceptFailed { .. } => "accept_failed",
        }
    }
}
