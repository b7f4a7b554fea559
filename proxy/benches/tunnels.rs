//! Measures what an idle tunnel costs: thousands of them through the real binary, and its descriptors and memory from `/proc`.
//!
//! `cargo bench -p proxy --bench tunnels -- [--json] [--tunnels N] [--proxy FILE]`

mod support;

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::sleep;

use support::process::{ChildProcess, Holding, free_address};
use support::{echo, netdrift_config, tunnel, upstream};

/// Enough to drown what the process costs by itself.
const TUNNELS: usize = 4_000;

/// Opened before anything is measured, so that threads, heap and name tables are there.
const WARM_UP: usize = 64;

/// Figures count once two readings this far apart agree.
const SETTLE: Duration = Duration::from_millis(250);

/// Readings at most; a process that never settles is a figure too.
const READINGS: usize = 40;

struct Options {
    json: bool,
    tunnels: usize,
    proxy: PathBuf,
}

fn options() -> Result<Options, String> {
    let mut options = Options { json: false, tunnels: TUNNELS, proxy: env!("CARGO_BIN_EXE_proxy").into() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            // cargo's own.
            "--bench" => {}
            "--json" => options.json = true,
            "--tunnels" => options.tunnels = value()?.parse().map_err(|error| format!("--tunnels: {error}"))?,
            "--proxy" => options.proxy = value()?.into(),
            _ => return Err(format!("{argument}: unknown; there are --json, --tunnels N, --proxy FILE")),
        }
    }
    Ok(options)
}

/// What one more tunnel adds.
struct Cost {
    when: &'static str,
    descriptors: f64,
    bytes: f64,
}

impl Cost {
    fn between(when: &'static str, before: Holding, after: Holding, tunnels: usize) -> Self {
        let each = |before: f64, after: f64| (after - before) / tunnels as f64;
        Cost {
            when,
            descriptors: each(before.descriptors as f64, after.descriptors as f64),
            bytes: each(before.memory as f64, after.memory as f64),
        }
    }
}

async fn measure(options: &Options) -> io::Result<(Vec<Cost>, usize)> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // The proxy holds two descriptors a tunnel; some hundred are kept for all else.
    let tunnels = options.tunnels.min((limit.saturating_sub(512) / 2) as usize);
    let folder = tempfile::tempdir()?;
    let (_upstream, upstream) = ChildProcess::upstream()?;
    let listen = free_address()?;
    let config = folder.path().join("tunnels.json");
    std::fs::write(&config, netdrift_config(listen, upstream, "warn"))?;
    let log = std::fs::File::create(folder.path().join("proxy.log"))?;
    let mut proxy = ChildProcess::start(Command::new(&options.proxy).arg("--config").arg(&config), log)?;
    proxy.accepts(listen).await?;

    let mut warm = open(listen, WARM_UP).await?;
    talk(&mut warm).await?;
    drop(warm);
    let nothing = settled(&proxy).await?;

    let mut open = open(listen, tunnels).await?;
    let fresh = settled(&proxy).await?;
    talk(&mut open).await?;
    let used = settled(&proxy).await?;
    drop(open);
    let closed = settled(&proxy).await?;

    let costs = vec![
        Cost::between("opened, silent", nothing, fresh, tunnels),
        Cost::between("after traffic on each", nothing, used, tunnels),
        Cost::between("closed again", nothing, closed, tunnels),
    ];
    Ok((costs, tunnels))
}

async fn settled(proxy: &ChildProcess) -> io::Result<Holding> {
    let mut holding = proxy.holding()?;
    for _ in 0..READINGS {
        sleep(SETTLE).await;
        let before = std::mem::replace(&mut holding, proxy.holding()?);
        if before == holding {
            break;
        }
    }
    Ok(holding)
}

async fn open(listen: std::net::SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(tunnel(listen, "echo.test:80").await?);
    }
    Ok(streams)
}

/// A message on each: all are sent before any answer is read, so that many tunnels hold bytes at once.
async fn talk(streams: &mut [TcpStream]) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let message = vec![1; 64 * 1024];
    for some in streams.chunks_mut(64) {
        for stream in &mut *some {
            // Less than the sockets on the way hold.
            stream.write_all(&message).await?;
        }
        for stream in &mut *some {
            let mut back = vec![0; message.len()];
            stream.read_exact(&mut back).await?;
            echo(stream, b"ping").await?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if std::env::args().nth(1).as_deref() == Some("upstream") {
        return Ok(runtime.block_on(upstream::serve())?);
    }
    let options = options()?;
    let (costs, tunnels) = runtime.block_on(measure(&options))?;
    if options.json {
        let costs: Vec<_> = (costs.iter())
            .map(|cost| {
                json!({ "when": cost.when, "descriptors_per_tunnel": cost.descriptors, "bytes_per_tunnel": cost.bytes })
            })
            .collect();
        println!("{}", json!({ "tunnels": tunnels, "costs": costs }));
    } else {
        println!("{tunnels} tunnels, what each adds to the proxy's process:");
        for Cost { when, descriptors, bytes } in costs {
            println!("  {when:<22} {descriptors:6.2} descriptors {bytes:9.0} bytes");
        }
    }
    Ok(())
}
