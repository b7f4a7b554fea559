//! A request, as the proxy tells of it: the proxy knows it by a number, its client by an id.

use std::collections::BTreeMap;

use crate::record::Finished;

/// A pick of an upstream by the proxy.
#[derive(Clone, Debug)]
pub struct Pick<'a> {
    /// Its line in the trace.
    pub line: usize,
    /// The upstream that was picked.
    pub upstream: &'a str,
    /// Its ticket, if it was a first pick.
    pub ticket: Option<u64>,
    /// The epoch of the schedule.
    pub epoch: u64,
    /// Whether it was a probe.
    pub probe: bool,
}

/// A request, as the proxy tells of it.
#[derive(Clone, Debug, Default)]
pub struct ProxyRequest<'a> {
    /// The picks for it, in order.
    pub picks: Vec<Pick<'a>>,
    /// Upstreams at which an attempt failed.
    pub failed: Vec<&'a str>,
    /// The line of its end, and what the proxy told of it. `None` if the process was killed before.
    pub finished: Option<(usize, &'a Finished)>,
}

/// One process of the proxy, from its start to its end.
#[derive(Debug, Default)]
pub struct ProxyProcess<'a> {
    /// Its first line in the trace, and the line behind its last.
    pub lines: (usize, usize),
    /// Its requests, by number.
    pub requests: BTreeMap<u64, ProxyRequest<'a>>,
}
