//! The simulated network on turmoil-net's packets: hosts, links and virtual time on one thread.
//!
//! What sockets and tasks share lives in a thread-local slot for as long as its [`Sim`], so that streams and environments stay plain
//! values that can be sent between threads, as the proxy's types demand, though they never are.
//!
//! What the kernel underneath can't do is done here: resets on demand, a reset for data that comes after a close, the
//! newest ACK after a partition, and an in-order wire.

mod env;
mod host;
mod link;
mod stream;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};
use turmoil_net::shim::tokio::net::TcpListener;
use turmoil_net::{EnterGuard, HostId, KernelConfig, Net, NetstatState};

pub use env::{SimEnv, WallClock};
pub use host::{HostName, spawn_here};
pub use link::{Gate, Link, LinkChange};
pub use stream::{SimListener, SimStream, connect};

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
    // Dropped in this order: tasks close their sockets while the network is still there.
    tasks: LocalSet,
    _world: WorldSlot,
    runtime: Rc<Runtime>,
    tick: Duration,
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

impl Sim {
    /// A network of `hosts`, all reachable from all under their names, with `link` between any two. Time goes on in
    /// steps of `tick`, at least a millisecond.
    ///
    /// # Panics
    /// Another network is in place on this thread, or the runtime can't be built.
    pub fn new(hosts: &[HostName], link: Link, tick: Duration, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = Rc::new(runtime.expect("a runtime without I/O needs nothing of the system"));
        let tick = tick.max(Duration::from_millis(1));
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
            wire: Wire::new(link, seed),
            names,
            closed_ports: Vec::new(),
            parked: Vec::new(),
            panics: Vec::new(),
        };
        WORLD.with(|slot| *slot.borrow_mut() = Some(world));
        Sim { tasks: LocalSet::new(), _world: WorldSlot, runtime, tick }
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        self.runtime.block_on(async { with_world(|world| world.started.elapsed()) })
    }

    /// The instant of the start.
    pub fn started(&self) -> Instant {
        with_world(|world| world.started)
    }

    /// The address of `host`.
    pub fn address(&self, host: &HostName) -> IpAddr {
        with_world(|world| world.hosts.address_named(host))
    }

    /// Starts a task on `host`.
    pub fn spawn(&self, host: &HostName, task: impl Future<Output = ()> + 'static) {
        let _local = self.tasks.enter();
        let _runtime = self.runtime.enter();
        host::spawn(with_world(|world| world.hosts.index(host)), task);
    }

    /// Runs `f` as code of `host` that is not a task, such as dropping what its tasks shared.
    pub fn as_host<R>(&self, host: &HostName, f: impl FnOnce() -> R) -> R {
        let _local = self.tasks.enter();
        let _runtime = self.runtime.enter();
        host::enter(with_world(|world| world.hosts.index(host)));
        f()
    }

    /// Kills every task of `host` in the order in which they were started and resets its connections, as the end of a
    /// process does.
    pub fn crash(&mut self, host: &HostName) {
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
    }

    /// Changes the link from `from` to `to`.
    pub fn change_link(&self, from: &HostName, to: &HostName, change: LinkChange) {
        let now = self.now();
        with_world(|world| {
            let (from, to) = (world.hosts.address_named(from), world.hosts.address_named(to));
            world.wire.change(now, from, to, change);
        });
    }

    /// Lets `name` lead to `hosts`; to none, and it is unknown.
    pub fn set_name(&self, name: &str, hosts: &[HostName]) {
        with_world(|world| {
            let addresses = hosts.iter().map(|host| world.hosts.address_named(host)).collect();
            world.names.insert(name.to_owned(), addresses);
        });
    }

    /// Tasks of `host` that have not ended.
    pub fn live_tasks(&self, host: &HostName) -> usize {
        with_world(|world| world.hosts.live(world.hosts.index(host)))
    }

    /// Connections that code of `host` holds.
    pub fn connections(&self, host: &HostName) -> usize {
        with_world(|world| world.hosts.streams(world.hosts.index(host)))
    }

    /// What tasks panicked with so far.
    pub fn panics(&self) -> Vec<String> {
        with_world(|world| world.panics.clone())
    }

    /// Lets the world run until virtual time `until`, or until `done` says so; it is asked after every step.
    pub fn run(&mut self, until: Duration, mut done: impl FnMut() -> bool) {
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
