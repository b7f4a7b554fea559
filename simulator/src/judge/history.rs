//! The history of a run is what its witnesses saw, and beside it what the proxy told of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::requests::{Pick, ProxyProcess, ProxyRequest};
use super::witnesses::Witnesses;
use crate::record::{Line, ProxyEvent, RunRecord, What};
use crate::scenario::{PROXY, Scenario};

/// A run, indexed for those who judge it.
pub struct History<'a> {
    /// What clients and upstreams saw.
    pub witnesses: Witnesses<'a>,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// All lines of the trace.
    pub lines: &'a [Line],
    /// The processes of the proxy, one after the other.
    pub processes: Vec<ProxyProcess<'a>>,
    /// The process and number of each request that the proxy has told the end of, by id.
    ended: BTreeMap<&'a str, (usize, u64)>,
    /// The upstreams that the proxy's own probes have asked for a client's target, by the id in it.
    probed: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> History<'a> {
    /// The history of a run of `scenario` that left `record` behind.
    pub fn new(scenario: &'a Scenario, record: &'a RunRecord) -> Self {
        History::of(scenario, record, PROXY)
    }

    /// The same of the part of a run that concerns the proxy on `proxy`.
    pub(super) fn of(scenario: &'a Scenario, record: &'a RunRecord, proxy: &'a str) -> Self {
        let lines = record.trace.lines.as_slice();
        let witnesses = Witnesses::of(scenario, record, proxy);
        let processes = vec![ProxyProcess::default()];
        let mut history =
            History { witnesses, scenario, lines, processes, ended: BTreeMap::new(), probed: BTreeMap::new() };
        for (index, line) in lines.iter().enumerate() {
            if let What::Proxy(event) = &line.what {
                history.read(index, event);
            }
        }
        if let Some(last) = history.processes.last_mut() {
            last.lines.1 = lines.len();
        }
        history
    }

    fn read(&mut self, index: usize, event: &'a ProxyEvent) {
        if matches!(event, ProxyEvent::EpochStarted { number: 0, .. }) && index > 0 {
            if let Some(last) = self.processes.last_mut() {
                last.lines.1 = index;
            }
            self.processes.push(ProxyProcess { lines: (index, 0), requests: BTreeMap::new() });
        }
        let Some(process) = self.processes.last_mut() else { return };
        match event {
            ProxyEvent::PickMade { request: Some(request), epoch, ticket, upstream, probe, .. } => {
                let upstream = upstream.as_str();
                let pick = Pick { line: index, upstream, ticket: *ticket, epoch: *epoch, probe: *probe };
                process.requests.entry(*request).or_default().picks.push(pick);
            }
            ProxyEvent::ProbeAsked { upstream, target } => {
                if let Some(id) = id_of(target) {
                    self.probed.entry(id).or_default().push(upstream.as_str());
                }
            }
            ProxyEvent::AttemptEnded { request: Some(request), upstream, failure: Some(_), .. } => {
                process.requests.entry(*request).or_default().failed.push(upstream.as_str());
            }
            ProxyEvent::Finished(finished) => {
                process.requests.entry(finished.request).or_default().finished = Some((index, finished));
                if let Some(id) = id_of(&finished.target) {
                    self.ended.entry(id).or_insert((self.processes.len() - 1, finished.request));
                }
            }
            _ => {}
        }
    }

    /// Whether the proxy was given a configuration without `upstream` at some time from `from` to `until`. An upstream that
    /// comes back begins anew.
    pub fn removed(&self, upstream: &str, from: Duration, until: Duration) -> bool {
        let given = self.witnesses.configurations.given().filter(|(at, _)| (from..=until).contains(at));
        given.into_iter().any(|(_, config)| config.upstreams.iter().all(|one| one.host != upstream))
    }

    /// When `process` told something for the first time.
    pub fn began(&self, process: &ProxyProcess<'a>) -> Duration {
        self.lines.get(process.lines.0).map_or(Duration::ZERO, |line| line.at())
    }

    /// The proxy's lines of one process, with their places.
    pub fn proxy_lines(&self, process: &ProxyProcess<'a>) -> impl Iterator<Item = (usize, Duration, &'a ProxyEvent)> {
        let (from, until) = process.lines;
        let lines = self.lines;
        lines[from..until].iter().enumerate().filter_map(move |(offset, line)| match &line.what {
            What::Proxy(event) => Some((from + offset, line.at(), event)),
            _ => None,
        })
    }

    /// Whether a pick of `name` may lead to the host `upstream`. A name that is no host leads where the scenario says, so it
    /// may lead to any of them.
    pub fn leads_to(&self, name: &str, upstream: &str) -> bool {
        name == upstream || self.scenario.upstreams.iter().all(|one| one.name != name)
    }

    /// How often a probe of the proxy's own has asked what leads to the host `upstream` for the target of the request with `id`.
    pub fn probes(&self, id: &str, upstream: &str) -> usize {
        self.probed.get(id).into_iter().flatten().filter(|name| self.leads_to(name, upstream)).count()
    }

    /// The upstream that was picked last for the request with `id`.
    pub fn served_by(&self, id: &str) -> Option<&'a str> {
        self.proxy_request(id)?.picks.last().map(|pick| pick.upstream)
    }

    /// The request with `id`, where the proxy has told of its end.
    pub fn proxy_request(&self, id: &str) -> Option<&ProxyRequest<'a>> {
        let (process, request) = self.ended.get(id)?;
        self.processes.get(*process)?.requests.get(request)
    }

    /// Whether a successful attempt does not prove that its upstream works: the answer was 502, 503 or 504 and was passed on
    /// because no other upstream was left. This is also so for a request whose end the proxy has not told, since then nobody
    /// knows its status.
    pub fn proves_nothing(process: &ProxyProcess<'_>, request: Option<u64>) -> bool {
        let Some(request) = request else { return false };
        let end = process.requests.get(&request).and_then(|asked| asked.finished);
        end.is_none_or(|(_, end)| (502..=504).contains(&end.status))
    }
}

/// The id in a target: its left-most label.
pub fn id_of(target: &str) -> Option<&str> {
    let (first, rest) = target.split_once('.')?;
    rest.contains('.').then_some(first)
}
