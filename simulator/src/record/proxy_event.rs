//! Events of the proxy are recorded with the names of upstreams instead of their numbers.

use proxy::core::time::Timestamp;
use proxy::core::upstream::UpstreamId;
use proxy::event::Event;
use serde::Serialize;

use super::clock::micros;
use crate::scenario::HostName;

/// A proxy's event, with upstreams by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of proxy::event::Event and documented there")]
pub enum ProxyEvent {
    Started {
        config_epoch: u64,
    },
    EpochStarted {
        number: u64,
        offset: u64,
        members: Vec<(HostName, u32)>,
    },
    PickMade {
        request: Option<u64>,
        attempt: u32,
        epoch: u64,
        ticket: Option<u64>,
        upstream: HostName,
        probe: bool,
    },
    ProbeAsked {
        upstream: HostName,
        target: String,
    },
    AttemptEnded {
        request: Option<u64>,
        upstream: HostName,
        failure: Option<&'static str>,
        took_us: u64,
    },
    Blamed {
        upstream: HostName,
        blame: &'static str,
        rule: &'static str,
    },
    Suspected {
        upstream: HostName,
        failures: u32,
    },
    Ejected {
        upstream: HostName,
        failures: u32,
        until_us: u64,
    },
    BackedOff {
        upstream: HostName,
        until_us: u64,
    },
    Recovered {
        upstream: HostName,
        after_us: u64,
    },
    /// The proxy's own word for it is `verdict`.
    #[serde(rename = "verdict")]
    Decided {
        request: u64,
        success: bool,
    },
    Finished(Finished),
    Reloaded {
        config_epoch: u64,
        changes: Vec<String>,
        restart_required: Vec<String>,
    },
    Steered {
        upstream: HostName,
        change: String,
    },
    TunnelsClosed {
        filter: String,
        closed: usize,
    },
    ReloadFailed {
        problems: String,
    },
    DrainStarted {
        open: usize,
    },
    Drained {
        reset: usize,
    },
    AcceptFailed {
        error: String,
    },
    /// One of its pages answered, when all was quiet.
    Page {
        path: String,
        status: u16,
    },
    /// The statistics page, read when all was quiet.
    Statistics {
        page: serde_json::Value,
    },
}

/// A request that is over, as the proxy saw it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of proxy::event::Summary and documented there")]
pub struct Finished {
    pub request: u64,
    pub client: String,
    pub user: Option<String>,
    pub method: String,
    pub target: String,
    pub status: u16,
    pub outcome: &'static str,
    pub blame: Option<&'static str>,
    pub upstream: Option<String>,
    pub failed_attempts: Vec<(String, &'static str)>,
    pub attempts: u32,
    pub bytes_up: u64,
    pub bytes_down: u64,
    pub latency_us: u64,
    pub duration_us: u64,
    pub end: Option<&'static str>,
}

impl ProxyEvent {
    /// All words that [`Self::word`] tells.
    pub const WORDS: &[&str] = &[
        "epoch_started",
        "pick_made",
        "probe_asked",
        "attempt_ended",
        "blamed",
        "suspected",
        "ejected",
        "backed_off",
        "recovered",
        "verdict",
        "finished",
        "reloaded",
        "steered",
        "tunnels_closed",
        "reload_failed",
        "drain_started",
        "drained",
        "accept_failed",
    ];

    /// The proxy's own word for the event; none for what it does not tell its observer, such as a page that was read.
    pub const fn word(&self) -> Option<&'static str> {
        Some(match self {
            ProxyEvent::EpochStarted { .. } => "epoch_started",
            ProxyEvent::PickMade { .. } => "pick_made",
            ProxyEvent::ProbeAsked { .. } => "probe_asked",
            ProxyEvent::AttemptEnded { .. } => "attempt_ended",
            ProxyEvent::Blamed { .. } => "blamed",
            ProxyEvent::Suspected { .. } => "suspected",
            ProxyEvent::Ejected { .. } => "ejected",
            ProxyEvent::BackedOff { .. } => "backed_off",
            ProxyEvent::Recovered { .. } => "recovered",
            ProxyEvent::Decided { .. } => "verdict",
            ProxyEvent::Finished(_) => "finished",
            ProxyEvent::Reloaded { .. } => "reloaded",
            ProxyEvent::Steered { .. } => "steered",
            ProxyEvent::TunnelsClosed { .. } => "tunnels_closed",
            ProxyEvent::ReloadFailed { .. } => "reload_failed",
            ProxyEvent::DrainStarted { .. } => "drain_started",
            ProxyEvent::Drained { .. } => "drained",
            ProxyEvent::AcceptFailed { .. } => "accept_failed",
            ProxyEvent::Started { .. } | ProxyEvent::Page { .. } | ProxyEvent::Statistics { .. } => return None,
        })
    }
}

fn since_start(at: Timestamp) -> u64 {
    micros(at.since(Timestamp::ZERO))
}

/// `event` as it stands in a trace; `name` tells what an upstream is called.
pub(super) fn from_event(event: &Event<'_>, name: impl Fn(UpstreamId) -> HostName) -> ProxyEvent {
    match event {
        Event::EpochStarted { number, offset, members } => ProxyEvent::EpochStarted {
            number: *number,
            offset: *offset,
            members: members.iter().map(|(id, weight)| (name(*id), *weight)).collect(),
        },
        Event::PickMade { request, attempt, epoch, ticket, upstream, probe } => ProxyEvent::PickMade {
            request: *request,
            attempt: *attempt,
            epoch: *epoch,
            ticket: *ticket,
            upstream: name(*upstream),
            probe: *probe,
        },
        Event::ProbeAsked { upstream, target } => {
            ProxyEvent::ProbeAsked { upstream: name(*upstream), target: (*target).to_owned() }
        }
        Event::AttemptEnded { request, upstream, failure, took, .. } => ProxyEvent::AttemptEnded {
            request: *request,
            upstream: name(*upstream),
            failure: *failure,
            took_us: micros(*took),
        },
        Event::Blamed { upstream, blame, rule } => {
            ProxyEvent::Blamed { upstream: name(*upstream), blame: blame.as_str(), rule: rule.as_str() }
        }
        Event::Suspected { upstream, failures, .. } => {
            ProxyEvent::Suspected { upstream: name(*upstream), failures: *failures }
        }
        Event::Ejected { upstream, failures, until, .. } => {
            ProxyEvent::Ejected { upstream: name(*upstream), failures: *failures, until_us: since_start(*until) }
        }
        Event::BackedOff { upstream, until, .. } => {
            ProxyEvent::BackedOff { upstream: name(*upstream), until_us: since_start(*until) }
        }
        Event::Recovered { upstream, after, .. } => {
            ProxyEvent::Recovered { upstream: name(*upstream), after_us: micros(*after) }
        }
        Event::Verdict { request, success } => ProxyEvent::Decided { request: *request, success: *success },
        Event::Finished(summary) => ProxyEvent::Finished(Finished {
            request: summary.request,
            client: summary.client.to_string(),
            user: summary.user.as_deref().map(str::to_owned),
            method: summary.method.to_string(),
            target: summary.target.to_string(),
            status: summary.status,
            outcome: summary.outcome,
            blame: summary.blame.map(|blame| blame.as_str()),
            upstream: summary.upstream().map(|label| label.url.to_string()),
            failed_attempts: (summary.failed_attempts.iter())
                .map(|one| (one.attempt.upstream.url.to_string(), one.failure))
                .collect(),
            attempts: summary.attempts,
            bytes_up: summary.bytes_up,
            bytes_down: summary.bytes_down,
            latency_us: micros(summary.latency),
            duration_us: micros(summary.duration),
            end: summary.end.map(|end| end.as_str()),
        }),
        Event::Reloaded { config_epoch, changes, restart_required } => ProxyEvent::Reloaded {
            config_epoch: *config_epoch,
            changes: changes.to_vec(),
            restart_required: restart_required.to_vec(),
        },
        Event::Steered { upstream, change, .. } => {
            ProxyEvent::Steered { upstream: name(*upstream), change: (*change).to_owned() }
        }
        Event::TunnelsClosed { filter, closed, .. } => {
            ProxyEvent::TunnelsClosed { filter: (*filter).to_owned(), closed: *closed }
        }
        Event::ReloadFailed { problems } => ProxyEvent::ReloadFailed { problems: (*problems).to_owned() },
        Event::DrainStarted { open } => ProxyEvent::DrainStarted { open: *open },
        Event::Drained { reset } => ProxyEvent::Drained { reset: *reset },
        Event::AcceptFailed { error, .. } => ProxyEvent::AcceptFailed { error: (*error).to_owned() },
    }
}
