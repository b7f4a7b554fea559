//! A trace seen from three sides: what clients saw, what the proxy told, what upstreams wrote down; and what was done
//! to whom and when.

mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use mock_upstreams::journal::{Event as JournalEvent, Record};
use proxy::config::Config;

use crate::configuration::ConfigFile;
use crate::director::{LIVENESS, Played};
use crate::scenario::{Action, Scenario};
use crate::trace::{ClientEvent, Finished, Line, ProxyEvent, ScenarioEvent, Verdict, What};

use trouble::Trouble;

/// How long what was done to a host may have effects after it has ended: what was lost is sent again for that long.
pub const AFTERMATH: Duration = Duration::from_secs(5);

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
pub struct Asked<'a> {
    /// In order.
    pub picks: Vec<Pick<'a>>,
    /// Upstreams at which an attempt failed.
    pub failed: Vec<&'a str>,
    /// How it ended: line and figures. None if its process was killed before.
    pub finished: Option<(usize, &'a Finished)>,
}

/// One life of the proxy's process.
#[derive(Debug, Default)]
pub struct Life<'a> {
    /// The first line of it, and the line behind its last.
    pub lines: (usize, usize),
    /// By number.
    pub requests: BTreeMap<u64, Asked<'a>>,
}

/// What a client saw of one request.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
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
    pub verdict: &'a Verdict,
}

/// All of a run, indexed.
pub struct History<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// What it left behind.
    pub played: &'a Played,
    /// All lines.
    pub lines: &'a [Line],
    /// The proxy's processes.
    pub lives: Vec<Life<'a>>,
    /// By id.
    pub clients: BTreeMap<&'a str, Seen<'a>>,
    /// The requests that upstreams wrote down, by id: line, upstream, record.
    pub records: BTreeMap<&'a str, Vec<(usize, &'a str, &'a Record)>>,
    /// When each part of the run began.
    pub liveness: Duration,
    /// The configuration the proxy started with.
    pub config: Config,
    /// The good ones that it was given later, and when.
    reloads: Vec<(Duration, Config)>,
    /// The life and number of each request that the proxy has told the end of, by id.
    ended: BTreeMap<&'a str, (usize, u64)>,
    troubles: Vec<Trouble<'a>>,
}

impl<'a> History<'a> {
    /// Of what `scenario` left behind.
    pub fn new(scenario: &'a Scenario, played: &'a Played) -> Self {
        let lines = played.trace.lines.as_slice();
        let config = ConfigFile::first(scenario).config.expect("the configuration was checked with the scenario");
        let mut history = History {
            scenario,
            played,
            lines,
            lives: Vec::new(),
            clients: BTreeMap::new(),
            records: BTreeMap::new(),
            liveness: scenario.duration.get(),
            config,
            reloads: Vec::new(),
            ended: BTreeMap::new(),
            troubles: Vec::new(),
        };
        history.read();
        history.note_reloads();
        history.note_troubles();
        history
    }

    fn read(&mut self) {
        let lines = self.lines;
        let mut begun: BTreeMap<&str, (Duration, &'static str, &str, &str)> = BTreeMap::new();
        self.lives.push(Life::default());
        for (index, line) in lines.iter().enumerate() {
            match &line.what {
                What::Proxy(event) => self.read_proxy(index, event),
                What::Client(ClientEvent::Asked { id, action, method, target, .. }) => {
                    begun.insert(id, (line.at(), action, method, target));
                }
                What::Client(ClientEvent::Ended(verdict)) => {
                    if let Some((began, action, method, target)) = begun.get(verdict.id.as_str()).copied() {
                        let seen = Seen { began, line: index, ended: line.at(), action, method, target, verdict };
                        self.clients.insert(&verdict.id, seen);
                    }
                }
                What::Upstream(JournalEvent::Request(record)) => {
                    if let Some(id) = &record.id {
                        self.records.entry(id).or_default().push((index, line.host.as_str(), record));
                    }
                }
                What::Scenario(ScenarioEvent::Phase { name: "liveness" }) => self.liveness = line.at(),
                What::Scenario(_) | What::Upstream(_) => {}
            }
        }
        if let Some(last) = self.lives.last_mut() {
            last.lines.1 = lines.len();
        }
    }

    fn read_proxy(&mut self, index: usize, event: &'a ProxyEvent) {
        if matches!(event, ProxyEvent::EpochStarted { number: 0, .. }) && index > 0 {
            if let Some(last) = self.lives.last_mut() {
                last.lines.1 = index;
            }
            self.lives.push(Life { lines: (index, 0), requests: BTreeMap::new() });
        }
        let Some(life) = self.lives.last_mut() else { return };
        match event {
            ProxyEvent::PickMade { request: Some(request), epoch, ticket, upstream, probe, .. } => {
                let upstream = upstream.as_str();
                let pick = Pick { line: index, upstream, ticket: *ticket, epoch: *epoch, probe: *probe };
                life.requests.entry(*request).or_default().picks.push(pick);
            }
            ProxyEvent::AttemptEnded { request: Some(request), upstream, failure: Some(_), .. } => {
                life.requests.entry(*request).or_default().failed.push(upstream.as_str());
            }
            ProxyEvent::Finished(finished) => {
                life.requests.entry(finished.request).or_default().finished = Some((index, finished));
                if let Some(id) = id_of(&finished.target) {
                    self.ended.entry(id).or_insert((self.lives.len() - 1, finished.request));
                }
            }
            _ => {}
        }
    }

    /// Whether the proxy was given a configuration without `upstream` from `from` to `until`: if that is back, it begins anew.
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

    /// The proxy's lines of one life, with their places.
    pub fn proxy_lines(&self, life: &Life<'a>) -> impl Iterator<Item = (usize, Duration, &'a ProxyEvent)> {
        let (from, until) = life.lines;
        let lines = self.lines;
        lines[from..until].iter().enumerate().filter_map(move |(offset, line)| match &line.what {
            What::Proxy(event) => Some((from + offset, line.at(), event)),
            _ => None,
        })
    }

    /// Whether a pick of `name` may lead to the host `upstream`: names of its own lead where the scenario says.
    pub fn leads_to(&self, name: &str, upstream: &str) -> bool {
        name == upstream || self.scenario.upstreams.iter().all(|one| one.name != name)
    }

    /// The upstream that was picked last for the request with `id`.
    pub fn served_by(&self, id: &str) -> Option<&'a str> {
        self.asked(id)?.picks.last().map(|pick| pick.upstream)
    }

    /// The request with `id`, where the proxy has told of its end.
    pub fn asked(&self, id: &str) -> Option<&Asked<'a>> {
        let (life, request) = self.ended.get(id)?;
        self.lives.get(*life)?.requests.get(request)
    }

    /// Whether an attempt that ended well is no proof of its upstream: the answer was a gateway's word that it could not
    /// reach the target, passed on because there was nobody else to ask. Of a request whose end nobody has told it is not
    /// known.
    pub fn proves_nothing(life: &Life<'_>, request: Option<u64>) -> bool {
        let Some(request) = request else { return false };
        let end = life.requests.get(&request).and_then(|asked| asked.finished);
        end.is_none_or(|(_, end)| (502..=504).contains(&end.status))
    }

    /// The client whose request has `id`, by the name in front of its number.
    pub fn client_of(id: &str) -> &str {
        id.rsplit_once('-').map_or(id, |(client, _)| client)
    }

    /// Whether this is a request of the run's own.
    pub fn is_own(id: &str) -> bool {
        Self::client_of(id) == LIVENESS
    }

    /// Upstreams that were to take traffic in every configuration up to then, and to which nothing was done from `from` to `until`.
    pub fn sound_upstreams(&self, from: Duration, until: Duration) -> Vec<&'a str> {
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
        let sound = |host: &&str| meant(host) && !moved(host) && !self.troubled(host, from, until);
        upstreams.filter(sound).collect()
    }
}

/// The id in a target: its left-most label.
pub fn id_of(target: &str) -> Option<&str> {
    let (first, rest) = target.split_once('.')?;
    rest.contains('.').then_some(first)
}
