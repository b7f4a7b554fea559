//! Checks the rules that a schema can't say: names must exist, and some fields exclude one another.

use std::collections::BTreeSet;
use std::time::Duration;

use loadgen::ActionKind;
use proxy::config::text::{hint, join};
use proxy::config::{Config, Problems};

use super::tls::tls;
use crate::scenario::client::{Client, Entrance};
use crate::scenario::configuration::ConfigFile;
use crate::scenario::file::Scenario;
use crate::scenario::host::{LIVENESS, PROXY};
use crate::scenario::timeline::Action;

/// Notes the problems that the schema can't find.
pub(super) fn meaning(scenario: &Scenario, problems: &mut Problems) {
    let mut checker = Checker { scenario, hosts: BTreeSet::from([PROXY]), problems };
    checker.hosts();
    checker.proxies();
    checker.upstreams();
    checker.clients();
    checker.network();
    checker.timeline();
    for (index, expectation) in scenario.expect.iter().enumerate() {
        if let Some(upstream) = expectation.upstream() {
            let mut known: BTreeSet<&str> = scenario.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
            // A proxy may tell of another one, which is its upstream.
            if expectation.proxy().is_some() {
                known.extend(scenario.proxies());
            }
            checker.known(&format!("expect[{index}].upstream"), "upstream", upstream, known);
        }
        if let Some(client) = expectation.client() {
            let known = scenario.clients.iter().map(|client| client.name.as_str());
            checker.known(&format!("expect[{index}].client"), "client", client, known.collect());
        }
        checker.proxy(&format!("expect[{index}].proxy"), expectation.proxy());
    }
    tls(scenario, problems);
}

struct Checker<'a> {
    scenario: &'a Scenario,
    hosts: BTreeSet<&'a str>,
    problems: &'a mut Problems,
}

impl<'a> Checker<'a> {
    fn problem(&mut self, path: &str, text: impl Into<String>) {
        self.problems.add(path, text);
    }

    fn known(&mut self, path: &str, kind: &str, name: &str, known: BTreeSet<&str>) {
        if !known.contains(name) {
            self.problem(path, format!("no {kind} {name:?}{}", hint(name, known)));
        }
    }

    fn host(&mut self, path: &str, name: &str) {
        self.known(path, "host", name, self.hosts.clone());
    }

    fn pair(&mut self, path: &str, pair: &(String, String)) {
        self.host(&format!("{path}[0]"), &pair.0);
        self.host(&format!("{path}[1]"), &pair.1);
    }

    fn proxy(&mut self, path: &str, name: Option<&str>) {
        if let Some(name) = name {
            self.known(path, "proxy", name, self.scenario.proxies().collect());
        }
    }

    fn proxies(&mut self) {
        for host in self.scenario.proxies() {
            if let Err(text) = ConfigFile::first(self.scenario, host).config {
                let path = if host == PROXY { host.to_owned() } else { format!("further_proxies.{host}") };
                self.problem(&path, text);
            }
        }
    }

    fn hosts(&mut self) {
        let scenario = self.scenario;
        let upstreams = scenario.upstreams.iter().map(|upstream| ("upstreams", &upstream.name)).enumerate();
        let clients = scenario.clients.iter().map(|client| ("clients", &client.name)).enumerate();
        let proxies = scenario.further_proxies.keys().map(|name| (format!("further_proxies.{name}"), name));
        let listed = upstreams.chain(clients).map(|(index, (list, name))| (format!("{list}[{index}].name"), name));
        for (path, name) in proxies.chain(listed) {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || !name.bytes().all(plain) {
                self.problem(&path, format!("must be letters, digits and dashes (got {name:?})"));
            }
            if name.starts_with(LIVENESS) {
                self.problem(&path, format!("names that begin with {LIVENESS:?} are those of the run's own clients"));
            }
            if !self.hosts.insert(name) {
                self.problem(&path, format!("{name:?} is taken by another host"));
            }
        }
    }

    fn upstreams(&mut self) {
        if self.scenario.upstreams.is_empty() {
            self.problem("upstreams", "must name at least one");
        }
        for (index, upstream) in self.scenario.upstreams.iter().enumerate() {
            let path = format!("upstreams[{index}]");
            if let Some(pair) = &upstream.auth
                && mock_upstreams::Auth::parse(pair).is_none()
            {
                self.problem(&join(&path, "auth"), "must be \"user:password\"");
            }
            if let Err(problems) = upstream.fault_plan(0) {
                for problem in problems {
                    let plan = join(&path, "plan");
                    let place = if problem.path.is_empty() { plan } else { format!("{plan}.{}", problem.path) };
                    self.problem(&place, problem.text);
                }
            }
        }
    }

    fn clients(&mut self) {
        if self.scenario.clients.is_empty() {
            self.problem("clients", "must name at least one");
        }
        for (index, client) in self.scenario.clients.iter().enumerate() {
            self.client(&format!("clients[{index}]"), client);
        }
    }

    fn client(&mut self, path: &str, client: &Client) {
        let asks_the_proxy =
            |action: &loadgen::Action| matches!(action.kind, ActionKind::Page { .. } | ActionKind::Abuse { .. });
        for written in client.actions().filter(|written| !asks_the_proxy(&written.value().action)) {
            // The laws find a request in the journals by its id, which is the first label of its target. Two more labels follow it.
            let target = &written.value().action.target;
            let rest = target.strip_prefix("{id}.").and_then(|rest| rest.rsplit_once(':'));
            if rest.is_none_or(|(name, _)| !name.contains('.')) {
                let text = format!("target `{target}`: must begin with {{id}}. and a name with a dot must follow");
                self.problem(&join(path, "do"), text);
            }
        }
        self.proxy(&join(path, "through"), client.through.as_deref());
        if client.entrance == Entrance::Admin {
            self.at_admin(path, client);
        }
        if let Err(text) = client.mix() {
            self.problem(&join(path, "do"), text);
        }
        if client.rate.is_some() && client.stages.is_some() {
            self.problem(&join(path, "stages"), "has rates of its own: leave out rate");
        }
        if client.rate.is_some_and(|rate| rate.thousandths() == 0) {
            self.problem(&join(path, "rate"), "must be above 0");
        }
        if !client.arrivals.is_empty() {
            for (field, given) in
                [("rate", client.rate.is_some()), ("stages", client.stages.is_some()), ("poisson", client.poisson)]
            {
                if given {
                    self.problem(&join(path, field), "does not go with arrivals, which say when each request begins");
                }
            }
            if !client.arrivals.is_sorted() {
                self.problem(&join(path, "arrivals"), "must be in order, the earliest first");
            }
        }
        let open = client.is_open_loop();
        for (field, given, of_open) in [
            ("poisson", client.poisson, true),
            ("max_in_flight", client.max_in_flight.is_some(), true),
            ("clients", client.clients.is_some(), false),
            ("think", !client.think.get().is_zero(), false),
            ("ramp_up", !client.ramp_up.get().is_zero(), false),
        ] {
            if given && of_open != open {
                let text = if of_open {
                    "goes with rate, stages or arrivals"
                } else {
                    "goes with none of rate, stages and arrivals"
                };
                self.problem(&join(path, field), text);
            }
        }
        if !open && client.requests.is_none() && client.think.get().is_zero() {
            self.problem(
                path,
                "give requests, rate, stages, arrivals or think: without any of them it would never pause",
            );
        }
        let last = client.until.unwrap_or(self.scenario.duration);
        if client.from > last {
            self.problem(&join(path, "from"), "comes behind its end");
        }
    }

    /// Only pages are asked for at the listener of the proxy's own pages, which has to be there.
    fn at_admin(&mut self, path: &str, client: &Client) {
        let host = client.proxy();
        if self.first_config(host).is_some_and(|config| config.admin.is_none()) {
            self.problem(&join(path, "entrance"), format!("{host} has no admin.listen_address"));
        }
        if client.actions().any(|written| !matches!(written.value().action.kind, ActionKind::Page { .. })) {
            self.problem(&join(path, "do"), "only a page can be asked for where the proxy's own pages are");
        }
    }

    /// What the proxy on `host` starts with, if there is one, and it is a configuration.
    fn first_config(&self, host: &str) -> Option<Config> {
        let is_proxy = self.scenario.proxies().any(|proxy| proxy == host);
        is_proxy.then(|| ConfigFile::first(self.scenario, host))?.config.ok()
    }

    /// A reload does not move the listener of the proxy's own pages, and a restart would: nobody could say where they are.
    fn keeps_its_pages(&mut self, path: &str, host: &str, file: &ConfigFile) {
        let pages = |config: &Config| config.admin.as_ref().map(|admin| admin.listen);
        if let (Some(first), Ok(config)) = (self.first_config(host), &file.config)
            && pages(&first) != pages(config)
        {
            self.problem(path, "admin.listen_address must stay as the proxy has it at its start");
        }
    }

    fn network(&mut self) {
        let network = &self.scenario.network;
        if network.tick.get() < Duration::from_millis(1) {
            self.problem("network.tick", "must be at least 1ms");
        }
        for (index, link) in network.links.iter().enumerate() {
            self.pair(&format!("network.links[{index}].between"), &link.between);
        }
        for (name, hosts) in &network.dns {
            for (index, host) in hosts.iter().enumerate() {
                self.host(&format!("network.dns.{name}[{index}]"), host);
            }
        }
    }

    fn timeline(&mut self) {
        for (index, entry) in self.scenario.timeline.iter().enumerate() {
            let path = format!("timeline[{index}]");
            if entry.at > self.scenario.duration {
                self.problem(&join(&path, "at"), format!("is behind the duration ({})", self.scenario.duration));
            }
            self.action(&path, &entry.action);
        }
    }

    /// The hosts of all upstreams that the proxy on `host` is ever given.
    fn configured(&self, host: &str) -> impl Iterator<Item = String> {
        let scenario = self.scenario;
        let reloads = scenario.timeline.iter().filter(move |entry| entry.action.told() == Some(host));
        let reloaded = reloads.filter_map(move |entry| match &entry.action {
            Action::Reload { text: Some(text), .. } => Some(ConfigFile::new(text.clone())),
            Action::Reload { proxy, .. } => Some(ConfigFile::complete(proxy, scenario)),
            _ => None,
        });
        let known = scenario.proxies().any(|proxy| proxy == host);
        let first = known.then(|| ConfigFile::first(scenario, host));
        let configs = first.into_iter().chain(reloaded).filter_map(|file| file.config.ok());
        configs.flat_map(|config| config.upstreams).map(|one| one.host.clone())
    }

    /// Says so if no upstream that the proxy which `action` is about is ever given has `upstream` for the host in its URL.
    fn of_url(&mut self, path: &str, upstream: &str, action: &Action) {
        let configured: BTreeSet<String> = self.configured(action.told().unwrap_or(PROXY)).collect();
        self.known(path, "upstream", upstream, configured.iter().map(String::as_str).collect());
    }

    fn action(&mut self, path: &str, action: &Action) {
        match action {
            Action::Partition { between } | Action::Hold { between } => self.pair(&join(path, "between"), between),
            Action::PartitionOneWay { from, to } => {
                self.host(&join(path, "from"), from);
                self.host(&join(path, "to"), to);
            }
            Action::Heal { between } | Action::Loss { between, .. } | Action::Delay { between, .. } => {
                if let Some(between) = between {
                    self.pair(&join(path, "between"), between);
                }
            }
            Action::Crash { host } | Action::Restart { host } => self.host(&join(path, "host"), host),
            Action::Reload { host, proxy, text } => {
                self.proxy(&join(path, "host"), host.as_deref());
                if proxy.is_null() == text.is_none() {
                    self.problem(path, "give either proxy or text");
                }
                let (field, file) = match text {
                    Some(text) => ("text", ConfigFile::new(text.clone())),
                    None => ("proxy", ConfigFile::complete(proxy, self.scenario)),
                };
                self.keeps_its_pages(&join(path, field), host.as_deref().unwrap_or(PROXY), &file);
            }
            Action::Dns { hosts, .. } => {
                for (index, host) in hosts.iter().enumerate() {
                    self.host(&format!("{path}.hosts[{index}]"), host);
                }
            }
            Action::Arm { upstream, fault } | Action::Disarm { upstream, fault } => {
                let scenario = self.scenario;
                let names = scenario.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
                self.known(&join(path, "upstream"), "upstream", upstream, names);
                let plan = scenario.upstreams.iter().find(|one| one.name == *upstream);
                if let Some(Ok(plan)) = plan.map(|one| one.fault_plan(0)) {
                    let ids = plan.entries().iter().map(|entry| entry.id.as_str()).collect();
                    self.known(&join(path, "fault"), "fault", fault, ids);
                }
            }
            Action::Steer { host, upstream, .. } => {
                self.proxy(&join(path, "host"), host.as_deref());
                self.of_url(&join(path, "upstream"), upstream, action);
            }
            Action::CloseTunnels { host, which } => {
                self.proxy(&join(path, "host"), host.as_deref());
                if let Some(upstream) = &which.upstream {
                    self.of_url(&join(&join(path, "which"), "upstream"), upstream, action);
                }
                if let Err(problem) = which.filter(which.upstream.as_deref()) {
                    self.problem(&join(path, "which"), problem.to_string());
                }
            }
            Action::Drain { host } => self.proxy(&join(path, "host"), host.as_deref()),
            Action::ClockJump { .. } => {}
        }
    }
}
