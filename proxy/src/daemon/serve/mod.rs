//! Serves until a signal ends it: what a running process does beside carrying requests.

mod claims;
mod signals;
mod source;
mod successor;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::config::{Config, Files, Server};
use crate::daemon::control::{self, Handed, Holdings, Pending, PendingHandOver, PendingReload, TakeOver};
use crate::daemon::flight::{self, Recorder};
use crate::daemon::log::{Log, LogControl};
use crate::daemon::pidfile::PidFile;
use crate::daemon::service_manager::ServiceManager;
use crate::env::Env;
use crate::env::os::{ListenerHandle, Os, OsListener};
use crate::event::Observer;
use crate::proxy::{Listeners, Proxy, StartError};

use claims::{Claims, Locks};
use source::Source;
use successor::Successor;

pub use signals::ProcessSignals;

/// What the process has set up before it serves.
#[derive(Debug)]
pub struct Process {
    /// Its signals, handled.
    pub signals: ProcessSignals,
    /// Who hears the proxy's events.
    pub log: Log,
    /// What can be changed of the log.
    pub log_control: LogControl,
    /// Who remembers its last events, if anybody does.
    pub recorder: Option<Arc<Recorder>>,
    /// Who started it.
    pub manager: Arc<ServiceManager>,
    /// The listening socket that it was started with; without one it opens its own.
    pub listener: Option<TcpListener>,
    /// Whether it takes over from the process that runs with this configuration.
    pub take_over: bool,
}

/// Why the configuration is read again.
enum Trigger {
    /// SIGHUP.
    Signal,
    /// Somebody waits for the outcome.
    Command(PendingReload),
    /// A file may have changed.
    Files,
}

/// Why serving ends.
enum End {
    /// A signal or a command.
    Stop,
    /// Another process has taken over.
    HandOver(PendingHandOver),
}

/// Serves with `config`, which was read from `path` and depends on `files`, until a signal ends it and the drain is over, or
/// until another process has taken over and the last connection has ended.
///
/// # Errors
/// A sentence: it can't start.
pub async fn serve(path: &Path, config: Config, files: Files, process: Process) -> Result<(), String> {
    let Process { mut signals, log, log_control, recorder, manager, listener, take_over } = process;
    let fed = Arc::clone(&manager);
    Os::new().spawn(async move { fed.feed_watchdog().await });
    let (name, upstreams, server) = (config.server.name.clone(), config.upstreams.len(), config.server.clone());

    let predecessor = if take_over { Some(begin_take_over(&server).await?) } else { None };
    // A proxy that runs already has them, and this one is not to serve beside it. One that hands them over keeps them until
    // this one serves.
    let mut claims = if take_over { None } else { Some(Claims::make(&server, &signals, None)?) };
    let (predecessor, listener, admin, locks) = match predecessor {
        Some((predecessor, handed)) => {
            let locks = Locks { control: handed.control_lock, pid_file: handed.pid_file };
            (Some(predecessor), Some(handed.listener), handed.admin, Some(locks))
        }
        None => (None, listener, None, None),
    };
    let clients = listen(server.listen, "server", listener).await.map_err(|error| error.to_string())?;
    let admin = match &config.admin {
        Some(section) => Some(listen(section.listen, "admin", admin).await.map_err(|error| error.to_string())?),
        None => None,
    };
    let ways = (clients.handle(), admin.as_ref().map(OsListener::handle));
    let listeners = Listeners { clients, admin };
    let observer = observer(log, recorder.as_ref());
    let proxy = Proxy::start_on(listeners, config, Os::new(), observer).map_err(|error| error.to_string())?;
    let proxy = Arc::new(proxy);
    if locks.is_some() {
        claims = Some(Claims::make(&server, &signals, locks)?);
    }
    let mut commands = open(claims.as_ref(), ways, &proxy, (&log_control, recorder.clone()))
        .map_err(|error| format!("the control socket: {error}"))?;
    let mut source = Source::watch(path, files);
    if let Some(asked) = signals.record.take() {
        Os::new().spawn(flight::write_at(asked, recorder));
    }
    info!(
        name,
        listen = %proxy.local_addr(),
        upstreams,
        config = %path.display(),
        pid = std::process::id(),
        event = "started",
        "netdrift {}",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(predecessor) = predecessor {
        match predecessor.complete().await {
            Ok(()) => info!(event = "took_over", "took over from the process that ran before"),
            Err(error) => warn!("the process that ran before may be serving on beside this one: {error}"),
        }
    }
    manager.ready(&source::status(&proxy));
    let mut successor = Successor::default();
    let end = run((&mut signals, &log_control), &mut commands, &mut source, &proxy, &manager, &mut successor).await;
    // Whoever waits for a reload is told that there will be none.
    drop(commands);
    if let End::HandOver(hand_over) = end {
        let to = hand_over.to;
        manager.main_process(to);
        proxy.hand_over().await;
        hand_over.retired().await;
        info!(to, event = "handed_over", "handed over to process {to}; what is open goes on here until it ends");
        successor.took_over(to).await;
        tokio::select! {
            biased;
            () = proxy.ended() => {
                info!(reset = 0, "stopped");
                return Ok(());
            }
            () = signals.stop.next() => {}
        }
    } else {
        // Whoever waits for an upgrade is told likewise.
        drop(successor);
        manager.stopping("Draining: open requests and tunnels may end");
    }
    tokio::select! {
        biased;
        reset = proxy.drain() => info!(reset, "stopped"),
        () = signals.stop.next() => warn!("stopped at once by a second signal"),
    }
    Ok(())
}

/// Who hears what the proxy tells of itself: the log, and behind it the flight recorder, which begins to write by itself.
fn observer(log: Log, recorder: Option<&Arc<Recorder>>) -> Arc<dyn Observer> {
    let Some(recorder) = recorder else { return Arc::new(log) };
    Os::new().spawn(Arc::clone(recorder).write_by_itself());
    let both: Vec<Arc<dyn Observer>> = vec![Arc::new(log), Arc::clone(recorder) as Arc<dyn Observer>];
    Arc::new(both)
}

/// Does what signals, commands and files ask for, until the proxy is to serve no longer.
async fn run(
    (signals, log): (&mut ProcessSignals, &LogControl),
    commands: &mut mpsc::Receiver<Pending>,
    source: &mut Source,
    proxy: &Proxy<Os>,
    manager: &ServiceManager,
    successor: &mut Successor,
) -> End {
    loop {
        let trigger = tokio::select! {
            biased;
            () = signals.stop.next() => return End::Stop,
            _ = signals.reopen.recv() => {
                // The line itself has the file opened.
                match log.reopen() {
                    true => info!(event = "log_reopened", "the log goes on here: its file was opened again"),
                    false => info!("SIGUSR1 does nothing where the log goes to no file"),
                }
                continue;
            }
            () = successor.ended() => continue,
            _ = signals.hangup.recv() => Trigger::Signal,
            Some(pending) = commands.recv() => match pending {
                Pending::Reload(reload) => Trigger::Command(reload),
                Pending::Drain => return End::Stop,
                Pending::HandOver(hand_over) => return End::HandOver(hand_over),
                Pending::Upgrade(asked) => {
                    successor.start(asked);
                    continue;
                }
            },
            () = source.changed() => Trigger::Files,
        };
        let outcome = tokio::select! {
            biased;
            () = signals.stop.next() => return End::Stop,
            outcome = source.reload(proxy, !matches!(trigger, Trigger::Files), manager) => outcome,
        };
        if let (Trigger::Command(pending), Some(answer)) = (trigger, outcome) {
            pending.answer(answer);
        }
    }
}

/// Asks the process that runs with the same control socket for what it has.
async fn begin_take_over(server: &Server) -> Result<(TakeOver, Handed), String> {
    let path = server.control_socket_path();
    let path =
        path.ok_or("--take-over: without a control socket no running proxy can be found (server.control_socket)")?;
    TakeOver::begin(&path).await
}

/// Answers on the control socket of `claims`, if there is one.
fn open(
    claims: Option<&Claims>,
    (listener, admin): (ListenerHandle, Option<ListenerHandle>),
    proxy: &Arc<Proxy<Os>>,
    (log, recorder): (&LogControl, Option<Arc<Recorder>>),
) -> io::Result<mpsc::Receiver<Pending>> {
    let Some((socket, claims)) = claims.and_then(|claims| claims.control.as_ref().zip(Some(claims))) else {
        return Ok(mpsc::channel(1).1);
    };
    let pid_file = claims.pid_file.as_ref().map(PidFile::share).transpose()?;
    let holdings = Holdings { listener, admin, control_lock: socket.lock()?, pid_file };
    control::serve(socket, Arc::clone(proxy), holdings, (log.clone(), recorder))
}

/// Listens on the socket that was passed, or else on one of our own.
async fn listen(
    address: SocketAddr,
    section: &'static str,
    passed: Option<TcpListener>,
) -> Result<OsListener, StartError> {
    let listening = match passed {
        Some(passed) => OsListener::inherit(passed, address),
        None => Os::new().bind(address).await,
    };
    listening.map_err(|error| StartError::Listen { section, address, error })
}
