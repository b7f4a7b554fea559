//! `mock-upstreams [PORT…]`: upstream proxies for demos and tests.

mod daemon;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use mock_upstreams::journal::{Clock, DEFAULT_CAPACITY, Journal, Sink};
use mock_upstreams::listen::listen;
use mock_upstreams::upstream::Upstream;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use daemon::cli::Args;
use daemon::config::Member;
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
            // Help and version come this way as well.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let (bind, members) = match args.members() {
        Ok(members) => members,
        Err(error) => {
            eprintln!("mock-upstreams: {error}");
            return ExitCode::from(CONFIG);
        }
    };
    match run(&args, bind, members).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mock-upstreams: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args, bind: IpAddr, members: Vec<Member>) -> io::Result<()> {
    // Before the first port is open: whoever waits for it may send a signal at once.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let journal_file = args.journal.as_deref().map(open_journal).transpose()?;
    let stop = Arc::new(Notify::new());
    let mut listeners = JoinSet::new();
    let mut pid_files = Vec::new();
    for member in members {
        let address = SocketAddr::new(bind, member.port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: can't listen: {error}")))?;
        let address = listener.local_addr()?;
        pid_files.extend(claim_pid_file(args, address.port())?);
        let sink = journal_file.clone().map(sink);
        let journal = Arc::new(Journal::new(&member.name, clock(), DEFAULT_CAPACITY, sink));
        let upstream = Arc::new(Upstream::new(&member.name, member.settings, journal));
        println!("listening on {address} {}", member.name);
        let stop = stop.clone();
        listeners.spawn(listen(listener, upstream, async move { stop.notified().await }));
    }
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // One permit each, so that it is heard also by a listener that has not run yet.
    for _ in 0..listeners.len() {
        stop.notify_one();
        if let Some(Err(error)) = listeners.join_next().await {
            return Err(io::Error::other(error));
        }
    }
    Ok(())
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

type JournalFile = Arc<Mutex<dyn Write + Send>>;

fn open_journal(path: &Path) -> io::Result<JournalFile> {
    if path.as_os_str() == "-" {
        return Ok(Arc::new(Mutex::new(io::stdout())));
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(Arc::new(Mutex::new(file)))
}

fn sink(file: JournalFile) -> Sink {
    Box::new(move |entry| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not stop the upstream; GET /journal still has the entry.
        let _ = writeln!(file, "{}", entry.to_json());
    })
}
