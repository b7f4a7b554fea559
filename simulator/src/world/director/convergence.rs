//! Once everything is healed, every upstream must come back and get its share again.

use std::time::Duration;

use proxy::config::Config;
use serde_json::json;

use super::stage::{Proxy, Stage};
use crate::record::{ClientEvent, ProxyEvent, Recorder, ScenarioEvent, What, micros};
use crate::scenario::HostName;
use crate::subject::Feature;
use crate::world::engine::RunsProxy;

/// How much longer than its longest back-off an upstream may take to recover: it needs a request or a check, and the answer.
const MARGIN: Duration = Duration::from_secs(10);
/// For how many whole rounds of the schedule requests are made.
const ROUNDS: u64 = 2;
/// If the rounds need more requests than this, they are left out, since they would take more time than the rest of the run.
const MOST_REQUESTS: u64 = 600;
/// How long the rounds may take.
const ROUNDS_LIMIT: Duration = Duration::from_secs(300);

impl<E: RunsProxy> Stage<'_, E> {
    /// Waits until a proxy has told that every upstream with a weight is eligible, then asks it as often as two rounds have picks. Nothing
    /// is demanded of one that was told to stop.
    pub(super) fn converge(&mut self, place: usize) {
        let Proxy { host, config, draining, .. } = self.proxies[place].clone();
        if draining {
            return;
        }
        if !self.subject.tells() {
            return self.converge_unheard(place, &host, &config);
        }
        let own = self.proxies[place].own_client();
        let limit = time_to_come_back(&config);
        let until = self.clock.now() + limit;
        let mut newest = Newest::of(&host, &own);
        let mut missing = newest.missing(&config, &self.recorder);
        if !missing.is_empty() {
            // An ejected upstream may need a request to recover.
            self.ask(place, json!({ "do": "connect", "think": "1s" }), until);
            // The client is stopped between two requests, so that each request has an end.
            while (!missing.is_empty() && self.clock.now() < until || newest.under_way)
                && self.engine.gave_up().is_none()
            {
                let step = self.clock.now() + Duration::from_millis(100);
                self.engine.run(step, || false);
                missing = newest.missing(&config, &self.recorder);
            }
            self.engine.crash(&own);
        }
        let round = round(&config);
        let rounds = if missing.is_empty() && ROUNDS * round <= MOST_REQUESTS { ROUNDS } else { 0 };
        let eligible = weighted(&config).filter(|name| !missing.contains(name)).collect();
        let converged = ScenarioEvent::Converged { eligible, missing, limit_us: micros(limit), round, rounds };
        self.recorder.write(&host, What::Scenario(converged));
        self.ask_rounds(place, &config, round, rounds);
    }

    /// The same with a proxy that tells nothing: it has as long as its subject says, and then the upstreams' journals tell. One that is not
    /// said to keep exact shares is asked for none.
    fn converge_unheard(&mut self, place: usize, host: &HostName, config: &Config) {
        let round = round(config);
        if self.subject.lacks(Feature::ExactShares).is_some() || ROUNDS * round > MOST_REQUESTS {
            return;
        }
        let limit = self.subject.file().comes_back_within.get();
        self.engine.wait(limit, |_| false);
        let eligible = weighted(config).collect();
        let converged =
            ScenarioEvent::Converged { eligible, missing: Vec::new(), limit_us: micros(limit), round, rounds: ROUNDS };
        self.recorder.write(host, What::Scenario(converged));
        self.ask_rounds(place, config, round, ROUNDS);
    }

    fn ask_rounds(&mut self, place: usize, config: &Config, round: u64, rounds: u64) {
        let own = self.proxies[place].own_client();
        if rounds > 0 {
            let until = self.clock.now() + ROUNDS_LIMIT;
            // A connection may last a little longer at the proxy than at its client.
            let room = config.limits.max_connections.map_or(u64::MAX, |most| most.get() as u64 / 2);
            let clients = round.clamp(1, 8).min(room.max(1));
            // The last round one after the other, so that everybody can see in which order turns are taken.
            for (requests, clients) in [((rounds - 1) * round, clients), (round, 1)] {
                self.ask(place, json!({ "do": "connect", "requests": requests, "clients": clients }), until);
                self.engine.wait(ROUNDS_LIMIT, |engine| engine.live_tasks(&own) == 0);
            }
        }
    }
}

/// How long an ejected upstream may take to be eligible again: the longest back-off with its jitter of a fifth, then the wait for a check
/// or request that probes it, and the time that this takes.
fn time_to_come_back(config: &Config) -> Duration {
    let health = &config.health;
    let checks = health.active.as_ref().map_or(Duration::ZERO, |checks| checks.interval + health.timeout);
    let attempt = config.timeouts.connect + config.timeouts.reply;
    health.policy.backoff_max.mul_f64(1.2) + checks + attempt + MARGIN
}

/// The proxy's upstreams that have a weight.
fn weighted(config: &Config) -> impl Iterator<Item = HostName> {
    let weighted = config.upstreams.iter().filter(|upstream| upstream.weight.get() > 0);
    weighted.map(|upstream| HostName::new(&upstream.host))
}

/// How many picks a whole round has: the sum of the weights, divided by their greatest common divisor.
fn round(config: &Config) -> u64 {
    let weights = || config.upstreams.iter().map(|upstream| u64::from(upstream.weight.get()));
    let divisor = weights().fold(0, greatest_common_divisor);
    weights().sum::<u64>().checked_div(divisor).unwrap_or(0)
}

/// The members of a proxy's newest epoch, and whether the run's own client waits for an answer, as far as the trace was read.
struct Newest<'a> {
    proxy: &'a HostName,
    own: &'a HostName,
    members: Vec<HostName>,
    under_way: bool,
    read: usize,
}

impl<'a> Newest<'a> {
    fn of(proxy: &'a HostName, own: &'a HostName) -> Self {
        Newest { proxy, own, members: Vec::new(), under_way: false, read: 0 }
    }

    /// Those upstreams with a weight that are not among the members by now.
    fn missing(&mut self, config: &Config, recorder: &Recorder) -> Vec<HostName> {
        let Newest { proxy, own, members: newest, under_way, read } = self;
        recorder.each_from(read, |line| match &line.what {
            What::Proxy(ProxyEvent::EpochStarted { members, .. }) if line.host == **proxy => {
                *newest = members.iter().map(|(name, _)| name.clone()).collect();
            }
            What::Client(event) if line.host == **own => {
                *under_way = matches!(event, ClientEvent::Asked { .. });
            }
            _ => {}
        });
        weighted(config).filter(|name| !newest.contains(name)).collect()
    }
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::record::{ProxyEvent, RunRecord, ScenarioEvent, What};
    use crate::scenario;
    use crate::world::EngineKind;

    fn play(more: &str) -> RunRecord {
        let text = format!(
            r#"{{"name": "x", "story": "x", "duration": "8s",
            "proxy": {{"health_check": {{"failure_threshold": 1, "backoff_base": "20s", "backoff_max": "40s"}},
                "upstream_proxies": [{{"url": "http://a:8080", "weight": 3}}, {{"url": "http://b:8080", "weight": 2}},
                    {{"url": "http://c:8080", "weight": 0}}]}},
            "upstreams": [{{"name": "a"}}, {{"name": "b"}}, {{"name": "c"}}],
            "clients": [{{"name": "k", "do": "echo", "rate": 5, "until": "8s"}}]{more}}}"#
        );
        EngineKind::default().play(&scenario::parse(&text).unwrap(), 1).unwrap()
    }

    #[test]
    fn who_was_ejected_comes_back_and_two_whole_rounds_are_picked() {
        let record = play(r#", "timeline": [{"at": "2s", "do": "crash", "host": "a"}]"#);
        let lines = &record.trace.lines;
        let converged =
            lines.iter().position(|line| matches!(line.what, What::Scenario(ScenarioEvent::Converged { .. })));
        let (before, behind) = lines.split_at(converged.unwrap());
        assert!(before.iter().any(|line| matches!(line.what, What::Proxy(ProxyEvent::Recovered { .. }))), "it was out");
        let What::Scenario(ScenarioEvent::Converged { missing, round, rounds, .. }) = &behind[0].what else { panic!() };
        assert_eq!((missing.len(), *round, *rounds), (0, 5, 2));
        let mut picks: BTreeMap<&str, usize> = BTreeMap::new();
        for line in behind {
            if let What::Proxy(ProxyEvent::PickMade { ticket: Some(_), upstream, .. }) = &line.what {
                *picks.entry(upstream.as_str()).or_default() += 1;
            }
        }
        assert_eq!(picks, BTreeMap::from([("a", 6), ("b", 4)]));
        let pages: Vec<_> = behind
            .iter()
            .filter_map(|line| match &line.what {
                What::Proxy(ProxyEvent::Page { path, status }) => Some((path.as_str(), *status)),
                _ => None,
            })
            .collect();
        assert_eq!(pages, [("/healthz", 200), ("/readyz", 200)]);
    }

    #[test]
    fn a_proxy_that_was_told_to_stop_need_not_converge() {
        let record = play(r#", "timeline": [{"at": "2s", "do": "drain"}]"#);
        let asked = |line: &crate::record::Line| matches!(line.what, What::Scenario(ScenarioEvent::Converged { .. }));
        assert!(!record.trace.lines.iter().any(asked));
    }
}
