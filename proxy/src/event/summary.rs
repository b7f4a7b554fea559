//! What is told of one request that is over, and of each of its attempts.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use crate::core::attribution::{Blame, Rule};
use crate::core::upstream::UpstreamId;
use crate::env::RelayEnd;

/// An upstream as events and logs tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamLabel {
    /// Kept over reloads for as long as it is the same upstream.
    pub id: UpstreamId,
    /// How it is called; no other upstream is called so at the same time.
    pub name: Arc<str>,
    /// Its URL without credentials. Two that differ by user name have the same.
    pub url: Arc<str>,
    /// The word by which the configuration groups it, if it has one.
    pub tag: Option<Arc<str>>,
}

/// Numbers the requests of one proxy from 1.
pub type RequestId = u64;

/// A part of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Looking the upstream's name up. An address needs no such thing.
    Lookup,
    /// Opening a TCP connection to it.
    Tcp,
    /// Opening a TLS session with it, where its URL asks for one.
    Tls,
    /// Asking it for the target: from our first byte to the head of its reply.
    Reply,
}

impl Phase {
    /// All of them in the order in which an attempt goes through them.
    pub const ALL: [Phase; 4] = [Phase::Lookup, Phase::Tcp, Phase::Tls, Phase::Reply];

    /// Its name in logs, pages and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Lookup => "lookup",
            Phase::Tcp => "tcp",
            Phase::Tls => "tls",
            Phase::Reply => "reply",
        }
    }
}

/// How long each phase of an attempt took, to the microsecond, for those that it reached. One over a connection that stood
/// before reaches the last phase alone.
// Every open tunnel holds one, so it is small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Microseconds plus one; 0 where it was not reached. An hour and more is told as 71 minutes.
    micros: [u32; Phase::ALL.len()],
}

impl Phases {
    /// How long `phase` took; `None` if it was not reached.
    pub fn get(self, phase: Phase) -> Option<Duration> {
        let micros = self.micros[phase as usize].checked_sub(1)?;
        Some(Duration::from_micros(micros.into()))
    }

    /// `phase` took so long.
    pub fn set(&mut self, phase: Phase, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.micros[phase as usize] = micros.saturating_add(1);
    }

    /// Those that were reached, in order.
    pub fn reached(self) -> impl DoubleEndedIterator<Item = (Phase, Duration)> {
        Phase::ALL.into_iter().filter_map(move |phase| Some((phase, self.get(phase)?)))
    }

    /// The last one that was reached: the one in which a failed attempt failed.
    pub fn last(self) -> Option<Phase> {
        self.reached().next_back().map(|(phase, _)| phase)
    }
}

/// Why an upstream takes no picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// The configuration has switched it off.
    Disabled,
    /// Its weight is 0.
    WeightZero,
    /// It was put aside until a probe decides.
    Suspected,
    /// It was ejected.
    Ejected,
}

impl Exclusion {
    /// Its name for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Exclusion::Disabled => "disabled",
            Exclusion::WeightZero => "weight 0",
            Exclusion::Suspected => "suspected",
            Exclusion::Ejected => "ejected",
        }
    }
}

/// An upstream that takes no picks.
#[derive(Clone, Debug, PartialEq)]
pub struct Excluded {
    /// Which.
    pub upstream: Arc<UpstreamLabel>,
    /// Why, as it was when the epoch began.
    pub why: Exclusion,
}

/// Who could be picked in an epoch of the schedule, and who could not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The epoch's number.
    pub epoch: u64,
    /// How many take picks.
    pub candidates: usize,
    /// Those who don't, up to [`Standing::MAX_EXCLUDED`].
    pub excluded: Vec<Excluded>,
    /// How many more there are.
    pub more: usize,
}

impl Standing {
    /// Upstreams that are named at most: every remembered request may keep another list of them.
    pub const MAX_EXCLUDED: usize = 32;

    /// Of an epoch in which so many take picks, and these don't.
    pub fn new(epoch: u64, candidates: usize, excluded: impl IntoIterator<Item = Excluded>) -> Self {
        let mut excluded: Vec<_> = excluded.into_iter().collect();
        let more = excluded.len().saturating_sub(Self::MAX_EXCLUDED);
        excluded.truncate(Self::MAX_EXCLUDED);
        excluded.shrink_to_fit();
        Standing { epoch, candidates, excluded, more }
    }
}

/// How the upstream of an attempt was picked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pick {
    /// Among whom.
    pub standing: Arc<Standing>,
    /// One more than the number, so that none takes no room of its own: every open tunnel holds one.
    ticket: Option<NonZeroU64>,
}

impl Pick {
    /// A pick among `standing`, by `ticket` if it was the first of its request and somebody's turn.
    pub fn new(standing: Arc<Standing>, ticket: Option<u64>) -> Self {
        Pick { standing, ticket: ticket.and_then(|ticket| NonZeroU64::MIN.checked_add(ticket)) }
    }

    /// The ticket of a first pick; `None` for failover and last resorts.
    pub fn ticket(&self) -> Option<u64> {
        self.ticket.map(|ticket| ticket.get() - 1)
    }
}

/// What is told of one attempt of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptSummary {
    /// Through whom it went.
    pub upstream: Arc<UpstreamLabel>,
    /// How that one was picked.
    pub pick: Pick,
    /// How far it came; nothing of one that the client did not wait for.
    pub phases: Phases,
}

/// What is told of one that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedAttemptSummary {
    /// The attempt.
    pub attempt: AttemptSummary,
    /// The word for what went wrong; a bounded set.
    pub failure: &'static str,
    /// Why, where there is more to say: the system's, a library's or the upstream's words, of bounded length.
    pub cause: Option<Arc<str>>,
    /// Whose fault it was when the request ended, and by which rule.
    pub blame: Option<(Blame, Rule)>,
}

/// Everything a log line says of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its number.
    pub request: RequestId,
    /// The client's address.
    pub client: SocketAddr,
    /// Who asked, once known.
    pub user: Option<Arc<str>>,
    /// The method, or `-` where the head could not be read.
    pub method: Cow<'static, str>,
    /// `host:port`, or `-`.
    pub target: Arc<str>,
    /// The number of the configuration that it began with.
    pub config_epoch: u64,
    /// The status that went to the client; 0 where none did.
    pub status: u16,
    /// `ok`, or the word for what went wrong.
    pub outcome: &'static str,
    /// Whose fault it was, where something went wrong.
    pub blame: Option<Blame>,
    /// The attempt that did not fail: its upstream opened the target, or the client did not wait for it.
    pub attempt: Option<AttemptSummary>,
    /// The failed attempts in order.
    pub failed_attempts: Vec<FailedAttemptSummary>,
    /// Why what was opened broke off (a reply, a tunnel), or the client's side failed; else why the last attempt failed: the
    /// system's, a library's or the upstream's words, of bounded length.
    pub cause: Option<Arc<str>>,
    /// Attempts in all.
    pub attempts: u32,
    /// Bytes from client to target, without heads.
    pub bytes_up: u64,
    /// Bytes from target to client, without heads.
    pub bytes_down: u64,
    /// From the complete head to the verdict.
    pub latency: Duration,
    /// From the complete head to the end.
    pub duration: Duration,
    /// How a tunnel ended.
    pub end: Option<RelayEnd>,
}

impl Summary {
    /// The upstream that served it, or was tried last.
    pub fn upstream(&self) -> Option<&UpstreamLabel> {
        self.tries().next_back().map(|attempt| &*attempt.upstream)
    }

    /// The attempts in order.
    pub fn tries(&self) -> impl DoubleEndedIterator<Item = &AttemptSummary> {
        self.failed_attempts.iter().map(|failed| &failed.attempt).chain(&self.attempt)
    }
}

#[cfg(test)]
impl Summary {
    /// That of a CONNECT which came to this, after one attempt of which nothing is told.
    pub(crate) fn example(outcome: &'static str, blame: Option<Blame>) -> Self {
        Summary {
            request: 1,
            client: SocketAddr::from(([127, 0, 0, 1], 1)),
            user: None,
            method: "CONNECT".into(),
            target: "t:1".into(),
            config_epoch: 1,
            status: 200,
            outcome,
            blame,
            attempt: None,
            failed_attempts: Vec::new(),
            cause: None,
            attempts: 1,
            bytes_up: 0,
            bytes_down: 0,
            latency: Duration::ZERO,
            duration: Duration::ZERO,
            end: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_was_not_reached_took_no_time_and_not_none() {
        let mut phases = Phases::default();
        assert_eq!((phases.get(Phase::Tcp), phases.last()), (None, None));
        phases.set(Phase::Tcp, Duration::ZERO);
        phases.set(Phase::Reply, Duration::from_micros(1_500));
        let reached: Vec<_> = phases.reached().collect();
        assert_eq!(reached, [(Phase::Tcp, Duration::ZERO), (Phase::Reply, Duration::from_micros(1_500))]);
        assert_eq!(phases.last(), Some(Phase::Reply));
        phases.set(Phase::Reply, Duration::MAX);
        assert_eq!(phases.get(Phase::Reply), Some(Duration::from_micros(u64::from(u32::MAX) - 1)));
    }
}
