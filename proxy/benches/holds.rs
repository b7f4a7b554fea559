//! Measures for how long statistics and reloads hold requests up, with 1,000 upstreams and 10,000 open tunnels.
//!
//! Two things can: a lock, which every thread may wait for, and a thread that does something else, which those wait for whom it
//! serves. The proxy runs in this process, on a network in memory and one thread, so that a task which always wants a turn sees
//! the second, and locks tell the first themselves (`proxy::testing`).
//!
//! `cargo bench -p proxy --bench holds -- [--json]`

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proxy::Proxy;
use proxy::config::{self, Config, System};
use proxy::env::{Env, Listener};
use proxy::event::NoObserver;
use proxy::testing::{MemoryEnv, MemoryStream, longest_hold};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const UPSTREAMS: u32 = 1_000;
const TUNNELS: usize = 10_000;
const ROUNDS: usize = 15;

const LISTEN: &str = "127.0.0.1:3130";
const UPSTREAM: &str = "10.0.0.1:3128";

/// One round, in seconds.
#[derive(Clone, Copy)]
struct Round {
    /// The longest time for which a lock was held, other processes included.
    lock: f64,
    /// The most processor time that the thread had in one go; 0 where it is another thread's work.
    thread: f64,
    /// Processor time.
    cpu: f64,
}

/// Every weight is another, and an odd round gives them the other way round: the longest schedules that there are.
fn configuration(round: usize) -> Result<Config, String> {
    let weight = |number: u32| if round.is_multiple_of(2) { number } else { UPSTREAMS + 1 - number };
    // Entries of one address are upstreams of their own if their users differ.
    let one = |number: u32| json!({ "url": format!("http://u{number}:p@{UPSTREAM}"), "weight": weight(number) });
    let text = json!({
        "server": { "listen_address": LISTEN, "pid_file": "", "control_socket": "" },
        "limits": { "max_connections": 2 * TUNNELS },
        "upstream_proxies": (1..=UPSTREAMS).map(one).collect::<Vec<_>>(),
    });
    let system = System::beside(Path::new("holds.json"));
    config::parse("holds.json", text.to_string().as_bytes(), &system).map_err(|problems| problems.to_string())
}

async fn head(stream: &mut MemoryStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// An upstream that opens every tunnel and keeps it open.
async fn serve_upstream(env: &MemoryEnv) -> io::Result<()> {
    let mut listener = env.bind(UPSTREAM.parse().map_err(io::Error::other)?).await?;
    let tasks = env.clone();
    env.spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tasks.spawn(async move {
                if head(&mut peer).await.is_ok() && peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
                    let _ = peer.read_u8().await;
                }
            });
        }
    });
    Ok(())
}

async fn tunnel(env: &MemoryEnv, proxy: SocketAddr) -> io::Result<MemoryStream> {
    let mut stream = env.client(proxy)?;
    stream.write_all(b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n").await?;
    let head = head(&mut stream).await?;
    if head.starts_with("HTTP/1.1 200 ") { Ok(stream) } else { Err(io::Error::other(head)) }
}

/// Makes the proxy write its statistics. What the client does with them is not measured.
async fn page(env: &MemoryEnv, proxy: SocketAddr) -> io::Result<usize> {
    let mut stream = env.client(proxy)?;
    stream.write_all(b"GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let (mut length, mut piece) = (0, [0; 4096]);
    loop {
        match stream.read(&mut piece).await? {
            0 => return Ok(length),
            count => length += count,
        }
    }
}

/// Processor time of this thread so far.
fn cpu() -> io::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanos.map(|nanos| nanos / 1e9).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Waits for `work`, beside a task that wants a turn whenever it can have one: what it had to wait for at most.
async fn beside_another<T>(env: &MemoryEnv, work: impl Future<Output = T>) -> (T, f64) {
    let over = Arc::new(AtomicBool::new(false));
    let (tell, told) = tokio::sync::oneshot::channel();
    let watched = Arc::clone(&over);
    env.spawn(async move {
        // By processor time, which other processes don't add to.
        let (mut longest, mut last) = (0.0, cpu().unwrap_or(f64::NAN));
        while !watched.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
            let now = cpu().unwrap_or(f64::NAN);
            (longest, last) = (f64::max(longest, now - last), now);
        }
        let _ = tell.send(longest);
    });
    tokio::task::yield_now().await;
    let found = work.await;
    over.store(true, Ordering::Relaxed);
    (found, told.await.unwrap_or(f64::NAN))
}

/// The median of one figure, with the least and the most.
fn spread(rounds: &[Round], of: impl Fn(&Round) -> f64) -> [f64; 3] {
    let mut all: Vec<f64> = rounds.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    let at = |place: usize| all.get(place).copied().unwrap_or(f64::NAN) * 1e3;
    [at(all.len() / 2), at(0), at(all.len().saturating_sub(1))]
}

async fn run(json: bool) -> Result<(), Box<dyn Error>> {
    let env = MemoryEnv::default();
    serve_upstream(&env).await?;
    let proxy = Proxy::start(configuration(0)?, env.clone(), Arc::new(NoObserver)).await?;
    let mut tunnels = Vec::with_capacity(TUNNELS);
    while tunnels.len() < TUNNELS {
        tunnels.push(tunnel(&env, proxy.local_addr()).await?);
    }
    let (mut pages, mut reloads) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        longest_hold();
        let before = cpu()?;
        page(&env, proxy.local_addr()).await?;
        let cpu_of_page = cpu()? - before;
        let lock = longest_hold().as_secs_f64();
        let (length, thread) = beside_another(&env, page(&env, proxy.local_addr())).await;
        length?;
        pages.push(Round { lock, thread, cpu: cpu_of_page });

        // The binary reloads in a thread that serves nobody.
        let next = configuration(round)?;
        longest_hold();
        let before = cpu()?;
        proxy.reload(next)?;
        let (lock, cpu) = (longest_hold().as_secs_f64(), cpu()? - before);
        reloads.push(Round { lock, thread: 0.0, cpu });
    }
    if !json {
        println!(
            "| {UPSTREAMS} upstreams, {TUNNELS} tunnels; ms: median (least–most) | a lock held | a thread held | CPU |"
        );
        println!("|---|---|---|---|");
    }
    for (name, rounds) in [("/stats", pages), ("reload", reloads)] {
        let figures =
            [spread(&rounds, |one| one.lock), spread(&rounds, |one| one.thread), spread(&rounds, |one| one.cpu)];
        if json {
            println!(
                "{}",
                json!({ "what": name, "lock_ms": figures[0], "thread_ms": figures[1], "cpu_ms": figures[2] })
            );
        } else {
            let text = figures.map(|[median, least, most]| format!("{median:.2} ({least:.2}–{most:.2})"));
            println!("| {name} | {} |", text.join(" | "));
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let json = std::env::args().any(|argument| argument == "--json");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(json))
}
