//! Plays a scenario: starts its hosts, does what its timeline says, heals, demands progress, and clears the stage.

mod epilogue;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use faulty_upstream::{FaultyUpstream, Plan};
use proxy::config::Config;
use proxy::proxy::Proxy;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value as Json;

use crate::client::Process;
use crate::engine::turmoil_net::{Gate, HostName, Link, LinkChange, Sim, SimEnv, WallClock, connect, lacks};
use crate::scenario::{Action, Client, PROXY, Scenario, Span};
use crate::trace::{ProxyEvent, ProxyWitness, Recorder, ScenarioEvent, Trace, What};
use crate::{configuration, upstream};

/// The host that demands progress.
pub const LIVENESS: &str = "liveness";
/// What a run leaves behind.
#[derive(Debug, Default)]
pub struct Played {
    /// All that happened.
    pub trace: Trace,
    /// What tasks panicked with.
    pub panics: Vec<String>,
    /// Tasks and connections of the proxy that were left when it had stopped.
    pub left: Vec<String>,
    /// Progress that was demanded and not made.
    pub stuck: Option<String>,
}

/// A proxy's process.
type Running = Rc<RefCell<Option<Arc<Proxy<SimEnv>>>>>;

struct Stage<'a> {
    scenario: &'a Scenario,
    sim: Sim,
    recorder: Recorder,
    wall: WallClock,
    seeds: ChaCha8Rng,
    host: HostName,
    proxy: Running,
    proxy_recorder: Recorder,
    /// The configuration file as it is.
    config: Config,
    draining: bool,
    plans: BTreeMap<HostName, Plan>,
    upstreams: BTreeMap<HostName, (Arc<FaultyUpstream>, Recorder)>,
    down: Vec<HostName>,
    seed: u64,
    /// How often each client was started, by its place.
    lives: BTreeMap<u32, u32>,
}

/// Plays `scenario` with `seed`.
pub fn play(scenario: &Scenario, seed: u64) -> Played {
    let mut stage = Stage::set(scenario, seed);
    let lacks = lacks(scenario);
    if !lacks.is_empty() {
        lacks.into_iter().for_each(|what| stage.tell(ScenarioEvent::Unsupported { what }));
        return Played { trace: stage.recorder.take(), ..Played::default() };
    }
    stage.phase("safety");
    let mut entries: Vec<_> = scenario.timeline.iter().enumerate().collect();
    entries.sort_by_key(|(_, entry)| entry.at);
    for (index, entry) in entries {
        stage.sim.run(entry.at.get(), || false);
        stage.play(index, &entry.action);
    }
    stage.sim.run(scenario.duration.get(), || false);
    stage.phase("liveness");
    let stuck = stage.demand_progress();
    stage.phase("end");
    let left = stage.clear();
    let panics = stage.sim.panics();
    let trace = stage.recorder.take();
    Played { trace, panics, left, stuck }
}

impl<'a> Stage<'a> {
    fn set(scenario: &'a Scenario, seed: u64) -> Self {
        let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
        let clients = scenario.clients.iter().map(|client| client.name.as_str());
        let names = [PROXY].into_iter().chain(upstreams).chain(clients).chain([LIVENESS]);
        let hosts: Vec<HostName> = names.map(HostName::new).collect();
        let mut seeds = ChaCha8Rng::seed_from_u64(seed);
        let network = &scenario.network;
        let link = Link {
            latency: network.latency.get(),
            jitter: network.jitter.get(),
            loss_ppm: parts_per_million(network.loss),
            bandwidth: network.bytes_per_second,
            gate: Gate::Open,
        };
        let sim = Sim::new(&hosts, link, network.tick.get(), seeds.next_u64());
        let recorder = Recorder::new(sim.started());
        let wall = sim.wall_clock();
        // Scenarios are parsed, and parsing tries the configuration.
        let config = configuration::first(scenario).expect("the configuration was checked with the scenario");
        let mut stage = Stage {
            scenario,
            sim,
            wall,
            seeds,
            host: HostName::new(PROXY),
            proxy: Running::default(),
            proxy_recorder: recorder.process(),
            recorder,
            config,
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
            let plan = upstream::read_plan(upstream, plan_seed).expect("the plan was checked with the scenario");
            stage.plans.insert(HostName::new(&upstream.name), plan);
            stage.start_upstream(&HostName::new(&upstream.name));
        }
        stage.start_proxy();
        for (place, client) in (0..).zip(&scenario.clients) {
            stage.start_client(place, client.clone(), scenario.duration);
        }
        stage
    }

    fn tell(&self, event: ScenarioEvent) {
        // As a host, since only there the clock is the virtual one.
        self.sim.as_host(&self.host, || self.recorder.write(&self.host, What::Scenario(event)));
    }

    fn phase(&self, name: &'static str) {
        self.tell(ScenarioEvent::Phase { name });
    }

    fn failed(&self, what: String) {
        self.tell(ScenarioEvent::Failed { what });
    }

    fn lay_links(&self) {
        let network = &self.scenario.network;
        for link in &network.links {
            let latency = link.latency.unwrap_or(network.latency).get();
            let jitter = link.jitter.unwrap_or(network.jitter).get();
            self.change_both(&link.between, LinkChange::Delay(latency, jitter));
            self.change_both(&link.between, LinkChange::Loss(parts_per_million(link.loss.unwrap_or(network.loss))));
            let bandwidth = link.bytes_per_second.or(network.bytes_per_second);
            self.change_both(&link.between, LinkChange::Bandwidth(bandwidth));
        }
        for (name, hosts) in &network.dns {
            self.set_name(name, hosts);
        }
    }

    fn set_name(&self, name: &str, hosts: &[String]) {
        let hosts: Vec<HostName> = hosts.iter().map(|host| HostName::new(host)).collect();
        self.sim.set_name(name, &hosts);
    }

    fn change_both(&self, (one, other): &(String, String), change: LinkChange) {
        let (one, other) = (HostName::new(one), HostName::new(other));
        self.sim.change_link(&one, &other, change);
        self.sim.change_link(&other, &one, change);
    }

    /// Changes the links between the two, or all links.
    fn change(&self, between: Option<&(String, String)>, change: LinkChange) {
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

    fn start_upstream(&mut self, host: &HostName) {
        let Some(settings) = self.scenario.upstreams.iter().find(|one| one.name == host.as_str()) else { return };
        let plan = self.plans[host].clone();
        let recorder = self.recorder.process();
        let (wall, heard) = (self.wall.clone(), recorder.clone());
        let upstream = self.sim.as_host(host, || upstream::start(settings, plan, wall, heard));
        self.upstreams.insert(host.clone(), (Arc::clone(&upstream), recorder.clone()));
        let name = host.clone();
        self.sim.spawn(host, async move {
            if let Err(error) = upstream::serve(upstream).await {
                let what = error.to_string();
                let event = match error.kind() {
                    ErrorKind::Unsupported => ScenarioEvent::Unsupported { what },
                    _ => ScenarioEvent::Failed { what },
                };
                recorder.write(&name, What::Scenario(event));
            }
        });
    }

    fn start_proxy(&mut self) {
        self.draining = false;
        self.recorder.proxy_starts(&self.config);
        let env = self.sim.env(&self.host, self.wall.clone(), self.seeds.next_u64());
        self.proxy_recorder = self.recorder.process();
        let observer = Arc::new(ProxyWitness { host: self.host.clone(), recorder: self.proxy_recorder.clone() });
        let (config, slot, recorder, host) =
            (self.config.clone(), Rc::clone(&self.proxy), self.recorder.clone(), self.host.clone());
        self.sim.spawn(&self.host, async move {
            match Proxy::start(config, env, observer).await {
                Ok(proxy) => {
                    recorder.write(&host, What::Proxy(ProxyEvent::Started { epoch: 1 }));
                    *slot.borrow_mut() = Some(Arc::new(proxy));
                }
                Err(error) => {
                    recorder.write(&host, What::Scenario(ScenarioEvent::Failed { what: error.to_string() }));
                }
            }
        });
    }

    fn proxy_address(&self) -> SocketAddr {
        SocketAddr::new(self.sim.address(&self.host), self.config.server.listen.port())
    }

    fn start_client(&mut self, place: u32, client: Client, last: Span) {
        let now = self.sim.now();
        let lives = self.lives.entry(place).or_default();
        let life = std::mem::replace(lives, *lives + 1);
        let wait = client.from.get().saturating_sub(now);
        let last = client.until.unwrap_or(last).get().saturating_sub(now);
        let (host, proxy) = (HostName::new(&client.name), self.proxy_address());
        let recorder = self.recorder.clone();
        let process = Process { client, place, life, seed: self.seed, wait, last, recorder };
        self.sim.spawn(&host, process.run(move || connect(proxy)));
    }

    fn play(&mut self, entry: usize, action: &Action) {
        let does = serde_json::to_string(action).unwrap_or_default();
        self.tell(ScenarioEvent::Played { entry, does });
        match action {
            Action::Partition { between } => self.change(Some(between), LinkChange::Gate(Gate::Cut)),
            Action::PartitionOneWay { from, to } => {
                let change = LinkChange::Gate(Gate::Cut);
                self.sim.change_link(&HostName::new(from), &HostName::new(to), change);
            }
            Action::Hold { between } => self.change(Some(between), LinkChange::Gate(Gate::Held)),
            Action::Heal { between } => {
                self.change(between.as_ref(), LinkChange::Loss(0));
                self.change(between.as_ref(), LinkChange::Gate(Gate::Open));
            }
            Action::Loss { between, share } => {
                self.change(between.as_ref(), LinkChange::Loss(parts_per_million(*share)));
            }
            Action::Delay { between, latency, jitter } => {
                self.change(between.as_ref(), LinkChange::Delay(latency.get(), jitter.get()));
            }
            Action::Crash { host } => self.crash(&HostName::new(host)),
            Action::Restart { host } => self.restart(&HostName::new(host)),
            Action::Reload { proxy, text } => self.reload(proxy, text.as_deref()),
            Action::Drain => self.drain(),
            // Checked with the scenario; a jump of nothing changes nothing.
            Action::ClockJump { by } => self.wall.jump(jump(by).unwrap_or(0)),
            Action::Dns { name, hosts } => self.set_name(name, hosts),
            Action::Arm { upstream, fault } => self.arm(&HostName::new(upstream), fault, true),
            Action::Disarm { upstream, fault } => self.arm(&HostName::new(upstream), fault, false),
        }
    }

    fn crash(&mut self, host: &HostName) {
        if self.down.contains(host) {
            return;
        }
        if *host == self.host {
            self.proxy_recorder.end();
        } else if let Some((_, recorder)) = self.upstreams.get(host) {
            recorder.end();
        }
        self.sim.crash(host);
        if *host == self.host {
            let proxy = self.proxy.take();
            self.sim.as_host(host, || drop(proxy));
        }
        self.down.push(host.clone());
    }

    fn restart(&mut self, host: &HostName) {
        if !self.down.contains(host) {
            self.crash(host);
        }
        self.down.retain(|one| one != host);
        // What the crash has reset is forgotten when hosts send next, and only then is the port free.
        let now = self.sim.now();
        self.sim.run(now + 2 * self.scenario.network.tick.get(), || false);
        if *host == self.host {
            self.start_proxy();
        } else if self.upstreams.contains_key(host) {
            self.start_upstream(host);
        } else if let Some((place, client)) =
            (0..).zip(&self.scenario.clients).find(|(_, client)| client.name == host.as_str())
        {
            self.start_client(place, client.clone(), self.scenario.duration);
        }
    }

    fn arm(&mut self, host: &HostName, fault: &str, armed: bool) {
        // A restarted process begins with the plan as it is now.
        if let Some(plan) = self.plans.get_mut(host)
            && let Err(text) = plan.arm(fault, armed)
        {
            self.failed(text);
        }
        if let Some((upstream, _)) = self.upstreams.get(host) {
            let word = if armed { "arm" } else { "disarm" };
            let change = || upstream.change_plan(|plan| plan.arm(fault, armed).map(|()| format!("{word} {fault}")));
            let change = self.sim.as_host(host, change);
            if let Err(text) = change {
                self.failed(text);
            }
        }
    }

    fn reload(&mut self, proxy: &Json, text: Option<&str>) {
        let config = match text {
            Some(text) => configuration::text(text),
            None => configuration::complete(proxy, self.scenario),
        };
        let Some(running) = self.proxy.borrow().clone() else { return };
        match config {
            Ok(config) => {
                self.recorder.proxy_reloads(&config);
                self.config = config.clone();
                let recorder = self.recorder.clone();
                let host = self.host.clone();
                self.sim.spawn(&self.host, async move {
                    if let Err(error) = running.reload(config) {
                        recorder.write(&host, What::Scenario(ScenarioEvent::Failed { what: error.to_string() }));
                    }
                });
            }
            Err(problems) => self.sim.spawn(&self.host, async move { running.refuse_reload(&problems) }),
        }
        self.settle();
    }

    fn drain(&mut self) {
        self.draining = true;
        if let Some(running) = self.proxy.borrow().clone() {
            self.sim.spawn(&self.host, async move {
                running.drain().await;
            });
        }
        self.settle();
    }

    /// Lets what was just started have its first turn.
    fn settle(&mut self) {
        let now = self.sim.now();
        self.sim.run(now + self.scenario.network.tick.get(), || false);
    }
}

/// "1h" or "-1h" in milliseconds.
pub fn jump(text: &str) -> Option<i64> {
    let (sign, length) = match text.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, text),
    };
    let length = humantime::parse_duration(length).ok()?;
    i64::try_from(length.as_millis()).ok().map(|milliseconds| sign * milliseconds)
}

fn parts_per_million(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1_000_000.0).round() as u32
}
