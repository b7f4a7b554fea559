//! What is measured, and the rows of the table that each measure fills.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::load::Load;
use crate::machine::{Running, cpu};
use crate::support::{echo, tunnel};
use crate::table::{Better, Row};

/// At once, in every measure but those of one tunnel.
const CLIENTS: usize = 64;

/// Idle tunnels opened to weigh them. Few enough that every contender takes them as it comes.
const IDLE: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Taken first, since a process holds on to what other measures made it take.
    Idle,
    Load(Load, usize),
}

impl Measure {
    pub(crate) const ALL: [Measure; 9] = [
        Measure::Idle,
        Measure::Load(Load::Tunnels, CLIENTS),
        Measure::Load(Load::Down, 1),
        Measure::Load(Load::Up, 1),
        Measure::Load(Load::RoundTrips, CLIENTS),
        Measure::Load(Load::RoundTrips, 1),
        Measure::Load(Load::Get, CLIENTS),
        Measure::Load(Load::GetAnew, CLIENTS),
        Measure::Load(Load::PostAnew, CLIENTS),
    ];

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Measure::Idle => "idle",
            Measure::Load(Load::Tunnels, _) => "tunnels",
            Measure::Load(Load::Down, _) => "down",
            Measure::Load(Load::Up, _) => "up",
            Measure::Load(Load::RoundTrips, 1) => "alone",
            Measure::Load(Load::RoundTrips, _) => "round-trips",
            Measure::Load(Load::Get, _) => "get",
            Measure::Load(Load::GetAnew, _) => "get-anew",
            Measure::Load(Load::PostAnew, _) => "post-anew",
        }
    }

    /// Whether it is about the tunnels of CONNECT.
    pub(crate) const fn needs_tunnels(self) -> bool {
        !matches!(self, Measure::Load(Load::Get | Load::GetAnew | Load::PostAnew, _))
    }

    /// Whether it lives from requests, each of which an access log tells.
    pub(crate) const fn is_logged(self) -> bool {
        !self.needs_tunnels() || matches!(self, Measure::Load(Load::Tunnels, _))
    }

    /// The rows that its figures fill, in the order in which [`Measure::take`] returns them.
    pub(crate) fn rows(self) -> Vec<Row> {
        let row =
            |label: &str, better, digits| Row { label: label.to_owned(), better, digits, figures: BTreeMap::new() };
        let requests = |label: &str| {
            vec![
                row(&format!("{label} /s"), Better::More, 0),
                row("– p99, ms", Better::Less, 1),
                row("– CPU each, µs", Better::Less, 1),
            ]
        };
        match self {
            Measure::Idle => {
                vec![row("memory of an idle tunnel, bytes", Better::Less, 0), row("– descriptors", Better::Less, 2)]
            }
            Measure::Load(Load::Tunnels, _) => vec![
                row("tunnels opened, one word echoed, closed /s, 64 at once", Better::More, 0),
                row("– set-up p99, ms", Better::Less, 1),
                row("– CPU each, µs", Better::Less, 1),
            ],
            Measure::Load(Load::Down, _) => {
                vec![row("one stream down, GB/s", Better::More, 2), row("– CPU, s/GB", Better::Less, 2)]
            }
            Measure::Load(Load::Up, _) => {
                vec![row("one stream up, GB/s", Better::More, 2), row("– CPU, s/GB", Better::Less, 2)]
            }
            Measure::Load(Load::RoundTrips, 1) => {
                vec![
                    row("round trip over one tunnel alone, µs (median)", Better::Less, 1),
                    row("– CPU each, µs", Better::Less, 1),
                ]
            }
            Measure::Load(Load::RoundTrips, _) => requests("round trips of 64 bytes over 64 tunnels"),
            Measure::Load(Load::Get, _) => requests("GET, 64 clients, keep-alive"),
            Measure::Load(Load::GetAnew, _) => requests("GET, 64 clients, a connection each"),
            Measure::Load(Load::PostAnew, _) => requests("POST, 64 clients, a connection each"),
        }
    }

    /// The figures of `proxy`, one for each row.
    pub(crate) async fn take(self, proxy: &Running, span: Duration) -> io::Result<Vec<f64>> {
        let Measure::Load(load, clients) = self else { return idle(proxy).await };
        let used = || proxy.process.as_ref().map_or(f64::NAN, |process| cpu(process.id()));
        let before = used();
        let (mut done, took) = load.run(proxy.addr, clients, span).await?;
        let cpu_each = (used() - before) / done.count;
        Ok(match self {
            Measure::Load(Load::Down | Load::Up, _) => vec![done.count / took, cpu_each],
            Measure::Load(Load::RoundTrips, 1) => vec![done.quantile(0.5) * 1e6, cpu_each * 1e6],
            _ => vec![done.count / took, done.quantile(0.99) * 1e3, cpu_each * 1e6],
        })
    }
}

async fn idle(proxy: &Running) -> io::Result<Vec<f64>> {
    let Some(process) = &proxy.process else { return Ok(vec![f64::NAN; 2]) };
    let before = process.holding()?;
    let mut open = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut stream = tunnel(proxy.addr, "echo.test:80").await?;
        echo(&mut stream, b"ping").await?;
        open.push(stream);
    }
    let after = process.holding()?;
    let each = |before: f64, after: f64| (after - before) / IDLE as f64;
    Ok(vec![each(before.memory as f64, after.memory as f64), each(before.descriptors as f64, after.descriptors as f64)])
}
