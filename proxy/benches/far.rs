//! Measures how long a tunnel through a far upstream takes to open, with warm connections and without, on real sockets with latency
//! added.
//!
//! `cargo bench -p proxy --bench far -- [--round-trip MS] [--rate PER_SECOND] [--seconds N]`
//!
//! The kernel adds latency with netem, which needs root and a module that many kernels lack. So latency is added around the real
//! sockets: each byte to and from the upstream waits in a relay for half a round trip, and the proxy's connect(2) for a whole one.

mod support;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mock_upstreams::listen::dial;
use mock_upstreams::{Journal, Settings, Upstream, tls};
use proxy::Proxy;
use proxy::config::{self, Lookup};
use proxy::core::time::Timestamp;
use proxy::env::os::{Os, OsListener, OsStream};
use proxy::env::{Busy, Env};
use proxy::event::{Event, Observer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// The operating system, whose connections take a round trip to open.
#[derive(Clone)]
struct Far {
    os: Os,
    round_trip: Duration,
}

impl Env for Far {
    type Stream = OsStream;
    type Listener = OsListener;

    async fn bind(&self, addr: SocketAddr) -> io::Result<OsListener> {
        self.os.bind(addr).await
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<OsStream> {
        sleep(self.round_trip).await;
        self.os.connect(addr).await
    }

    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.os.resolve(host, port).await
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.os.spawn(task);
    }

    fn wall(&self) -> SystemTime {
        self.os.wall()
    }

    fn rand_u64(&self) -> u64 {
        self.os.rand_u64()
    }

    async fn offload<T, F>(&self, job: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.os.offload(job).await
    }
}

/// Carries one direction, each byte later by `delay`.
async fn delayed(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (send, mut receive) = mpsc::unbounded_channel();
    let reading = async move {
        loop {
            let mut bytes = Vec::with_capacity(16 * 1024);
            let read = from.read_buf(&mut bytes).await;
            if send.send((Instant::now() + delay, bytes)).is_err() || !matches!(read, Ok(1..)) {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = receive.recv().await {
            sleep_until(due).await;
            // An end is an empty read; whoever has gone needs nothing more.
            let written = if bytes.is_empty() { to.shutdown().await } else { to.write_all(&bytes).await };
            if written.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}

/// Serves on `listener` what stands behind `upstream`, from half a round trip away.
async fn relay(listener: TcpListener, upstream: SocketAddr, delay: Duration) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await?;
        let far = TcpStream::connect(upstream).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
        connections.spawn(delayed(near_read, far_write, delay));
        connections.spawn(delayed(far_read, near_write, delay));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(listener: TcpListener, upstream: Arc<Upstream>, inside_tls: bool) -> io::Result<()> {
    let acceptor = tls::acceptor(&["localhost"], None)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (upstream, acceptor) = (Arc::clone(&upstream), acceptor.clone());
        connections.spawn(async move {
            if !inside_tls {
                upstream.serve(stream, dial).await;
            } else if let Ok(stream) = acceptor.accept(stream).await {
                upstream.serve(stream, dial).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Knows the one file that the configuration names: the authority of doubles.
struct Authority;

impl Lookup for Authority {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> io::Result<Vec<u8>> {
        Ok(tls::authority_pem()?.into())
    }
}

struct Deaf;

impl Observer for Deaf {
    fn on(&self, _: Timestamp, _: &Event<'_>) {}
}

struct Load {
    round_trip: Duration,
    rate: f64,
    span: Duration,
}

/// What tunnels took to open, sorted, and how many connections the upstream has seen.
struct Measured {
    took: Vec<Duration>,
    connections: u64,
}

impl Measured {
    fn percentile(&self, percent: usize) -> f64 {
        let place = (self.took.len() * percent).div_ceil(100).saturating_sub(1);
        self.took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    }
}

async fn measure(load: &Load, inside_tls: bool, warm: bool) -> Result<Measured, Box<dyn Error>> {
    let mut hosts = JoinSet::new();
    let (behind, front) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let (upstream_at, port) = (behind.local_addr()?, front.local_addr()?.port());
    let journal = Arc::new(Journal::new("far", Arc::new(|| SystemTime::UNIX_EPOCH), 1000, None));
    let upstream = Arc::new(Upstream::new("far", Settings::default(), Arc::clone(&journal)));
    hosts.spawn(serve(behind, upstream, inside_tls));
    hosts.spawn(relay(front, upstream_at, load.round_trip / 2));

    let mut entry = match inside_tls {
        true => json!({ "url": format!("https://localhost:{port}"), "tls": { "ca_file": "authority.pem" } }),
        false => json!({ "url": format!("http://127.0.0.1:{port}") }),
    };
    if warm {
        entry["warm_connections"] = json!({ "max": 64 });
    }
    let config = json!({
        "server": { "listen_address": "127.0.0.1:0", "pid_file": "", "control_socket": "" },
        "upstream_proxies": [entry],
    });
    let config = config::parse("far.json", config.to_string().as_bytes(), &Authority)?;
    let env = Far { os: Os::new(), round_trip: load.round_trip };
    let proxy = Proxy::start(config, env, Arc::new(Deaf)).await?;
    let addr = proxy.local_addr();

    // What only the first tunnel of a process waits for.
    drop(support::tunnel(addr, "echo.mock:80").await?);
    sleep(load.round_trip * 4).await;
    let before = journal.counts().connections;
    let mut tunnels = JoinSet::new();
    let (mut due, mut gaps) = (Instant::now(), Gaps(1));
    let over = due + load.span;
    while due < over {
        sleep_until(due).await;
        let began = due;
        tunnels.spawn(async move {
            let tunnel = support::tunnel(addr, "echo.mock:80").await?;
            let took = began.elapsed();
            drop(tunnel);
            io::Result::Ok(took)
        });
        due += gaps.next(load.rate);
    }
    let mut took = Vec::new();
    while let Some(tunnel) = tunnels.join_next().await {
        took.push(tunnel??);
    }
    took.sort();
    let connections = journal.counts().connections - before;
    proxy.drain().await;
    Ok(Measured { took, connections })
}

/// Gaps between arrivals that know nothing of each other, the same in every run.
struct Gaps(u64);

impl Gaps {
    fn next(&mut self, rate: f64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = ((self.0 >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-share.ln() / rate)
    }
}

fn options() -> Result<Load, Box<dyn Error>> {
    let mut load = Load { round_trip: Duration::from_millis(50), rate: 40.0, span: Duration::from_secs(10) };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            // cargo's own.
            "--bench" => {}
            "--round-trip" => load.round_trip = Duration::from_millis(value()?.parse()?),
            "--rate" => load.rate = value()?.parse()?,
            "--seconds" => load.span = Duration::from_secs(value()?.parse()?),
            _ => return Err(format!("{argument}: unknown; there are --round-trip MS, --rate, --seconds").into()),
        }
    }
    Ok(load)
}

fn main() -> Result<(), Box<dyn Error>> {
    let load = options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (round_trip, rate) = (load.round_trip.as_millis(), load.rate);
    println!("round trip to the upstream {round_trip} ms, {rate} tunnels a second");
    println!("| upstream | warm connections | set-up p50, ms | p90 | p99 | connections for each tunnel |");
    println!("|---|---|---|---|---|---|");
    for (inside_tls, upstream) in [(false, "plain"), (true, "inside TLS")] {
        for (warm, word) in [(false, "no"), (true, "yes")] {
            let measured = runtime.block_on(measure(&load, inside_tls, warm))?;
            let [p50, p90, p99] = [50, 90, 99].map(|percent| measured.percentile(percent));
            let each = measured.connections as f64 / measured.took.len() as f64;
            println!("| {upstream} | {word} | {p50:.1} | {p90:.1} | {p99:.1} | {each:.2} |");
        }
    }
    Ok(())
}
