//! An engine has hosts that run programs and reach one another, and it runs the proxy on one of them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proxy::TunnelFilter;

use super::link::LinkChange;
use super::patience::Patience;
use super::wall_clock::WallClock;
use crate::record::{Clock, GaveUp, ProxyLog, Recorder};
use crate::scenario::{ByHand, ConfigFile, HostName, Scenario};
use crate::subject::Subject;

/// A world of hosts, and the time that passes in it.
pub trait Engine: Sized {
    /// How programs see the host they run on.
    type Host: Host;

    /// How far apart the stamps of two witnesses of the same instant may be.
    const CLOCK_SKEW: Duration = Duration::ZERO;
    /// How late this engine may do what is due. Expectations on time allow for it.
    const TOLERANCE: Duration = Duration::ZERO;

    /// Everything that `scenario` asks for and this engine can't do. Each text begins with the word in the scenario file and says why.
    fn unsupported(scenario: &Scenario) -> Vec<String>;

    /// The world of `scenario`: its hosts and links. Everything random follows from `seed`. A simulated engine gives the run up when
    /// it has no more `patience` with it.
    ///
    /// # Errors
    /// The machine lacks what the engine needs.
    fn new(hosts: &[HostName], scenario: &Scenario, seed: u64, patience: Patience) -> io::Result<Self>;

    /// The time of this world, zero at its start.
    fn clock(&self) -> Clock;

    /// The wall clock of this world. The scenario can make it jump.
    fn wall(&self) -> WallClock;

    /// Starts the time, once the upstreams and the proxy have been started.
    fn begin(&mut self) {}

    /// Lets the world run until the time `until`, or until `done` returns true. `done` is called at every step.
    fn run(&mut self, until: Duration, done: impl FnMut() -> bool);

    /// Runs the world for one step, so that programs that were just started run for the first time.
    fn settle(&mut self);

    /// The address of `host`.
    fn address(&self, host: &HostName) -> IpAddr;

    /// Starts a program on `host`.
    fn spawn<F: Future<Output = ()> + 'static>(
        &mut self,
        host: &HostName,
        program: impl FnOnce(Self::Host) -> F + 'static,
    );

    /// Kills all programs of `host`. Its connections are reset, as an operating system does when a process ends.
    fn crash(&mut self, host: &HostName);

    /// The number of programs and tasks of `host` that have not ended.
    fn live_tasks(&self, host: &HostName) -> usize;

    /// Why this engine has given the run up, if it has. From then on its time stands still.
    fn gave_up(&self) -> Option<GaveUp> {
        None
    }

    /// The messages with which programs have panicked so far.
    fn panics(&self) -> Vec<String>;

    /// Changes the link from `from` to `to`.
    fn change_link(&mut self, from: &HostName, to: &HostName, change: LinkChange);

    /// Lets `name` resolve to `hosts`. Without any host the name is unknown.
    fn set_name(&mut self, name: &str, hosts: &[HostName]);

    /// Lets the world run until `done` returns true, but for `span` at most.
    fn wait(&mut self, span: Duration, done: impl Fn(&Self) -> bool) {
        let clock = self.clock();
        let until = clock.now() + span;
        while clock.now() < until && !done(self) && self.gave_up().is_none() {
            let step = clock.now() + Duration::from_millis(50);
            self.run(step.min(until), || false);
        }
    }
}

/// An engine that can run proxies, each on a host of its own.
pub trait RunsProxy: Engine {
    /// Says which proxy is started from now on. A simulated engine has only netdrift's code.
    fn set_subject(&mut self, subject: Arc<Subject>) {
        let _ = subject;
    }

    /// Has what the proxy logs kept from now on, for [`RunsProxy::proxy_log`]. A simulated one has no log.
    fn keep_log(&mut self) {}

    /// Starts a proxy on `host`. The proxy itself records when it has started.
    /// Where the engine can decide it, the proxy's random numbers follow from `seed`.
    fn start_proxy(&mut self, host: &HostName, file: &ConfigFile, recorder: Recorder, seed: u64);

    /// Changes the configuration file of the proxy on `host` to `file` and tells the proxy so.
    fn reload_proxy(&mut self, host: &HostName, file: &ConfigFile);

    /// Has an operator set the upstream that the proxy on `host` calls `name`.
    fn steer_proxy(&mut self, host: &HostName, name: &str, order: ByHand);

    /// Has an operator close the tunnels of the proxy on `host` that `filter` takes.
    fn close_tunnels(&mut self, host: &HostName, filter: &TunnelFilter);

    /// Ends the faults of the machine on which the proxy on `host` runs. Real machines have none to end.
    fn heal_machine(&mut self, host: &HostName) {
        let _ = host;
    }

    /// Tells the proxy on `host` to finish and stop.
    fn drain_proxy(&mut self, host: &HostName);

    /// The address at which a program on `host` reaches the proxy there that listens on `port`.
    fn proxy_inside(&self, host: &HostName, port: u16) -> SocketAddr;

    /// Whether the process of the proxy on `host` still does anything.
    fn proxy_works(&self, host: &HostName) -> bool;

    /// Waits until the proxy on `host` has noticed that all its clients have ended. Returns what it holds then and should not hold.
    /// The proxy closes its connections to upstreams when they have been idle for `kept`.
    ///
    /// The default waits as long as lost packets may take to be sent again; what is left is counted when the proxy has stopped.
    fn proxy_at_rest(&mut self, host: &HostName, kept: Duration) -> Vec<String> {
        let _ = (host, kept);
        self.wait(Duration::from_secs(5), |_| false);
        Vec::new()
    }

    /// Waits for `kept` at most and returns what is left of a proxy on `host` that has stopped.
    fn proxy_remains(&mut self, host: &HostName, kept: Duration) -> Vec<String>;

    /// What the proxy has logged itself, once it has stopped; nothing if it was not to be kept.
    fn proxy_log(&mut self) -> Option<ProxyLog> {
        None
    }
}

/// How a program sees the host it runs on.
pub trait Host: Clone + 'static {
    /// A connection.
    type Stream: faulty_upstream::Duplex + Send + 'static;
    /// A bound socket.
    type Listener: faulty_upstream::Listener<Stream = Self::Stream>;

    /// Connects to `address`.
    ///
    /// # Errors
    /// The connection is refused, or nobody answers.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Listens on `port` of this host.
    ///
    /// # Errors
    /// The port is taken.
    fn listen(&self, port: u16) -> impl Future<Output = io::Result<Self::Listener>>;

    /// Runs `task` on this host, concurrently with the caller.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
}
