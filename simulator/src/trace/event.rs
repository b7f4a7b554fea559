//! The kinds of things that happen in a run.

use std::time::Duration;

use loadgen::Failure;
use loadgen::client::checksum::Transferred;
use mock_upstreams::journal;
use proxy::core::time::Timestamp;
use proxy::core::upstream::UpstreamId;
use proxy::event::Event;
use serde::Serialize;

use crate::engine::HostName;

/// What happened, by who tells of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum What {
    /// The proxy.
    Proxy(ProxyEvent),
    /// An upstream's journal.
    Upstream(journal::Event),
    /// A client.
    Client(ClientEvent),
    /// The scenario.
    Scenario(ScenarioEvent),
}

/// What a scenario did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ScenarioEvent {
    /// An entry of the timeline was played.
    Played {
        /// Which, from 0.
        entry: usize,
        /// What it does.
        does: String,
    },
    /// Something that was asked for could not be done.
    Failed {
        /// What, and why.
        what: String,
    },
    /// This engine can't do what was asked for.
    Unsupported {
        /// What, and why.
        what: String,
    },
    /// A part of the run begins.
    Phase {
        /// `safety`, `liveness` or `end`.
        name: &'static str,
    },
}

/// A proxy's event, with upstreams by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of proxy::event::Event and documented there")]
pub enum ProxyEvent {
    Started {
        epoch: u64,
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
    Verdict {
        request: u64,
        success: bool,
    },
    Finished(Finished),
    Reloaded {
        epoch: u64,
        changes: Vec<String>,
        restart_required: Vec<String>,
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

/// What a client saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ClientEvent {
    /// A request is about to be made.
    Asked {
        /// The left-most label of its target's name.
        id: String,
        /// What it does, in loadgen's word.
        action: &'static str,
        /// `CONNECT`, or that of the plain request.
        method: String,
        /// `host:port`.
        target: String,
        /// As whom.
        user: Option<String>,
        /// How long it has waited since it was due, in microseconds.
        late_us: u64,
    },
    /// A request is over.
    Ended(Verdict),
}

/// How a request went, as its client saw it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The left-most label of its target's name.
    pub id: String,
    /// What went wrong, and where; none: every byte came as it should.
    pub failure: Option<Failure>,
    /// The status of the proxy's or the target's answer.
    pub status: Option<u16>,
    /// Bytes the client sent behind the head.
    pub up: Transferred,
    /// Bytes that came behind the answer's head.
    pub down: Transferred,
    /// How long its parts took.
    pub phases: Phases,
    /// It went over a connection that earlier requests had used.
    pub reused: bool,
    /// From when it was due to its begin, in microseconds.
    pub late_us: u64,
    /// From its begin to when its outcome was known, in microseconds.
    pub took_us: u64,
}

impl Verdict {
    /// From when it was due to the answer's head; none where none came.
    pub fn answered(&self) -> Option<Duration> {
        let Phases { connect_us, reply_us, first_byte_us, .. } = self.phases;
        let reply = reply_us.or(first_byte_us)?;
        Some(Duration::from_micros(self.late_us + connect_us.unwrap_or(0) + reply))
    }
}

/// loadgen's phases of a request, in microseconds; none where one was not reached or does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of loadgen::PhaseTimes and documented there")]
pub struct Phases {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_byte_us: Option<u64>,
}

impl Phases {
    /// The same in microseconds.
    pub fn of(phases: &loadgen::PhaseTimes) -> Self {
        let loadgen::PhaseTimes { connect, reply, tls, first_byte, last_byte } = phases;
        Phases {
            connect_us: connect.map(micros),
            reply_us: reply.map(micros),
            tls_us: tls.map(micros),
            first_byte_us: first_byte.map(micros),
            last_byte_us: last_byte.map(micros),
        }
    }
}

/// Whole microseconds of `span`.
pub fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn since_start(at: Timestamp) -> u64 {
    micros(at.since(Timestamp::ZERO))
}

/// `event` as it stands in a trace; `name` tells what an upstream is called.
pub(super) fn owned(event: &Event<'_>, name: impl Fn(UpstreamId) -> HostName) -> ProxyEvent {
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
        Event::AttemptEnded { request, upstream, failure, took } => ProxyEvent::AttemptEnded {
            request: *request,
            upstream: name(*upstream),
            failure: *failure,
            took_us: micros(*took),
        },
        Event::Blamed { upstream, blame, rule } => {
            ProxyEvent::Blamed { upstream: name(*upstream), blame: blame.as_str(), rule: rule.as_str() }
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
        Event::Verdict { request, success } => ProxyEvent::Verdict { request: *request, success: *success },
        Event::Finished(summary) => ProxyEvent::Finished(Finished {
            request: summary.request,
            client: summary.client.clone(),
            user: summary.user.as_deref().map(str::to_owned),
            method: summary.method.clone(),
            target: summary.target.clone(),
            status: summary.status,
            outcome: summary.outcome,
            blame: summary.blame.map(|blame| blame.as_str()),
            upstream: summary.upstream.as_deref().map(str::to_owned),
            failed_attempts: summary.failed_attempts.iter().map(|(url, why)| (url.to_string(), *why)).collect(),
            attempts: summary.attempts,
            bytes_up: summary.bytes_up,
            bytes_down: summary.bytes_down,
            latency_us: micros(summary.latency),
            duration_us: micros(summary.duration),
            end: summary.end.map(|end| end.as_str()),
        }),
        Event::Reloaded { epoch, changes, restart_required } => ProxyEvent::Reloaded {
            epoch: *epoch,
            changes: changes.to_vec(),
            restart_required: restart_required.to_vec(),
        },
        Event::ReloadFailed { problems } => ProxyEvent::ReloadFailed { problems: (*problems).to_owned() },
        Event::DrainStarted { open } => ProxyEvent::DrainStarted { open: *open },
        Event::Drained { reset } => ProxyEvent::Drained { reset: *reset },
        Event::AcceptFailed { error } => ProxyEvent::AcceptFailed { error: (*error).to_owned() },
    }
}
