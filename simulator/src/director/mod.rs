//! Plays a scenario: starts its hosts, does what its timeline says, heals, demands progress, and clears the stage.

mod epilogue;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use faulty_upstream::{FaultyUpstream, Plan};
use proxy::config::Config;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value as Json;

use crate::client::Process;
use crate::configuration::ConfigFile;
use crate::engine::{Clock, Engine, Gate, Host, HostName, LinkChange, WallClock, parts_per_million};
use crate::scenario::{Action, Client, PROXY, Reorder, Scenario, Span};
use crate::trace::{Recorder, ScenarioEvent, Trace, What};
use crate::upstream;

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
    /// How far apart two witnesses may tell of one instant.
    pub clocks_apart: Duration,
    /// How late the engine may do what is due.
    pub late: Duration,
}

/// A running process of an upstream, once it has begun, and what writes down what it tells.
type Upstream = (Rc<RefCell<Option<Arc<FaultyUpstream>>>>, Recorder);

struct Stage<'a, E> {
    scenario: &'a Scenario,
    engine: E,
    clock: Clock,
    wall: WallClock,
    recorder: Recorder,
    seeds: ChaCha8Rng,
    host: HostName,
    proxy_recorder: Recorder,
    /// The newest configuration file that is right, and what it says.
    file: ConfigFile,
    config: Config,
    draining: bool,
    plans: BTreeMap<HostName, Plan>,
    upstreams: BTreeMap<HostName, Upstream>,
    down: Vec<HostName>,
    seed: u64,
    /// How often each client was started, by its place.
    lives: BTreeMap<u32, u32>,
}

/// Plays `scenario` with `seed` on an engine.
///
/// # Errors
/// The machine does not give what the engine takes.
pub fn play<E: Engine>(scenario: &Scenario, seed: u64) -> io::Result<Played> {
    let mut stage = Stage::<E>::set(scenario, seed)?;
    stage.phase("safety");
    let mut entries: Vec<_> = scenario.timeline.iter().enumerate().collect();
    entries.sort_by_key(|(_, entry)| entry.at);
    for (index, entry) in entries {
        stage.engine.run(entry.at.get(), || false);
        stage.play(index, &entry.action);
    }
    stage.engine.run(scenario.duration.get(), || false);
    stage.phase("liveness");
    let stuck = stage.demand_progress();
    stage.phase("end");
    let left = stage.clear();
    let panics = stage.engine.panics();
    let mut trace = stage.recorder.take();
    // A witness may be heard later than it told.
    trace.lines.sort_by_key(|line| line.at_us);
    Ok(Played { trace, panics, left, stuck, clocks_apart: E::CLOCKS_APART, late: E::LATE })
}

impl<'a, E: Engine> Stage<'a, E> {
    fn set(scenario: &'a Scenario, seed: u64) -> io::Result<Self> {
        let upstreams = scenario.upstreams.iter().map(|upstream| upstream.name.as_str());
        let clients = scenario.clients.iter().map(|client| client.name.as_str());
        let names = [PROXY].into_iter().chain(upstreams).chain(clients).chain([LIVENESS]);
        let hosts: Vec<HostName> = names.map(HostName::new).collect();
        let mut seeds = ChaCha8Rng::seed_from_u64(seed);
        let engine = E::new(&hosts, scenario, seeds.next_u64())?;
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
            let plan = upstream::read_plan(upstream, plan_seed).expect("the plan was checked with the scenario");
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

    fn tell(&self, event: ScenarioEvent) {
        self.recorder.write(&self.host, What::Scenario(event));
    }

    fn phase(&self, name: &'static str) {
        self.tell(ScenarioEvent::Phase { name });
    }

    fn failed(&self, what: String) {
        self.tell(ScenarioEvent::Failed { what });
    }

    fn lay_links(&mut self) {
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

    fn set_name(&mut self, name: &str, hosts: &[String]) {
        let hosts: Vec<HostName> = hosts.iter().map(|host| HostName::new(host)).collect();
        self.engine.set_name(name, &hosts);
    }

    fn change_both(&mut self, (one, other): &(String, String), change: LinkChange) {
        let (one, other) = (HostName::new(one), HostName::new(other));
        self.engine.change_link(&one, &other, change);
        self.engine.change_link(&other, &one, change);
    }

    /// Changes the links between the two, or all links.
    fn change(&mut self, between: Option<&(String, String)>, change: LinkChange) {
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

    fn start_proxy(&mut self) {
        self.draining = false;
        self.recorder.proxy_starts(&self.config);
        self.proxy_recorder = self.recorder.process();
        let seed = self.seeds.next_u64();
        self.engine.start_proxy(&self.file, self.proxy_recorder.clone(), seed);
    }

    fn proxy_address(&self) -> SocketAddr {
        SocketAddr::new(self.engine.address(&self.host), self.config.server.listen.port())
    }

    fn start_client(&mut self, place: u32, client: Client, last: Span) {
        let now = self.clock.now();
        let lives = self.lives.entry(place).or_default();
        let life = std::mem::replace(lives, *lives + 1);
        let wait = client.from.get().saturating_sub(now);
        let last = client.until.unwrap_or(last).get().saturating_sub(now);
        let (name, proxy) = (HostName::new(&client.name), self.proxy_address());
        let process = Process { client, place, life, seed: self.seed, wait, last, recorder: self.recorder.clone() };
        self.engine.spawn(&name, move |host| async move {
            process
                .run(move || {
                    let host = host.clone();
                    async move { host.connect(proxy).await }
                })
                .await
        });
    }

    fn play(&mut self, entry: usize, action: &Action) {
        let does = serde_json::to_string(action).unwrap_or_default();
        self.tell(ScenarioEvent::Played { entry, does });
        match action {
            Action::Partition { between } => self.change(Some(between), LinkChange::Gate(Gate::Cut)),
            Action::PartitionOneWay { from, to } => {
                let change = LinkChange::Gate(Gate::Cut);
                self.engine.change_link(&HostName::new(from), &HostName::new(to), change);
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
        self.engine.crash(host);
        self.down.push(host.clone());
    }

    fn restart(&mut self, host: &HostName) {
        if !self.down.contains(host) {
            self.crash(host);
        }
        self.down.retain(|one| one != host);
        // What the crash has reset is forgotten when hosts send next, and only then is the port free.
        self.engine.settle();
        self.engine.settle();
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

    fn reload(&mut self, proxy: &Json, text: Option<&str>) {
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

    fn drain(&mut self) {
        self.draining = true;
        self.engine.drain_proxy();
        self.engine.settle();
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
