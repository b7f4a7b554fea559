//! Whose fault a failed attempt was.
//!
//! Who could have written what was seen decides ([`Author`]). What only the upstream can have written is charged to it
//! at once. All else cannot tell: a 502 is what a broken upstream says of a sound target, and what a sound upstream says
//! of a dead one; and everything in a reply to plain HTTP may be the target's own. Such failures wait as [`Evidence`]
//! until the request ends. If another upstream opened the target, they are charged to the upstreams that could not. If
//! others failed alike, it is the target's fault. A failure that stood alone stays in a bounded memory, in case another
//! upstream opens the target soon. The evidence has one owner at a time, so that nothing is charged twice.

use std::collections::BTreeMap;
use std::time::Duration;

use super::health::{AttemptResult, Charge};
use super::time::Timestamp;
use super::upstream::{Attempt, UpstreamId};

/// Targets remembered at most; the one that failed longest ago gives way.
pub const MAX_TARGETS: usize = 1024;
/// Failures remembered at most for one target; the oldest gives way.
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
}

/// The rule by which the blame was laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The client went away first.
    ClientWentAway,
    /// This proxy lacked what the attempt needed.
    OwnResources,
    /// The upstream's name could not be looked up.
    Resolver,
    /// Most upstreams were out of reach within moments.
    OwnNetwork,
    /// The request's deadline left the attempt less than its own time-out.
    CutShort,
    /// No TCP connection to the upstream.
    Unreachable,
    /// No TLS session with the upstream.
    Tls,
    /// The upstream's head was not HTTP.
    MalformedHead,
    /// The upstream refused our credentials (407).
    CredentialsRefused,
    /// Another upstream then opened the same target.
    OpenedElsewhere,
    /// Another upstream then delivered from the same target.
    DeliveredElsewhere,
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
            Rule::Resolver => "resolver",
            Rule::OwnNetwork => "own_network",
            Rule::CutShort => "cut_short",
            Rule::Unreachable => "unreachable",
            Rule::Tls => "tls",
            Rule::MalformedHead => "malformed_head",
            Rule::CredentialsRefused => "credentials_refused",
            Rule::OpenedElsewhere => "opened_elsewhere",
            Rule::DeliveredElsewhere => "delivered_elsewhere",
            Rule::FailedAlike => "failed_alike",
            Rule::StoodAlone => "stood_alone",
        }
    }
}

/// What an upstream was asked for. Its answer to a CONNECT is its own; in a reply to plain HTTP every byte may be the
/// target's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// A tunnel, by CONNECT.
    Tunnel,
    /// A reply, by plain HTTP.
    Page,
}

/// Who could have written what was seen of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The client.
    Client,
    /// This proxy, or what it runs on.
    Netdrift,
    /// The request's deadline: nobody else had the time.
    Deadline,
    /// The upstream alone.
    Upstream,
    /// The upstream, or the target behind it.
    UpstreamOrTarget,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client went away before the end was known.
    ClientGone,
    /// This proxy had no descriptor, port or memory left for the attempt.
    OwnResources,
    /// The resolver could not say where the upstream is.
    NameUnresolved,
    /// The time that the request's deadline left was over before the attempt's own time-out.
    CutShort,
    /// The upstream refused the TCP connection.
    ConnectRefused,
    /// The TCP connection took too long.
    ConnectTimeout,
    /// The TCP connection failed otherwise: no route.
    ConnectFailed,
    /// TLS with the upstream failed or took too long.
    TlsFailed,
    /// The reply's head was malformed, too large or ended early.
    MalformedHead,
    /// A tunnel was opened, and ended or was reset from the upstream's side before any byte of the target.
    EmptyTunnel,
    /// No reply in time.
    ReplyTimeout,
    /// Closed before the first byte of a head.
    ClosedBeforeHead,
    /// Reset before the first byte of a head.
    ResetBeforeHead,
    /// A status that is no success.
    Status(u16),
}

/// What failures that cannot tell are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symptom {
    Status,
    Malformed,
    Silence,
    Closed,
    Empty,
}

enum Class {
    Plain(Blame, Rule, Option<Charge>),
    CannotTell(Symptom, Charge),
}

impl Failure {
    /// Its name in logs, events and metric labels; a bounded set.
    pub const fn as_str(self) -> &'static str {
        match self {
            Failure::ClientGone => "client_gone",
            Failure::OwnResources => "own_resources",
            Failure::NameUnresolved => "dns_error",
            Failure::CutShort => "cut_short",
            Failure::ConnectRefused => "connect_refused",
            Failure::ConnectTimeout => "connect_timeout",
            Failure::ConnectFailed => "connect_failed",
            Failure::TlsFailed => "tls_failed",
            Failure::MalformedHead => "malformed_head",
            Failure::EmptyTunnel => "empty_tunnel",
            Failure::ReplyTimeout => "reply_timeout",
            Failure::ClosedBeforeHead => "closed_before_head",
            Failure::ResetBeforeHead => "reset_before_head",
            Failure::Status(407) => "status_407",
            Failure::Status(300..=399) => "status_3xx",
            Failure::Status(400..=499) => "status_4xx",
            Failure::Status(_) => "status_5xx",
        }
    }

    /// Who could have written it, of an upstream that was asked for `asked`.
    pub const fn author(self, asked: Service) -> Author {
        match self {
            Failure::ClientGone => Author::Client,
            Failure::OwnResources | Failure::NameUnresolved => Author::Netdrift,
            Failure::CutShort => Author::Deadline,
            Failure::ConnectRefused | Failure::ConnectTimeout | Failure::ConnectFailed | Failure::TlsFailed => {
                Author::Upstream
            }
            Failure::MalformedHead | Failure::Status(407) => match asked {
                Service::Tunnel => Author::Upstream,
                Service::Page => Author::UpstreamOrTarget,
            },
            Failure::EmptyTunnel
            | Failure::ReplyTimeout
            | Failure::ClosedBeforeHead
            | Failure::ResetBeforeHead
            | Failure::Status(_) => Author::UpstreamOrTarget,
        }
    }

    /// The upstream was out of reach, which our own network may have caused as well.
    pub const fn is_out_of_reach(self) -> bool {
        matches!(self, Failure::ConnectTimeout | Failure::ConnectFailed)
    }

    /// The upstream's host was heard of.
    pub const fn is_of_the_upstream(self) -> bool {
        !self.is_out_of_reach()
            && !matches!(
                self,
                Failure::ClientGone | Failure::OwnResources | Failure::NameUnresolved | Failure::CutShort
            )
    }

    fn classify(self, asked: Service) -> Class {
        match self.author(asked) {
            Author::Client => Class::Plain(Blame::Client, Rule::ClientWentAway, None),
            Author::Netdrift => Class::Plain(Blame::Netdrift, self.rule(), None),
            Author::Deadline => Class::Plain(Blame::Unknown, Rule::CutShort, None),
            Author::Upstream => Class::Plain(Blame::Upstream, self.rule(), Some(self.charge(asked))),
            Author::UpstreamOrTarget => Class::CannotTell(self.symptom(), self.charge(asked)),
        }
    }

    /// By which the blame for what is plain is laid.
    const fn rule(self) -> Rule {
        match self {
            Failure::NameUnresolved => Rule::Resolver,
            Failure::ConnectRefused | Failure::ConnectTimeout | Failure::ConnectFailed => Rule::Unreachable,
            Failure::TlsFailed => Rule::Tls,
            Failure::MalformedHead => Rule::MalformedHead,
            Failure::Status(_) => Rule::CredentialsRefused,
            _ => Rule::OwnResources,
        }
    }

    /// What the upstream is charged with where it is its fault.
    pub const fn charge(self, asked: Service) -> Charge {
        match (self, asked) {
            (Failure::ConnectRefused | Failure::ConnectTimeout | Failure::ConnectFailed | Failure::TlsFailed, _) => {
                Charge::Unreachable
            }
            (Failure::EmptyTunnel, _) => Charge::EmptyTunnel,
            (_, Service::Page) => Charge::Page,
            (Failure::MalformedHead | Failure::Status(407), Service::Tunnel) => Charge::BadAnswer,
            (_, Service::Tunnel) => Charge::Tunnel,
        }
    }

    const fn symptom(self) -> Symptom {
        match self {
            Failure::ReplyTimeout => Symptom::Silence,
            Failure::ClosedBeforeHead | Failure::ResetBeforeHead => Symptom::Closed,
            Failure::EmptyTunnel => Symptom::Empty,
            Failure::MalformedHead => Symptom::Malformed,
            _ => Symptom::Status,
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
    /// What the upstream is charged with; only where it is to blame.
    pub charge: Option<Charge>,
}

impl Attributed {
    /// `attempt` did not get through our own network.
    pub const fn own_network(attempt: Attempt) -> Self {
        Attributed { attempt, blame: Blame::Netdrift, rule: Rule::OwnNetwork, charge: None }
    }

    /// `attempt` failed on what another upstream had opened.
    pub const fn opened_elsewhere(attempt: Attempt, charge: Charge) -> Self {
        Attributed { attempt, blame: Blame::Upstream, rule: Rule::OpenedElsewhere, charge: Some(charge) }
    }

    /// What it means for the upstream's health.
    pub fn result(&self) -> AttemptResult {
        self.charge.map_or(AttemptResult::Neutral, AttemptResult::Failure)
    }
}

/// A failure that cannot tell.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    attempt: Attempt,
    symptom: Symptom,
    charge: Charge,
}

impl Suspicion {
    fn convicted(self) -> Attributed {
        let rule = match self.charge {
            Charge::EmptyTunnel => Rule::DeliveredElsewhere,
            _ => Rule::OpenedElsewhere,
        };
        Attributed { attempt: self.attempt, blame: Blame::Upstream, rule, charge: Some(self.charge) }
    }

    fn acquitted(self, blame: Blame, rule: Rule) -> Attributed {
        Attributed { attempt: self.attempt, blame, rule, charge: None }
    }

    fn alike(&self, other: &Suspicion) -> bool {
        self.symptom == other.symptom && self.attempt.upstream != other.attempt.upstream
    }
}

/// The failures of one request that cannot tell, in order. Ends in [`Attribution::opened`] or
/// [`Attribution::none_opened`].
#[derive(Debug)]
#[must_use = "what it holds is blamed on nobody until the request's end is told"]
pub struct Evidence {
    asked: Service,
    suspicions: Vec<Suspicion>,
}

impl Evidence {
    /// Of a request that asks upstreams for `asked`.
    pub const fn new(asked: Service) -> Self {
        Evidence { asked, suspicions: Vec::new() }
    }

    /// An attempt failed. Its blame where that is plain; else it is kept until the request ends.
    pub fn failed(&mut self, attempt: Attempt, failure: Failure) -> Option<Attributed> {
        match failure.classify(self.asked) {
            Class::Plain(blame, rule, charge) => Some(Attributed { attempt, blame, rule, charge }),
            Class::CannotTell(symptom, charge) => {
                self.suspicions.push(Suspicion { attempt, symptom, charge });
                None
            }
        }
    }

    /// What was asked for.
    pub const fn asked(&self) -> Service {
        self.asked
    }

    /// Nothing is waiting for its blame.
    pub fn is_empty(&self) -> bool {
        self.suspicions.is_empty()
    }
}

/// What is remembered of recent targets that one upstream could not open.
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
        // A page says nothing of tunnels, nor a tunnel of pages.
        let of_page = evidence.asked == Service::Page;
        let (mut remembered, others): (Vec<_>, Vec<_>) =
            remembered.into_iter().partition(|one| (one.suspicion.charge == Charge::Page) == of_page);
        if !others.is_empty() {
            self.targets.insert(target.into(), others);
        }
        if remembered.iter().any(|one| one.suspicion.attempt.upstream == upstream) {
            remembered.clear();
        }
        let (own, others): (Vec<_>, Vec<_>) = (remembered.into_iter().map(|one| one.suspicion))
            .chain(evidence.suspicions)
            .partition(|suspicion| suspicion.attempt.upstream == upstream);
        let own = own.into_iter().map(|suspicion| suspicion.acquitted(Blame::Unknown, Rule::StoodAlone));
        let others = others.into_iter().map(|suspicion| suspicion.convicted());
        others.chain(own).collect()
    }

    /// The request for `target` ended with no upstream opening it. Returns the blame of each failure that could not
    /// tell: the target's where another upstream failed alike, else unknown. The unknown ones are remembered.
    pub fn none_opened(&mut self, target: &str, evidence: Evidence, now: Timestamp) -> Vec<Attributed> {
        let suspicions = evidence.suspicions;
        let mut attributed = Vec::with_capacity(suspicions.len());
        for suspicion in &suspicions {
            if suspicions.iter().any(|other| suspicion.alike(other)) {
                attributed.push(suspicion.acquitted(Blame::Target, Rule::FailedAlike));
            } else {
                attributed.push(suspicion.acquitted(Blame::Unknown, Rule::StoodAlone));
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
