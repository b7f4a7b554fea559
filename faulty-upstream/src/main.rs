//! `faulty-upstream`: an upstream that does wrong on demand; `catalogue` lists how, `ctl` controls a running one.

mod daemon;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use faulty_upstream::listen::{SocketListener, serve};
use faulty_upstream::{FaultyUpstream, Plan, admin, catalogue};
use mock_upstreams::Settings;
use mock_upstreams::journal::{DEFAULT_CAPACITY, Entry, Event, Journal};
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
            // Help and version come this way as well.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match args.other {
        Some(Other::Catalogue { json: true }) => say(&format!("{:#}\n", catalogue::json())),
        Some(Other::Catalogue { json: false }) => say(&catalogue::text()),
        Some(Other::Ctl { admin, command }) => ctl::run(&admin, &command).and_then(|said| say(&said)),
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

/// To standard output, whose reader may have gone.
fn say(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[tokio::main]
async fn run(args: &Run, plan: Plan) -> io::Result<()> {
    // Before the port is open: whoever waits for it may send a signal at once.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let address = SocketAddr::new(args.bind, args.port);
    let said = |address: SocketAddr| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{address}: can't listen: {error}"))
    };
    let listener = SocketListener::bind(address).map_err(said(address))?;
    let admin_address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.admin_port));
    let admin_listener = TcpListener::bind(admin_address).await.map_err(said(admin_address))?;
    let name = args.name.clone().unwrap_or_else(|| format!("faulty-{}", listener.address().port()));
    let settings = Settings { auth: args.auth.clone(), ..Settings::default() };
    let upstream = Arc::new(FaultyUpstream::new(&name, settings, Arc::new(journal(args, &name)?), plan));
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
        () = administrate(admin_listener, &upstream) => Ok(()),
    }
}

async fn administrate(listener: TcpListener, upstream: &Arc<FaultyUpstream>) {
    let mut administrators = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while administrators.try_join_next().is_some() {}
                let upstream = upstream.clone();
                administrators.spawn(async move { admin::serve(stream, &upstream).await });
            }
            // Out of descriptors, most likely: a pause lets connections end instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn journal(args: &Run, name: &str) -> io::Result<Journal> {
    let mut out: Option<Box<dyn Write + Send>> = match args.journal.as_deref() {
        None => None,
        Some(path) if path.as_os_str() == "-" => Some(Box::new(io::stdout())),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            Some(Box::new(file))
        }
    };
    let out = Mutex::new(move |entry: &Entry| {
        if let Event::Plan { change } = &entry.event {
            eprintln!("faulty-upstream: plan: {change}");
        }
        if let Some(out) = &mut out {
            // A full disk must not stop the upstream; GET /journal still has the entry.
            let _ = writeln!(out, "{}", entry.to_json());
        }
    });
    let sink = move |entry: &Entry| {
        if let Ok(mut out) = out.lock() {
            out(entry);
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the binary is where the wall clock comes in")]
    let clock = Arc::new(SystemTime::now);
    Ok(Journal::new(name, clock, DEFAULT_CAPACITY, Some(Box::new(sink))))
}
