//! The binary `faulty-upstream`: runs a faulty upstream, lists the faults, or controls a running upstream.

mod daemon;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use faulty_upstream::listen::{SocketListener, serve};
use faulty_upstream::{FaultyUpstream, Plan, admin, catalogue};
use mock_upstreams::Settings;
use mock_upstreams::journal::{DEFAULT_CAPACITY, Entry, Event, Journal, JournalFile};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use daemon::cli::{Args, Other, Run};
use daemon::ctl;

/// sysexits.h: the command line is wrong.
const USAGE: u8 = 64;
/// sysexits.h: the configuration is wrong.
const CONFIG: u8 = 78;

fn main() -> ExitCode {
    let args = match Args::read(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            // clap also reports --help and --version as an error, which does not use the standard error.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match args.other {
        Some(Other::Catalogue { json: true }) => print(&format!("{:#}\n", catalogue::json())),
        Some(Other::Catalogue { json: false }) => print(&catalogue::text()),
        Some(Other::Ctl { admin, command }) => ctl::run(&admin, &command).and_then(|answer| print(&answer)),
        None => match args.run.plan() {
            Ok(plan) => run(&args.run, plan),
            Err(problems) => {
                for problem in problems {
                    eprintln!("faulty-upstream: {problem}");
                }
                return ExitCode::from(CONFIG);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faulty-upstream: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to the standard output. It is no error if its reader is gone.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[tokio::main]
async fn run(args: &Run, plan: Plan) -> io::Result<()> {
    // Installed before the port is open: whoever waits for the port may send a signal at once.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let address = SocketAddr::new(args.bind, args.port);
    let cannot_listen = |address: SocketAddr| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{address}: can't listen: {error}"))
    };
    let listener = SocketListener::bind(address).map_err(cannot_listen(address))?;
    let admin_address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.admin_port));
    let admin_listener = TcpListener::bind(admin_address).await.map_err(cannot_listen(admin_address))?;
    let name = args.name.clone().unwrap_or_else(|| format!("faulty-{}", listener.address().port()));
    let settings = Settings { auth: args.auth.clone(), ..Settings::default() };
    let mut upstream = FaultyUpstream::new(&name, settings, Arc::new(journal(args, &name)?), plan);
    if let Some(certified) = &args.tls {
        upstream = upstream.over_tls(certified).map_err(|error| io::Error::other(format!("--tls: {error}")))?;
    }
    let upstream = Arc::new(upstream);
    println!("listening on {} {name}", listener.address());
    println!("admin on {}", admin_listener.local_addr()?);
    let stop = async {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        biased;
        served = serve(listener, upstream.clone(), stop) => served,
        () = serve_admin(admin_listener, &upstream) => Ok(()),
    }
}

async fn serve_admin(listener: TcpListener, upstream: &Arc<FaultyUpstream>) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                let upstream = upstream.clone();
                connections.spawn(async move { admin::serve(stream, &upstream).await });
            }
            // Most likely the process is out of descriptors. The pause lets connections end instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn journal(args: &Run, name: &str) -> io::Result<Journal> {
    let file = args.journal.as_deref().map(JournalFile::append_to).transpose()?;
    let sink = move |entry: &Entry| {
        if let Event::Plan { change } = &entry.event {
            eprintln!("faulty-upstream: plan: {change}");
        }
        if let Some(file) = &file {
            file.append(entry);
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the binary is where the wall clock comes in")]
    let clock = Arc::new(SystemTime::now);
    Ok(Journal::new(name, clock, DEFAULT_CAPACITY, Some(Box::new(sink))))
}
