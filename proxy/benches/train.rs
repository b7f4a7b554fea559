//! Drives a proxy that notes how often each of its branches is taken, as its clients would: what `scripts/pgo.sh` builds it by.
//!
//! `cargo test -p proxy --bench train -- --proxy FILE`. It measures nothing, so that it need not be quick itself. The proxy is told to
//! end, since it writes what it has noted as it ends.

mod support;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use support::process::{ChildProcess, free_address_on};
use support::{echo, netdrift_config, tunnel, upstream};

/// At once.
const CLIENTS: usize = 16;

/// What each client does of each kind.
const TIMES: usize = 500;

/// Bytes of a stream, each way.
const STREAM: usize = 64 << 20;

const GET: &[u8] = b"GET http://plain.test/some/page?of=it HTTP/1.1\r\nHost: plain.test\r\nUser-Agent: train/1.0\r\n\
    Accept: */*\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en\r\nProxy-Connection: keep-alive\r\n\r\n";
const POST: &[u8] = b"POST http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nContent-Type: text/plain\r\n\
    Content-Length: 5\r\n\r\nhello";

/// Opens tunnels, exchanges a few words on each and closes it.
async fn tunnels(proxy: SocketAddr) -> io::Result<()> {
    for turn in 0..TIMES {
        let mut stream = tunnel(proxy, "echo.test:443").await?;
        // Few tunnels carry one message; most carry some dozen.
        for _ in 0..1 + turn % 8 {
            echo(&mut stream, b"a message").await?;
        }
        if turn % 2 == 0 {
            stream.shutdown().await?;
            let _ = stream.read(&mut [0]).await?;
        }
    }
    Ok(())
}

/// Sends `request` again and again; every tenth time on a new connection.
async fn requests(proxy: SocketAddr, request: &'static [u8]) -> io::Result<()> {
    let mut held = Vec::with_capacity(1024);
    for _ in 0..TIMES / 10 {
        let mut stream = TcpStream::connect(proxy).await?;
        stream.set_nodelay(true)?;
        for _ in 0..10 {
            stream.write_all(request).await?;
            held.clear();
            // The upstream's body; nothing in a head ends like it.
            while !held.ends_with(b"\r\n\r\nhello") {
                if stream.read_buf(&mut held).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
    Ok(())
}

/// Carries a stream down and one up.
async fn streams(proxy: SocketAddr) -> io::Result<()> {
    let mut block = vec![0; 256 << 10];
    let mut down = tunnel(proxy, "source.test:80").await?;
    down.write_all(b"go").await?;
    let mut left = STREAM;
    while left > 0 {
        match down.read(&mut block).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left = left.saturating_sub(count),
        }
    }
    drop(down);
    let mut up = tunnel(proxy, "sink.test:80").await?;
    for _ in 0..STREAM / block.len() {
        up.write_all(&block).await?;
    }
    up.shutdown().await
}

async fn at_once<F>(client: impl Fn() -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut clients = JoinSet::new();
    (0..CLIENTS).for_each(|_| drop(clients.spawn(client())));
    while let Some(ended) = clients.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    Ok(())
}

async fn train(proxy: &Path, level: &str) -> io::Result<()> {
    let (_upstream, upstream) = ChildProcess::upstream()?;
    // Clients come from 127.0.0.1, so none of them can take the port meanwhile.
    let listen = free_address_on([127, 0, 0, 2].into())?;
    let (watched, logged) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let config = watched.path().join("config");
    fs::write(&config, netdrift_config(listen, upstream, level))?;
    let log = fs::File::create(logged.path().join("log"))?;
    let mut process = ChildProcess::start(Command::new(proxy).arg("--config").arg(&config), log)?;
    process.accepts(listen).await?;
    at_once(|| tunnels(listen)).await?;
    at_once(|| requests(listen, GET)).await?;
    at_once(|| requests(listen, POST)).await?;
    streams(listen).await?;
    process.end()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "upstream") {
        return Ok(runtime.block_on(upstream::serve())?);
    }
    let proxy: PathBuf = match arguments.as_slice() {
        [] => env!("CARGO_BIN_EXE_proxy").into(),
        [option, file] if option == "--proxy" => file.into(),
        other => return Err(format!("{other:?}: there is --proxy FILE").into()),
    };
    // Most are not logged line by line; what is logged goes another way.
    for level in ["warn", "info"] {
        runtime.block_on(train(&proxy, level))?;
    }
    Ok(())
}
