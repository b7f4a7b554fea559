//! Compares netdrift with other proxies that do the same job in the same run: client → proxy → upstream proxy → target.
//!
//! Run by `scripts/bench-compare.sh`. Rounds are interleaved and the median is told, with ratios to netdrift, since
//! absolute figures are those of the machine and of whatever else runs on it.

mod contender;
mod support;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use contender::{CONTENDERS, Contender, Running};
use support::process::ChildProcess;
use support::{echo, tunnel, upstream};

/// At once, in every measure but the idle one.
const CLIENTS: usize = 32;

/// Idle tunnels opened to weigh them. Few enough that every contender takes them as it comes.
const IDLE: usize = 500;

/// One figure of one contender in one round.
#[derive(Clone, Copy)]
struct Figure {
    value: f64,
    /// What one unit of it costs the proxy: processor seconds, or descriptors of an idle tunnel.
    cost: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Tunnels,
    Echo,
    Bulk,
    Plain,
    Idle,
}

impl Measure {
    const ALL: [Measure; 5] = [Measure::Tunnels, Measure::Echo, Measure::Bulk, Measure::Plain, Measure::Idle];

    /// Its name, the unit of its value, and the unit and factor of its cost.
    const fn words(self) -> (&'static str, &'static str, &'static str, f64) {
        match self {
            Measure::Tunnels => ("new tunnels", "/s", "CPU µs each", 1e6),
            Measure::Echo => ("64-byte echoes over 32 tunnels", "/s", "CPU µs each", 1e6),
            Measure::Bulk => ("bulk download, one tunnel", "MB/s", "CPU s/GB", 1e3),
            Measure::Plain => ("plain GET, 32 keep-alive clients", "/s", "CPU µs each", 1e6),
            Measure::Idle => ("an idle tunnel", "bytes", "descriptors", 1.0),
        }
    }

    async fn take(self, proxy: &Running, span: Duration) -> io::Result<Figure> {
        if self == Measure::Idle {
            return idle(proxy).await;
        }
        let addr = proxy.addr;
        let before = cpu(&proxy.process)?;
        let start = Instant::now();
        let deadline = start + span;
        let mut clients = JoinSet::new();
        for _ in 0..if self == Measure::Bulk { 1 } else { CLIENTS } {
            clients.spawn(async move {
                match self {
                    Measure::Tunnels => tunnels(addr, deadline).await,
                    Measure::Echo => echoes(addr, deadline).await,
                    Measure::Bulk => bulk(addr, deadline).await,
                    Measure::Plain | Measure::Idle => gets(addr, deadline).await,
                }
            });
        }
        let mut done = 0.0;
        while let Some(ended) = clients.join_next().await {
            done += ended.map_err(io::Error::other)??;
        }
        let took = start.elapsed().as_secs_f64();
        Ok(Figure { value: done / took, cost: (cpu(&proxy.process)? - before) / done })
    }
}

/// Clock ticks in a second of `/proc/PID/stat`: fixed in the kernel's interface to user space.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used so far, in steps of a hundredth.
fn cpu(process: &ChildProcess) -> io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th word behind it.
    let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = words.skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

/// Opens, speaks a word, closes.
async fn tunnels(addr: SocketAddr, deadline: Instant) -> io::Result<f64> {
    let mut done = 0.0;
    while Instant::now() < deadline {
        let mut stream = tunnel(addr, "echo.test:80").await?;
        echo(&mut stream, b"ping").await?;
        done += 1.0;
    }
    Ok(done)
}

async fn echoes(addr: SocketAddr, deadline: Instant) -> io::Result<f64> {
    let mut stream = tunnel(addr, "echo.test:80").await?;
    let mut done = 0.0;
    while Instant::now() < deadline {
        echo(&mut stream, &[7; 64]).await?;
        done += 1.0;
    }
    Ok(done)
}

/// Megabytes.
async fn bulk(addr: SocketAddr, deadline: Instant) -> io::Result<f64> {
    let mut stream = tunnel(addr, "source.test:80").await?;
    stream.write_all(b"go").await?;
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    while Instant::now() < deadline {
        bytes += timeout(Duration::from_secs(20), stream.read(&mut buffer)).await.map_err(io::Error::from)??;
    }
    Ok(bytes as f64 / 1e6)
}

async fn gets(addr: SocketAddr, deadline: Instant) -> io::Result<f64> {
    let mut done = 0.0;
    let mut held = Vec::with_capacity(4096);
    let mut kept: Option<TcpStream> = None;
    while Instant::now() < deadline {
        let (mut stream, reused) = match kept.take() {
            Some(stream) => (stream, true),
            None => (TcpStream::connect(addr).await?, false),
        };
        stream.set_nodelay(true)?;
        let sent = stream.write_all(b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n").await;
        held.clear();
        // The upstream's body; nothing in a head ends like it.
        while sent.is_ok() && !held.ends_with(b"\r\n\r\nhello") {
            let read = timeout(Duration::from_secs(20), stream.read_buf(&mut held)).await.map_err(io::Error::from)?;
            if !matches!(read, Ok(1..)) {
                break;
            }
        }
        if reused && held.is_empty() {
            // Closed between requests, which a client has to expect.
            continue;
        }
        if !held.ends_with(b"hello") {
            return Err(io::Error::other(String::from_utf8_lossy(&held).into_owned()));
        }
        done += 1.0;
        // Who does not keep connections alive is dialled again: that is its way of doing this job.
        if !held.to_ascii_lowercase().windows(17).any(|text| text == b"connection: close") {
            kept = Some(stream);
        }
    }
    Ok(done)
}

async fn idle(proxy: &Running) -> io::Result<Figure> {
    let before = proxy.process.holding()?;
    let mut open = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut stream = tunnel(proxy.addr, "echo.test:80").await?;
        echo(&mut stream, b"ping").await?;
        open.push(stream);
    }
    let after = proxy.process.holding()?;
    let each = |before: f64, after: f64| (after - before) / IDLE as f64;
    Ok(Figure {
        value: each(before.memory as f64, after.memory as f64),
        cost: each(before.descriptors as f64, after.descriptors as f64),
    })
}

struct Options {
    rounds: usize,
    span: Duration,
    proxy: std::path::PathBuf,
}

fn options() -> Result<Options, String> {
    let proxy = env!("CARGO_BIN_EXE_proxy").into();
    let mut options = Options { rounds: 5, span: Duration::from_millis(700), proxy };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let wrong = |error: std::num::ParseIntError| format!("{argument}: {error}");
        match argument.as_str() {
            // cargo's own.
            "--bench" => {}
            "--rounds" => options.rounds = value()?.parse().map_err(wrong)?,
            "--millis" => options.span = Duration::from_millis(value()?.parse().map_err(wrong)?),
            "--proxy" => options.proxy = value()?.into(),
            _ => return Err(format!("{argument}: unknown; there are --rounds N, --millis N, --proxy FILE")),
        }
    }
    Ok(options)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

async fn run(options: &Options) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let found: Vec<&Contender> = CONTENDERS.iter().filter(|one| one.is_installed()).collect();
    println!(
        "{} cores; {} rounds of {} ms; medians; x: times netdrift's",
        std::thread::available_parallelism()?,
        options.rounds,
        options.span.as_millis()
    );
    for measure in Measure::ALL {
        let mut figures: Vec<Vec<Figure>> = vec![Vec::new(); found.len()];
        for _ in 0..options.rounds {
            for (contender, figures) in found.iter().zip(&mut figures) {
                // Each anew with an upstream of its own: nobody pays for what another, or it itself, left behind.
                let (_upstream, upstream) = ChildProcess::upstream()?;
                let running = contender.start(&options.proxy, folder.path(), upstream).await?;
                tunnels(running.addr, Instant::now() + Duration::from_millis(100)).await?;
                match measure.take(&running, options.span).await {
                    Ok(figure) => figures.push(figure),
                    Err(error) => eprintln!("{}: {}: {error}", measure.words().0, contender.name),
                }
            }
        }
        tell(measure, &found, &figures);
    }
    Ok(())
}

fn tell(measure: Measure, found: &[&Contender], figures: &[Vec<Figure>]) {
    let (name, unit, cost_unit, factor) = measure.words();
    println!("\n{name}");
    let medians = |of: fn(&Figure) -> f64| -> Vec<_> {
        figures.iter().map(|some| median(some.iter().map(of).collect())).collect()
    };
    let (values, costs) = (medians(|one| one.value), medians(|one| one.cost));
    let ratio = |all: &[Option<f64>], one: f64| all.first().copied().flatten().map_or(f64::NAN, |first| one / first);
    for ((contender, value), cost) in found.iter().zip(&values).zip(&costs) {
        let (Some(value), Some(cost)) = (*value, *cost) else {
            println!("  {:<18} no figure", contender.name);
            continue;
        };
        println!(
            "  {:<18} {value:9.0} {unit:<5} {:5.2}x   {:7.2} {cost_unit} {:5.2}x",
            contender.name,
            ratio(&values, value),
            cost * factor,
            ratio(&costs, cost)
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if std::env::args().nth(1).as_deref() == Some("upstream") {
        return Ok(runtime.block_on(upstream::serve())?);
    }
    let options = options()?;
    Ok(runtime.block_on(run(&options))?)
}
