//! The binary `mock-upstreams`: runs upstream proxies for demos and tests, several in one process.

mod daemon;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use mock_upstreams::journal::{Clock, DEFAULT_CAPACITY, Journal, JournalFile, Sink};
use mock_upstreams::listen::{listen, listen_as_target};
use mock_upstreams::upstream::Upstream;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use daemon::cli::Args;
use daemon::config::UpstreamConfig;
use daemon::pidfile::PidFile;

/// sysexits.h: the command line is wrong.
const USAGE: u8 = 64;
/// sysexits.h: the configuration is wrong.
const CONFIG: u8 = 78;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::read(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            // clap also reports --help and --version as an error, which does not use the standard error.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let (bind, upstreams) = match args.upstreams() {
        Ok(upstreams) => upstreams,
        Err(error) => {
            eprintln!("mock-upstreams: {error}");
            return ExitCode::from(CONFIG);
        }
    };
    match run(&args, bind, upstreams).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mock-upstreams: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args, bind: IpAddr, upstreams: Vec<UpstreamConfig>) -> io::Result<()> {
    // Installed before the first port is open: whoever waits for the port may send a signal at once.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let journal_file = args.journal.as_deref().map(JournalFile::append_to).transpose()?;
    let stop = Arc::new(Notify::new());
    let mut listeners = JoinSet::new();
    let mut pid_files = Vec::new();
    for one in args.targets().to_vec() {
        let listener = bound(SocketAddr::new(bind, one.port)).await?;
        println!("listening on {} {}", listener.local_addr()?, one.name);
        let stop = stop.clone();
        listeners.spawn(async move {
            listen_as_target(listener, one.target, &one.name, async move { stop.notified().await }).await;
        });
    }
    for config in upstreams {
        let listener = bound(SocketAddr::new(bind, config.port)).await?;
        let address = listener.local_addr()?;
        pid_files.extend(claim_pid_file(args, address.port())?);
        let sink = journal_file.clone().map(|file| -> Sink { Box::new(move |entry| file.append(entry)) });
        let journal = Arc::new(Journal::new(&config.name, clock(), DEFAULT_CAPACITY, sink));
        let upstream = Arc::new(Upstream::new(&config.name, config.settings, journal));
        println!("listening on {address} {}", config.name);
        let stop = stop.clone();
        listeners.spawn(listen(listener, upstream, async move { stop.notified().await }));
    }
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Each gets a permit of its own, which also reaches a listener that has not run yet.
    for _ in 0..listeners.len() {
        stop.notify_one();
        if let Some(Err(error)) = listeners.join_next().await {
            return Err(io::Error::other(error));
        }
    }
    Ok(())
}

async fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let said = |error: io::Error| io::Error::new(error.kind(), format!("{address}: can't listen: {error}"));
    TcpListener::bind(address).await.map_err(said)
}

fn claim_pid_file(args: &Args, port: u16) -> io::Result<Option<PidFile>> {
    if args.no_pid_file {
        return Ok(None);
    }
    match PidFile::claim(&args.pid_dir.join(format!("test-proxy-{port}.pid"))) {
        Ok(file) => Ok(Some(file)),
        Err(error) if args.pid_dir_is_default() => {
            eprintln!("mock-upstreams: no PID file: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the binary is where the wall clock comes in")]
    Arc::new(SystemTime::now)
}
