//! What can happen, and how much of it is searched.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::core::attribution::Failure;
use crate::core::failover::{FailoverPolicy, RetryBudgetPolicy};
use crate::core::health::HealthPolicy;

/// How an attempt fails.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// The upstream refuses the connection, which only it can do.
    Refused,
    /// It answers CONNECT with 407, which only it can do.
    Unreadable,
    /// It answers 502, which the target may have caused.
    BadGateway,
    /// It does not answer, which the target may have caused.
    Silent,
}

impl How {
    pub(super) fn failure(self) -> Failure {
        match self {
            How::Refused => Failure::ConnectRefused,
            How::Unreadable => Failure::Status(407),
            How::BadGateway => Failure::Status(502),
            How::Silent => Failure::ReplyTimeout,
        }
    }
}

/// What a reload changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reload {
    /// The weights.
    Weights(&'static [u32]),
    /// The password of the upstream in this place.
    KnownOtherwise(usize),
    /// The upstream in this place gives way to a new one.
    Replaced(usize),
}

/// How a probe ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum ProbeEnd {
    Works,
    Refused,
    /// It could not open what another upstream opened of late.
    Disproved,
    /// It was reached, and nothing else could be asked.
    Reached,
    /// This proxy had no descriptor for it.
    Neutral,
}

pub(super) const PROBE_ENDS: [ProbeEnd; 5] =
    [ProbeEnd::Works, ProbeEnd::Refused, ProbeEnd::Disproved, ProbeEnd::Reached, ProbeEnd::Neutral];

/// How much time passes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// A second: what comes is later than what was.
    Moment,
    /// Until a probe is due.
    ForProbe,
    /// Longer than failures, targets and requests are remembered.
    Long,
}

/// One thing that happens. Requests and probes are counted in the order in which they began.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A request begins, and an upstream is picked for it.
    Begin,
    /// The attempt under way fails; another follows if it may.
    Fail(usize, How),
    /// The attempt under way opens the target, and the tunnel delivers.
    Open(usize),
    /// The attempt under way opens the target, and the tunnel ends without a byte of it.
    OpenEmpty(usize),
    /// The client goes away.
    Cut(usize),
    /// The prober looks for a probe to send.
    TakeProbe,
    EndProbe(usize, ProbeEnd),
    Reload(Reload),
    Wait(Wait),
}

/// What is searched.
pub(super) struct Scope {
    pub(super) name: &'static str,
    pub(super) weights: &'static [u32],
    pub(super) failure_threshold: u32,
    pub(super) recovery_threshold: u32,
    pub(super) max_attempts: u32,
    pub(super) retry_percent: u32,
    /// Requests under way at once.
    pub(super) requests: usize,
    pub(super) failures: &'static [How],
    pub(super) tunnels_may_be_empty: bool,
    pub(super) reloads: &'static [Reload],
}

impl Scope {
    /// Two upstreams, two requests at a time.
    pub(super) const PLAIN: Scope = Scope {
        name: "plain",
        weights: &[2, 1],
        failure_threshold: 1,
        recovery_threshold: 1,
        max_attempts: 3,
        retry_percent: 100,
        requests: 2,
        failures: &[How::Refused, How::BadGateway],
        tunnels_may_be_empty: false,
        reloads: &[],
    };

    pub(super) fn health(&self) -> HealthPolicy {
        HealthPolicy {
            failure_threshold: NonZeroU32::new(self.failure_threshold).unwrap(),
            recovery_threshold: NonZeroU32::new(self.recovery_threshold).unwrap(),
            backoff_base: Duration::from_secs(5),
            backoff_max: Duration::from_secs(15),
            max_ejection_percent: 50,
        }
    }

    pub(super) fn failover(&self) -> FailoverPolicy {
        FailoverPolicy {
            max_attempts: NonZeroU32::new(self.max_attempts).unwrap(),
            request_timeout: Duration::from_secs(8),
            connect_timeout: Duration::from_secs(1),
            reply_timeout: Duration::from_secs(2),
            retry_budget: RetryBudgetPolicy { percent: self.retry_percent, min_per_second: 0 },
        }
    }
}
