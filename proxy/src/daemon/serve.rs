//! Serves until a signal ends it: what a running process does beside carrying requests.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::control::{self, ControlSocket, PendingReload};
use super::log::Log;
use super::service_manager::ServiceManager;
use super::signals::ProcessSignals;
use super::source::{self, Source};
use crate::config::{Config, Files};
use crate::env::Env;
use crate::env::os::{Os, OsListener};
use crate::proxy::{Listeners, Proxy, StartError};

/// What the process has set up before it serves.
#[derive(Debug)]
pub struct Process {
    /// Its signals, handled.
    pub signals: ProcessSignals,
    /// Who hears the proxy's events.
    pub log: Log,
    /// Who started it.
    pub manager: Arc<ServiceManager>,
    /// The listening socket that it was started with; without one it opens its own.
    pub listener: Option<TcpListener>,
    /// Where commands reach it.
    pub control: Option<ControlSocket>,
}

/// Why a process can't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The proxy can't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The control socket can't be served.
    #[error("the control socket: {0}")]
    Control(io::Error),
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

/// Serves with `config`, which was read from `path` and depends on `files`, until a signal ends it and the drain is over.
///
/// # Errors
/// It can't start.
pub async fn serve(path: &Path, config: Config, files: Files, process: &mut Process) -> Result<(), ServeError> {
    let Process { signals, log, manager, listener, control } = process;
    let fed = Arc::clone(manager);
    Os::new().spawn(async move { fed.feed_watchdog().await });
    let name = config.server.name.clone();
    let upstreams = config.upstreams.len();
    let proxy = Arc::new(start(config, log.clone(), listener.take()).await?);
    let mut commands = match control {
        Some(socket) => control::serve(socket, Arc::clone(&proxy)).map_err(ServeError::Control)?,
        None => mpsc::channel(1).1,
    };
    let mut source = Source::watch(path, files);
    info!(
        name,
        listen = %proxy.local_addr(),
        upstreams,
        config = %path.display(),
        event = "started",
        "netdrift {}",
        env!("CARGO_PKG_VERSION")
    );
    manager.ready(&source::status(&proxy));
    loop {
        let trigger = tokio::select! {
            biased;
            () = signals.stop.next() => break,
            name = signals.ignored.next() => {
                info!("{name} does nothing here");
                continue;
            }
            _ = signals.hangup.recv() => Trigger::Signal,
            Some(pending) = commands.recv() => Trigger::Command(pending),
            () = source.changed() => Trigger::Files,
        };
        let outcome = tokio::select! {
            biased;
            () = signals.stop.next() => break,
            outcome = source.reload(&proxy, !matches!(trigger, Trigger::Files), manager) => outcome,
        };
        if let (Trigger::Command(pending), Some(answer)) = (trigger, outcome) {
            pending.answer(answer);
        }
    }
    // Whoever waits for a reload is told that there will be none.
    drop(commands);
    manager.stopping("Draining: open requests and tunnels may end");
    tokio::select! {
        biased;
        reset = proxy.drain() => info!(reset, "stopped"),
        () = signals.stop.next() => warn!("stopped at once by a second signal"),
    }
    Ok(())
}

/// Starts the proxy on `listener`, or else on a socket of its own.
async fn start(config: Config, log: Log, listener: Option<TcpListener>) -> Result<Proxy<Os>, StartError> {
    let (env, log) = (Os::new(), Arc::new(log));
    let Some(listener) = listener else { return Proxy::start(config, env, log).await };
    let refused = |section, address| move |error| StartError::Listen { section, address, error };
    let address = config.server.listen;
    let clients = OsListener::inherit(listener, address).map_err(refused("server", address))?;
    let admin = match &config.admin {
        Some(admin) => Some(env.bind(admin.listen).await.map_err(refused("admin", admin.listen))?),
        None => None,
    };
    Proxy::start_on(Listeners { clients, admin }, config, env, log)
}
