//! The default engine simulates a network of packets with turmoil-net, in virtual time and on one thread.
//!
//! turmoil-net's TCP lacks four things, which this engine adds: a program can reset a connection; data that arrives after a
//! close is answered with a reset; the newest ACK arrives once a partition is healed; and packets of one connection stay in
//! order.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};
use turmoil_net::{HostId, KernelConfig, Net};

use super::host::SimHost;
use super::hosts::Hosts;
use super::state::{self, NetState, with_net};
use super::wire::Wire;
use super::{current, tasks};
use crate::record::{Clock, GaveUp};
use crate::scenario::{Chance, HostName, Scenario};
use crate::world::engine::{Engine, Host};
use crate::world::link::{Link, LinkChange};
use crate::world::patience::Patience;
use crate::world::simulated::chance::Dice;
use crate::world::simulated::env::SimEnv;
use crate::world::simulated::proxy::{InProcess, Proxies};
use crate::world::wall_clock::WallClock;

/// A segment that is not acknowledged within this time is sent again.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(200);
/// How often a segment is sent again before its connection is given up. This makes two minutes, so that connections survive
/// partitions as they do on real systems, which make longer and longer pauses and try for a quarter of an hour.
const RETRANSMISSIONS: u32 = 600;

/// How many bytes a packet holds: as many as a jumbo frame. Smaller packets would cost more time than the rest of a run. They would not
/// test the proxy any better, since `chance` cuts its reads short anyway.
const PACKET: u32 = 9_000;

/// One simulated network and the virtual time it runs in.
pub(in crate::world) struct TurmoilNet {
    // Fields are dropped in this order: the proxies and the tasks must close their sockets while the network still exists.
    proxies: Proxies<SimEnv<SimHost>>,
    tasks: LocalSet,
    _net: NetGuard,
    runtime: Runtime,
    tick: Duration,
    clock: Clock,
    wall: WallClock,
    chance: Chance,
}

/// Removes the network from its thread when it is dropped.
struct NetGuard;

impl Drop for NetGuard {
    fn drop(&mut self) {
        for (address, listener) in with_net(|net| std::mem::take(&mut net.parked)) {
            current::enter_at(address.ip());
            drop(listener);
        }
        state::remove();
    }
}

impl Engine for TurmoilNet {
    type Host = SimHost;

    fn unsupported(_: &Scenario) -> Vec<String> {
        // The fault `backlog-full` is refused only when it strikes, since plans change during a run.
        Vec::new()
    }

    /// Makes a network of `hosts` in which each host reaches each other one by its name. Time advances by the scenario's tick,
    /// which is at least a millisecond.
    fn new(hosts: &[HostName], scenario: &Scenario, seed: u64, patience: Patience) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let tick = scenario.network.tick.get().max(Duration::from_millis(1));
        let retransmit = u32::try_from(RETRANSMIT_AFTER.as_millis() / tick.as_millis()).unwrap_or(u32::MAX);
        let kernel = KernelConfig::default().mtu(PACKET).retx_threshold(retransmit.max(2)).retx_max(RETRANSMISSIONS);
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
        state::install(NetState {
            guard: net.enter(),
            started,
            hosts: Hosts::new(known),
            wire: Wire::new(Link::usual(&scenario.network), seed),
            names,
            closed_ports: Vec::new(),
            parked: Vec::new(),
            panics: Vec::new(),
            look_again: Duration::ZERO,
            patience,
            dice: Dice::new(&scenario.chance, seed),
        });
        let handle = runtime.handle().clone();
        let clock = Clock::new(move || {
            // The virtual time is the paused time of the runtime in which the caller runs.
            let _inside = handle.enter();
            started.elapsed()
        });
        let wall = WallClock::new(clock.clone());
        Ok(TurmoilNet {
            proxies: Proxies::default(),
            tasks: LocalSet::new(),
            _net: NetGuard,
            runtime,
            tick,
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
        let TurmoilNet { tasks, runtime, tick, .. } = self;
        let tick = *tick;
        runtime.block_on(async {
            let started = with_net(|net| net.started);
            while started.elapsed() < until && !done() {
                let now = started.elapsed();
                if with_net(|net| net.step(now)).is_break() {
                    return;
                }
                let step = next_boundary(now, tick);
                if let Some(due) = with_net(|net| net.idle_until(now)) {
                    let wake = due.map_or(until, |due| due.min(until));
                    if wake > step {
                        tasks
                            .run_until(async {
                                tokio::select! {
                                    biased;
                                    () = poll_fn(tasks::poll_activity) => {}
                                    () = sleep_until(started + wake) => {}
                                }
                            })
                            .await;
                    }
                }
                let step = next_boundary(started.elapsed().max(now), tick);
                tasks.run_until(sleep_until(started + step)).await;
                let steps = u32::try_from((step - now).as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u32::MAX);
                with_net(|net| net.pass(steps));
                // What tasks do from here on, be it between two calls of this, the next pass takes.
                tasks::forget_activity();
            }
        });
    }

    fn settle(&mut self) {
        self.run(self.clock.now() + self.tick, || false);
    }

    fn address(&self, host: &HostName) -> IpAddr {
        with_net(|net| net.hosts.address_named(host))
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
        let index = with_net(|net| {
            let index = net.hosts.index(host);
            for task in net.hosts.at(index).tasks.take() {
                task.abort();
            }
            index
        });
        // An aborted task is dropped only when its `LocalSet` runs next, so it runs here.
        let TurmoilNet { tasks, runtime, .. } = self;
        runtime.block_on(tasks.run_until(tokio::task::yield_now()));
        let address = with_net(|net| net.hosts.address(index));
        for entry in turmoil_net::netstat(address).entries {
            if let Some(peer) = entry.peer {
                with_net(|net| net.reset(entry.local, peer));
            }
        }
        self.drop_proxy(host);
    }

    fn live_tasks(&self, host: &HostName) -> usize {
        with_net(|net| {
            let index = net.hosts.index(host);
            net.hosts.at(index).tasks.live()
        })
    }

    fn gave_up(&self) -> Option<GaveUp> {
        with_net(|net| net.patience.gave_up().cloned())
    }

    fn panics(&self) -> Vec<String> {
        with_net(|net| net.panics.clone())
    }

    fn change_link(&mut self, from: &HostName, to: &HostName, change: LinkChange) {
        let now = self.clock.now();
        with_net(|net| {
            let (from, to) = (net.hosts.address_named(from), net.hosts.address_named(to));
            net.wire.change(now, (from, to), change, &mut net.dice);
        });
    }

    fn set_name(&mut self, name: &str, hosts: &[HostName]) {
        with_net(|net| {
            let addresses = hosts.iter().map(|host| net.hosts.address_named(host)).collect();
            net.names.insert(name.to_owned(), addresses);
        });
    }
}

impl InProcess for TurmoilNet {
    fn proxies(&self) -> &Proxies<SimEnv<SimHost>> {
        &self.proxies
    }

    fn chance(&self) -> &Chance {
        &self.chance
    }

    fn proxy_host(&self, host: &HostName) -> SimHost {
        SimHost::named(host)
    }

    fn drop_proxy(&mut self, host: &HostName) {
        let Some(rest) = self.proxies.take(host) else { return };
        let _local = self.tasks.enter();
        let _runtime = self.runtime.enter();
        SimHost::named(host).enter();
        drop(rest);
    }

    fn connections(&self, host: &HostName) -> usize {
        SimHost::named(host).connections()
    }
}

/// The first step of the clock after `now`.
fn next_boundary(now: Duration, tick: Duration) -> Duration {
    let steps = now.as_nanos() / tick.as_nanos() + 1;
    tick.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

/// The address of the host with that index.
fn address_of(index: usize) -> IpAddr {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)).saturating_add(index)))
}

#[cfg(test)]
mod tests {
    use crate::record::{ClientEvent, What};
    use crate::scenario;
    use crate::world::EngineKind;

    /// What tasks had sent while a host was crashed stayed where it was until something else happened.
    #[test]
    fn the_network_carries_what_was_sent_in_the_moment_of_a_crash() {
        let text = r#"{ "name": "crash", "story": "A host to which nobody is connected is killed as a client asks.", "duration": "4s",
            "network": { "tick": "5ms", "latency": "1ms" }, "proxy": { "upstream_proxies": [{ "url": "http://a:8080" }] },
            "upstreams": [{ "name": "a" }, { "name": "b" }], "clients": [{ "name": "client", "do": "echo", "rate": 1 }],
            "timeline": [{ "at": "1996ms", "do": "crash", "host": "b" }] }"#;
        let scenario = scenario::parse(text).unwrap();
        let record = EngineKind::default().play(&scenario, 1).unwrap();
        let connects = record.trace.lines.iter().filter_map(|line| match &line.what {
            What::Client(ClientEvent::Ended(result)) => result.phases.connect_us,
            _ => None,
        });
        assert!(connects.max().unwrap() < 50_000, "{:#?}", record.trace.lines);
    }
}
