//! Counts what a tunnel, a plain request, a pick and a health report cost, in figures that noise does not touch: system calls (strace),
//! instructions and allocations (valgrind). Holds them against recorded ones, so that nothing becomes dearer unseen.
//!
//! `scripts/bench-guard.sh [--record]`
//!
//! Each figure is the difference between a long and a short run, divided by what the long one did more, so that start and
//! end of the process cancel out. The load is one client that waits for each step, and the proxy has one worker thread: what
//! remains is the same in every run, whatever else the machine does.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proxy::core::balancer::Balancer;
use proxy::core::health::{AttemptResult, Charge, HealthPolicy};
use proxy::core::time::Timestamp;
use proxy::core::upstream::{Attempt, Member, UpstreamId, Weight};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::process::{ChildProcess, free_address_on};
use support::{tunnel, upstream};

/// Done in the short run and in the long one.
const RUNS: [u64; 2] = [500, 2_500];

/// As [`RUNS`], of what the core does: that takes no time at all.
const STEPS: [u64; 2] = [10_000, 110_000];

/// How much dearer a figure may become before it is one that was not meant.
const TOLERANCE: f64 = 0.05;

/// Calls by which a thread sleeps and is woken. How many there are for one tunnel is decided by how many others there are.
const SLEEPS: [&str; 4] = ["epoll_wait", "epoll_pwait", "futex", "sched_yield"];

/// Names what is counted, then the unit, then one of it; sorted, as they stand in the file.
type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// A CONNECT, and its end, which comes from the client.
    Tunnel,
    /// The same with a line in the access log.
    LoggedTunnel,
    /// A GET on a connection that is kept, to an upstream whose connection is kept.
    Request,
    /// The same with a line in the access log.
    LoggedRequest,
    /// A POST with a short body, which may take the kept connection.
    Post,
    /// The same as it ships: each gets a connection of its own to the upstream.
    PostAlone,
    /// The choice of an upstream.
    Pick,
    /// What an attempt's end says of its upstream: a failure and a success.
    Report,
}

impl Load {
    const ALL: [Load; 8] = {
        use Load::{LoggedRequest, LoggedTunnel, Pick, Post, PostAlone, Report, Request, Tunnel};
        [Tunnel, LoggedTunnel, Request, LoggedRequest, Post, PostAlone, Pick, Report]
    };

    const fn name(self) -> &'static str {
        match self {
            Load::Tunnel => "tunnel",
            Load::LoggedTunnel => "tunnel, logged",
            Load::Request => "plain request",
            Load::LoggedRequest => "plain request, logged",
            Load::Post => "post, reusing",
            Load::PostAlone => "post",
            Load::Pick => "pick",
            Load::Report => "health report",
        }
    }

    /// What this program does itself, called so.
    const fn step(self) -> Option<&'static str> {
        match self {
            Load::Pick => Some("picks"),
            Load::Report => Some("reports"),
            _ => None,
        }
    }

    const fn log_level(self) -> &'static str {
        match self {
            Load::LoggedTunnel | Load::LoggedRequest => "info",
            _ => "warn",
        }
    }

    /// How long a connection that a POST takes may have been idle.
    const fn reuse(self) -> &'static str {
        if matches!(self, Load::Post) { "1h" } else { "0s" }
    }

    const fn tools(self) -> &'static [Tool] {
        match self.step() {
            Some(_) => &[Tool::Instructions, Tool::Allocations],
            None => &[Tool::SystemCalls, Tool::Instructions, Tool::Allocations],
        }
    }

    async fn drive(self, proxy: SocketAddr, times: u64) -> io::Result<()> {
        match self {
            Load::Tunnel | Load::LoggedTunnel => {
                for _ in 0..times {
                    let mut stream = tunnel(proxy, "echo.test:80").await?;
                    stream.shutdown().await?;
                    ended(&mut stream).await?;
                }
            }
            Load::Request | Load::LoggedRequest | Load::Post | Load::PostAlone => {
                let posts = matches!(self, Load::Post | Load::PostAlone);
                let request: &[u8] = if posts {
                    b"POST http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 5\r\n\r\nhello"
                } else {
                    b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n"
                };
                let mut stream = TcpStream::connect(proxy).await?;
                stream.set_nodelay(true)?;
                let mut held = Vec::with_capacity(1024);
                for _ in 0..times {
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
            Load::Pick | Load::Report => {}
        }
        Ok(())
    }
}

/// Reads the end of a stream on which nothing else comes.
async fn ended(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0]).await? {
        0 => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// What is counted, and by which program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    SystemCalls,
    Instructions,
    Allocations,
}

impl Tool {
    const fn unit(self) -> &'static str {
        match self {
            Tool::SystemCalls => "system calls",
            Tool::Instructions => "instructions",
            Tool::Allocations => "allocations",
        }
    }

    /// Runs `program`, and writes what is counted to `out` once it ends.
    fn command(self, program: &Path, out: &Path) -> Command {
        let mut command = Command::new(if self == Tool::SystemCalls { "strace" } else { "valgrind" });
        let to = |option: &str, path: &Path| format!("{option}={}", path.display());
        match self {
            // The tracer stands aside (-D), so that the child that is told to end is the program.
            Tool::SystemCalls => command.args(["-D", "-f", "-c", "-o"]).arg(out),
            Tool::Instructions => {
                command.args(["--tool=callgrind", "--log-file=/dev/null"]).arg(to("--callgrind-out-file", out))
            }
            Tool::Allocations => command.args(["--tool=dhat", "--dhat-out-file=/dev/null"]).arg(to("--log-file", out)),
        };
        command.arg(program).env("TOKIO_WORKER_THREADS", "1");
        command
    }

    /// The counts in `text`, which it wrote, by name; `None` while it is not all there.
    fn read(self, text: &str) -> Option<BTreeMap<String, u64>> {
        let one = |count: &str| Some(BTreeMap::from([(String::new(), count.replace(',', "").parse().ok()?)]));
        match self {
            Tool::SystemCalls => {
                text.lines().any(|line| line.ends_with(" total")).then_some(())?;
                let call = |line: &str| {
                    let words: Vec<_> = line.split_whitespace().collect();
                    Some(((*words.last()?).to_owned(), words.get(3)?.parse().ok()?))
                };
                Some(text.lines().filter_map(call).filter(|(name, _)| name != "total").collect())
            }
            Tool::Instructions => one(text.lines().find_map(|line| line.strip_prefix("totals:"))?.trim()),
            // ==1== Total:     1,234 bytes in 56 blocks
            Tool::Allocations => {
                let line = text.lines().find(|line| line.contains("Total:"))?;
                one(line.split_once(" in ")?.1.split(' ').next()?)
            }
        }
    }
}

/// What `times` of `load` cost, whole process included.
async fn count(load: Load, tool: Tool, times: u64, proxy: &Path) -> io::Result<BTreeMap<String, u64>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("counted");
    if let Some(step) = load.step() {
        let mut command = tool.command(&std::env::current_exe()?, &out);
        let status = command.args([step, &times.to_string()]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("{}: {status}", tool.unit())));
        }
    } else {
        let (_upstream, upstream) = ChildProcess::upstream()?;
        // Clients come from 127.0.0.1, so none of them can take the port meanwhile.
        let listen = free_address_on([127, 0, 0, 2].into())?;
        // The proxy watches the folder of its configuration: nothing else may be written there.
        let watched = tempfile::tempdir()?;
        let config = watched.path().join("config");
        fs::write(&config, config_of(load, listen, upstream))?;
        let mut command = tool.command(proxy, &out);
        let log = fs::File::create(folder.path().join("log"))?;
        let mut process = ChildProcess::start(command.arg("--config").arg(&config), log)?;
        process.accepts(listen).await?;
        load.drive(listen, times).await?;
        process.end()?;
    }
    for _ in 0..500 {
        if let Some(counts) = fs::read_to_string(&out).ok().and_then(|text| tool.read(&text)) {
            return Ok(counts);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(io::Error::other(format!("{}: {} counted nothing", load.name(), tool.unit())))
}

/// An upstream that wants credentials, as most do.
fn config_of(load: Load, listen: SocketAddr, upstream: SocketAddr) -> String {
    json!({
        "server": { "listen_address": listen.to_string(), "pid_file": "", "control_socket": "" },
        "logging": { "level": load.log_level() },
        "timeouts": { "pool_idle_unrepeatable": load.reuse() },
        "upstream_proxies": [{ "url": format!("http://user:secret@{upstream}") }],
    })
    .to_string()
}

/// What one more of `load` costs, by name of what was counted.
async fn cost(load: Load, tool: Tool, proxy: &Path) -> io::Result<BTreeMap<String, f64>> {
    let [few, many] = if load.step().is_some() { STEPS } else { RUNS };
    let short = count(load, tool, few, proxy).await?;
    let long = count(load, tool, many, proxy).await?;
    let each = |(name, count): (String, u64)| {
        let more = count as f64 - short.get(&name).copied().unwrap_or(0) as f64;
        (name, more / (many - few) as f64)
    };
    Ok(long.into_iter().map(each).collect())
}

async fn measure(proxy: &Path) -> io::Result<Figures> {
    let mut figures = Figures::new();
    for load in Load::ALL {
        let costs = async |tool: Tool| -> io::Result<Option<(Tool, BTreeMap<String, f64>)>> {
            if load.tools().contains(&tool) { Ok(Some((tool, cost(load, tool, proxy).await?))) } else { Ok(None) }
        };
        let (calls, instructions, allocations) =
            tokio::try_join!(costs(Tool::SystemCalls), costs(Tool::Instructions), costs(Tool::Allocations))?;
        for (tool, counts) in [calls, instructions, allocations].into_iter().flatten() {
            let counted = counts.iter().filter(|(name, _)| !SLEEPS.contains(&name.as_str())).map(|(_, each)| each);
            let each = (counted.sum::<f64>() * 100.0).round() / 100.0;
            figures.entry(load.name().to_owned()).or_default().insert(tool.unit().to_owned(), each);
            if tool == Tool::SystemCalls {
                let calls = counts.iter().filter(|(_, each)| **each >= 0.01);
                let calls: Vec<_> = calls.map(|(name, each)| format!("{name} {each:.2}")).collect();
                println!("{}: {}", load.name(), calls.join(", "));
            }
        }
    }
    Ok(figures)
}

/// Tells the figures beside the recorded ones, and which of them grew too much.
fn compare(figures: &Figures, recorded: &Figures) -> Vec<String> {
    let mut grown = Vec::new();
    println!("\n{:<22} {:<13} {:>10} {:>10}", "", "", "recorded", "now");
    for (load, units) in figures {
        for (unit, &now) in units {
            let before = recorded.get(load).and_then(|units| units.get(unit)).copied();
            let before_text = before.map_or("none".to_owned(), |before| format!("{before:.2}"));
            println!("{load:<22} {unit:<13} {before_text:>10} {now:>10.2}");
            // What is recorded as nothing has to stay nothing.
            if before.is_none_or(|before| now > before * (1.0 + TOLERANCE) + 0.005) {
                grown.push(format!("{load}: {unit}: {before_text} recorded, now {now:.2}"));
            }
        }
    }
    grown
}

/// Does a step of the core `times` times, beside three upstreams: run by this program itself, under what counts.
fn steps(load: Load, times: u64) -> Result<(), Box<dyn std::error::Error>> {
    let policy = HealthPolicy {
        failure_threshold: NonZeroU32::MAX,
        recovery_threshold: NonZeroU32::MIN,
        backoff_base: Duration::from_secs(5),
        backoff_max: Duration::from_secs(300),
        max_ejection_percent: 50,
    };
    let weight = |weight| Weight::new(weight).ok_or("no weight");
    let members = [3, 2, 1].into_iter().enumerate();
    let members: Result<Vec<_>, &str> =
        members.map(|(id, share)| Ok(Member { id: UpstreamId::new(id as u32), weight: weight(share)? })).collect();
    let mut balancer = Balancer::new(policy, &members?)?;
    let epoch = balancer.epoch().clone();
    let ticket = AtomicU64::new(0);
    let now = Timestamp::from_nanos(1);
    let attempt = Attempt { upstream: UpstreamId::new(1), started: now, probe: false };
    for _ in 0..times {
        if load == Load::Pick {
            black_box(epoch.pick(ticket.fetch_add(1, Ordering::Relaxed)));
            continue;
        }
        for result in [AttemptResult::Failure(Charge::Unreachable), AttemptResult::Success] {
            black_box(balancer.report(black_box(attempt), result, 0, 0, now));
        }
    }
    Ok(())
}

struct Options {
    record: bool,
    file: PathBuf,
    proxy: PathBuf,
}

fn options() -> Result<Options, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/guard.json");
    let mut options = Options { record: false, file, proxy: env!("CARGO_BIN_EXE_proxy").into() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            // cargo's own.
            "--bench" => {}
            "--record" => options.record = true,
            "--file" => options.file = value()?.into(),
            "--proxy" => options.proxy = value()?.into(),
            _ => return Err(format!("{argument}: unknown; there are --record, --file FILE, --proxy FILE")),
        }
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let [first, second] = [1, 2].map(|place| std::env::args().nth(place).unwrap_or_default());
    if first == "upstream" {
        return Ok(runtime.block_on(upstream::serve())?);
    }
    if let Some(load) = Load::ALL.into_iter().find(|load| load.step() == Some(&first)) {
        return steps(load, second.parse()?);
    }
    let options = options()?;
    let figures = runtime.block_on(measure(&options.proxy))?;
    let recorded = match fs::read(&options.file) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Figures::new(),
        Err(error) => return Err(error.into()),
    };
    let grown = compare(&figures, &recorded);
    if options.record {
        fs::write(&options.file, serde_json::to_string_pretty(&figures)? + "\n")?;
        println!("\nrecorded in {}", options.file.display());
        return Ok(());
    }
    if grown.is_empty() {
        println!("\nnothing costs more than {:.0} % more than recorded", TOLERANCE * 100.0);
        return Ok(());
    }
    eprintln!("\ndearer than recorded (`scripts/bench-guard.sh --record` where that is meant):");
    for line in grown {
        eprintln!("  {line}");
    }
    std::process::exit(1)
}
