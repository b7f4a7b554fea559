//! The history of a run indexes what clients saw, what the proxy told and what upstreams wrote down, for those who judge.

use std::collections::BTreeMap;
use std::time::Duration;

use mock_upstreams::journal::{Event as JournalEvent, Record};
use proxy::config::Config;

use super::disturbance::Disturbances;
use super::requests::{ClientRequest, Pick, ProxyProcess, ProxyRequest};
use crate::record::{ClientEvent, Line, ProxyEvent, RunRecord, ScenarioEvent, What};
use crate::scenario::{Action, ConfigFile, LIVENESS, Scenario};

/// A run, indexed for those who judge it.
pub struct History<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// What the run left behind.
    pub record: &'a RunRecord,
    /// All lines of the trace.
    pub lines: &'a [Line],
    /// The processes of the proxy, one after the other.
    pub processes: Vec<ProxyProcess<'a>>,
    /// What clients saw of their requests, by the id of each.
    pub client_requests: BTreeMap<&'a str, ClientRequest<'a>>,
    /// The requests that upstreams wrote down, by id: line, upstream, record.
    pub journal: BTreeMap<&'a str, Vec<(usize, &'a str, &'a Record)>>,
    /// What probes asked for, of whom and by which id, that no upstream has written down yet.
    probes: Vec<(&'a str, &'a str)>,
    /// When everything was healed and progress was demanded.
    pub liveness: Duration,
    /// The configuration the proxy started with.
    pub config: Config,
    /// The valid configurations that it was given later, and when.
    reloads: Vec<(Duration, Config)>,
    /// The process and number of each request that the proxy has told the end of, by id.
    ended: BTreeMap<&'a str, (usize, u64)>,
    disturbances: Disturbances<'a>,
}

impl<'a> History<'a> {
    /// The history of a run of `scenario` that left `record` behind.
    pub fn new(scenario: &'a Scenario, record: &'a RunRecord) -> Self {
        let lines = record.trace.lines.as_slice();
        let config = ConfigFile::first(scenario).config.expect("the configuration was checked with the scenario");
        let mut history = History {
            scenario,
            record,
            lines,
            processes: Vec::new(),
            client_requests: BTreeMap::new(),
            journal: BTreeMap::new(),
            probes: Vec::new(),
            liveness: scenario.duration.get(),
            config,
            reloads: Vec::new(),
            ended: BTreeMap::new(),
            disturbances: Disturbances::default(),
        };
        history.read();
        history.note_reloads();
        history.disturbances = Disturbances::new(scenario, &history.config, history.liveness);
        history
    }

    fn read(&mut self) {
        let lines = self.lines;
        let mut begun: BTreeMap<&str, (Duration, &'static str, &str, &str)> = BTreeMap::new();
        self.processes.push(ProxyProcess::default());
        for (index, line) in lines.iter().enumerate() {
            match &line.what {
                What::Proxy(event) => self.read_proxy(index, event),
                What::Client(ClientEvent::Asked { id, action, method, target, .. }) => {
                    begun.insert(id, (line.at(), action, method, target));
                }
                What::Client(ClientEvent::Ended(result)) => {
                    if let Some((began, action, method, target)) = begun.get(result.id.as_str()).copied() {
                        let seen =
                            ClientRequest { began, line: index, ended: line.at(), action, method, target, result };
                        self.client_requests.insert(&result.id, seen);
                    }
                }
                What::Upstream(JournalEvent::Request(record)) => {
                    if let Some(id) = &record.id
                        && !self.is_of_a_probe(id, line.host.as_str(), record)
                    {
                        self.journal.entry(id).or_default().push((index, line.host.as_str(), record));
                    }
                }
                What::Scenario(ScenarioEvent::Phase { name: "liveness" }) => self.liveness = line.at(),
                What::Scenario(_) | What::Upstream(_) => {}
            }
        }
        if let Some(last) = self.processes.last_mut() {
            last.lines.1 = lines.len();
        }
    }

    fn read_proxy(&mut self, index: usize, event: &'a ProxyEvent) {
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
                    self.probes.push((upstream.as_str(), id));
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

    /// Whether this is what a probe of the proxy asked `host` for: the proxy told of it before, and it carried nothing.
    fn is_of_a_probe(&mut self, id: &str, host: &str, record: &Record) -> bool {
        let asks = |probe: &(&str, &str)| probe.1 == id && self.leads_to(probe.0, host);
        if record.up.bytes > 0 || !matches!(record.method.as_str(), "CONNECT" | "HEAD") {
            return false;
        }
        let asked = self.probes.iter().position(asks);
        asked.map(|place| self.probes.remove(place)).is_some()
    }

    /// Whether the proxy was given a configuration without `upstream` at some time from `from` to `until`. An upstream that
    /// comes back begins anew.
    pub fn removed(&self, upstream: &str, from: Duration, until: Duration) -> bool {
        let lacks = |config: &Config| config.upstreams.iter().all(|one| one.host != upstream);
        self.reloads.iter().any(|(at, config)| (from..=until).contains(at) && lacks(config))
    }

    fn note_reloads(&mut self) {
        for entry in &self.scenario.timeline {
            let Action::Reload { proxy, text } = &entry.action else { continue };
            let config = match text {
                Some(text) => ConfigFile::new(text.clone()).config,
                None => ConfigFile::complete(proxy, self.scenario).config,
            };
            if let Ok(config) = config {
                self.reloads.push((entry.at.get(), config));
            }
        }
    }

    /// When the proxy was told to stop.
    pub fn drains(&self) -> impl Iterator<Item = Duration> {
        self.lines.iter().filter(|line| matches!(line.what, What::Proxy(ProxyEvent::DrainStarted { .. }))).map(Line::at)
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

    /// The client whose request has `id`, by the name in front of its number.
    pub fn client_of(id: &str) -> &str {
        id.rsplit_once('-').map_or(id, |(client, _)| client)
    }

    /// Whether the request with `id` is not a client's: every run makes some to see whether the proxy makes progress.
    pub fn is_own(id: &str) -> bool {
        Self::client_of(id) == LIVENESS
    }

    /// The upstreams that had a weight in every configuration up to `until`, and were not disturbed from `from` to `until`.
    pub fn undisturbed_upstreams(&self, from: Duration, until: Duration) -> Vec<&'a str> {
        let weighty = |config: &Config, host: &str| {
            let mut mine = config.upstreams.iter().filter(|one| one.host == host).peekable();
            mine.peek().is_some() && mine.all(|one| one.weight.get() > 0)
        };
        let meant = |host: &str| {
            weighty(&self.config, host)
                && self.reloads.iter().filter(|(at, _)| *at <= until).all(|(_, config)| weighty(config, host))
        };
        let moved = |host: &str| {
            let moves = |action: &Action| matches!(action, Action::Dns { name, .. } if name == host);
            self.scenario.timeline.iter().any(|entry| entry.at.get() <= until && moves(&entry.action))
        };
        let upstreams = self.scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
        let sound = |host: &&str| meant(host) && !moved(host) && !self.disturbed(host, from, until);
        upstreams.filter(sound).collect()
    }

    /// Whether anything was done to `host`, or still had effects, at some time from `from` to `until`.
    pub fn disturbed(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.disturbances.of_host(host, from, until)
    }

    /// Whether the link between the proxy and `host` was disturbed, or the disturbance still had effects, at some time from
    /// `from` to `until`.
    pub fn cut_off(&self, host: &str, from: Duration, until: Duration) -> bool {
        self.disturbances.of_link(host, from, until)
    }

    /// The same as [`Self::disturbed`] for whatever host a pick of `name` may lead to.
    pub fn disturbed_behind(&self, name: &str, from: Duration, until: Duration) -> bool {
        let hosts = self.scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
        hosts.filter(|host| self.leads_to(name, host)).any(|host| self.disturbed(host, from, until))
    }

    /// Whether anything was done to the proxy itself at some time from `from` to `until`: it was killed, told to stop, or cut
    /// off from its clients.
    pub fn proxy_disturbed(&self, from: Duration, until: Duration) -> bool {
        self.disturbances.of_proxy(from, until) || self.drains().any(|drain| drain <= until)
    }

    /// Whether the process on `host` was killed at some time from `from` to `until`. What it had not told yet is lost.
    pub fn killed(&self, host: &str, from: Duration, until: Duration) -> bool {
        let kills = |action: &Action| matches!(action, Action::Crash { host: whose } | Action::Restart { host: whose } if whose == host);
        self.scenario.timeline.iter().any(|entry| (from..=until).contains(&entry.at.get()) && kills(&entry.action))
    }
}

/// The id in a target: its left-most label.
pub fn id_of(target: &str) -> Option<&str> {
    let (first, rest) = target.split_once('.')?;
    rest.contains('.').then_some(first)
}
