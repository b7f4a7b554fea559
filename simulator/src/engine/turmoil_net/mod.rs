//! The simulated network on turmoil-net's packets: hosts, links and virtual time on one thread.
//!
//! What sockets and tasks share lives in a thread-local slot for as long as its [`Sim`], so that streams and environments stay plain
//! values that can be sent between threads, as the proxy's types demand, though they never are.
//!
//! What the kernel underneath can't do is done here: resets on demand, a reset for data that comes after a close, the
//! newest ACK after a partition, and an in-order wire.

mod host;
mod stream;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};
use turmoil_net::shim::tokio::net::TcpListener;
use turmoil_net::{EnterGuard, HostId, KernelConfig, Net, NetstatState};

pub use host::SimHost;
pub use stream::{SimListener, SimStream, connect};

use super::in_process::InProcess;
use super::{Clock, Engine, Host, HostName, Link, LinkChange, SimEnv, WallClock, lacks};
use crate::configuration::ConfigFile;
use crate::scenario::{PROXY, Scenario};
use crate::trace::Recorder;
use host::Hosts;
use wire::Wire;

/// A segment that stays without an answer for this long is sent again.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(200);
/// Times a segment is sent again before its connection is given up: after two minutes, so that connections live through
/// partitions as they do in the field, where the pauses grow and a system tries for a quarter of an hour.
const RETRANSMISSIONS: u32 = 600;

/// Everything on this thread that sockets and tasks reach for.
struct World {
    guard: EnterGuard,
    started: Instant,
    hosts: Hosts,
    wire: Wire,
    /// Names and where they lead.
    names: BTreeMap<String, Vec<IpAddr>>,
    /// Ports whose listener is not there for now.
    closed_ports: Vec<SocketAddr>,
    /// Listeners that nobody has for now.
    parked: Vec<(SocketAddr, TcpListener)>,
    panics: Vec<String>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Runs `f` on this thread's world.
fn with_world<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|slot| f(slot.borrow_mut().as_mut().expect("sockets and tasks live no longer than their Sim")))
}

/// One simulated network and the virtual time it runs in.
pub struct Sim {
    // Dropped in this order: the proxy and the tasks close their sockets while the network is still there.
    proxy: InProcess<SimEnv<SimHost>>,
    tasks: LocalSet,
    _world: WorldSlot,
    runtime: Runtime,
    tick: Duration,
    clock: Clock,
    wall: WallClock,
}

/// Takes the world off the thread.
struct WorldSlot;

impl Drop for WorldSlot {
    fn drop(&mut self) {
        for (address, listener) in with_world(|world| std::mem::take(&mut world.parked)) {
            host::enter_at(address.ip());
            drop(listener);
        }
        let world = WORLD.with(|slot| slot.borrow_mut().take());
        drop(world);
    }
}

impl Engine for Sim {
    type Host = SimHost;

    fn lacks(scenario: &Scenario) -> Vec<String> {
        // A backlog that is full is refused when it is asked for: plans change while they run.
        lacks::tls(scenario)
    }

    /// A network of `hosts`, all reachable from all under their names. Time goes on in steps of the scenario's tick, at
    /// least a millisecond.
    fn new(hosts: &[HostName], scenario: &Scenario, seed: u64) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let tick = scenario.network.tick.get().max(Duration::from_millis(1));
        let patience = u32::try_from(RETRANSMIT_AFTER.as_millis() / tick.as_millis()).unwrap_or(u32::MAX);
        let kernel = KernelConfig::default().retx_threshold(patience.max(2)).retx_max(RETRANSMISSIONS);
        let mut net = Net::with_config(kernel);
        let mut names = BTreeMap::new();
        let mut known = Vec::new();
        for (index, name) in hosts.iter().enumerate() {
            let address = address_of(index);
            let id: HostId = net.add_host(address);
            names.insert(name.to_string(), vec![address]);
            known.push((name.clone(), id, address));
        }
        let started = runtime.block_on(async { Instant::now() });
        let world = World {
            guard: net.enter(),
            started,
            hosts: Hosts::new(known),
            wire: Wire::new(Link::usual(&scenario.network), seed),
            names,
            closed_ports: Vec::new(),
            parked: Vec::new(),
            panics: Vec::new(),
        };
        WORLD.with(|slot| *slot.borrow_mut() = Some(world));
        let handle = runtime.handle().clone();
        let clock = Clock::new(move || {
            // Virtual time is that of the runtime that the caller is in.
            let _inside = handle.enter();
            started.elapsed()
        });
        let wall = WallClock::new(clock.clone());
        Ok(Sim { proxy: InProcess::default(), tasks: LocalSet::new(), _world: WorldSlot, runtime, tick, clock, wall })
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn wall(&self) -> WallClock {
        self.wall.clone()
    }

    fn run(&mut self, until: Duration, mut done: impl FnMut() -> bool) {
        let Sim { tasks, runtime, tick, .. } = self;
        let tick = *tick;
        runtime.block_on(async {
            let started = with_world(|world| world.started);
            while started.elapsed() < until && !done() {
                let now = started.elapsed();
                let step = next_boundary(now, tick);
                if let Some(due) = with_world(|world| world.idle_until()) {
                    let wake = due.map_or(until, |due| due.min(until));
                    if wake > step {
                        host::forget_activity();
                        tasks
                            .run_until(async {
                                tokio::select! {
                                    biased;
                                    () = poll_fn(host::poll_activity) => {}
                                    () = sleep_until(started + wake) => {}
                                }
                            })
                            .await;
                    }
                }
                let step = next_boundary(started.elapsed().max(now), tick);
                tasks.run_until(sleep_until(started + step)).await;
                with_world(|world| world.pass());
            }
        });
    }

    fn settle(&mut self) {
        self.run(self.clock.now() + self.tick, || false);
    }

    fn address(&self, host: &HostName) -> IpAddr {
        with_world(|world| world.hosts.address_named(host))
    }

    fn spawn<F: Future<Output = ()> + 'static>(
        &mut self,
        host: &HostName,
        program: impl FnOnce(SimHost) -> F + 'static,
    ) {
        let _local = self.tasks.enter();
        let _runtime = self.runtime.enter();
        SimHost::named(host).spawn(async move { program(SimHost::here()).await });
    }

    /// Kills every task of `host` in the order in which they were started.
    fn crash(&mut self, host: &HostName) {
        let index = with_world(|world| {
            let index = world.hosts.index(host);
            world.hosts.abort_all(index);
            index
        });
        // An aborted task is dropped when its set runs next.
        let Sim { tasks, runtime, .. } = self;
        runtime.block_on(tasks.run_until(tokio::task::yield_now()));
        let address = with_world(|world| world.hosts.address(index));
        for entry in turmoil_net::netstat(address).entries {
            if let Some(peer) = entry.peer {
                with_world(|world| world.reset(entry.local, peer));
            }
        }
        if host.as_str() == PROXY {
            self.let_go_of_proxy();
        }
    }

    fn live_tasks(&self, host: &HostName) -> usize {
        with_world(|world| world.hosts.live(world.hosts.index(host)))
    }

    fn panics(&self) -> Vec<String> {
        with_world(|world| world.panics.clone())
    }

    fn change_link(&mut self, from: &HostName, to: &HostName, change: LinkChange) {
        let now = self.clock.now();
        with_world(|world| {
            let (from, to) = (world.hosts.address_named(from), world.hosts.address_named(to));
            world.wire.change(now, from, to, change);
        });
    }

    fn set_name(&mut self, name: &str, hosts: &[HostName]) {
        with_world(|world| {
            let addresses = hosts.iter().map(|host| world.hosts.address_named(host)).collect();
            world.names.insert(name.to_owned(), addresses);
        });
    }

    fn start_proxy(&mut self, file: &ConfigFile, recorder: Recorder, seed: u64) {
        let host = HostName::new(PROXY);
        let env = SimEnv::new(SimHost::named(&host), self.wall.clone(), seed);
        let start = self.proxy.start(file, env, recorder);
        self.spawn(&host, |_| start);
    }

    fn reload_proxy(&mut self, file: &ConfigFile) {
        let reload = self.proxy.reload(file);
        self.spawn(&HostName::new(PROXY), |_| reload);
    }

    fn drain_proxy(&mut self) {
        let drain = self.proxy.drain();
        self.spawn(&HostName::new(PROXY), |_| drain);
    }

    fn proxy_inside(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    fn proxy_works(&self) -> bool {
        self.live_tasks(&HostName::new(PROXY)) > 0
    }

    fn proxy_remains(&mut self, kept: Duration) -> Vec<String> {
        // What remains are connections to upstreams that were kept for later requests; a process takes them along.
        self.let_go_of_proxy();
        self.wait(kept, |sim| !sim.proxy_works());
        let host = HostName::new(PROXY);
        let (tasks, connections) = (self.live_tasks(&host), SimHost::named(&host).connections());
        let count = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what} of the proxy"));
        [count(tasks, "tasks"), count(connections, "connections")].into_iter().flatten().collect()
    }
}

impl Sim {
    fn let_go_of_proxy(&mut self) {
        let rest = self.proxy.take();
        let _local = self.tasks.enter();
        let _runtime = self.runtime.enter();
        SimHost::named(&HostName::new(PROXY)).enter();
        drop(rest);
    }
}

/// The step of the clock behind `now`.
fn next_boundary(now: Duration, tick: Duration) -> Duration {
    let steps = now.as_nanos() / tick.as_nanos() + 1;
    tick.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// The address of the host with that index.
fn address_of(index: usize) -> IpAddr {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)).saturating_add(index)))
}

impl World {
    /// Delivers what is due and puts on the wire what hosts have to send.
    fn pass(&mut self) {
        let now = self.started.elapsed();
        let World { guard, wire, hosts, closed_ports, .. } = self;
        wire.pass(now, guard, hosts, closed_ports);
    }

    /// Where nothing can happen on the network by itself: until when (`None`: until a task does something).
    fn idle_until(&mut self) -> Option<Option<Duration>> {
        if self.wire.is_busy() {
            return None;
        }
        // What was lost is sent again after a count of steps, so these must not be skipped.
        if self.wire.has_lost() {
            if self.hosts.addresses().any(waits_for_an_answer) {
                return None;
            }
            self.wire.forget_losses();
        }
        Some(self.wire.next_due())
    }

    /// Resets the connection between `local`, one of ours, and `peer`.
    fn reset(&mut self, local: SocketAddr, peer: SocketAddr) {
        self.wire.reset(local, peer);
    }
}

/// Whether the host at `address` has sent something that was not acknowledged.
fn waits_for_an_answer(address: IpAddr) -> bool {
    turmoil_net::netstat(address).entries.iter().any(|entry| {
        let opening_or_closing = matches!(
            entry.state,
            Some(
                NetstatState::SynSent
                    | NetstatState::SynReceived
                    | NetstatState::FinWait1
                    | NetstatState::LastAck
                    | NetstatState::Closing
            )
        );
        entry.state != Some(NetstatState::Listen) && (entry.send_q > 0 || opening_or_closing)
    })
}

/// The bytes that `local` has got from `peer` and not read. `None` where they have no connection, or one whose both
/// directions have ended.
fn unread(local: SocketAddr, peer: SocketAddr) -> Option<usize> {
    let entries = turmoil_net::netstat(local.ip()).entries;
    entries.iter().find(|entry| entry.local == local && entry.peer == Some(peer)).map(|entry| entry.recv_q)
}
