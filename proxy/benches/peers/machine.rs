//! Knows what runs: reads the processor time of processes, and how much of the machine's others took meanwhile.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process;

use tokio::time::Instant;

use crate::support::process::{ChildProcess, children};

/// A contender that accepts.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    /// Where there is one at all.
    pub(crate) process: Option<ChildProcess>,
}

/// Clock ticks in a second of `/proc`: fixed in the kernel's interface to user space.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process and its children have used so far, in steps of a hundredth. One that has ended used none.
pub(crate) fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th word behind it.
    let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let own: f64 = words.skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    own / TICKS + children(pid).into_iter().map(cpu).sum::<f64>()
}

/// Seconds for which the machine's processors have been busy.
fn busy() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal; what follows is contained in the first two.
    let idle = |place: usize| place == 3 || place == 4;
    let busy = ticks.iter().take(8).enumerate().filter(|(place, _)| !idle(*place)).map(|(_, ticks)| ticks);
    Ok(busy.sum::<f64>() / TICKS)
}

/// A moment from which on the processor time of others is reckoned.
pub(crate) struct Watch {
    start: Instant,
    busy: f64,
    ours: f64,
}

/// Of this process, and of those that it has started.
fn ours() -> f64 {
    cpu(process::id())
}

impl Watch {
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Watch { start: Instant::now(), busy: busy()?, ours: ours() })
    }

    /// The share of the machine that others took since: 0 to 1.
    pub(crate) fn others(&self) -> io::Result<f64> {
        let cores = std::thread::available_parallelism()?.get() as f64;
        let others = (busy()? - self.busy) - (ours() - self.ours);
        Ok((others / (self.start.elapsed().as_secs_f64() * cores)).clamp(0.0, 1.0))
    }
}
