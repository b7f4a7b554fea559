//! What an engine does: it has hosts that run programs and reach one another, and it runs the proxy on one of them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::link::LinkChange;
use super::wall_clock::WallClock;
use crate::record::{Clock, Recorder};
use crate::scenario::{ConfigFile, HostName, Scenario};

/// A world, and the time that passes in it.
pub trait Engine: Sized {
    /// How programs see the host they run on.
    type Host: Host;

    /// How far apart two witnesses may tell of one instant.
    const CLOCK_SKEW: Duration = Duration::ZERO;
    /// How late this world may do what is due, beyond what the scenario's times allow.
    const TOLERANCE: Duration = Duration::ZERO;

    /// What `scenario` asks for and this engine can't do: each by its name, with why.
    fn unsupported(scenario: &Scenario) -> Vec<String>;

    /// The world of `scenario`: its hosts and links. Everything random follows from `seed`.
    ///
    /// # Errors
    /// The machine does not give what it takes.
    fn new(hosts: &[HostName], scenario: &Scenario, seed: u64) -> io::Result<Self>;

    /// The time of this world, zero at its start.
    fn clock(&self) -> Clock;

    /// What walls' clocks say; the scenario can make it jump.
    fn wall(&self) -> WallClock;

    /// Everything is set: time begins.
    fn begin(&mut self) {}

    /// Lets the world run until `until`, or until `done` says so; it is asked again and again.
    fn run(&mut self, until: Duration, done: impl FnMut() -> bool);

    /// Lets what was just started have its first turn.
    fn settle(&mut self);

    /// The address of `host`.
    fn address(&self, host: &HostName) -> IpAddr;

    /// Starts a program on `host`.
    fn spawn<F: Future<Output = ()> + 'static>(
        &mut self,
        host: &HostName,
        program: impl FnOnce(Self::Host) -> F + 'static,
    );

    /// Kills all programs of `host` as the end of a process does: its connections are reset.
    fn crash(&mut self, host: &HostName);

    /// Programs and tasks of `host` that have not ended.
    fn live_tasks(&self, host: &HostName) -> usize;

    /// What programs panicked with so far.
    fn panics(&self) -> Vec<String>;

    /// Changes the link from `from` to `to`.
    fn change_link(&mut self, from: &HostName, to: &HostName, change: LinkChange);

    /// Lets `name` lead to `hosts`; to none, and it is unknown.
    fn set_name(&mut self, name: &str, hosts: &[HostName]);

    /// Lets the world run for `span` at most, and no longer than until `done`.
    fn wait(&mut self, span: Duration, done: impl Fn(&Self) -> bool) {
        let clock = self.clock();
        let until = clock.now() + span;
        while clock.now() < until && !done(self) {
            let step = clock.now() + Duration::from_millis(50);
            self.run(step.min(until), || false);
        }
    }
}

/// An engine that runs the proxy on the host of that name.
pub trait RunsProxy: Engine {
    /// Starts the proxy on its host. Returns where the engine has done so; the proxy says itself when it has started.
    /// What it draws at random follows from `seed`, where the engine has a say in it.
    fn start_proxy(&mut self, file: &ConfigFile, recorder: Recorder, seed: u64);

    /// The proxy's configuration file has changed to `file`.
    fn reload_proxy(&mut self, file: &ConfigFile);

    /// Tells the proxy to finish and stop.
    fn drain_proxy(&mut self);

    /// Where a program on the proxy's own host reaches the proxy that listens on `port`.
    fn proxy_inside(&self, port: u16) -> SocketAddr;

    /// Whether anything of the proxy still works.
    fn proxy_works(&self) -> bool;

    /// Waits until the proxy, whose clients have ended, has noticed that, and says what it still holds that it should not.
    /// Connections to upstreams go `kept` after their last use.
    ///
    /// By default what was lost on the way is given time to be sent again; what is left is counted when the proxy has stopped.
    fn proxy_at_rest(&mut self, kept: Duration) -> Vec<String> {
        let _ = kept;
        self.wait(Duration::from_secs(5), |_| false);
        Vec::new()
    }

    /// What is left of a proxy that has stopped, once whatever it kept has had `kept` to go.
    fn proxy_remains(&mut self, kept: Duration) -> Vec<String>;
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
    /// Refused, or nobody answers.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Listens on `port` of this host.
    ///
    /// # Errors
    /// The port is taken.
    fn listen(&self, port: u16) -> impl Future<Output = io::Result<Self::Listener>>;

    /// Runs `task` beside the caller's.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
}
