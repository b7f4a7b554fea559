//! Decides whose fault a failed attempt was.
//!
//! Some failures are plainly the upstream's. Others can't be decided alone: a broken upstream answers 502 for a sound
//! target, and a sound upstream answers 502 for a dead one. Passive health checks (Envoy's outlier detection, HAProxy's
//! `observe layer7`) count such answers against the upstream; here they are compared across upstreams first, as the
//! comparison test of fault diagnosis does (Chwa and Hakimi, "Schemes for fault-tolerant computing", 1981). [`Attribution`]
//! says how.

use std::collections::BTreeMap;
use std::time::Duration;

use super::health::AttemptResult;
use super::time::Timestamp;
use super::upstream::{Attempt, UpstreamId};

/// How many targets are remembered at most. Beyond that, the target that failed longest ago is forgotten.
pub const MAX_TARGETS: usize = 1024;
/// How many failures are remembered for one target at most. Beyond that, the oldest is forgotten.
pub const MAX_PENDING: usize = 32;
/// How long a failure is remembered unless configured otherwise.
pub const DEFAULT_MEMORY: Duration = Duration::from_secs(10);

/// Who is to blame for a failed attempt. Only [`Blame::Upstream`] ejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blame {
    /// It went away.
    Client,
    /// This proxy: out of descriptors, of ports, of memory.
    Netdrift,
    /// The proxy we went through.
    Upstream,
    /// The final host.
    Target,
    /// Nothing decides it.
    Unknown,
}

impl Blame {
    /// Its name in logs, events and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Blame::Client => "client",
            Blame::Netdrift => "netdrift",
            Blame::Upstream => "upstream",
            Blame::Target => "target",
            Blame::Unknown => "unknown",
        }
    }

    /// What it means for the upstream's health.
    pub const fn attempt_result(self) -> AttemptResult {
        match self {
            Blame::Upstream => AttemptResult::Failure,
            Blame::Client | Blame::Netdrift | Blame::Target | Blame::Unknown => AttemptResult::Neutral,
        }
    }
}

/// The rule by which the blame was laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The client went away first.
    ClientWentAway,
    /// This proxy lacked what the attempt needed.
    OwnResources,
    /// No TCP connection to the upstream.
    Unreachable,
    /// No TLS session with the upstream.
    Tls,
    /// The upstream's head was not HTTP.
    MalformedHead,
    /// The upstream refused our credentials (407).
    CredentialsRefused,
    /// The connection was reset behind a good head, before any byte of the target.
    CutBehindHead,
    /// Another upstream then opened the same target.
    OpenedElsewhere,
    /// Another upstream failed alike.
    FailedAlike,
    /// No other upstream was heard.
    StoodAlone,
}

impl Rule {
    /// Its name in logs and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::ClientWentAway => "client_went_away",
            Rule::OwnResources => "own_resources",
            Rule::Unreachable => "unreachable",
            Rule::Tls => "tls",
            Rule::MalformedHead => "malformed_head",
            Rule::CredentialsRefused => "credentials_refused",
            Rule::CutBehindHead => "cut_behind_head",
            Rule::OpenedElsewhere => "opened_elsewhere",
            Rule::FailedAlike => "failed_alike",
            Rule::StoodAlone => "stood_alone",
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client went away before the end was known.
    ClientGone,
    /// This proxy had no descriptor, port or memory left for the attempt.
    OwnResources,
    /// The upstream refused the TCP connection.
    ConnectRefused,
    /// The TCP connection took too long.
    ConnectTimeout,
    /// The TCP connection failed otherwise: no route, no such name.
    ConnectFailed,
    /// TLS with the upstream failed or took too long.
    TlsFailed,
    /// The reply's head was malformed, too large or ended early.
    MalformedHead,
    /// The connection was reset behind a good head, before any byte of the target.
    ResetBehindHead,
    /// No reply in time.
    ReplyTimeout,
    /// Closed before the first byte of a head.
    ClosedBeforeHead,
    /// Reset before the first byte of a head.
    ResetBeforeHead,
    /// A status that is no success. 407 is about our credentials, so the upstream's own matter; any other cannot
    /// tell the upstream from the target.
    Status(u16),
}

/// What failures that cannot tell are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symptom {
    Status,
    Silence,
    Closed,
}

enum Class {
    Plain(Blame, Rule),
    CannotTell(Symptom),
}

impl Failure {
    /// Its name in logs, events and metric labels; a bounded set.
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::ClientGone => "client_gone",
            Failure::OwnResources => "own_resources",
            Failure::ConnectRefused => "connect_refused",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::ConnectFailed => "connect_failed",
            Failure::TlsFailed => "tls_failed",
            Failure::MalformedHead => "malformed_head",
            Failure::ResetBehindHead => "reset_behind_head",
            Failure::ReplyTimeout => "reply_timeout",
            Failure::ClosedBeforeHead => "closed_before_head",
            Failure::ResetBeforeHead => "reset_before_head",
            Failure::Status(407) => "status_407",
            Failure::Status(300..=399) => "status_3xx",
            Failure::Status(400..=499) => "status_4xx",
            Failure::Status(_) => "status_5xx",
        }
    }

    fn classify(self) -> Class {
        use Class::{CannotTell, Plain};
        match self {
            Failure::ClientGone => Plain(Blame::Client, Rule::ClientWentAway),
            Failure::OwnResources => Plain(Blame::Netdrift, Rule::OwnResources),
            Failure::ConnectRefused | Failure::ConnectTimeout | Failure::ConnectFailed => {
                Plain(Blame::Upstream, Rule::Unreachable)
            }
            Failure::TlsFailed => Plain(Blame::Upstream, Rule::Tls),
            Failure::MalformedHead => Plain(Blame::Upstream, Rule::MalformedHead),
            Failure::ResetBehindHead => Plain(Blame::Upstream, Rule::CutBehindHead),
            Failure::Status(407) => Plain(Blame::Upstream, Rule::CredentialsRefused),
            Failure::ReplyTimeout => CannotTell(Symptom::Silence),
            Failure::ClosedBeforeHead | Failure::ResetBeforeHead => CannotTell(Symptom::Closed),
            Failure::Status(_) => CannotTell(Symptom::Status),
        }
    }
}

/// A failed attempt with its blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributed {
    /// Which.
    pub attempt: Attempt,
    /// Whose fault.
    pub blame: Blame,
    /// Why.
    pub rule: Rule,
}

/// A failure that cannot tell.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    attempt: Attempt,
    symptom: Symptom,
}

impl Suspicion {
    fn blamed(self, blame: Blame, rule: Rule) -> Attributed {
        Attributed { attempt: self.attempt, blame, rule }
    }

    fn alike(&self, other: &Suspicion) -> bool {
        self.symptom == other.symptom && self.attempt.upstream != other.attempt.upstream
    }
}

/// The failures of one request that cannot tell, in order. Ends in [`Attribution::opened`] or
/// [`Attribution::none_opened`].
#[derive(Debug, Default)]
#[must_use = "its failures are blamed on nobody until `opened` or `none_opened` ends the request"]
pub struct Evidence {
    suspicions: Vec<Suspicion>,
}

impl Evidence {
    /// An attempt failed. Its blame where that is plain; else it is kept until the request ends.
    pub fn failed(&mut self, attempt: Attempt, failure: Failure) -> Option<Attributed> {
        match failure.classify() {
            Class::Plain(blame, rule) => Some(Attributed { attempt, blame, rule }),
            Class::CannotTell(symptom) => {
                self.suspicions.push(Suspicion { attempt, symptom });
                None
            }
        }
    }

    /// Nothing is waiting for its blame.
    pub fn is_empty(&self) -> bool {
        self.suspicions.is_empty()
    }
}

/// Decides whose fault the failures of a request were, by comparing what different upstreams did with the same target.
///
/// 1. A failure that only one side can have caused is blamed at once: no TCP or TLS to the upstream, a malformed head, a
///    407, a reset behind a good head are the upstream's.
/// 2. Any other failure (a timeout for the reply, a close before the head, another status) becomes [`Evidence`] of its
///    request.
/// 3. If another upstream opens the target in the same request, the evidence is charged to the upstreams that could not.
/// 4. If no upstream does and at least two failed in the same way, the target is to blame.
/// 5. A failure that no other confirms is blamed on nobody, and remembered for a bounded time. If another upstream opens
///    the target within it, step 3 applies to it.
/// 6. An upstream that opens a target on which it failed lately shows that the target has changed. The memory of the target
///    is cleared then, and nobody is charged.
///
/// Evidence has one owner at a time, so nothing is charged twice.
#[derive(Debug)]
pub struct Attribution {
    memory: Duration,
    targets: BTreeMap<Box<str>, Vec<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    suspicion: Suspicion,
    since: Timestamp,
}

impl Attribution {
    /// Remembers failures for `memory`, of at most [`MAX_TARGETS`] targets and [`MAX_PENDING`] for each.
    pub fn new(memory: Duration) -> Self {
        Attribution { memory, targets: BTreeMap::new() }
    }

    /// Nothing is remembered, so that a request without [`Evidence`] need not tell of its success.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// `upstream` opened `target`. Returns the failures that are charged to other upstreams for it: this request's,
    /// and those remembered of this target. An upstream that itself failed on the target of late proves that the
    /// target has changed, so then nothing remembered is charged.
    pub fn opened(
        &mut self,
        target: &str,
        upstream: UpstreamId,
        evidence: Evidence,
        now: Timestamp,
    ) -> Vec<Attributed> {
        let mut remembered = self.targets.remove(target).unwrap_or_default();
        remembered.retain(|one| now.since(one.since) < self.memory);
        if remembered.iter().any(|one| one.suspicion.attempt.upstream == upstream) {
            remembered.clear();
        }
        let (own, others): (Vec<_>, Vec<_>) = (remembered.into_iter().map(|one| one.suspicion))
            .chain(evidence.suspicions)
            .partition(|suspicion| suspicion.attempt.upstream == upstream);
        let own = own.into_iter().map(|suspicion| suspicion.blamed(Blame::Unknown, Rule::StoodAlone));
        let others = others.into_iter().map(|suspicion| suspicion.blamed(Blame::Upstream, Rule::OpenedElsewhere));
        others.chain(own).collect()
    }

    /// The request for `target` ended with no upstream opening it. Returns the blame of each failure that could not
    /// tell: the target's where another upstream failed alike, else unknown. The unknown ones are remembered.
    pub fn none_opened(&mut self, target: &str, evidence: Evidence, now: Timestamp) -> Vec<Attributed> {
        let suspicions = evidence.suspicions;
        let mut attributed = Vec::with_capacity(suspicions.len());
        for suspicion in &suspicions {
            if suspicions.iter().any(|other| suspicion.alike(other)) {
                attributed.push(suspicion.blamed(Blame::Target, Rule::FailedAlike));
            } else {
                attributed.push(suspicion.blamed(Blame::Unknown, Rule::StoodAlone));
                self.remember(target, *suspicion, now);
            }
        }
        attributed
    }

    fn remember(&mut self, target: &str, suspicion: Suspicion, now: Timestamp) {
        // The probe, if it was one, is given back with the blame returned now.
        let attempt = Attempt { probe: false, ..suspicion.attempt };
        let remembered = Remembered { suspicion: Suspicion { attempt, ..suspicion }, since: now };
        if !self.targets.contains_key(target) && self.targets.len() >= MAX_TARGETS {
            self.forget_oldest();
        }
        let pending = self.targets.entry(target.into()).or_default();
        if pending.len() >= MAX_PENDING {
            pending.remove(0);
        }
        pending.push(remembered);
    }

    fn forget_oldest(&mut self) {
        let latest = |pending: &[Remembered]| pending.last().map(|one| one.since);
        let oldest = self.targets.iter().min_by_key(|(_, pending)| latest(pending)).map(|(target, _)| target.clone());
        if let Some(target) = oldest {
            self.targets.remove(&target);
        }
    }
}

#[cfg(test)]
mod tests;
