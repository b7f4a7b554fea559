//! Measures what a tunnel costs as others stand beside it, as the pool grows, and with few and many threads: all should stay flat.
//!
//! `cargo bench -p proxy --bench scale -- [--json] [--proxy FILE]`

#[path = "peers/load.rs"]
#[expect(dead_code, reason = "it knows more loads than are put on here")]
mod load;
#[path = "peers/machine.rs"]
#[expect(dead_code, reason = "whoever disturbs a measure is seen in its spread")]
mod machine;
mod support;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use load::Load;
use support::process::{ChildProcess, free_address};
use support::{tunnel, upstream};

/// Measures of each row; the median is told, with the lowest and the highest.
const ROUNDS: usize = 5;
const SPAN: Duration = Duration::from_millis(800);
/// At once.
const CLIENTS: usize = 64;

/// A row of the table. What is not said is as usual.
#[derive(Clone, Copy)]
struct Setting {
    /// Tunnels that stand open and are silent meanwhile.
    idle: usize,
    upstreams: usize,
    workers: usize,
}

const USUAL: Setting = Setting { idle: 0, upstreams: 2, workers: 2 };

const SETTINGS: [Setting; 9] = [
    Setting { idle: 100, ..USUAL },
    Setting { idle: 1_000, ..USUAL },
    Setting { idle: 8_000, ..USUAL },
    Setting { upstreams: 2, ..USUAL },
    Setting { upstreams: 30, ..USUAL },
    Setting { upstreams: 1_000, ..USUAL },
    Setting { workers: 1, ..USUAL },
    Setting { workers: 2, ..USUAL },
    Setting { workers: 4, ..USUAL },
];

/// What one measure found.
struct Figures {
    /// Tunnels opened, one word echoed, closed, in a second.
    rate: f64,
    /// Of each: the proxy's processor time in microseconds.
    cpu: f64,
    /// The 99th percentile of the waits for the 2xx, in milliseconds.
    p99: f64,
}

fn configuration(listen: SocketAddr, upstream: SocketAddr, upstreams: usize) -> String {
    // Entries of one address are upstreams of their own if their users differ.
    let one = |number: usize| json!({ "url": format!("http://u{number}:p@{upstream}") });
    json!({
        "server": { "listen_address": listen.to_string(), "pid_file": "", "control_socket": "" },
        "logging": { "level": "warn" },
        "upstream_proxies": (1..=upstreams).map(one).collect::<Vec<_>>(),
    })
    .to_string()
}

async fn measure(proxy: &PathBuf, setting: Setting) -> io::Result<Figures> {
    let folder = tempfile::tempdir()?;
    let (_upstream, upstream) = ChildProcess::upstream()?;
    let listen = free_address()?;
    let config = folder.path().join("scale.json");
    std::fs::write(&config, configuration(listen, upstream, setting.upstreams))?;
    let log = std::fs::File::create(folder.path().join("proxy.log"))?;
    let mut command = Command::new(proxy);
    command.arg("--config").arg(&config).env("TOKIO_WORKER_THREADS", setting.workers.to_string());
    let mut process = ChildProcess::start(&mut command, log)?;
    process.accepts(listen).await?;
    let mut idle: Vec<TcpStream> = Vec::with_capacity(setting.idle);
    for _ in 0..setting.idle {
        idle.push(tunnel(listen, "echo.test:80").await?);
    }
    // What comes up with the first requests is not measured.
    Load::Tunnels.run(listen, CLIENTS, SPAN / 4).await?;
    let before = machine::cpu(process.id());
    let (mut done, seconds) = Load::Tunnels.run(listen, CLIENTS, SPAN).await?;
    let cpu = machine::cpu(process.id()) - before;
    Ok(Figures { rate: done.count / seconds, cpu: cpu / done.count * 1e6, p99: done.quantile(0.99) * 1e3 })
}

fn spread(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> [f64; 3] {
    let mut all: Vec<f64> = figures.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    let at = |place: usize| all.get(place).copied().unwrap_or(f64::NAN);
    [at(all.len() / 2), at(0), at(all.len().saturating_sub(1))]
}

async fn run(proxy: &PathBuf, json: bool) -> io::Result<()> {
    let mut figures: Vec<Vec<Figures>> = SETTINGS.iter().map(|_| Vec::new()).collect();
    // Rounds over all of them, so that what disturbs the machine for a while disturbs all alike.
    for round in 1..=ROUNDS {
        for (setting, found) in SETTINGS.iter().zip(&mut figures) {
            found.push(measure(proxy, *setting).await?);
        }
        eprintln!("round {round} of {ROUNDS}");
    }
    if !json {
        println!("| silent tunnels | upstreams | worker threads | CPU each, µs | opened /s | set-up p99, ms |");
        println!("|---|---|---|---|---|---|");
    }
    for (setting, found) in SETTINGS.iter().zip(&figures) {
        let Setting { idle, upstreams, workers } = setting;
        let [cpu, rate, p99] =
            [spread(found, |one| one.cpu), spread(found, |one| one.rate), spread(found, |one| one.p99)];
        if json {
            println!(
                "{}",
                json!({ "idle": idle, "upstreams": upstreams, "workers": workers, "cpu_us": cpu, "rate": rate, "p99_ms": p99 })
            );
        } else {
            let [cpu, low, high] = cpu;
            println!(
                "| {idle} | {upstreams} | {workers} | {cpu:.0} ({low:.0}–{high:.0}) | {:.0} | {:.1} |",
                rate[0], p99[0]
            );
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut json, mut proxy) = (false, PathBuf::from(env!("CARGO_BIN_EXE_proxy")));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // This program is its own upstream.
            "upstream" => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                return Ok(runtime.block_on(upstream::serve())?);
            }
            // cargo's own.
            "--bench" => {}
            "--json" => json = true,
            "--proxy" => proxy = arguments.next().ok_or("--proxy needs a file")?.into(),
            _ => return Err(format!("{argument}: unknown; there are --json, --proxy FILE").into()),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(run(&proxy, json))?)
}
