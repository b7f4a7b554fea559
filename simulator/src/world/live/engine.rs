//! The live engine runs a proxy's binary as a child process, and upstreams and clients in this process, on loopback.
//!
//! Every host has an address of its own in 127.0.0.0/8. netdrift's events are read from its log, which is JSON; another subject tells
//! nothing. A scenario that asks for what loopback can't do (delays, losses, partitions), or for a change of the machine (its clock, its names), is
//! refused, and the reason is named.

use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use mock_upstreams::tls::authority_pem;
use proxy::{Criteria, TunnelFilter};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::address::Block;
use super::child::{self, ProxyChild};
use super::host::{Hosts, LiveHost};
use super::log::Witness;
use super::program::{self, Program, signal_of};
use super::start::Start;
use super::{settings, unsupported};
use crate::record::{Clock, ProxyLog, Recorder, ScenarioEvent, What};
use crate::scenario::{ByHand, CA_FILE, ConfigFile, HostName, PROXY, Scenario};
use crate::subject::{Order, Subject};
use crate::world::engine::{Engine, Host, RunsProxy};
use crate::world::link::LinkChange;
use crate::world::patience::Patience;
use crate::world::wall_clock::WallClock;

/// How long the engine sleeps before it looks again whether something has happened.
const LOOK: Duration = Duration::from_millis(5);
/// How long the proxy may take to start, or to take over a configuration.
const READY: Duration = Duration::from_secs(20);
/// How long it may take until everybody has noticed that a process or connection has ended.
const NOTICE: Duration = Duration::from_secs(5);

/// The hosts of a run on loopback, and the proxy's process.
pub struct Live {
    // The tasks are dropped first, so that the clients end before the proxy does.
    tasks: LocalSet,
    runtime: Runtime,
    hosts: Hosts,
    subject: Arc<Subject>,
    proxy: Option<ProxyChild>,
    /// What was said by proxies that have ended without being told to.
    died: Vec<String>,
    folder: TempDir,
    beginning: Arc<OnceLock<Start>>,
    /// What the processes of the proxy have logged, if it is to be kept, and the file that the first of them began with.
    lines: Option<Arc<Mutex<String>>>,
    first_config: Option<String>,
    clock: Clock,
    wall: WallClock,
}

impl Engine for Live {
    type Host = LiveHost;

    /// The proxy and the simulator stamp the same instant within this time, even if one of them has to wait for a core.
    const CLOCK_SKEW: Duration = Duration::from_millis(50);
    /// A machine that is later than this is too busy to judge the proxy by.
    const TOLERANCE: Duration = Duration::from_millis(500);

    fn unsupported(scenario: &Scenario) -> Vec<String> {
        unsupported::on_loopback(scenario)
    }

    fn new(hosts: &[HostName], _: &Scenario, _: u64, _: Patience) -> io::Result<Self> {
        // This process needs as many descriptors as the proxy: clients hold one end of each connection, upstreams the other.
        proxy::env::os::descriptors::raise_nofile()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let beginning: Arc<OnceLock<Start>> = Arc::default();
        let begun = Arc::clone(&beginning);
        let clock = Clock::new(move || begun.get().map_or(Duration::ZERO, |begun| begun.instant.elapsed()));
        Ok(Live {
            tasks: LocalSet::new(),
            runtime,
            hosts: Hosts::new(hosts, Block::claim()?)?,
            subject: Subject::netdrift(),
            proxy: None,
            died: Vec::new(),
            folder: folder()?,
            wall: WallClock::new(clock.clone()),
            beginning,
            lines: None,
            first_config: None,
            clock,
        })
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn wall(&self) -> WallClock {
        self.wall.clone()
    }

    fn begin(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "this engine's time is the machine's")]
        self.beginning.get_or_init(|| Start { instant: now(), wall: SystemTime::now() });
    }

    fn run(&mut self, until: Duration, mut done: impl FnMut() -> bool) {
        while self.clock.now() < until && !done() {
            let step = LOOK.min(until.saturating_sub(self.clock.now()));
            self.runtime.block_on(self.tasks.run_until(async { sleep(step).await }));
            if self.has_died() {
                // Without a proxy nothing happens that is worth waiting for.
                return;
            }
        }
    }

    fn settle(&mut self) {
        self.runtime.block_on(self.tasks.run_until(async { sleep(LOOK).await }));
    }

    fn address(&self, host: &HostName) -> IpAddr {
        self.hosts.named(host).address()
    }

    fn spawn<F: Future<Output = ()> + 'static>(
        &mut self,
        host: &HostName,
        program: impl FnOnce(LiveHost) -> F + 'static,
    ) {
        let _local = self.tasks.enter();
        let _runtime = self.runtime.enter();
        let host = self.hosts.named(host).clone();
        host.spawn(program(host.clone()));
    }

    fn crash(&mut self, host: &HostName) {
        if host.as_str() == PROXY
            && let Some(process) = &mut self.proxy
        {
            process.kill();
        }
        self.hosts.named(host).abort_all();
        // An aborted task is dropped, and its sockets are reset, only when its `LocalSet` runs next, so it runs here.
        self.runtime.block_on(self.tasks.run_until(async { tokio::task::yield_now().await }));
        self.hosts.named(host).begin_anew();
    }

    fn live_tasks(&self, host: &HostName) -> usize {
        self.hosts.named(host).live_tasks()
    }

    fn panics(&self) -> Vec<String> {
        let told = self.proxy.iter().flat_map(ProxyChild::panics);
        self.hosts.panics().into_iter().chain(self.died.iter().cloned()).chain(told).collect()
    }

    /// Does nothing. A scenario that changes links was refused, unless it only heals links, which were never cut.
    fn change_link(&mut self, _: &HostName, _: &HostName, _: LinkChange) {}

    /// Does nothing. A scenario that changes names was refused.
    fn set_name(&mut self, _: &str, _: &[HostName]) {}
}

/// There is only the proxy on [`PROXY`]: a scenario with further ones was refused.
impl RunsProxy for Live {
    fn set_subject(&mut self, subject: Arc<Subject>) {
        self.subject = subject;
    }

    fn keep_log(&mut self) {
        self.lines = Some(Arc::default());
    }

    fn start_proxy(&mut self, _: &HostName, file: &ConfigFile, recorder: Recorder, _: u64) {
        let least = self.proxy.take().and_then(|process| process.at_start());
        if let Err(error) = self.start(file, &recorder) {
            return failed(&recorder, format!("the proxy could not be started: {error}"));
        }
        self.wait_for_proxy(ProxyChild::is_ready);
        let Some(process) = &mut self.proxy else { return };
        if process.is_ready() {
            process.note_descriptors(least);
        } else if !process.has_ended() {
            failed(&recorder, format!("the proxy did not get ready within {READY:?}"));
        }
    }

    /// Writes the file and sends SIGHUP, as an operator would. Then it waits until the log tells of the reload, because the proxy would
    /// take a second change that comes earlier together with this one. A proxy that tells nothing is given the time that its subject says.
    fn reload_proxy(&mut self, _: &HostName, file: &ConfigFile) {
        let order = self.subject.file().reload.clone();
        let written = self.write(file);
        let Some(process) = &self.proxy else { return };
        let before = process.reloads();
        let recorder = process.recorder();
        if let Err(error) = written.and_then(|()| self.give(order.as_ref())) {
            return failed(&recorder, format!("the proxy could not be told of its new configuration: {error}"));
        }
        if !self.subject.tells() {
            let takes = order.map_or(Duration::ZERO, |order| order.takes.get());
            return self.wait(takes, |_| false);
        }
        self.wait_for_proxy(|process| process.reloads() > before);
        if self.proxy.as_ref().is_some_and(|process| process.reloads() == before) {
            failed(&recorder, format!("the proxy said nothing of its new configuration for {READY:?}"));
        }
    }

    /// Runs the command of an operator, which asks over the control socket and waits for the answer.
    fn steer_proxy(&mut self, _: &HostName, name: &str, order: ByHand) {
        let Some(process) = &self.proxy else { return };
        let name = settings::name_on_loopback(name, &self.hosts.names());
        let arguments: Vec<String> = ["upstream".to_owned()].into_iter().chain(order.arguments(&name)).collect();
        if let Err(error) = program::operate(&self.subject, self.folder.path(), &arguments) {
            failed(&process.recorder(), format!("the proxy's upstream {name} could not be set by hand: {error}"));
        }
    }

    /// The same with the command that closes tunnels.
    fn close_tunnels(&mut self, _: &HostName, filter: &TunnelFilter) {
        let Some(process) = &self.proxy else { return };
        let Criteria { upstream, user, target, idle_for_ms, id } = filter.clone().into();
        let upstream = upstream.map(|name| settings::name_on_loopback(&name, &self.hosts.names()));
        let options = [
            ("--upstream", upstream),
            ("--user", user),
            ("--target", target),
            ("--idle-for", idle_for_ms.map(|ms| format!("{ms}ms"))),
            ("--id", id.map(|id| id.to_string())),
        ];
        let given = options.into_iter().filter_map(|(word, value)| Some([word.to_owned(), value?])).flatten();
        let arguments: Vec<String> = ["tunnels", "close"].map(str::to_owned).into_iter().chain(given).collect();
        if let Err(error) = program::operate(&self.subject, self.folder.path(), &arguments) {
            failed(&process.recorder(), format!("the proxy's tunnels could not be closed by hand: {error}"));
        }
    }

    fn drain_proxy(&mut self, _: &HostName) {
        let order = self.subject.file().stop.clone();
        let Some(process) = &mut self.proxy else { return };
        process.note_stop();
        let recorder = process.recorder();
        if let Err(error) = self.give(order.as_ref()) {
            failed(&recorder, format!("the proxy could not be told to stop: {error}"));
        }
    }

    fn proxy_inside(&self, host: &HostName, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(host), port)
    }

    fn proxy_works(&self, _: &HostName) -> bool {
        self.proxy.as_ref().is_some_and(|process| !process.has_ended())
    }

    /// How many descriptors another program may keep, nobody knows.
    fn proxy_at_rest(&mut self, _: &HostName, kept: Duration) -> Vec<String> {
        if !self.subject.tells() {
            return Vec::new();
        }
        self.wait(kept + NOTICE, |live| live.proxy.as_ref().is_none_or(|process| process.more_descriptors() == 0));
        let more = self.proxy.as_ref().map_or(0, ProxyChild::more_descriptors);
        let text = format!("the proxy holds {more} descriptors more than at its start, though its clients have ended");
        if more > 0 { vec![text] } else { Vec::new() }
    }

    fn proxy_remains(&mut self, _: &HostName, _: Duration) -> Vec<String> {
        self.wait(NOTICE, |live| {
            live.proxy.as_ref().is_none_or(|process| !process.has_ended() || process.group() == 0)
        });
        self.proxy.as_mut().map_or_else(Vec::new, ProxyChild::remains)
    }

    fn proxy_log(&mut self) -> Option<ProxyLog> {
        let lines = self.lines.take()?;
        let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        self.first_config.take().map(|config| ProxyLog { config, lines })
    }
}

impl Live {
    fn on_loopback(&self, file: &ConfigFile) -> String {
        let listen = self.address(&HostName::new(PROXY));
        settings::on_loopback(&file.text, listen, &self.hosts.names(), &child::pid_file(self.folder.path()))
    }

    /// Writes `file` for this engine's proxy and moves it into place in one step.
    fn write(&self, file: &ConfigFile) -> io::Result<()> {
        if !self.subject.tells() {
            return self.configure(file).map(drop);
        }
        let folder = self.folder.path();
        let text = self.on_loopback(file);
        program::write(&folder.join(CA_FILE), authority_pem()?)?;
        program::write(&child::config_file(folder), &text)
    }

    /// Writes `file` in the words of a subject that is no netdrift, and makes its commands.
    fn configure(&self, file: &ConfigFile) -> io::Result<Program> {
        let (listen, folder) = (self.address(&HostName::new(PROXY)), self.folder.path());
        program::write(&folder.join(CA_FILE), authority_pem()?)?;
        Program::configure(&self.subject, file, listen, &self.hosts.names(), folder).map_err(io::Error::other)
    }

    /// Starts the proxy; one that tells nothing is ready once its port accepts a connection, or once its own command says so.
    fn start(&mut self, file: &ConfigFile, recorder: &Recorder) -> io::Result<()> {
        let folder = self.folder.path().to_owned();
        if self.subject.tells() {
            self.write(file)?;
            if self.first_config.is_none() {
                self.first_config = Some(self.on_loopback(file));
            }
            let lines = self.lines.clone();
            let witness = Witness::new(recorder.clone(), Arc::clone(&self.beginning), self.hosts.names(), lines);
            let command = program::netdrift(&self.subject, &folder)?;
            self.proxy = Some(ProxyChild::start(command, &folder, recorder, Some(witness))?);
            return Ok(());
        }
        let Program { start, mut ready, listen } = self.configure(file)?;
        self.proxy = Some(ProxyChild::start(start, &folder, recorder, None)?);
        self.wait_for_proxy(|process| {
            let serves = match &mut ready {
                Some(command) => program::run(command).is_ok_and(|output| output.status.success()),
                None => TcpStream::connect(listen).is_ok(),
            };
            if serves {
                process.note_ready();
            }
            serves
        });
        Ok(())
    }

    /// Gives the proxy an order: a signal to its process, SIGTERM if nothing else is said, or a command.
    fn give(&self, order: Option<&Order>) -> io::Result<()> {
        let Some(words) = order.and_then(|order| order.command.as_deref()) else {
            return self.proxy.as_ref().map_or(Ok(()), |process| process.signal(signal_of(order)));
        };
        let mut command = program::order(&self.subject, words, self.folder.path())?;
        let status = program::run(&mut command)?.status;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{}: {status}", words.join(" ")))) }
    }

    /// Lets the hosts run until `done`, for a bounded time, or until the process has ended.
    fn wait_for_proxy(&mut self, mut done: impl FnMut(&ProxyChild) -> bool) {
        let until = now() + READY;
        while self.proxy.as_ref().is_some_and(|process| !done(process) && !process.has_ended()) && until > now() {
            self.settle();
        }
    }

    /// Whether the proxy has ended without being told to; the first call notes what it said.
    fn has_died(&mut self) -> bool {
        let Some(process) = &mut self.proxy else { return true };
        if let Some(text) = process.died() {
            self.died.push(text);
        }
        process.is_dead()
    }
}

/// The folder of a run, which is nobody else's. It is in memory where the system allows it, since a busy disk would delay the proxy.
pub(super) fn folder() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("netdrift-live-").permissions(Permissions::from_mode(0o700));
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())
}

#[expect(clippy::disallowed_methods, reason = "this engine's time is the machine's")]
fn now() -> Instant {
    Instant::now()
}

fn failed(recorder: &Recorder, what: String) {
    recorder.write(&HostName::new(PROXY), What::Scenario(ScenarioEvent::Failed { what }));
}
