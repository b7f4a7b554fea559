//! Loads a proxy as its clients would, in one way at a time, and counts what came of it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::{WATCHDOG, echo, tunnel};

/// Read or written at a time by streams.
const BLOCK: usize = 256 * 1024;

/// What clients of one kind do until the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Open a tunnel, have a word echoed, close it. The waits are those for the 2xx, the client's TCP included.
    Tunnels,
    /// Exchange 64 bytes over a tunnel that stays.
    RoundTrips,
    /// Read as fast as bytes come. What is counted is gigabytes.
    Down,
    /// Write as fast as bytes are taken, likewise.
    Up,
    /// GET over a connection that stays, where the proxy lets it.
    Get,
    /// GET over a connection of its own, closed behind it.
    GetAnew,
    /// POST of 64 bytes, likewise.
    PostAnew,
}

/// What clients got done.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) count: f64,
    /// How long each wait took, in seconds.
    pub(crate) waits: Vec<f32>,
}

impl Done {
    fn waited(&mut self, since: Instant) {
        self.count += 1.0;
        self.waits.push(since.elapsed().as_secs_f32());
    }

    /// The wait that this share of all did not exceed.
    pub(crate) fn quantile(&mut self, share: f64) -> f64 {
        self.waits.sort_by(f32::total_cmp);
        let place = (self.waits.len() as f64 * share) as usize;
        self.waits.get(place.min(self.waits.len().saturating_sub(1))).copied().map_or(f64::NAN, f64::from)
    }
}

impl Load {
    /// Runs `clients` of them at once for `span`; returns what they got done, and the seconds that it took.
    pub(crate) async fn run(self, addr: SocketAddr, clients: usize, span: Duration) -> io::Result<(Done, f64)> {
        let start = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..clients {
            running.spawn(self.client(addr, start + span));
        }
        let mut all = Done::default();
        while let Some(ended) = running.join_next().await {
            let done = ended.map_err(io::Error::other)??;
            all.count += done.count;
            all.waits.extend(done.waits);
        }
        Ok((all, start.elapsed().as_secs_f64()))
    }

    async fn client(self, addr: SocketAddr, deadline: Instant) -> io::Result<Done> {
        match self {
            Load::Tunnels => tunnels(addr, deadline).await,
            Load::RoundTrips => round_trips(addr, deadline).await,
            Load::Down => down(addr, deadline).await,
            Load::Up => up(addr, deadline).await,
            Load::Get => requests(addr, deadline, GET, true).await,
            Load::GetAnew => requests(addr, deadline, GET_CLOSE, false).await,
            Load::PostAnew => requests(addr, deadline, POST_CLOSE, false).await,
        }
    }
}

async fn tunnels(addr: SocketAddr, deadline: Instant) -> io::Result<Done> {
    let mut done = Done::default();
    while Instant::now() < deadline {
        let start = Instant::now();
        let mut stream = tunnel(addr, "echo.test:80").await?;
        done.waited(start);
        echo(&mut stream, b"ping").await?;
    }
    Ok(done)
}

async fn round_trips(addr: SocketAddr, deadline: Instant) -> io::Result<Done> {
    let mut stream = tunnel(addr, "echo.test:80").await?;
    let mut done = Done::default();
    while Instant::now() < deadline {
        let start = Instant::now();
        echo(&mut stream, &[7; 64]).await?;
        done.waited(start);
    }
    Ok(done)
}

async fn down(addr: SocketAddr, deadline: Instant) -> io::Result<Done> {
    let mut stream = tunnel(addr, "source.test:80").await?;
    stream.write_all(b"go").await?;
    let mut buffer = vec![0; BLOCK];
    let mut done = Done::default();
    while Instant::now() < deadline {
        let bytes = timeout(WATCHDOG, stream.read(&mut buffer)).await.map_err(io::Error::from)??;
        done.count += bytes as f64 / 1e9;
    }
    Ok(done)
}

async fn up(addr: SocketAddr, deadline: Instant) -> io::Result<Done> {
    let mut stream = tunnel(addr, "sink.test:80").await?;
    let buffer = vec![7; BLOCK];
    let mut done = Done::default();
    while Instant::now() < deadline {
        let bytes = timeout(WATCHDOG, stream.write(&buffer)).await.map_err(io::Error::from)??;
        done.count += bytes as f64 / 1e9;
    }
    Ok(done)
}

const GET: &[u8] = b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n";
const GET_CLOSE: &[u8] = b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n";
const POST_CLOSE: &[u8] = b"POST http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\
    Content-Length: 64\r\n\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

async fn requests(addr: SocketAddr, deadline: Instant, request: &[u8], keep: bool) -> io::Result<Done> {
    let mut done = Done::default();
    let mut held = Vec::with_capacity(4096);
    let mut kept: Option<TcpStream> = None;
    while Instant::now() < deadline {
        let start = Instant::now();
        let (mut stream, reused) = match kept.take() {
            Some(stream) => (stream, true),
            None => (TcpStream::connect(addr).await?, false),
        };
        stream.set_nodelay(true)?;
        let sent = stream.write_all(request).await;
        held.clear();
        // The upstream's body; nothing in a head ends like it.
        while sent.is_ok() && !held.ends_with(b"\r\n\r\nhello") {
            let read = timeout(WATCHDOG, stream.read_buf(&mut held)).await.map_err(io::Error::from)?;
            if !matches!(read, Ok(1..)) {
                break;
            }
        }
        if reused && held.is_empty() {
            // Closed between requests, which a client has to expect.
            continue;
        }
        if !held.ends_with(b"hello") || held.get(9..12) != Some(b"200") {
            return Err(io::Error::other(String::from_utf8_lossy(&held).into_owned()));
        }
        done.waited(start);
        // Who does not keep connections alive is dialled again: that is its way of doing this job. It says so in the first response, which
        // alone is looked through: a longer head must not cost its proxy anything here.
        if keep && (reused || !held.to_ascii_lowercase().windows(17).any(|text| text == b"connection: close")) {
            kept = Some(stream);
        }
    }
    Ok(done)
}
