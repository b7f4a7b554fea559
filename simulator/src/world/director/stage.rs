//! The stage starts, crashes and restarts hosts, changes links, and reloads and drains the proxy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use faulty_upstream::{FaultyUpstream, Plan};
use proxy::config::Config;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value as Json;

use crate::record::{Clock, Recorder, ScenarioEvent, What};
use crate::scenario::{
    ByHand, Client, ConfigFile, Entrance, HostName, PROXY, Reorder, Scenario, Span, WhichTunnels, own_client,
};
use crate::subject::Subject;
use crate::world::engine::RunsProxy;
use crate::world::link::{LinkChange, parts_per_million};
use crate::world::patience::Patience;
use crate::world::programs::client::ClientProcess;
use crate::world::programs::connector::ToProxy;
use crate::world::programs::upstream;
use crate::world::wall_clock::WallClock;

/// A process of an upstream, which is `None` until it has begun, and the recorder of that process.
pub(super) type Upstream = (Rc<RefCell<Option<Arc<FaultyUpstream>>>>, Recorder);

/// A proxy of the scenario.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) host: HostName,
    /// The recorder of its process.
    recorder: Recorder,
    /// The newest valid configuration file.
    file: ConfigFile,
    /// What it says, with what was set by hand since the proxy read it.
    pub(super) config: Config,
    /// Whether it was told to stop.
    pub(super) draining: bool,
}

impl Proxy {
    /// The host of the run's own requests to it.
    pub(super) fn own_client(&self) -> HostName {
        own_client(self.host.as_str())
    }

    /// The port of this listener of its; of that for clients where the pages have none of their own.
    pub(super) fn port(&self, entrance: Entrance) -> u16 {
        let admin = self.config.admin.as_ref().filter(|_| entrance == Entrance::Admin);
        admin.map_or(self.config.server.listen, |admin| admin.listen).port()
    }
}

/// A scenario that is being played, and the engine in which it is.
pub(super) struct Stage<'a, E> {
    pub(super) scenario: &'a Scenario,
    /// The proxy under test.
    pub(super) subject: Arc<Subject>,
    pub(super) engine: E,
    pub(super) clock: Clock,
    pub(super) wall: WallClock,
    pub(super) recorder: Recorder,
    pub(super) seeds: ChaCha8Rng,
    /// The proxies, that of the host [`PROXY`] first.
    pub(super) proxies: Vec<Proxy>,
    pub(super) plans: BTreeMap<HostName, Plan>,
    pub(super) upstreams: BTreeMap<HostName, Upstream>,
    pub(super) down: Vec<HostName>,
    pub(super) seed: u64,
    /// How often each client was started, by its place in the scenario.
    pub(super) lives: BTreeMap<u32, u32>,
}

impl<'a, E: RunsProxy> Stage<'a, E> {
    pub(super) fn set(subject: &Arc<Subject>, scenario: &'a Scenario, seed: u64, keeps_log: bool) -> io::Result<Self> {
        let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
        let clients = scenario.clients.iter().map(|client| client.name.as_str());
        let first = [PROXY].into_iter().chain(upstreams).chain(clients).map(HostName::new);
        let further = scenario.further_proxies.keys().map(|name| HostName::new(name));
        let hosts: Vec<HostName> = first.chain(scenario.proxies().map(own_client)).chain(further).collect();
        let mut seeds = ChaCha8Rng::seed_from_u64(seed);
        let mut engine = E::new(&hosts, scenario, seeds.next_u64(), Patience::new(&scenario.name, seed))?;
        engine.set_subject(Arc::clone(subject));
        if keeps_log {
            engine.keep_log();
        }
        let (clock, wall) = (engine.clock(), engine.wall());
        let recorder = Recorder::new(clock.clone());
        let proxies = scenario.proxies().map(|host| {
            let file = ConfigFile::first(scenario, host);
            Proxy {
                host: HostName::new(host),
                recorder: recorder.process(),
                config: file.config.clone().expect("the configuration was checked with the scenario"),
                file,
                draining: false,
            }
        });
        let mut stage = Stage {
            scenario,
            subject: Arc::clone(subject),
            engine,
            clock,
            wall,
            seeds,
            proxies: proxies.collect(),
            recorder,
            plans: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            down: Vec::new(),
            seed,
            lives: BTreeMap::new(),
        };
        stage.lay_links();
        for upstream in &scenario.upstreams {
            let plan_seed = stage.seeds.next_u64();
            let plan = upstream.fault_plan(plan_seed).expect("the plan was checked with the scenario");
            stage.plans.insert(HostName::new(&upstream.name), plan);
            stage.start_upstream(&HostName::new(&upstream.name));
        }
        for place in 0..stage.proxies.len() {
            stage.start_proxy(place);
        }
        stage.engine.begin();
        // A proxy may take its time to start, and the upstreams were there before it. Where none has run yet, its time begins by itself.
        stage.upstreams.values().filter_map(|(slot, _)| slot.borrow().clone()).for_each(|upstream| upstream.begin());
        for (place, client) in (0..).zip(&scenario.clients) {
            stage.start_client(place, client.clone(), scenario.duration);
        }
        Ok(stage)
    }

    pub(super) fn tell(&self, event: ScenarioEvent) {
        self.recorder.write(&self.proxies[0].host, What::Scenario(event));
    }

    pub(super) fn phase(&self, name: &'static str) {
        self.tell(ScenarioEvent::Phase { name });
    }

    pub(super) fn failed(&self, what: String) {
        self.tell(ScenarioEvent::Failed { what });
    }

    pub(super) fn lay_links(&mut self) {
        let network = &self.scenario.network;
        for link in &network.links {
            let latency = link.latency.unwrap_or(network.latency).get();
            let jitter = link.jitter.unwrap_or(network.jitter).get();
            self.change_both(&link.between, LinkChange::Delay(latency, jitter));
            self.change_both(&link.between, LinkChange::Loss(parts_per_million(link.loss.unwrap_or(network.loss))));
            if let Some(Reorder { share, by }) = link.reorder.or(network.reorder) {
                self.change_both(&link.between, LinkChange::Reorder(parts_per_million(share), by.get()));
            }
            let bandwidth = link.bytes_per_second.or(network.bytes_per_second);
            self.change_both(&link.between, LinkChange::Bandwidth(bandwidth));
        }
        for (name, hosts) in &network.dns {
            self.set_name(name, hosts);
        }
    }

    pub(super) fn set_name(&mut self, name: &str, hosts: &[String]) {
        let hosts: Vec<HostName> = hosts.iter().map(|host| HostName::new(host)).collect();
        self.engine.set_name(name, &hosts);
    }

    pub(super) fn change_both(&mut self, (one, other): &(String, String), change: LinkChange) {
        let (one, other) = (HostName::new(one), HostName::new(other));
        self.engine.change_link(&one, &other, change);
        self.engine.change_link(&other, &one, change);
    }

    /// Changes the links between two hosts, or all links.
    pub(super) fn change(&mut self, between: Option<&(String, String)>, change: LinkChange) {
        match between {
            Some(between) => self.change_both(between, change),
            None => {
                let upstreams = self.scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
                let clients = self.scenario.clients.iter().map(|client| client.name.as_str());
                let others: Vec<&str> = upstreams.chain(clients).collect();
                let proxies: Vec<&str> = self.scenario.proxies().collect();
                for (place, proxy) in proxies.iter().enumerate() {
                    for other in others.iter().chain(&proxies[place + 1..]) {
                        self.change_both(&((*proxy).to_owned(), (*other).to_owned()), change);
                    }
                }
            }
        }
    }

    pub(super) fn start_upstream(&mut self, host: &HostName) {
        let Some(settings) = self.scenario.upstreams.iter().find(|one| one.name == host.as_str()).cloned() else {
            return;
        };
        let (plan, recorder, wall) = (self.plans[host].clone(), self.recorder.process(), self.wall.clone());
        let slot = Rc::new(RefCell::new(None));
        self.upstreams.insert(host.clone(), (Rc::clone(&slot), recorder.clone()));
        let name = host.clone();
        self.engine.spawn(host, move |host| async move {
            let upstream = upstream::start(&settings, plan, wall, recorder.clone());
            *slot.borrow_mut() = Some(Arc::clone(&upstream));
            if let Err(error) = upstream::serve(upstream, host).await {
                let what = error.to_string();
                let event = match error.kind() {
                    ErrorKind::Unsupported => ScenarioEvent::Unsupported { what },
                    _ => ScenarioEvent::Failed { what },
                };
                recorder.write(&name, What::Scenario(event));
            }
        });
    }

    /// The place of the proxy on `host`, if there is one.
    pub(super) fn proxy_on(&self, host: &str) -> Option<usize> {
        self.proxies.iter().position(|proxy| proxy.host.as_str() == host)
    }

    fn start_proxy(&mut self, place: usize) {
        let recorder = self.recorder.process();
        let proxy = &mut self.proxies[place];
        (proxy.draining, proxy.recorder) = (false, recorder.clone());
        if let Ok(config) = &proxy.file.config {
            proxy.config = config.clone();
        }
        recorder.configure(&proxy.config);
        let seed = self.seeds.next_u64();
        self.engine.start_proxy(&proxy.host, &proxy.file, recorder, seed);
    }

    pub(super) fn start_client(&mut self, place: u32, client: Client, last: Span) {
        let now = self.clock.now();
        let lives = self.lives.entry(place).or_default();
        let life = std::mem::replace(lives, *lives + 1);
        let wait = client.from.get().saturating_sub(now);
        let last = client.until.unwrap_or(last).get().saturating_sub(now);
        let proxy = &self.proxies[self.proxy_on(client.proxy()).unwrap_or(0)];
        let address = SocketAddr::new(self.engine.address(&proxy.host), proxy.port(client.entrance));
        let name = HostName::new(&client.name);
        let process =
            ClientProcess { client, place, life, seed: self.seed, wait, last, recorder: self.recorder.clone() };
        let wall = self.wall.clone();
        self.engine.spawn(&name, move |host| process.run(ToProxy::new(host, address, wall)));
    }

    pub(super) fn crash(&mut self, host: &HostName) {
        if self.down.contains(host) {
            return;
        }
        if let Some(place) = self.proxy_on(host.as_str()) {
            self.proxies[place].recorder.end();
        } else if let Some((_, recorder)) = self.upstreams.get(host) {
            recorder.end();
        }
        self.engine.crash(host);
        self.down.push(host.clone());
    }

    pub(super) fn restart(&mut self, host: &HostName) {
        if !self.down.contains(host) {
            self.crash(host);
        }
        self.down.retain(|one| one != host);
        // A host forgets the connections that a crash has reset only when it sends next, and its port is not free before.
        self.engine.settle();
        self.engine.settle();
        if let Some(place) = self.proxy_on(host.as_str()) {
            self.start_proxy(place);
            // What comes next in the same instant finds a process that runs.
            self.engine.settle();
        } else if self.upstreams.contains_key(host) {
            self.start_upstream(host);
        } else if let Some((place, client)) =
            (0..).zip(&self.scenario.clients).find(|(_, client)| client.name == host.as_str())
        {
            self.start_client(place, client.clone(), self.scenario.duration);
        }
    }

    pub(super) fn arm(&mut self, host: &HostName, fault: &str, armed: bool) {
        // A restarted process begins with the plan as it is now.
        if let Some(plan) = self.plans.get_mut(host)
            && let Err(text) = plan.arm(fault, armed)
        {
            self.failed(text);
        }
        let running = self.upstreams.get(host).filter(|_| !self.down.contains(host));
        let Some((slot, recorder)) = running else { return };
        let (slot, recorder, name, fault) = (Rc::clone(slot), recorder.clone(), host.clone(), fault.to_owned());
        self.engine.spawn(host, move |_| async move {
            let word = if armed { "arm" } else { "disarm" };
            let change = |plan: &mut Plan| plan.arm(&fault, armed).map(|()| format!("{word} {fault}"));
            let running = slot.borrow().clone();
            if let Some(Err(what)) = running.map(|upstream| upstream.change_plan(change)) {
                recorder.write(&name, What::Scenario(ScenarioEvent::Failed { what }));
            }
        });
        self.engine.settle();
    }

    pub(super) fn reload(&mut self, place: usize, proxy: &Json, text: Option<&str>) {
        let file = match text {
            Some(text) => ConfigFile::new(text.to_owned()),
            None => ConfigFile::complete(proxy, self.scenario),
        };
        let proxy = &mut self.proxies[place];
        if self.down.contains(&proxy.host) {
            return;
        }
        if let Ok(config) = &file.config {
            proxy.recorder.configure(config);
            proxy.config = config.clone();
            proxy.file = file.clone();
        }
        self.engine.reload_proxy(&proxy.host, &file);
        self.engine.settle();
    }

    pub(super) fn steer(&mut self, place: usize, upstream: &str, order: ByHand) {
        let proxy = &mut self.proxies[place];
        if self.down.contains(&proxy.host) {
            return;
        }
        order.set(upstream, &mut proxy.config);
        for one in proxy.config.upstreams.iter().filter(|one| one.host == upstream) {
            self.engine.steer_proxy(&proxy.host, &one.name, order);
        }
        self.engine.settle();
    }

    pub(super) fn close_tunnels(&mut self, place: usize, which: &WhichTunnels) {
        let proxy = &self.proxies[place];
        if self.down.contains(&proxy.host) {
            return;
        }
        for filter in which.filters(&proxy.config) {
            self.engine.close_tunnels(&proxy.host, &filter);
        }
        self.engine.settle();
    }

    pub(super) fn drain(&mut self, place: usize) {
        let proxy = &mut self.proxies[place];
        proxy.draining = true;
        self.engine.drain_proxy(&proxy.host);
        self.engine.settle();
    }
}
