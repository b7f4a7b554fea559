//! The second engine is turmoil's own `Sim`: each host has a runtime and a clock of its own, and TCP is turmoil's.
//!
//! It gives a second opinion: another implementation of TCP under the same proxy and the same laws. [`Engine::unsupported`]
//! names what it can't do. turmoil differs from the default engine in these points:
//!
//! - A partition of a scenario is turmoil's `hold`: nothing passes, and what was sent arrives when the partition ends. To a
//!   program, retransmission looks the same. turmoil's own partition loses segments, and nobody sends them again.
//! - A handshake takes one latency, not two, because the client hears at once that it was accepted.
//! - turmoil's `crash` drops tasks outside of any runtime, where clocks show real time. So this engine does not use it: the
//!   host's own runtime drops the tasks, in the order in which they were started.
//! - A connection that was refused or given up keeps its port. After some 55,000 of them a host has no port left, and
//!   turmoil panics.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::line;
use super::machine::{Machine, Network, SimHost};
use crate::record::{Clock, GaveUp};
use crate::scenario::{Action, Chance, HostName, Scenario};
use crate::world::engine::Engine;
use crate::world::link::{Gate, LinkChange};
use crate::world::patience::Patience;
use crate::world::simulated::chance::Dice;
use crate::world::simulated::env::SimEnv;
use crate::world::simulated::proxy::{InProcess, Proxies};
use crate::world::wall_clock::WallClock;

/// How many segments a socket holds, and how many connections a listener, before turmoil panics. No run gets there: a
/// connection has at most a window of bytes under way, and therefore at most as many segments.
const CAPACITY: usize = line::WINDOW;
/// The ports of outgoing connections. turmoil's default has 16,384 of them, which a long outage uses up.
const PORTS: std::ops::RangeInclusive<u16> = 10_000..=u16::MAX;

/// A job that a host runs on its own runtime.
type Job = Box<dyn FnOnce()>;

/// The jobs that others give to one host.
#[derive(Default)]
struct Queue {
    jobs: RefCell<VecDeque<Job>>,
    more: Notify,
}

impl Queue {
    fn push(&self, job: impl FnOnce() + 'static) {
        self.jobs.borrow_mut().push_back(Box::new(job));
        self.more.notify_one();
    }

    fn next(&self) -> Option<Job> {
        self.jobs.borrow_mut().pop_front()
    }
}

/// One simulated network and the virtual time it runs in.
pub(in crate::world) struct Turmoil {
    // The proxies are dropped first and outside the network, so that the connections that they still hold are closed without a packet.
    proxies: Proxies<SimEnv<SimHost>>,
    sim: ::turmoil::Sim<'static>,
    hosts: BTreeMap<HostName, (Arc<Machine>, Rc<Queue>)>,
    network: Arc<Network>,
    /// The latest time that any host's clock has shown, in nanoseconds.
    newest: Arc<AtomicU64>,
    clock: Clock,
    wall: WallClock,
    chance: Chance,
}

impl Engine for Turmoil {
    type Host = SimHost;

    fn unsupported(scenario: &Scenario) -> Vec<String> {
        let network = &scenario.network;
        let loses = network.loss > 0.0
            || network.links.iter().any(|link| link.loss.is_some_and(|loss| loss > 0.0))
            || scenario.timeline.iter().any(|entry| matches!(entry.action, Action::Loss { share, .. } if share > 0.0));
        let reorders = network.reorder.is_some() || network.links.iter().any(|link| link.reorder.is_some());
        let limits =
            network.bytes_per_second.is_some() || network.links.iter().any(|link| link.bytes_per_second.is_some());
        let one_way = scenario.timeline.iter().any(|entry| matches!(entry.action, Action::PartitionOneWay { .. }));
        let refused = [
            (loses, "loss: turmoil's TCP sends nothing twice, so a lost segment stalls its connection for good"),
            (reorders, "reorder: turmoil's links have no packet that others overtake"),
            (limits, "bytes_per_second: turmoil's links carry any number of bytes at once"),
            (one_way, "partition-one-way: turmoil holds packets in both directions, or loses them for good"),
        ];
        refused.into_iter().filter(|(asked, _)| *asked).map(|(_, why)| why.to_owned()).collect()
    }

    /// Makes a network of `hosts` in which each host reaches each other one by its name. Time advances by the scenario's tick,
    /// which is at least a millisecond. turmoil draws the jitter: it is mostly small, and sometimes as large as allowed.
    fn new(hosts: &[HostName], scenario: &Scenario, seed: u64, patience: Patience) -> io::Result<Self> {
        let latency = scenario.network.latency.get();
        let dice = Dice::new(&scenario.chance, seed);
        let mut builder = ::turmoil::Builder::new();
        if dice.draws_order() {
            builder.enable_random_order();
        }
        let mut sim = builder
            .tick_duration(scenario.network.tick.get().max(Duration::from_millis(1)))
            .min_message_latency(latency)
            .max_message_latency(latency + scenario.network.jitter.get())
            .tcp_capacity(CAPACITY)
            .ephemeral_ports(PORTS)
            .epoch(SystemTime::UNIX_EPOCH)
            .rng_seed(seed)
            .build();
        let network = Arc::new(Network::new(patience, dice));
        let mut known = BTreeMap::new();
        for name in hosts {
            let queue = Rc::new(Queue::default());
            let jobs = Rc::clone(&queue);
            sim.host(name.as_str(), move || attend(Rc::clone(&jobs)));
            let address = sim.lookup(name.as_str());
            network.set_name(name.as_str(), vec![address]);
            let machine = Machine::new(name.clone(), address, Arc::clone(&network));
            known.insert(name.clone(), (Arc::new(machine), queue));
        }
        let newest = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&newest);
        let clock = Clock::new(move || {
            // Hosts run one after the other, each to the end of a step, so their clocks differ. The time of the world is the latest one,
            // since it must never go back.
            let here = ::turmoil::sim_elapsed().map_or(0, nanoseconds);
            Duration::from_nanos(told.fetch_max(here, Ordering::Relaxed).max(here))
        });
        let wall = WallClock::new(clock.clone());
        Ok(Turmoil {
            proxies: Proxies::default(),
            sim,
            hosts: known,
            network,
            newest,
            clock,
            wall,
            chance: scenario.chance,
        })
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn wall(&self) -> WallClock {
        self.wall.clone()
    }

    fn run(&mut self, until: Duration, mut done: impl FnMut() -> bool) {
        while self.sim.elapsed() < until && !done() && self.gave_up().is_none() {
            self.settle();
        }
    }

    fn settle(&mut self) {
        // A step fails only if the future of a host ends or panics.
        self.sim
            .step()
            .expect("hosts attend to their queues for ever, and tasks of programs catch what they panic with");
        self.newest.fetch_max(nanoseconds(self.sim.elapsed()), Ordering::Relaxed);
        self.network.patience().step(self.sim.elapsed());
    }

    fn address(&self, host: &HostName) -> IpAddr {
        self.machine(host).address()
    }

    fn spawn<F: Future<Output = ()> + 'static>(
        &mut self,
        host: &HostName,
        program: impl FnOnce(SimHost) -> F + 'static,
    ) {
        let (machine, queue) = &self.hosts[host];
        let here = SimHost::of(machine);
        let inside = here.clone();
        let task = here.task(async move { program(inside).await });
        queue.push(move || task.start());
    }

    fn crash(&mut self, host: &HostName) {
        let rest = self.proxies.take(host);
        let (machine, queue) = &self.hosts[host];
        let machine = Arc::clone(machine);
        machine.die();
        queue.push(move || {
            machine.bury();
            drop(rest);
        });
    }

    fn live_tasks(&self, host: &HostName) -> usize {
        self.machine(host).live()
    }

    fn gave_up(&self) -> Option<GaveUp> {
        self.network.patience().gave_up().cloned()
    }

    fn panics(&self) -> Vec<String> {
        self.network.panics()
    }

    fn change_link(&mut self, from: &HostName, to: &HostName, change: LinkChange) {
        let (from, to) = (from.as_str(), to.as_str());
        match change {
            LinkChange::Gate(Gate::Open) => self.sim.release(from, to),
            LinkChange::Gate(Gate::Cut | Gate::Held) => self.sim.hold(from, to),
            LinkChange::Delay(latency, jitter) => {
                self.sim.set_link_latency(from, to, latency);
                self.sim.set_link_max_message_latency(from, to, latency + jitter);
            }
            // turmoil can do none of these. A scenario that asks for one was refused before the run.
            LinkChange::Loss(_) | LinkChange::Reorder(..) | LinkChange::Bandwidth(_) => {}
        }
    }

    fn set_name(&mut self, name: &str, hosts: &[HostName]) {
        let addresses = hosts.iter().map(|host| self.address(host)).collect();
        self.network.set_name(name, addresses);
    }
}

impl InProcess for Turmoil {
    fn proxies(&self) -> &Proxies<SimEnv<SimHost>> {
        &self.proxies
    }

    fn chance(&self) -> &Chance {
        &self.chance
    }

    fn proxy_host(&self, host: &HostName) -> SimHost {
        SimHost::of(self.machine(host))
    }

    fn drop_proxy(&mut self, host: &HostName) {
        let rest = self.proxies.take(host);
        self.hosts[host].1.push(move || drop(rest));
        self.settle();
    }

    fn connections(&self, host: &HostName) -> usize {
        self.machine(host).streams()
    }
}

impl Turmoil {
    fn machine(&self, host: &HostName) -> &Arc<Machine> {
        &self.hosts[host].0
    }
}

/// The future that turmoil runs for a host. It never ends, and runs the jobs that others give to the host.
async fn attend(queue: Rc<Queue>) -> ::turmoil::Result {
    loop {
        while let Some(job) = queue.next() {
            job();
        }
        queue.more.notified().await;
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
