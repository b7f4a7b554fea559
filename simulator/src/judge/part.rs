//! A run with several proxies has a part for each of them. It is judged as a run of its own, with what concerns that proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mock_upstreams::journal::Event;

use super::checked::{LawCounts, LawTotals};
use super::history::History;
use super::laws::{Law, NEED_ALL_CLIENTS, NEED_ALL_UPSTREAMS, check};
use super::violation::Violation;
use crate::record::{Line, RunRecord, ScenarioEvent, Trace, What};
use crate::scenario::{Action, ConfigFile, HostName, PROXY, Scenario, own_client};

/// What concerns one proxy of a run: its own clients, what upstreams wrote down of its connections, and what it told.
pub(super) struct Part {
    proxy: HostName,
    /// Its place among proxies that ask one another.
    links: Links,
    /// The scenario with the clients of this proxy alone, and with its configuration as `proxy`.
    scenario: Scenario,
    record: RunRecord,
    /// The place of each line in the trace of the whole run.
    places: Vec<usize>,
}

impl Part {
    /// The parts of a run of `scenario` that left `record` behind; none if there is only one proxy.
    pub(super) fn all(scenario: &Scenario, record: &RunRecord) -> Vec<Self> {
        if scenario.further_proxies.is_empty() {
            return Vec::new();
        }
        let links = links(scenario);
        let part = |proxy| Part::new(scenario, record, proxy, links.get(proxy).copied().unwrap_or_default());
        scenario.proxies().map(part).collect()
    }

    fn new(scenario: &Scenario, record: &RunRecord, proxy: &str, links: Links) -> Self {
        let mut own = scenario.clone();
        own.proxy = scenario.configuration(proxy).clone();
        own.clients.retain(|client| client.proxy() == proxy);
        let mut hosts: BTreeSet<&str> =
            scenario.clients.iter().filter(|one| one.proxy() == proxy).map(|one| one.name.as_str()).collect();
        let own_client = own_client(proxy);
        hosts.extend([proxy, own_client.as_str()]);
        let mut filter = Filter { scenario, proxy, hosts, peers: BTreeMap::new() };
        let lines = record.trace.lines.iter().enumerate();
        let (places, lines) =
            lines.filter(|(_, line)| filter.keeps(line)).map(|(place, line)| (place, line.clone())).unzip();
        let of = |all: &[(HostName, String)]| {
            all.iter().filter(|(host, _)| filter.hosts.contains(host.as_str())).cloned().collect()
        };
        let record = RunRecord {
            trace: Trace { lines },
            subject: Arc::clone(&record.subject),
            // A panic names its host in its text only.
            panics: if proxy == PROXY { record.panics.clone() } else { Vec::new() },
            left: of(&record.left),
            stuck: of(&record.stuck),
            gave_up: record.gave_up.clone(),
            clock_skew: record.clock_skew,
            tolerance: record.tolerance,
            // No law reads it.
            log: None,
        };
        Part { proxy: HostName::new(proxy), links, scenario: own, record, places }
    }

    /// The host of its proxy.
    pub(super) fn proxy(&self) -> &str {
        self.proxy.as_str()
    }

    /// Its history.
    pub(super) fn history(&self) -> History<'_> {
        History::of(&self.scenario, &self.record, self.proxy())
    }

    /// The place of a line of this part in the trace of the whole run.
    pub(super) fn place(&self, line: usize) -> usize {
        self.places[line]
    }

    /// Those of `laws` that can judge it.
    fn judged_by(&self, laws: &[Law]) -> Vec<Law> {
        let Links { asks, asked } = self.links;
        let lacks = |law: &Law| {
            (asked && NEED_ALL_CLIENTS.contains(&law.name)) || (asks && NEED_ALL_UPSTREAMS.contains(&law.name))
        };
        laws.iter().filter(|law| !lacks(law)).copied().collect()
    }
}

/// What does not hold of `parts`, and the counts of each law over all of them.
pub(super) fn check_parts(parts: &[Part], laws: &[Law]) -> (Vec<Violation>, Vec<LawCounts>) {
    let mut violations = Vec::new();
    let mut totals = LawTotals::default();
    for part in parts {
        let (found, counts) = check(&part.history(), &part.judged_by(laws));
        violations.extend(found.into_iter().map(|one| Violation {
            text: format!("{}: {}", part.proxy, one.text),
            lines: one.lines.iter().map(|line| part.place(*line)).collect(),
            ..one
        }));
        totals.add(&counts);
    }
    (violations, totals.laws().to_vec())
}

/// Which lines of a trace concern one proxy.
struct Filter<'a> {
    scenario: &'a Scenario,
    proxy: &'a str,
    /// The proxy and its clients.
    hosts: BTreeSet<&'a str>,
    /// Whether this proxy has opened the connection to an upstream that has the number. A process that is started again counts from 1.
    peers: BTreeMap<(HostName, u64), bool>,
}

impl Filter<'_> {
    fn keeps(&mut self, line: &Line) -> bool {
        let host = line.host.as_str();
        match &line.what {
            What::Proxy(_) | What::Client(_) => self.hosts.contains(host),
            What::Upstream(event) => self.keeps_of(&line.host, event),
            What::Scenario(ScenarioEvent::Played { entry, .. }) => {
                let told = self.scenario.timeline.get(*entry).and_then(|entry| entry.action.told());
                told.is_none_or(|host| host == self.proxy)
            }
            What::Scenario(ScenarioEvent::Phase { .. }) => true,
            What::Scenario(_) => {
                let of_another = self.scenario.proxies().any(|proxy| proxy == host);
                self.hosts.contains(host) || (self.proxy == PROXY && !of_another)
            }
        }
    }

    fn keeps_of(&mut self, upstream: &HostName, event: &Event) -> bool {
        let number = match event {
            Event::Opened { connection, peer } => {
                self.peers.insert((upstream.clone(), *connection), peer.as_deref() == Some(self.proxy));
                *connection
            }
            Event::Closed { connection, .. } | Event::Struck { connection, .. } => *connection,
            Event::Request(record) => record.connection,
            Event::Listener { .. } | Event::Plan { .. } => return true,
        };
        self.peers.get(&(upstream.clone(), number)).copied().unwrap_or(false)
    }
}

/// Whether a proxy asks another one, and whether another one asks it, by a configuration that the scenario gives to either.
#[derive(Clone, Copy, Default)]
struct Links {
    asks: bool,
    asked: bool,
}

/// The links between proxies, by their hosts.
fn links(scenario: &Scenario) -> BTreeMap<String, Links> {
    let first = scenario.proxies().map(|host| (host, ConfigFile::first(scenario, host)));
    let reloads = scenario.timeline.iter().filter_map(|entry| match &entry.action {
        Action::Reload { proxy, text: None, .. } => Some((entry.action.told()?, ConfigFile::complete(proxy, scenario))),
        _ => None,
    });
    let mut links: BTreeMap<String, Links> = BTreeMap::new();
    for (host, file) in first.chain(reloads) {
        let upstreams = file.config.into_iter().flat_map(|config| config.upstreams);
        for upstream in upstreams.filter(|upstream| scenario.proxies().any(|proxy| proxy == &*upstream.host)) {
            links.entry(host.to_owned()).or_default().asks = true;
            links.entry(upstream.host.to_string()).or_default().asked = true;
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::LAWS;
    use crate::scenario;
    use crate::world::EngineKind;

    const SHARED: &str = r#"{"name": "x", "story": "x", "duration": "4s", "upstreams": [{"name": "a"}, {"name": "b"}],
        "further_proxies": {"second": {"upstream_proxies": [{"url": "http://b:8080"}]}},
        "clients": [{"name": "k", "do": "echo", "rate": 5}, {"name": "l", "through": "second", "do": "http", "rate": 5}],
        "timeline": [{"at": "2s", "do": "reload", "host": "second", "proxy": {}}]}"#;

    fn play(engine: EngineKind, text: &str) -> (Scenario, RunRecord) {
        let scenario = scenario::parse(text).unwrap();
        let record = engine.play(&scenario, 1).unwrap();
        (scenario, record)
    }

    fn found(scenario: &Scenario, record: &RunRecord) -> Vec<Violation> {
        check_parts(&Part::all(scenario, record), LAWS).0
    }

    #[test]
    fn each_proxy_is_judged_by_its_own_witnesses() {
        for engine in [EngineKind::TurmoilNet, EngineKind::Turmoil] {
            let (scenario, record) = play(engine, SHARED);
            let parts = Part::all(&scenario, &record);
            assert_eq!(found(&scenario, &record), []);
            let clients =
                |part: &Part| part.history().witnesses.requests.values().map(|one| one.client.to_owned()).collect();
            let clients: Vec<BTreeSet<String>> = parts.iter().map(clients).collect();
            assert_eq!(clients[0], BTreeSet::from(["k".to_owned(), "liveness".to_owned()]));
            assert_eq!(clients[1], BTreeSet::from(["l".to_owned(), "liveness-second".to_owned()]));
            let reloads = |part: &Part| part.history().witnesses.configurations.reloads().len();
            assert_eq!(parts.iter().map(reloads).collect::<Vec<_>>(), [0, 1]);
            let written = |part: &Part| part.history().witnesses.journals.by_id().count();
            assert!(parts.iter().all(|part| written(part) > 20));
            let told = |part: &Part| part.history().processes.iter().any(|process| !process.requests.is_empty());
            assert!(parts.iter().all(told));
        }
    }

    #[test]
    fn a_request_that_comes_from_the_wrong_proxy_is_found_in_the_whole_trace() {
        let (scenario, mut record) = play(EngineKind::TurmoilNet, SHARED);
        let opened =
            |what: &What| matches!(what, What::Upstream(Event::Opened { peer: Some(peer), .. }) if peer == "proxy");
        let line = record.trace.lines.iter_mut().find(|line| opened(&line.what)).unwrap();
        let What::Upstream(Event::Opened { peer, .. }) = &mut line.what else { unreachable!() };
        *peer = Some("second".to_owned());
        let found = found(&scenario, &record);
        let once =
            found.iter().find(|one| one.of == "once" && one.text.ends_with("which no client asked for")).unwrap();
        assert!(once.text.starts_with("second: "), "{once:?}");
        let [line] = once.lines[..] else { panic!("{once:?}") };
        assert!(matches!(record.trace.lines[line].what, What::Upstream(Event::Request(_))), "{once:?}");
        assert!(found.iter().any(|one| one.of == "once" && one.text.starts_with("proxy: ")), "{found:?}");
    }

    #[test]
    fn what_is_left_of_a_proxy_is_found_in_its_part() {
        let (scenario, mut record) = play(EngineKind::TurmoilNet, SHARED);
        record.left.push((HostName::new("second"), "1 tasks of the proxy".to_owned()));
        record.stuck.push((HostName::new("proxy"), "stuck".to_owned()));
        let found = found(&scenario, &record).into_iter().map(|one| format!("{}: {}", one.of, one.text));
        assert_eq!(found.collect::<Vec<_>>(), ["liveness: proxy: stuck", "leftovers: second: 1 tasks of the proxy"]);
    }

    #[test]
    fn a_proxy_in_a_chain_is_judged_by_the_laws_that_know_enough_there() {
        let asks = r#""further_proxies": {"second": {}, "third": {}}, "proxy": {"upstream_proxies": [{"url": "http://second:3130"}]}"#;
        let text =
            SHARED.replace(r#""further_proxies": {"second": {"upstream_proxies": [{"url": "http://b:8080"}]}}"#, asks);
        let (scenario, record) = play(EngineKind::TurmoilNet, &text);
        assert_eq!(found(&scenario, &record), []);
        let lacks = |part: &Part| -> Vec<&str> {
            let judged: BTreeSet<&str> = part.judged_by(LAWS).iter().map(|law| law.name).collect();
            LAWS.iter().map(|law| law.name).filter(|name| !judged.contains(name)).collect()
        };
        let lacks: Vec<_> = Part::all(&scenario, &record).iter().map(lacks).collect();
        assert_eq!(lacks, [vec!["once"], vec!["once", "retry-budget", "turns", "conservation", "statistics"], vec![]]);
    }
}
