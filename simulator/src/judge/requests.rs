//! Requests as each of the three witnesses knows them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::record::{ClientResult, Finished};

/// A pick by the proxy, and what became of it.
#[derive(Clone, Debug)]
pub struct Pick<'a> {
    /// Its line in the trace.
    pub line: usize,
    /// Who was picked.
    pub upstream: &'a str,
    /// Its ticket, if it was a first pick.
    pub ticket: Option<u64>,
    /// In which epoch.
    pub epoch: u64,
    /// A probe.
    pub probe: bool,
}

/// One request, as the proxy numbers them.
#[derive(Clone, Debug, Default)]
pub struct ProxyRequest<'a> {
    /// In order.
    pub picks: Vec<Pick<'a>>,
    /// Upstreams at which an attempt failed.
    pub failed: Vec<&'a str>,
    /// How it ended: line and figures. None if its process was killed before.
    pub finished: Option<(usize, &'a Finished)>,
}

/// One process of the proxy, from its start to its end.
#[derive(Debug, Default)]
pub struct ProxyProcess<'a> {
    /// The first line of it, and the line behind its last.
    pub lines: (usize, usize),
    /// By number.
    pub requests: BTreeMap<u64, ProxyRequest<'a>>,
}

/// What a client saw of one request.
#[derive(Clone, Copy, Debug)]
pub struct ClientRequest<'a> {
    /// When it began.
    pub began: Duration,
    /// The line of its end.
    pub line: usize,
    /// When it was over.
    pub ended: Duration,
    /// What it did, in loadgen's word.
    pub action: &'static str,
    /// Its method.
    pub method: &'a str,
    /// Its target.
    pub target: &'a str,
    /// How it went.
    pub result: &'a ClientResult,
}
