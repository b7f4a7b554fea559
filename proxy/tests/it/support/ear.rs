//! Hears a proxy's events and lets a test wait for one.

use std::sync::{Arc, Mutex};

use proxy::core::attribution::{Blame, Rule};
use proxy::core::time::Timestamp;
use proxy::event::{Event, Observer, Phases, Summary};
use tokio::sync::Notify;

/// An event, kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// Upstream number, ticket (of a first pick), probe.
    Pick {
        upstream: u32,
        ticket: Option<u64>,
        probe: bool,
    },
    /// Upstream number, and what went wrong.
    Attempt {
        upstream: u32,
        failure: Option<&'static str>,
        cause: Option<String>,
        phases: Phases,
    },
    /// Upstream numbers and their weights.
    Epoch {
        number: u64,
        members: Vec<(u32, u32)>,
    },
    Blamed {
        upstream: u32,
        blame: Blame,
        rule: Rule,
    },
    Suspected {
        url: String,
    },
    Ejected {
        url: String,
        cause: Option<String>,
    },
    BackedOff {
        url: String,
    },
    Recovered {
        url: String,
    },
    Finished(Summary),
    Reloaded {
        config_epoch: u64,
        changes: Vec<String>,
        restart_required: Vec<String>,
    },
    ReloadFailed {
        problems: String,
    },
    TunnelsClosed {
        filter: String,
        closed: usize,
        uid: u32,
        pid: Option<i32>,
    },
    DrainStarted,
    Drained {
        reset: usize,
    },
}

/// Hears everything.
#[derive(Clone, Default)]
pub(crate) struct Ear(Arc<Inner>);

#[derive(Default)]
struct Inner {
    heard: Mutex<Vec<Heard>>,
    more: Notify,
}

impl Ear {
    /// Everything so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.0.heard.lock().unwrap().clone()
    }

    /// The first event that `matches`, past or to come.
    pub(crate) async fn wait<T>(&self, matches: impl Fn(&Heard) -> Option<T>) -> T {
        self.wait_nth(1, matches).await
    }

    /// The `nth` (from 1) event that `matches`, past or to come.
    pub(crate) async fn wait_nth<T>(&self, nth: usize, matches: impl Fn(&Heard) -> Option<T>) -> T {
        loop {
            let more = self.0.more.notified();
            let mut more = std::pin::pin!(more);
            more.as_mut().enable();
            if let Some(found) = self.0.heard.lock().unwrap().iter().filter_map(&matches).nth(nth - 1) {
                return found;
            }
            more.await;
        }
    }

    /// The summary of the `nth` (from 1) request that ended.
    pub(crate) async fn finished(&self, nth: usize) -> Summary {
        self.wait_nth(nth, |heard| match heard {
            Heard::Finished(summary) => Some(summary.clone()),
            _ => None,
        })
        .await
    }
}

impl Observer for Ear {
    fn on(&self, _: Timestamp, event: &Event<'_>) {
        let heard = match event {
            Event::PickMade { upstream, ticket, probe, .. } => {
                Heard::Pick { upstream: upstream.number(), ticket: *ticket, probe: *probe }
            }
            Event::AttemptEnded { upstream, failure, cause, phases, .. } => Heard::Attempt {
                upstream: upstream.number(),
                failure: *failure,
                cause: cause.map(str::to_owned),
                phases: *phases,
            },
            Event::EpochStarted { number, members, .. } => Heard::Epoch {
                number: *number,
                members: members.iter().map(|(upstream, weight)| (upstream.number(), *weight)).collect(),
            },
            Event::Blamed { upstream, blame, rule } => {
                Heard::Blamed { upstream: upstream.number(), blame: *blame, rule: *rule }
            }
            Event::Suspected { url, .. } => Heard::Suspected { url: (*url).to_owned() },
            Event::Ejected { url, cause, .. } => {
                Heard::Ejected { url: (*url).to_owned(), cause: cause.map(str::to_owned) }
            }
            Event::BackedOff { url, .. } => Heard::BackedOff { url: (*url).to_owned() },
            Event::Recovered { url, .. } => Heard::Recovered { url: (*url).to_owned() },
            Event::Finished(summary) => Heard::Finished((*summary).clone()),
            Event::Reloaded { config_epoch, changes, restart_required } => Heard::Reloaded {
                config_epoch: *config_epoch,
                changes: changes.to_vec(),
                restart_required: restart_required.to_vec(),
            },
            Event::ReloadFailed { problems } => Heard::ReloadFailed { problems: (*problems).to_owned() },
            Event::TunnelsClosed { filter, closed, uid, pid } => {
                Heard::TunnelsClosed { filter: (*filter).to_owned(), closed: *closed, uid: *uid, pid: *pid }
            }
            Event::DrainStarted { .. } => Heard::DrainStarted,
            Event::Drained { reset } => Heard::Drained { reset: *reset },
            Event::ProbeAsked { .. } | Event::Verdict { .. } | Event::Steered { .. } | Event::AcceptFailed { .. } => {
                return;
            }
        };
        self.0.heard.lock().unwrap().push(heard);
        self.0.more.notify_waiters();
    }
}
