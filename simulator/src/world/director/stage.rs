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
use crate::scenario::{Client, ConfigFile, HostName, LIVENESS, PROXY, Reorder, Scenario, Span};
use crate::world::engine::{Host, RunsProxy};
use crate::world::link::{LinkChange, parts_per_million};
use crate::world::patience::Patience;
use crate::world::programs::client::ClientProcess;
use crate::world::programs::upstream;
use crate::world::wall_clock::WallClock;

/// A process of an upstream, which is `None` until it has begun, and the recorder of that process.
pub(super) type Upstream = (Rc<RefCell<Option<Arc<FaultyUpstream>>>>, Recorder);

/// A scenario that is being played, and the engine in which it is.
pub(super) struct Stage<'a, E> {
    pub(super) scenario: &'a Scenario,
    pub(super) engine: E,
    pub(super) clock: Clock,
    pub(super) wall: WallClock,
    pub(super) recorder: Recorder,
    pub(super) seeds: ChaCha8Rng,
    pub(super) host: HostName,
    pub(super) proxy_recorder: Recorder,
    /// The newest valid configuration file, and what it means.
    pub(super) file: ConfigFile,
    pub(super) config: Config,
    pub(super) draining: bool,
    pub(super) plans: BTreeMap<HostName, Plan>,
    pub(super) upstreams: BTreeMap<HostName, Upstream>,
    pub(super) down: Vec<HostName>,
    pub(super) seed: u64,
    /// How often each client was started, by its place in the scenario.
    pub(super) lives: BTreeMap<u32, u32>,
}

impl<'a, E: RunsProxy> Stage<'a, E> {
    pub(super) fn set(scenario: &'a Scenario, seed: u64) -> io::Result<Self> {
        let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
        let clients = scenario.clients.iter().map(|client| client.name.as_str());
        let names = [PROXY].into_iter().chain(upstreams).chain(clients).chain([LIVENESS]);
        let hosts: Vec<HostName> = names.map(HostName::new).collect();
        let mut seeds = ChaCha8Rng::seed_from_u64(seed);
        let engine = E::new(&hosts, scenario, seeds.next_u64(), Patience::new(&scenario.name, seed))?;
        let (clock, wall) = (engine.clock(), engine.wall());
        let recorder = Recorder::new(clock.clone());
        let file = ConfigFile::first(scenario);
        let mut stage = Stage {
            scenario,
            engine,
            clock,
            wall,
            seeds,
            host: HostName::new(PROXY),
            proxy_recorder: recorder.process(),
            recorder,
            config: file.config.clone().expect("the configuration was checked with the scenario"),
            file,
            draining: false,
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
        stage.start_proxy();
        stage.engine.begin();
        for (place, client) in (0..).zip(&scenario.clients) {
            stage.start_client(place, client.clone(), scenario.duration);
        }
        Ok(stage)
    }

    pub(super) fn tell(&self, event: ScenarioEvent) {
        self.recorder.write(&self.host, What::Scenario(event));
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
                let upstreams = self.scenario.upstreams.iter().map(|upstream| &upstream.name);
                let clients = self.scenario.clients.iter().map(|client| &client.name);
                for other in upstreams.chain(clients) {
                    self.change_both(&(PROXY.to_owned(), other.clone()), change);
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

    pub(super) fn start_proxy(&mut self) {
        self.draining = false;
        self.recorder.proxy_starts(&self.config);
        self.proxy_recorder = self.recorder.process();
        let seed = self.seeds.next_u64();
        self.engine.start_proxy(&self.file, self.proxy_recorder.clone(), seed);
    }

    pub(super) fn proxy_address(&self) -> SocketAddr {
        SocketAddr::new(self.engine.address(&self.host), self.config.server.listen.port())
    }

    pub(super) fn start_client(&mut self, place: u32, client: Client, last: Span) {
        let now = self.clock.now();
        let lives = self.lives.entry(place).or_default();
        let life = std::mem::replace(lives, *lives + 1);
        let wait = client.from.get().saturating_sub(now);
        let last = client.until.unwrap_or(last).get().saturating_sub(now);
        let (name, proxy) = (HostName::new(&client.name), self.proxy_address());
        let process =
            ClientProcess { client, place, life, seed: self.seed, wait, last, recorder: self.recorder.clone() };
        self.engine.spawn(&name, move |host| async move {
            process
                .run(move || {
                    let host = host.clone();
                    async move { host.connect(proxy).await }
                })
                .await
        });
    }

    pub(super) fn crash(&mut self, host: &HostName) {
        if self.down.contains(host) {
            return;
        }
        if *host == self.host {
            self.proxy_recorder.end();
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
        if *host == self.host {
            self.start_proxy();
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

    pub(super) fn reload(&mut self, proxy: &Json, text: Option<&str>) {
        let file = match text {
            Some(text) => ConfigFile::new(text.to_owned()),
            None => ConfigFile::complete(proxy, self.scenario),
        };
        if self.down.contains(&self.host) {
            return;
        }
        if let Ok(config) = &file.config {
            self.recorder.proxy_reloads(config);
            self.config = config.clone();
            self.file = file.clone();
        }
        self.engine.reload_proxy(&file);
        self.engine.settle();
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.engine.drain_proxy();
        self.engine.settle();
    }
}
